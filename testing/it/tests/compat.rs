//! Images that travel: what a container changed is what others find, in this engine and in the tools
//! that are installed.
#![allow(
    clippy::disallowed_methods,
    reason = "a test of other programs: it runs those that are installed"
)]

use std::process::Command;

use lapstrake_testkit::{Cli, TestRegistry};

use crate::containers::Engine;

/// Every way of changing a file, on two layers.
const LOWER: &str = "mkdir -p /d/gone /d/emptied/sub /d/kept /d/moved/deep /d/file-to-be; \
     for f in a gone/f emptied/sub/f kept/f moved/deep/f file-to-be/f dir-to-be; do echo $f > /d/$f; done; \
     chmod 4711 /d/a; ln /d/a /d/hard; ln -s nowhere /d/dangling";
const UPPER: &str = "rm -r /d/gone; rm -r /d/emptied; mkdir /d/emptied; echo new > /d/emptied/new; \
     rm -r /d/file-to-be; echo x > /d/file-to-be; rm /d/dir-to-be; mkdir /d/dir-to-be; \
     mv /d/moved /d/elsewhere; ln /d/kept/f /d/second; chmod 2750 /d/kept; rm /d/dangling; \
     touch -d '2001-02-03 04:05:06' /d/a; echo long > /d/$(printf 'n%.0s' $(seq 1 120) 2>/dev/null)z";
/// Kinds, modes, owners, link counts, seconds and names.
const WALK: &str = "find /d -exec stat -c '%F %a %u:%g %s %h %Y %N' '{}' ';' | sort; cat /d/second";

fn walk(lap: &Cli, image: &str) -> String {
    let text = lap.ok(&["run", "--rm", "-q", image, "sh", "-c", WALK]);
    // A directory's size and number of links belong to the file system.
    let levelled = text
        .lines()
        .map(|line| match line.strip_prefix("directory ") {
            Some(rest) => {
                let mut words: Vec<&str> = rest.split(' ').collect();
                words.drain(2..4);
                format!("directory {}\n", words.join(" "))
            }
            None => format!("{line}\n"),
        });
    levelled.collect()
}

#[test]
fn privileged_changes_arrive_with_the_next_user() {
    let registry = TestRegistry::start();
    let engine = Engine::new();
    let name = format!("{}/team/changed:1", registry.address());
    for (container, image, script, result) in [
        ("one", "box", LOWER, "lower"),
        ("two", "lower", UPPER, name.as_str()),
    ] {
        engine
            .0
            .ok(&["run", "--name", container, image, "sh", "-c", script]);
        engine.0.ok(&["commit", container, result]);
    }
    let here = walk(&engine.0, &name);
    let has = |line: &str| assert!(here.contains(line), "{line} is not in\n{here}");
    has("directory 755 0:0");
    has(" /d/elsewhere/deep/f\n");
    // Written to, it was copied, and is no longer the same file as its other name.
    has("regular file 4711 0:0 2 1 981173106 /d/a\n");
    for gone in [
        "/d/gone",
        "/d/emptied/sub",
        "/d/moved",
        "/d/dangling",
        "/d/file-to-be/f",
    ] {
        assert!(!here.contains(gone), "{gone} is in\n{here}");
    }
    engine.0.ok(&["push", "-q", &name]);
    let elsewhere = Cli::built();
    elsewhere.ok(&["pull", "-q", &name]);
    assert_eq!(walk(&elsewhere, &name), here);
    let reading = Command::new("skopeo").arg("--version").output();
    if reading.is_ok() {
        let layout = engine.0.root().join("image");
        let reference = format!("oci:{}:{name}", layout.display());
        let read = Command::new("skopeo")
            .args(["inspect", &reference])
            .output();
        let read = read.unwrap();
        assert!(
            read.status.success(),
            "{}",
            String::from_utf8_lossy(&read.stderr)
        );
    }
}

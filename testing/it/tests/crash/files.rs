//! `save`, `load` and `import` end in the middle, by Ctrl-C or worse: a file is whole or not there, and so
//! is an image.

use super::{Torture, id_of, image, line, seed, succeeded, whole_or_absent};
use lapstrake_spec::Digest;
use lapstrake_testkit::{Cli, TestRegistry};
use rustix::process::Signal;
use std::fs;

const SIGNALS: [Signal; 2] = [Signal::INT, Signal::KILL];

/// A store with an image, the image in a file, and its id.
fn saved(seed: u64) -> (Cli, Vec<u8>, String) {
    let registry = TestRegistry::start();
    let image = image(seed);
    let name = registry.put("crash/files:1", &image).to_string();
    let lap = super::lap();
    lap.ok(&["copy", "-q", &name, "store:app:1"]);
    lap.ok(&["save", "-o", "x.tar", "app:1"]);
    let path = lap.home().join("x.tar");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    (lap, bytes, image.config_descriptor.digest.to_string())
}

/// What is in the folder that commands run in.
fn files(lap: &Cli) -> Vec<String> {
    let entries = fs::read_dir(lap.home()).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn save_ends_early() {
    let seed = seed();
    let (lap, bytes, _) = saved(seed);
    let path = lap.home().join("x.tar");
    for signal in SIGNALS {
        Torture::new("save", &lap, seed).by(signal).run(
            |_round| {
                fs::remove_file(&path).ok();
                line(&["save", "-o", "x.tar", "app:1"])
            },
            |_round| match files(&lap).as_slice() {
                [] => {}
                found => {
                    assert_eq!(found, ["x.tar"]);
                    assert!(fs::read(&path).unwrap() == bytes);
                }
            },
            |_round, outcome| {
                succeeded(outcome);
                assert!(fs::read(&path).unwrap() == bytes);
            },
        );
    }
}

#[test]
fn load_ends_early() {
    let seed = seed();
    let (_, bytes, id) = saved(seed);
    let lap = super::lap();
    fs::write(lap.home().join("x.tar"), &bytes).unwrap();
    for signal in SIGNALS {
        Torture::new("load", &lap, seed).by(signal).run(
            |_round| {
                lap.run(&["rmi", "app:1"]);
                line(&["load", "-i", "x.tar"])
            },
            |_round| whole_or_absent(&lap, "app:1", &id),
            |_round, outcome| {
                succeeded(outcome);
                assert_eq!(id_of(&lap, "app:1").as_deref(), Some(id.as_str()));
            },
        );
    }
    assert_eq!(files(&lap), ["x.tar"]);
}

/// All files of the unpacked layers of a store: what they are, and their content.
fn unpacked(lap: &Cli) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = fs::read_dir(lap.root().join("layers"))
        .unwrap()
        .map(|layer| layer.unwrap().path().join("fs"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_file() {
                Digest::sha256(&fs::read(&path).unwrap()).to_string()
            } else {
                String::new()
            };
            let (kind, mode) = (metadata.file_type(), metadata.permissions());
            let shown = path.strip_prefix(lap.root()).unwrap().display();
            found.push(format!("{shown} {kind:?} {mode:?} {content}"));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn import_ends_early() {
    let seed = seed();
    let lap = super::lap();
    let layer = image(seed).layers.remove(0).tar;
    let right = format!("[\"{}\"]\n", Digest::sha256(&layer));
    // What it is when nobody ends it.
    let calm = super::lap();
    fs::write(calm.home().join("x.tar"), &layer).unwrap();
    calm.ok(&["import", "x.tar", "app:1"]);
    let files = unpacked(&calm);
    fs::write(lap.home().join("x.tar"), layer).unwrap();
    let layers = || lap.ok(&["inspect", "-f", "{{json .RootFS.Layers}}", "app:1"]);
    for signal in SIGNALS {
        Torture::new("import", &lap, seed).by(signal).run(
            |_round| {
                lap.run(&["rmi", "app:1"]);
                line(&["import", "x.tar", "app:1"])
            },
            |_round| {
                if id_of(&lap, "app:1").is_some() {
                    assert_eq!(layers(), right);
                    assert_eq!(unpacked(&lap), files);
                }
            },
            |_round, outcome| {
                succeeded(outcome);
                assert_eq!(layers(), right);
                assert_eq!(unpacked(&lap), files);
            },
        );
    }
}

//! What nobody uses goes (`image prune`, `container prune`, `system prune`, `builder prune`, `rmi`), and what others
//! have is found (`search`), with the built `lap`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lapstrake_testkit::{Cli, RandomImage, Shape, TestRegistry};

use crate::containers::{Engine, wait_until};

/// What a folder takes, as `du` counts: blocks, each file once.
fn du(top: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    let mut queue = vec![top.to_owned()];
    let mut bytes = 0;
    while let Some(path) = queue.pop() {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        if seen.insert((metadata.dev(), metadata.ino())) {
            bytes += metadata.blocks() * 512;
        }
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            queue.extend(entries.map(|entry| entry.path()));
        }
    }
    bytes
}

/// Waits until what was removed is deleted.
fn emptied(lap: &Cli) {
    let trash = lap.root().join("trash");
    wait_until("the trash becoming empty", || {
        let names = std::fs::read_dir(&trash).unwrap().flatten();
        names
            .map(|entry| entry.file_name())
            .all(|name| name == ".lock")
    });
}

/// The bytes that the last line tells.
fn told(text: &str) -> u64 {
    let word = text.trim_end().rsplit([' ', '\t']).next().unwrap();
    let digits = word.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let (number, unit) = word.split_at(digits);
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        other => panic!("{other} in {text}"),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size of a test"
    )]
    let bytes = (number.parse::<f64>().unwrap() * factor) as u64;
    bytes
}

/// Runs a prune and its dry run, and compares what they tell with the disk. Four digits are told, and the
/// index and folders of the store may shrink by some blocks.
#[track_caller]
fn prune_truly(lap: &Cli, arguments: &[&str]) -> (String, u64) {
    emptied(lap);
    let before = du(&lap.root());
    let thought = lap.ok(&[arguments, &["--dry-run"]].concat());
    let after = du(&lap.root());
    // A cache of the store may be written anew.
    assert!(
        after.abs_diff(before) <= 16 * 1024,
        "a dry run changes nothing: {before} {after}"
    );
    let done = lap.ok(&[arguments, &["-f"]].concat());
    emptied(lap);
    let (freed, bytes) = (before.saturating_sub(du(&lap.root())), told(&done));
    let tolerance = 48 * 1024 + freed / 500;
    for (what, bytes) in [("dry run", told(&thought)), ("prune", bytes)] {
        let difference = bytes.abs_diff(freed);
        assert!(
            difference <= tolerance,
            "{what} tells {bytes}, freed {freed}\n{done}"
        );
    }
    let lines = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.contains("sha256:") || line.contains("untagged"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines(&thought), lines(&done));
    (done, bytes)
}

/// A store with `a:1`, `b:1` and `b:2` (one image), and a dangling one.
fn pulled() -> (Cli, TestRegistry) {
    let registry = TestRegistry::start();
    let lap = Cli::built();
    for (seed, name) in [(1, "a:1"), (2, "b:1"), (3, "c:1"), (4, "c:1")] {
        let reference = registry
            .put(&format!("x/{name}"), &RandomImage::new(seed))
            .familiar();
        lap.ok(&["pull", "-q", &reference]);
        lap.ok(&["tag", &reference, name]);
        lap.ok(&["rmi", &reference]);
    }
    lap.ok(&["tag", "b:1", "b:2"]);
    (lap, registry)
}

fn names(lap: &Cli) -> BTreeMap<String, String> {
    let text = lap.ok(&[
        "images",
        "-a",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.ID}}",
    ]);
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, id)| (name.to_owned(), id.to_owned()))
        .collect()
}

#[test]
fn images_nobody_uses_go_and_the_space_is_told_truly() {
    let (lap, _registry) = pulled();
    let dangling = names(&lap)["<none>:<none>"].clone();
    let (text, bytes) = prune_truly(&lap, &["image", "prune"]);
    assert!(text.starts_with("Deleted Images:\n"), "{text}");
    assert!(
        text.contains(&format!("deleted: sha256:{dangling}")),
        "{text}"
    );
    assert!(bytes > 0);
    assert_eq!(names(&lap).len(), 4);
    assert_eq!(
        lap.ok(&["image", "prune", "-f"]),
        "Total reclaimed space: 0B\n"
    );
    let kept = lap.ok(&["image", "prune", "-a", "-f", "--filter", "label=nope"]);
    assert_eq!(kept, "Total reclaimed space: 0B\n");
    let (text, _) = prune_truly(&lap, &["image", "prune", "-a"]);
    for name in ["a:1", "b:1", "b:2", "c:1"] {
        assert!(text.contains(&format!("untagged: {name}\n")), "{text}");
    }
    assert!(names(&lap).is_empty());
}

#[test]
fn a_prune_asks_first_and_refuses_what_it_does_not_know() {
    let (lap, _registry) = pulled();
    for (arguments, question) in [
        (
            &["image", "prune"][..],
            "WARNING! This will remove all dangling images.\n",
        ),
        (
            &["image", "prune", "-a"],
            "WARNING! This will remove all images without at least one container associated to them.\n",
        ),
        (
            &["container", "prune"],
            "WARNING! This will remove all stopped containers.\n",
        ),
        (
            &["system", "prune", "--filter", "label=x"],
            "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least \
             one container\n  - all dangling images\n  - unused build cache\n\n  Items to be pruned will be \
             filtered with:\n  - label=x\n\n",
        ),
    ] {
        let asked = lap.run_with(arguments, b"n\n");
        let expected = format!("{question}Are you sure you want to continue? [y/N] ");
        assert_eq!((asked.code, asked.stdout), (Some(0), expected));
    }
    assert_eq!(names(&lap).len(), 5);
    for (arguments, words) in [
        (
            &["image", "prune", "-f", "--filter", "nope=1"][..],
            "invalid filter 'nope'",
        ),
        (
            &["container", "prune", "-f", "--filter", "until=xyz"],
            "failed to parse value as time or duration: \"xyz\"",
        ),
        (
            &[
                "system", "prune", "-f", "--filter", "until=1h", "--filter", "until=2h",
            ],
            "more than one until filter specified",
        ),
        (
            &["system", "prune", "-f", "--volumes", "--filter", "until=1h"],
            "The \"until\" filter is not supported with \"--volumes\"",
        ),
        (
            &["image", "prune", "-f", "--filter", "dangling=maybe"],
            "invalid filter 'dangling=[maybe]'",
        ),
    ] {
        let error = lap.fails(1, arguments);
        assert!(error.contains(words), "{error}");
    }
    let yes = lap.run_with(&["image", "prune"], b"y\n");
    assert!(
        yes.stdout.contains("[y/N] Deleted Images:\ndeleted: "),
        "{yes}"
    );
}

#[test]
fn a_dry_removal_removes_nothing() {
    let (lap, _registry) = pulled();
    let id = names(&lap)["a:1"].clone();
    let text = lap.ok(&["rmi", "--dry-run", "a:1"]);
    let expected = format!("Would untag: a:1\nWould delete: sha256:{id}");
    assert!(text.starts_with(&expected), "{text}");
    let error = lap.fails(1, &["rmi", "--platform", "linux/s390x", "a:1"]);
    assert!(
        error.contains("does not provide the specified platform (linux/s390x)"),
        "{error}"
    );
    assert_eq!(names(&lap)["a:1"], id);
    let real = lap.ok(&["rmi", "a:1"]);
    assert_eq!(real.lines().count(), text.lines().count());
}

#[test]
fn a_tree_has_images_below_their_layers() {
    let (lap, _registry) = pulled();
    let text = lap.ok(&["images", "--tree", "--filter", "reference=b"]);
    let last = text.lines().last().unwrap();
    assert!(text.starts_with("LAYER / IMAGE"), "{text}");
    assert!(last.starts_with("└─ b:1, b:2 ("), "{text}");
    let error = lap.fails(1, &["images", "--tree", "-q"]);
    assert_eq!(error, "--quiet is not yet supported with --tree\n");
}

#[test]
fn privileged_a_system_prune_takes_containers_images_and_cache() {
    let engine = Engine::new();
    let lap = &engine.0;
    let folder = lap.home().join("context");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("big"), vec![7u8; 400_000]).unwrap();
    let dockerfile =
        "FROM box\nCOPY big /\nRUN echo x > /y\nRUN --mount=type=cache,target=/c echo z > /c/z\n";
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    lap.ok(&["build", "-q", "-t", "made:1", folder.to_str().unwrap()]);
    lap.ok(&[
        "run",
        "--name",
        "used",
        "box",
        "sh",
        "-c",
        "yes | head -c 900000 > /big",
    ]);
    lap.ok(&[
        "run",
        "-v",
        "/anonymous",
        "-v",
        "named:/n",
        "box",
        "sh",
        "-c",
        "echo 1 > /anonymous/1",
    ]);
    engine.detached(&["--name", "on", "box", "sleep", "1000"]);

    let kept = lap.ok(&["container", "prune", "-f", "--filter", "until=24h"]);
    assert_eq!(kept, "Total reclaimed space: 0B\n");
    let df = lap.ok(&["system", "df", "-v"]);
    for words in ["SHARED SIZE", "\nnamed ", "exec.cachemount", "\nmade "] {
        assert!(df.contains(words), "{df}");
    }
    let (text, _) = prune_truly(lap, &["system", "prune", "-a", "--volumes"]);
    for words in [
        "Deleted Containers:\n",
        "Deleted Volumes:\n",
        "Deleted Images:\nuntagged: made:1\n",
        "Deleted build cache objects:\n",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let left: Vec<String> = names(lap).into_keys().collect();
    assert_eq!(left, ["box:latest"]);
    assert_eq!(lap.ok(&["ps", "-a", "--format", "{{.Names}}"]), "on\n");
    assert!(lap.root().join("volumes/named").exists());
    lap.ok(&["volume", "prune", "-a", "-f"]);
    assert!(!lap.root().join("volumes/named").exists());
}

#[test]
fn privileged_a_builder_prune_tells_what_the_disk_gets_back() {
    let engine = Engine::new();
    let lap = &engine.0;
    let folder = lap.home().join("context");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("big"), vec![7u8; 400_000]).unwrap();
    std::fs::write(folder.join("Dockerfile"), "FROM box\nCOPY big /\n").unwrap();
    lap.ok(&["build", "-q", "-t", "made:1", folder.to_str().unwrap()]);
    lap.ok(&["rmi", "made:1"]);
    let (text, bytes) = prune_truly(lap, &["builder", "prune"]);
    assert!(text.contains("\nTotal:\t"), "{text}");
    assert!(bytes >= 800_000, "tar and tree: {text}");
}

#[test]
fn privileged_container_and_volume_prunes_tell_what_the_disk_gets_back() {
    let engine = Engine::new();
    let lap = &engine.0;
    let writing = "yes | head -c 700000 > /big; yes | head -c 300000 > /v/big; ln /v/big /v/again";
    lap.ok(&["run", "-v", "data:/v", "box", "sh", "-c", writing]);
    let (text, bytes) = prune_truly(lap, &["container", "prune"]);
    assert!(text.starts_with("Deleted Containers:\n"), "{text}");
    assert!((700_000..900_000).contains(&bytes), "{text}");
    let (text, bytes) = prune_truly(lap, &["volume", "prune", "-a"]);
    assert!(text.starts_with("Deleted Volumes:\ndata\n"), "{text}");
    assert!((300_000..500_000).contains(&bytes), "{text}");
}

/// A row of the images in `system df -v`: size, shared size, unique size.
fn divided(df: &str, tag: &str) -> [u64; 3] {
    let rows = df.lines().map(|line| line.split_whitespace().collect());
    let mut rows = rows.filter(|cells: &Vec<&str>| cells.starts_with(&["x", tag]));
    let cells = rows.next().unwrap_or_else(|| panic!("{tag}: {df}"));
    let last = cells.len() - 1;
    [last - 3, last - 2, last - 1].map(|at| told(cells[at]))
}

#[test]
fn five_images_share_layers_and_the_sums_are_right() {
    let registry = TestRegistry::start();
    let lap = Cli::built();
    // The same seed: each has the layers of the one before, and one more.
    for layers in 1..=5 {
        let shape = Shape {
            layers,
            file_bytes: 200_000,
            ..Shape::default()
        };
        let image = RandomImage::with(9, &shape);
        let pulled = registry.put(&format!("x:{layers}"), &image).to_string();
        lap.ok(&["pull", "-q", &pulled]);
        lap.ok(&["tag", &pulled, &format!("x:{layers}")]);
        lap.ok(&["rmi", &pulled]);
    }
    let size_of = |tag: usize| -> u64 {
        let size = lap.ok(&["inspect", "-f", "{{.Size}}", &format!("x:{tag}")]);
        size.trim().parse().unwrap()
    };
    // Three digits are shown.
    let close = |one: u64, other: u64| one.abs_diff(other) <= 1 + one.max(other) / 100;
    let df = lap.ok(&["system", "df", "-v"]);
    for tag in 1..=5 {
        let [size, shared, unique] = divided(&df, &tag.to_string());
        let alone = if tag == 5 { size_of(5) - size_of(4) } else { 0 };
        assert!(close(size, size_of(tag)), "{tag}: {df}");
        assert!(close(unique, alone), "{tag}: {df}");
        assert!(close(shared, size_of(tag) - alone), "{tag}: {df}");
    }
    let all = lap.ok(&[
        "system",
        "df",
        "--format",
        "{{.Type}} {{.Size}} {{.Reclaimable}}",
    ]);
    let images: Vec<&str> = all.lines().next().unwrap().split_whitespace().collect();
    assert!(close(told(images[1]), size_of(5)), "{all}");
    assert!(close(told(images[2]), size_of(5)), "{all}");

    // What goes with an image is what no other has, and the rest stays whole.
    let mut freed = 0;
    for tag in ["x:2", "x:5", "x:4"] {
        emptied(&lap);
        let before = du(&lap.root());
        let thought = lap.ok(&["rmi", "--dry-run", tag]);
        let done = lap.ok(&["rmi", tag]);
        emptied(&lap);
        freed = before.saturating_sub(du(&lap.root()));
        let layers = |text: &str| text.matches("sha256:").count();
        assert_eq!(layers(&thought), layers(&done), "{thought}{done}");
        let small = tag == "x:2";
        assert_eq!(freed < 40_000, small, "{tag}: {freed}");
    }
    assert!(freed > 0);
    let whole = lap.ok(&["system", "check"]);
    assert!(whole.contains("the store is whole"), "{whole}");
    let (text, _) = prune_truly(&lap, &["image", "prune", "-a"]);
    assert!(text.contains("untagged: x:1\n"), "{text}");
}

/// A server that answers every connection with this body; its address.
fn index(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).is_ok());
            let length = body.len();
            let start = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n"
            );
            // Whoever has read enough hangs up.
            stream.write_all(start.as_bytes()).ok();
            stream.write_all(body.as_bytes()).ok();
        }
    });
    address
}

const FOUND: &str = r#"{"results":[
    {"name":"sinatra","description":"Official build of Sinatra.","star_count":1544,"is_official":true},
    {"name":"training/sinatra","description":"A description that is rather long and that must be cut","star_count":9,"is_automated":true},
    {"name":"x/sinatra","description":"","star_count":0}]}"#;

#[test]
fn an_index_is_searched() {
    let lap = Cli::built();
    let term = format!("{}/sinatra", index(FOUND.to_owned()));
    assert_eq!(
        lap.ok(&["search", &term]),
        "NAME               DESCRIPTION                                     STARS     OFFICIAL\n\
         sinatra            Official build of Sinatra.                      1544      [OK]\n\
         training/sinatra   A description that is rather long and that m…   9         \n\
         x/sinatra                                                          0         \n"
    );
    for (arguments, expected) in [
        (&["--limit", "1"][..], "sinatra 1544\n"),
        (
            &["--filter", "stars=9"],
            "sinatra 1544\ntraining/sinatra 9\n",
        ),
        (&["--filter", "is-official=true"], "sinatra 1544\n"),
        (&["--limit", "0", "-f", "stars=2000"], ""),
    ] {
        let format = ["search", &term, "--format", "{{.Name}} {{.StarCount}}"];
        assert_eq!(lap.ok(&[&format, arguments].concat()), expected);
    }
    for (arguments, words) in [
        (
            &["--limit", "101"][..],
            "limit 101 is outside the range of [1, 100]",
        ),
        (&["-f", "nope=1"], "invalid filter 'nope'"),
        (&["-f", "stars=abc"], "invalid filter 'stars=abc'"),
    ] {
        let error = lap.fails(1, &[&["search", &term], arguments].concat());
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn an_index_that_misbehaves_is_told() {
    let lap = Cli::built();
    let large = format!("{{\"results\":[{}]}}", "{\"name\":\"a\"},".repeat(800_000));
    for (body, words) in [
        (
            "<html>no</html>".to_owned(),
            "error decoding registry search results: ",
        ),
        (large, "response body is larger than 4194304 bytes"),
    ] {
        let error = lap.fails(1, &["search", &format!("{}/x", index(body))]);
        assert!(error.contains(words), "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = lap.fails(1, &["search", &format!("{closed}/x")]);
    assert!(error.contains("invalid registry endpoint"), "{error}");
    assert!(error.contains("connection refused"), "{error}");
}

#[test]
fn the_tags_of_a_remote_repository_are_listed() {
    let registry = TestRegistry::start();
    let lap = Cli::built();
    for tag in ["1", "2", "latest"] {
        registry.put(&format!("some/thing:{tag}"), &RandomImage::new(1));
    }
    let name = registry.reference("some/thing").familiar_name();
    let format = ["search", "--tags", "--format", "{{.Tag}}", &name];
    assert_eq!(lap.ok(&format), "1\n2\nlatest\n");
    assert_eq!(lap.ok(&[&format[..], &["--limit", "2"]].concat()), "1\n2\n");
    let missing = registry.reference("no/thing").familiar_name();
    let error = lap.fails(1, &["search", "--tags", &missing]);
    assert!(
        error.contains("not found") || error.contains("not known"),
        "{error}"
    );
}

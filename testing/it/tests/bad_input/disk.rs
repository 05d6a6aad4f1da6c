//! Disks that are full or cannot be written.

use super::{FULL, Layer, Mounts, READ_ONLY, holds, image, put_small, tar};
use lapstrake_testkit::{Cli, Compression, Directory, RandomImage, TestRegistry, levelled};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

const MIB: u64 = 1 << 20;
const LARGE: usize = 4 << 20;

/// An image of one file that is not compressed.
fn large(bytes: usize) -> RandomImage {
    let content = vec![3; bytes];
    let tar = tar(&[("usr/large", b'0', "", &content)]);
    image(vec![Layer::of(&tar, Compression::Plain)])
}

/// Runs a command that must fail with this exit status and one of these texts.
#[track_caller]
fn fails(lap: &Cli, (arguments, input): (&[&str], &[u8]), code: i32, expected: &[String]) {
    let outcome = lap.run_with(arguments, input);
    assert_eq!(outcome.code, Some(code), "{outcome}");
    let stderr = outcome.stderr.replace(lap.root().to_str().unwrap(), "ROOT");
    let stderr = without_temporary_names(&levelled(stderr.trim_end()));
    assert!(
        expected.contains(&stderr),
        "{stderr}\nexpected one of {expected:#?}"
    );
}

/// Puts `H16` where the name of a temporary file is.
fn without_temporary_names(text: &str) -> String {
    let is_name =
        |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_name(word) {
                part.replace(word, "H16")
            } else {
                part.to_owned()
            }
        })
        .collect()
}

fn run_words(message: &str, hint: &str) -> String {
    format!("lap: {message}\n\nRun 'lap run --help' for more information{hint}")
}

#[test]
fn privileged_a_disk_that_fills_up() {
    let registry = TestRegistry::start();
    let small = put_small(&registry, "small:1").to_string();
    let too_large = registry.put("large:1", &large(LARGE)).to_string();
    let zeros = tar(&[("usr/zeros", b'0', "", &vec![0; LARGE])]);
    let zeros = image(vec![Layer::of(&zeros, Compression::Gzip)]);
    let unpacked = registry.put("zeros:1", &zeros).to_string();
    let archive = tar(&[("usr/large", b'0', "", &vec![4; LARGE])]);
    let lap = Cli::built();
    let _mounts = Mounts::new().tmpfs(&lap.root(), 3 * MIB);
    lap.ok(&["pull", "-q", &small]);
    // Blob and tree grow side by side: either may be the one that finds the disk full.
    let words = |prefix: &str, file: &str| {
        let tar = "Error processing tar file(exit status 1): ";
        format!("{prefix}{tar}write {file}: no space left on device{FULL}")
    };
    let blob = |name: &str| format!("write ROOT/ingest/{name}: no space left on device{FULL}");
    let pulled = [
        words("failed to register layer: ", "/usr/large"),
        blob("sha256-H64.partial"),
    ];
    fails(&lap, (&["pull", "-q", &too_large], b""), 1, &pulled);
    holds(&lap, &[&small]);
    let pulled = [
        words("failed to register layer: ", "/usr/zeros"),
        blob("sha256-H64.partial"),
    ];
    fails(&lap, (&["pull", "-q", &unpacked], b""), 1, &pulled);
    holds(&lap, &[&small]);
    let answer = "Error response from daemon: ";
    let imported = [
        words(answer, "/usr/large"),
        format!("{answer}{}", blob("new-H16")),
    ];
    fails(
        &lap,
        (&["import", "-", "imported:1"], &archive),
        1,
        &imported,
    );
    holds(&lap, &[&small]);

    let id = lap.ok(&["create", "--name", "writer", &small, "true"]);
    let upper = lap.root().join("containers").join(id.trim()).join("upper");
    fs::create_dir_all(&upper).unwrap();
    fs::write(upper.join("large"), vec![5; 2 << 20]).unwrap();
    let committed = [
        words(answer, "/large"),
        format!("{answer}{}", blob("new-H16")),
    ];
    fails(&lap, (&["commit", "writer", "made:1"], b""), 1, &committed);
    lap.ok(&["rm", "writer"]);
    holds(&lap, &[&small]);
}

#[test]
fn privileged_a_disk_without_a_free_page() {
    let registry = TestRegistry::start();
    let small = put_small(&registry, "small:1").to_string();
    let other = registry.put("large:1", &large(100_000)).to_string();
    let lap = Cli::built();
    let _mounts = Mounts::new().tmpfs(&lap.root(), 4 * MIB);
    lap.ok(&["pull", "-q", &small]);
    let filler = lap.root().join("filler");
    let full = |file: &str| format!("write ROOT/{file}: no space left on device");
    let (index, lease) = (full("image/index.json"), full("leases/H16"));
    let answer = |text: &str| format!("Error response from daemon: {text}");
    for (command, code, expected) in [
        (
            &["tag", small.as_str(), "another:1"][..],
            1,
            answer(&format!("{index}{FULL}")),
        ),
        // Even a removal has to write the list of names.
        (&["rmi", &small], 1, answer(&format!("{index}{FULL}"))),
        (&["pull", "-q", &other], 1, format!("{lease}{FULL}")),
        (
            &["create", &small, "true"],
            1,
            answer(&format!("{lease}{FULL}")),
        ),
        (
            &["run", &small, "true"],
            125,
            run_words(&answer(&lease), FULL),
        ),
    ] {
        fill(&filler);
        fails(&lap, (command, b""), code, &[expected]);
    }
    fill(&filler);
    assert_ne!(lap.ok(&["images", "-q"]), "");
    fs::remove_file(filler).unwrap();
    holds(&lap, &[&small]);
    lap.ok(&["rmi", &small]);
    lap.ok(&["pull", "-q", &other]);
    holds(&lap, &[&other]);
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    for length in [1 << 16, 1 << 12] {
        while file.write_all(&vec![1; length]).is_ok() {}
    }
}

#[test]
fn privileged_a_store_that_cannot_be_written() {
    let registry = TestRegistry::start();
    let small = put_small(&registry, "small:1").to_string();
    let other = registry.put("large:1", &large(100_000)).to_string();
    let lap = Cli::built();
    let _mounts = Mounts::new().tmpfs(&lap.root(), 16 * MIB);
    lap.ok(&["pull", "-q", &small]);
    Mounts::read_only(&lap.root(), true);
    // To look is still possible.
    let listed = lap.ok(&["images", "-a", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(listed.trim(), small);
    for command in [
        &["inspect", small.as_str()][..],
        &["history", &small],
        &["ps", "-a"],
        &["system", "df"],
    ] {
        lap.ok(command);
    }
    let lock = "open ROOT/lock: read-only file system";
    let answer = |text: &str| format!("Error response from daemon: {text}");
    let locked = answer(&format!("{lock}{READ_ONLY}"));
    let new = answer(&format!(
        "create ROOT/ingest/new-H16: read-only file system{READ_ONLY}"
    ));
    for (command, code, expected) in [
        (
            &["pull", "-q", other.as_str()][..],
            1,
            format!("{lock}{READ_ONLY}"),
        ),
        (&["tag", &small, "x:1"], 1, locked.clone()),
        (&["rmi", &small], 1, locked.clone()),
        (&["create", &small, "true"], 1, locked.clone()),
        (
            &["run", &small, "true"],
            125,
            run_words(&answer(lock), READ_ONLY),
        ),
        (&["import", "-", "y:1"], 1, new),
        (&["system", "check"], 1, locked.clone()),
    ] {
        fails(&lap, (command, b""), code, &[expected]);
    }
    Mounts::read_only(&lap.root(), false);
    holds(&lap, &[&small]);
}

#[test]
fn privileged_a_disk_where_no_store_can_be_made() {
    let disk = Directory::new();
    let root = disk.join("root");
    let root = root.to_str().unwrap();
    let lap = Cli::built().variable("LAPSTRAKE_ROOT", root);
    let _mounts = Mounts::new().tmpfs(disk.path(), MIB);
    Mounts::read_only(disk.path(), true);
    let words =
        format!("Error response from daemon: mkdir {root}: read-only file system{READ_ONLY}");
    assert_eq!(lap.fails(1, &["images"]).trim_end(), words);
}

#[test]
fn folders_that_are_no_store() {
    let lap = Cli::built();
    let (root, file) = (lap.root(), lap.home().join("file"));
    fs::create_dir(&root).unwrap();
    fs::write(root.join("letter"), "to whom it may concern").unwrap();
    let words = format!(
        "Error response from daemon: {} is not empty and holds no store\n\
         hint: name a store, or an empty folder, with `lap --root`",
        root.display()
    );
    assert_eq!(lap.fails(1, &["images"]).trim_end(), words);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    fs::write(&file, "").unwrap();
    let stderr = lap.fails(1, &["--root", file.to_str().unwrap(), "images"]);
    let words = format!(
        "Error response from daemon: open {}: not a directory",
        file.display()
    );
    assert_eq!(stderr.trim_end(), words);
}

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use lapstrake_sys::xattr;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::testing::{Random, Tar, TempDir, sample};
use crate::{DiffOptions, Error};

/// What a layer's entries are called, in order.
fn names(tar: &[u8]) -> Vec<String> {
    let limits = crate::Limits::default();
    let mut archive = crate::tar::Archive::new(tar, &limits);
    let mut names = Vec::new();
    while archive.advance().unwrap() {
        let (entry, _) = archive.current();
        names.push(String::from_utf8_lossy(&entry.name).into_owned());
    }
    names
}

fn applied(tar: &[u8]) -> TempDir {
    let dir = TempDir::new();
    dir.apply(tar).unwrap();
    dir
}

fn node(dir: &TempDir, name: &str, file_type: FileType, device: u64) {
    mknodat(
        CWD,
        dir.path().join(name),
        file_type,
        Mode::from_raw_mode(0o640),
        device,
    )
    .unwrap();
}

#[test]
fn entries_are_sorted_and_marked() {
    let dir = TempDir::new();
    let path = dir.path();
    fs::create_dir(path.join("b")).unwrap();
    fs::write(path.join("b/z"), "z").unwrap();
    fs::write(path.join("b/a"), "aa").unwrap();
    fs::write(path.join("b.txt"), "").unwrap();
    fs::create_dir(path.join("a")).unwrap();
    symlink("b", path.join("c")).unwrap();
    node(&dir, "a/gone", FileType::CharacterDevice, 0);
    node(&dir, "a/null", FileType::CharacterDevice, makedev(1, 3));
    node(&dir, "fifo", FileType::Fifo, 0);
    node(&dir, "socket", FileType::Socket, 0);
    xattr::set_at(dir.fd(), b"b", "trusted.overlay.opaque", b"y").unwrap();
    xattr::set_at(dir.fd(), b"b", "trusted.overlay.origin", b"x").unwrap();
    let mut tar = Vec::new();
    let stats = crate::diff(dir.fd(), &mut tar, &DiffOptions::default()).unwrap();
    let expected = [
        "a/",
        "a/.wh.gone",
        "a/null",
        "b/",
        "b/.wh..wh..opq",
        "b/a",
        "b/z",
        "b.txt",
        "c",
        "fifo",
    ];
    assert_eq!(names(&tar), expected);
    assert_eq!((stats.entries, stats.bytes), (10, 4));
    assert_eq!(tar.len() % 512, 0);
    assert_eq!(tar, dir.diff());
    let mut expected = dir.picture();
    expected.remove("socket");
    let again = applied(&tar);
    let found = again.picture();
    assert_eq!(
        found["b"].split(' ').next_back(),
        Some("trusted.overlay.opaque=\"y\"")
    );
    expected.remove("b");
    let mut others = found.clone();
    others.remove("b");
    assert_eq!(others, expected);
    assert_eq!(again.diff(), tar);
}

#[test]
fn an_opaque_root_is_said_first() {
    let dir = TempDir::new();
    fs::write(dir.path().join(".a"), "").unwrap();
    xattr::set(dir.fd(), "trusted.overlay.opaque", b"y").unwrap();
    let tar = dir.diff();
    assert_eq!(names(&tar), [".wh..wh..opq", ".a"]);
    let again = applied(&tar);
    assert_eq!(
        xattr::get(again.fd(), "trusted.overlay.opaque")
            .unwrap()
            .unwrap(),
        b"y"
    );
}

#[test]
fn an_empty_directory_is_an_empty_archive() {
    assert_eq!(TempDir::new().diff(), [0; 1024]);
}

#[test]
fn applied_layers_come_back() {
    let dir = applied(&sample());
    let again = applied(&dir.diff());
    assert_eq!(again.picture(), dir.picture());
    assert_eq!(again.diff(), dir.diff());
}

#[test]
fn hard_links_and_whiteouts_that_share_an_inode() {
    let dir = TempDir::new();
    node(&dir, "w1", FileType::CharacterDevice, 0);
    fs::hard_link(dir.path().join("w1"), dir.path().join("w2")).unwrap();
    fs::write(dir.path().join("a"), "data").unwrap();
    fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
    symlink("a", dir.path().join("s1")).unwrap();
    fs::hard_link(dir.path().join("s1"), dir.path().join("s2")).unwrap();
    let mut tar = Vec::new();
    let stats = crate::diff(dir.fd(), &mut tar, &DiffOptions::default()).unwrap();
    // The file's four bytes and the link's target, each once.
    assert_eq!(stats.bytes, 5);
    assert_eq!(names(&tar), ["a", "b", "s1", "s2", ".wh.w1", ".wh.w2"]);
    let picture = applied(&tar).picture();
    assert_eq!(picture["w2"], "whiteout");
    assert!(picture["b"].ends_with("first=a"));
    assert!(picture["s2"].ends_with("first=s1"));
}

#[test]
fn what_a_layer_cannot_carry_is_refused() {
    let dir = TempDir::new();
    fs::create_dir(dir.path().join("d")).unwrap();
    xattr::set_at(dir.fd(), b"d", "trusted.overlay.redirect", b"/x").unwrap();
    let error = crate::diff(dir.fd(), Vec::new(), &DiffOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert_eq!(
        error.to_string(),
        "d: moved within an overlay with `redirect_dir`"
    );
    fs::remove_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    xattr::set_at(dir.fd(), b"f", "trusted.overlay.metacopy", b"").unwrap();
    let error = crate::diff(dir.fd(), Vec::new(), &DiffOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "f: changed within an overlay with `metacopy`"
    );
}

#[test]
fn a_writer_that_fails_is_told() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(28))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let dir = applied(&Tar::new().file("a", "b").end());
    let error = crate::diff(dir.fd(), Full, &DiffOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Write(_)));
    assert_eq!(
        error.io_error().unwrap().kind(),
        std::io::ErrorKind::StorageFull
    );
}

/// Random trees: apply what diff made, and the tree and its diff are the same.
#[test]
fn random_trees_survive_the_round_trip() {
    let mut random = Random(4711);
    for _ in 0..25 {
        let dir = TempDir::new();
        plant(&dir, &mut random);
        let tar = dir.diff();
        let again = applied(&tar);
        assert_eq!(again.picture(), dir.picture());
        assert_eq!(again.diff(), tar);
    }
}

fn plant(dir: &TempDir, random: &mut Random) {
    let mut dirs = vec![String::new()];
    let mut files: Vec<String> = Vec::new();
    for index in 0..40 {
        let parent = dirs[random.below(dirs.len())].clone();
        let length = [1, 3, 20, 120, 240][random.below(5)];
        let name = format!("{parent}{index}{}", "\u{fc}x".repeat(length / 3));
        let path = dir.path().join(&name);
        match random.below(7) {
            0 | 1 => {
                fs::create_dir(&path).unwrap();
                if random.below(3) == 0 {
                    xattr::set_at(dir.fd(), name.as_bytes(), "trusted.overlay.opaque", b"y")
                        .unwrap();
                }
                dirs.push(format!("{name}/"));
            }
            2 => symlink(
                ["x", "/abs/\u{df}", &"long/".repeat(40)][random.below(3)],
                &path,
            )
            .unwrap(),
            3 => node(dir, &name, FileType::CharacterDevice, 0),
            4 if !files.is_empty() => {
                let target = &files[random.below(files.len())];
                fs::hard_link(dir.path().join(target), &path).unwrap();
            }
            _ => {
                let size = [0, 1, 511, 512, 513, 70_000, 600_000][random.below(7)];
                fs::write(&path, random.bytes(size)).unwrap();
                let modes = [0o644, 0o4755, 0o2711, 0o1000, 0o777, 0];
                let owner = [0, 1000, 2_097_152][random.below(3)];
                std::os::unix::fs::chown(&path, Some(owner), Some(owner / 2)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(modes[random.below(6)]))
                    .unwrap();
                if random.below(3) == 0 {
                    let value = random.bytes(100);
                    xattr::set_at(dir.fd(), name.as_bytes(), "user.value", &value).unwrap();
                }
                files.push(name);
            }
        }
    }
}

#[test]
fn names_of_whiteouts_are_refused() {
    for name in [".wh.x", ".wh..wh..opq"] {
        let dir = TempDir::new();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d").join(name), "").unwrap();
        let error = crate::diff(dir.fd(), Vec::new(), &DiffOptions::default()).unwrap_err();
        let expected = format!(
            "d/{name}: a name that begins with .wh. marks a removed file and cannot be kept in a layer"
        );
        assert_eq!(error.to_string(), expected);
    }
}

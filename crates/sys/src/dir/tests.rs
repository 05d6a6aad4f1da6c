use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::walk::open_by_steps;
use super::{Dir, Kind, creation_mask, open_beneath, open_in_root, remove_tree};

/// A directory that goes away with the test.
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("lapstrake-sys-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> Errno {
    Errno::from_io_error(&result.unwrap_err()).unwrap()
}

#[test]
fn paths_stay_beneath() {
    let temp = TempDir::new();
    let path = temp.path();
    fs::create_dir_all(path.join("a/b")).unwrap();
    fs::write(path.join("a/b/f"), "content").unwrap();
    symlink("a", path.join("link")).unwrap();
    symlink("/a", path.join("absolute")).unwrap();
    symlink("../../../../..", path.join("up")).unwrap();
    let dir = Dir::open(path).unwrap();
    let mut text = String::new();
    dir.open_file("a/b/f")
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "content");
    assert_eq!(dir.child("a/b").unwrap().read("f", 7).unwrap(), b"content");
    assert!(dir.read("a/b/f", 6).is_err());
    assert_eq!(errno(dir.child("link/b")), Errno::LOOP);
    assert_eq!(errno(dir.child("a/../..")), Errno::XDEV);
    assert_eq!(errno(dir.child("/")), Errno::XDEV);
    assert_eq!(errno(dir.open_file("a")), Errno::ISDIR);
    assert_eq!(
        errno(open_beneath(&dir, "up", OFlags::PATH, Mode::empty())),
        Errno::LOOP
    );
    for inside in [
        "link/b/f",
        "absolute/b/f",
        "up/a/b/f",
        "../../link/../a/b/f",
        "/a/b/f",
    ] {
        open_in_root(&dir, inside, OFlags::RDONLY, Mode::empty()).unwrap();
    }
    assert_eq!(
        errno(open_in_root(&dir, "up/etc", OFlags::PATH, Mode::empty())),
        Errno::NOENT
    );
}

#[test]
fn steps_are_as_strict() {
    let temp = TempDir::new();
    let path = temp.path();
    fs::create_dir_all(path.join("a/b")).unwrap();
    fs::write(path.join("a/b/f"), "content").unwrap();
    symlink("a", path.join("link")).unwrap();
    symlink("f", path.join("a/b/link")).unwrap();
    let dir = Dir::open(path).unwrap();
    let open = |path: &str, flags| {
        open_by_steps(
            std::os::fd::AsFd::as_fd(&dir),
            path.as_bytes(),
            flags,
            Mode::empty(),
        )
    };
    for good in ["a/b/f", "./a//b/./f", "a", ".", "", "a/"] {
        open(good, OFlags::RDONLY).unwrap();
    }
    assert_eq!(open("link/b/f", OFlags::RDONLY).unwrap_err(), Errno::NOTDIR);
    assert_eq!(open("a/b/link", OFlags::RDONLY).unwrap_err(), Errno::LOOP);
    assert_eq!(open("a/b/link", OFlags::PATH).unwrap_err(), Errno::LOOP);
    assert_eq!(open("a/..", OFlags::PATH).unwrap_err(), Errno::XDEV);
    assert_eq!(open("/a", OFlags::PATH).unwrap_err(), Errno::XDEV);
    assert_eq!(open("a/none/f", OFlags::PATH).unwrap_err(), Errno::NOENT);
}

#[test]
fn names_are_made_listed_moved_and_removed() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    dir.create_file("f", 0o600)
        .unwrap()
        .write_all(b"x")
        .unwrap();
    assert_eq!(errno(dir.create_file("f", 0o600)), Errno::EXIST);
    symlink("f", temp.path().join("l")).unwrap();
    assert_eq!(errno(dir.open_or_create_file("l", 0o600)), Errno::LOOP);
    let child = dir.child_or_create("d", 0o700).unwrap();
    dir.child_or_create("d", 0o700).unwrap();
    let entries = dir.entries().unwrap();
    let kinds: Vec<_> = entries
        .iter()
        .map(|e| (e.name.to_str().unwrap(), e.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("d", Kind::Directory),
            ("f", Kind::File),
            ("l", Kind::Symlink)
        ]
    );
    dir.rename("f", &child, "g").unwrap();
    assert!(!dir.exists("f").unwrap() && child.exists("g").unwrap() && dir.exists("l").unwrap());
    dir.create_file("f", 0o600).unwrap();
    let taken = child.rename_new("g", &dir, "f").unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(errno(dir.remove_dir("d")), Errno::NOTEMPTY);
    dir.remove_tree("d").unwrap();
    dir.remove_tree("d").unwrap();
    dir.remove_file("f").unwrap();
    dir.remove_tree("l").unwrap();
    dir.sync().unwrap();
    assert_eq!(dir.try_clone().unwrap().entries().unwrap(), []);
}

#[test]
fn removal_does_not_follow_links() {
    let temp = TempDir::new();
    fs::create_dir_all(temp.path().join("keep")).unwrap();
    fs::write(temp.path().join("keep/f"), "").unwrap();
    fs::create_dir_all(temp.path().join("tree/sub")).unwrap();
    symlink("../keep", temp.path().join("tree/link")).unwrap();
    symlink("../../keep", temp.path().join("tree/sub/link")).unwrap();
    symlink("keep", temp.path().join("top")).unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    remove_tree(&dir, b"tree").unwrap();
    remove_tree(&dir, b"top").unwrap();
    assert!(temp.path().join("keep/f").exists());
    assert_eq!(dir.entries().unwrap().len(), 1);
}

#[test]
fn removal_of_a_very_deep_tree() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let mut at = dir.child_or_create("tree", 0o700).unwrap();
    for depth in 0..500 {
        at.create_file("file", 0o600).unwrap();
        at = at
            .child_or_create(if depth % 2 == 0 { "a" } else { ".removed-1" }, 0o700)
            .unwrap();
    }
    dir.remove_tree("tree").unwrap();
    assert_eq!(dir.entries().unwrap(), []);
}

#[test]
fn the_mask_is_the_kernels() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let file = dir.create_file("f", 0o777).unwrap();
    let mode = rustix::fs::fstat(&file).unwrap().st_mode & 0o777;
    assert_eq!(mode, 0o777 & !creation_mask());
}

use super::*;
use std::path::Path;

pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lap-view-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    fn view(&self, layers: &[&str]) -> View {
        let paths: Vec<PathBuf> = layers.iter().map(|layer| self.0.join(layer)).collect();
        for path in &paths {
            std::fs::create_dir_all(path).unwrap();
        }
        View::open(paths.iter()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn read(view: &View, path: &str) -> Option<String> {
    view.read(path, 100)
        .unwrap()
        .map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn the_top_layer_wins_and_folders_are_merged() {
    let scratch = Scratch::new("merge");
    scratch.file("low/etc/passwd", "low");
    scratch.file("low/etc/group", "low");
    scratch.file("low/file/under", "hidden");
    scratch.file("up/etc/passwd", "up");
    scratch.file("up/file", "a file now");
    let view = scratch.view(&["up", "empty", "low"]);
    assert_eq!(read(&view, "/etc/passwd").as_deref(), Some("up"));
    assert_eq!(read(&view, "etc//./group").as_deref(), Some("low"));
    assert_eq!(read(&view, "/file").as_deref(), Some("a file now"));
    for absent in ["/file/under", "/etc", "/etc/shadow", "/etc/passwd/x", "/"] {
        assert_eq!(read(&view, absent), None, "{absent}");
    }
}

#[test]
fn links_lead_nowhere_but_through_the_merged_tree() {
    let scratch = Scratch::new("links");
    scratch.file("low/usr/etc/passwd", "found");
    scratch.link("low/etc", "usr/etc");
    scratch.link("up/absolute", "/etc/passwd");
    scratch.link("up/escape", "../../../../../usr/etc/passwd");
    scratch.link("up/outside", "../low/usr/etc/passwd");
    scratch.link("up/loop", "loop");
    let view = scratch.view(&["up", "low"]);
    for path in [
        "/etc/passwd",
        "/absolute",
        "/escape",
        "/../etc/../etc/passwd",
    ] {
        assert_eq!(read(&view, path).as_deref(), Some("found"), "{path}");
    }
    assert_eq!(read(&view, "/outside"), None);
    assert!(view.read("/loop", 10).is_err());
}

#[test]
fn a_file_that_is_too_long_is_none() {
    let scratch = Scratch::new("limit");
    scratch.file("low/f", "12345");
    let view = scratch.view(&["low"]);
    assert_eq!(view.read("/f", 5).unwrap().as_deref(), Some(&b"12345"[..]));
    assert_eq!(view.read("/f", 4).unwrap(), None);
}

#[test]
fn privileged_whiteouts_and_opaque_folders_hide() {
    let scratch = Scratch::new("whiteouts");
    scratch.file("low/a/gone", "x");
    scratch.file("low/b/under", "x");
    scratch.file("low/c/under", "x");
    scratch.file("up/b/own", "y");
    scratch.file("up/a/stays", "y");
    let whiteout = |path: &str| {
        let path = scratch.0.join(path);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        )
        .unwrap();
    };
    whiteout("up/a/gone");
    whiteout("up/c");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(scratch.0.join("up/b"), OPAQUE[0], b"y", flags).unwrap();
    let view = scratch.view(&["up", "low"]);
    for (path, expected) in [
        ("/a/gone", None),
        ("/a/stays", Some("y")),
        ("/b/under", None),
        ("/b/own", Some("y")),
        ("/c/under", None),
    ] {
        assert_eq!(read(&view, path).as_deref(), expected, "{path}");
    }
    let target = scratch.0.join("copy");
    std::fs::create_dir(&target).unwrap();
    let copied = |path: &str| {
        view.copy_dir(path, open_dir(&target).unwrap().as_fd())
            .unwrap()
    };
    assert!(copied("/"));
    assert!(!target.join("a/gone").exists() && !target.join("c").exists());
    assert_eq!(std::fs::read_to_string(target.join("b/own")).unwrap(), "y");
}

#[test]
fn copies_keep_modes_times_and_links() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scratch = Scratch::new("copy");
    scratch.file("low/data/f", "text");
    scratch.link("low/data/l", "/etc/passwd");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&scratch.0.join("low/data/f"), 0o751);
    mode(&scratch.0.join("low/data"), 0o1777);
    let view = scratch.view(&["low"]);
    let target = scratch.0.join("target");
    std::fs::create_dir(&target).unwrap();
    assert!(
        view.copy_dir("/data", open_dir(&target).unwrap().as_fd())
            .unwrap()
    );
    let (from, to) = (scratch.0.join("low/data/f"), target.join("f"));
    let (from, to) = (from.metadata().unwrap(), to.metadata().unwrap());
    assert_eq!(
        (from.mode(), from.mtime_nsec()),
        (to.mode(), to.mtime_nsec())
    );
    assert_eq!(target.metadata().unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(
        std::fs::read_link(target.join("l")).unwrap(),
        Path::new("/etc/passwd")
    );
    assert!(
        !view
            .copy_dir("/data/f", open_dir(&target).unwrap().as_fd())
            .unwrap()
    );
    assert!(
        !view
            .copy_dir("/none", open_dir(&target).unwrap().as_fd())
            .unwrap()
    );
}

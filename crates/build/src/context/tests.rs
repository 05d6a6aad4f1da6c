use super::*;
use crate::source::{FileKind, SourceTree};
use lapstrake_dockerfile::ignore::Matcher;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

mod git;

/// A directory that is gone when the test ends.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lap-context-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn tree(&self) -> LocalTree {
        LocalTree::open(&self.0, "build context").unwrap()
    }

    fn ignoring(&self, patterns: &str) -> LocalTree {
        self.tree()
            .with_ignore(Matcher::parse(patterns.as_bytes()).unwrap())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Every path of a tree, directories with a slash.
fn walk(tree: &dyn SourceTree, path: &Path, found: &mut Vec<String>) {
    for entry in tree.list(path).unwrap() {
        let child = path.join(&entry.name);
        let name = child.to_str().unwrap().to_owned();
        if entry.metadata.kind == FileKind::Directory {
            found.push(format!("{name}/"));
            walk(tree, &child, found);
        } else {
            found.push(name);
        }
    }
}

fn paths(tree: &dyn SourceTree) -> Vec<String> {
    let mut found = Vec::new();
    walk(tree, Path::new(""), &mut found);
    found
}

#[test]
fn ignored_paths_are_not_there() {
    let temp = Temp::new("ignored");
    for path in [
        "a.txt",
        "b.log",
        "dir/c.txt",
        "dir/d.log",
        "skip/e.txt",
        "skip/deep/keep.txt",
    ] {
        temp.write(path, path);
    }
    for (patterns, expected) in [
        (
            "",
            "a.txt b.log dir/ dir/c.txt dir/d.log skip/ skip/deep/ skip/deep/keep.txt skip/e.txt",
        ),
        (
            "*.log",
            "a.txt dir/ dir/c.txt dir/d.log skip/ skip/deep/ skip/deep/keep.txt skip/e.txt",
        ),
        ("**/*.log\nskip", "a.txt dir/ dir/c.txt"),
        (
            "skip\n!skip/deep/keep.txt\n*.*\ndir",
            "skip/ skip/deep/ skip/deep/keep.txt",
        ),
        ("*\n!dir/c.txt", "dir/ dir/c.txt"),
        ("*", ""),
    ] {
        assert_eq!(
            paths(&temp.ignoring(patterns)).join(" "),
            expected,
            "{patterns:?}"
        );
    }
    let tree = temp.ignoring("skip\n!skip/deep/keep.txt");
    let is_there = |path: &str| tree.metadata(Path::new(path)).unwrap().is_some();
    assert!(is_there("") && is_there("skip") && is_there("skip/deep/keep.txt"));
    assert!(!is_there("skip/e.txt") && !is_there("nothing"));
    assert!(tree.is_ignored(Path::new("skip/e.txt")));
    assert!(!tree.is_ignored(Path::new("nothing")));
}

#[test]
fn nothing_is_read_through_links() {
    let temp = Temp::new("links");
    temp.write("inside/file", "text");
    symlink("/etc", temp.0.join("out")).unwrap();
    symlink("inside", temp.0.join("in")).unwrap();
    symlink("../../../etc/passwd", temp.0.join("up")).unwrap();
    symlink("nowhere", temp.0.join("dangling")).unwrap();
    let tree = temp.tree();
    for path in ["out/passwd", "in/file", "../x", "up/x"] {
        assert!(
            matches!(tree.metadata(Path::new(path)), Ok(None) | Err(_)),
            "{path}"
        );
        assert!(tree.open(Path::new(path)).is_err(), "{path}");
    }
    assert!(tree.open(Path::new("up")).is_err());
    let kind = |path: &str| tree.metadata(Path::new(path)).unwrap().unwrap().kind;
    assert_eq!(kind("dangling"), FileKind::Symlink);
    assert_eq!(tree.read_link(Path::new("out")).unwrap(), Path::new("/etc"));
    assert!(tree.read_small(Path::new("up"), 100).unwrap().is_none());
    assert!(tree.read_small(Path::new("inside"), 100).is_err());
    assert_eq!(
        tree.read_small(Path::new("in/file"), 100).unwrap().unwrap(),
        b"text"
    );
    assert!(tree.read_small(Path::new("in/file"), 3).is_err());
}

#[test]
fn sockets_are_left_out_and_fifos_are_not_waited_for() {
    let temp = Temp::new("special");
    let socket = std::os::unix::net::UnixListener::bind(temp.0.join("socket")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, temp.0.join("fifo"), kind, mode, 0).unwrap();
    let tree = temp.tree();
    assert_eq!(paths(&tree), ["fifo"]);
    assert!(tree.metadata(Path::new("socket")).unwrap().is_none());
    assert!(tree.open(Path::new("fifo")).is_err());
    drop(socket);
}

#[test]
fn metadata_is_the_kernels() {
    let temp = Temp::new("metadata");
    temp.write("file", "12345");
    fs::set_permissions(temp.0.join("file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(temp.0.join("file"), temp.0.join("second")).unwrap();
    let tree = temp.tree();
    let found = tree.metadata(Path::new("file")).unwrap().unwrap();
    assert_eq!((found.mode, found.size, found.links), (0o4751, 5, 2));
    let second = tree.metadata(Path::new("second")).unwrap().unwrap();
    assert_eq!(found.identity, second.identity);
    let mut text = String::new();
    tree.open(Path::new("file"))
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "12345");
}

#[test]
fn docker_counts_the_tar_that_it_sends() {
    let temp = Temp::new("size");
    temp.write("Dockerfile", "FROM x\n");
    let size = |tree: &LocalTree| sent_size(tree, &[]).unwrap();
    assert_eq!(size(&temp.tree()), 2048);
    temp.write("empty", "");
    assert_eq!(size(&temp.tree()), 2560);
    temp.write(&format!("dir/{}", "n".repeat(101)), "x");
    // A directory, an extension of two blocks, a header and a block.
    assert_eq!(size(&temp.tree()), 2560 + 5 * 512);
    let ignoring = temp.ignoring("*");
    assert_eq!(size(&ignoring), 1024);
    let kept = [SentFile {
        name: "Dockerfile",
        size: 7,
    }];
    assert_eq!(sent_size(&ignoring, &kept).unwrap(), 2048);
    let empty = Temp::new("size-empty");
    let added = [
        SentFile {
            name: ".dockerfile.00000000000000000000",
            size: 28,
        },
        SentFile {
            name: ".dockerignore",
            size: 47,
        },
    ];
    assert_eq!(sent_with_files(&empty.tree(), &added).unwrap(), 1583);
}

#[test]
fn words_are_told_apart() {
    let git = |remote: &str, reference: Option<&str>, directory: Option<&str>| {
        Address::Git(GitAddress {
            remote: remote.to_owned(),
            reference: reference.map(str::to_owned),
            directory: directory.map(str::to_owned),
        })
    };
    let path = |text: &str| Address::Path(text.to_owned());
    for (word, expected) in [
        ("-", Address::Stdin),
        ("dir", path("dir")),
        ("./a@b:c", path("./a@b:c")),
        (
            "https://host/x.tar.gz",
            Address::Http("https://host/x.tar.gz".to_owned()),
        ),
        ("https://host/x.git", git("https://host/x.git", None, None)),
        (
            "https://host/x.git#main:sub/dir",
            git("https://host/x.git", Some("main"), Some("sub/dir")),
        ),
        (
            "https://host/x.git#:sub",
            git("https://host/x.git", None, Some("sub")),
        ),
        (
            "https://host/x.git?tag=v1&subdir=s",
            git("https://host/x.git", Some("refs/tags/v1"), Some("s")),
        ),
        ("github.com/a/b", git("https://github.com/a/b", None, None)),
        (
            "git@github.com:a/b.git#v1",
            git("git@github.com:a/b.git", Some("v1"), None),
        ),
        ("git://host/x", git("git://host/x", None, None)),
        ("ssh://git@host/x", git("ssh://git@host/x", None, None)),
        ("file:///srv/x", git("file:///srv/x", None, None)),
    ] {
        assert_eq!(Address::parse(word, false), expected, "{word}");
    }
    assert_eq!(
        Address::parse("github.com/a/b", true),
        path("github.com/a/b")
    );
}

#[test]
fn files_bring_their_own_attributes() {
    let temp = Temp::new("attributes");
    temp.write("dir/file", "text");
    temp.write("plain", "text");
    let set = |path: &str, name: &str| {
        let file = fs::File::open(temp.0.join(path)).unwrap();
        lapstrake_sys::xattr::set(&file, name, path.as_bytes()).unwrap();
    };
    for path in ["", "dir", "dir/file"] {
        set(path, "user.note");
    }
    set("dir/file", "user.a=b");
    symlink("dir", temp.0.join("link")).unwrap();
    let tree = temp.tree();
    for (path, expected) in [
        ("dir/file", &["user.note=dir/file"][..]),
        ("dir", &["user.note=dir"]),
        ("dir/file", &["user.note=dir/file"]),
        ("plain", &[]),
        ("", &[]),
        ("link", &[]),
        // What comes through a link is nobody's.
        ("link/file", &[]),
        ("nowhere/file", &[]),
        ("dir/nothing", &[]),
    ] {
        let found = tree.xattrs(Path::new(path)).unwrap();
        let found = found.iter().map(|(name, value)| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            format!("{}={}", text(name), text(value))
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{path}");
    }
}

#[test]
fn archives_are_recognised() {
    let mut header = [0_u8; 512];
    header[..4].copy_from_slice(b"name");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(looks_like_archive(&header));
    header[0] = b'x';
    assert!(!looks_like_archive(&header));
    for (start, expected) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0\0\0"[..], true),
        (b"BZh91AY&SY", true),
        (b"\xfd7zXZ\0\0\x04", true),
        (b"\x28\xb5\x2f\xfd\0\0\0\0", true),
        (b"FROM busybox\n", false),
        (b"", false),
    ] {
        assert_eq!(looks_like_archive(start), expected, "{start:?}");
    }
}

#[test]
fn submodules_are_read() {
    let file = "[submodule \"a\"]\n\tpath = lib/a\n\turl = ../a.git\n[submodule \"b\"]\n path=b\n url = https://host/b.git\n[submodule \"c\"]\npath = c\n";
    let found = super::git::submodules(file, "https://host/team/main.git");
    let urls: Vec<_> = found
        .iter()
        .map(|one| (one.path.as_str(), one.url.as_str()))
        .collect();
    assert_eq!(
        urls,
        [
            ("lib/a", "https://host/team/a.git"),
            ("b", "https://host/b.git")
        ]
    );
}

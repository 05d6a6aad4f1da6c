//! Where COPY and ADD put things.

use super::fixture::*;
use crate::graph::{CopyKind, CopySource, Http, InlineFile, Tree};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// The files that a `COPY` of these sources makes on scratch, directories left out.
fn files(folder: &Folder, sources: &[&str], destination: &str) -> Vec<String> {
    let mut writing = Writing::scratch();
    writing.copy(sources, destination);
    names(&build(folder, &writing.done()))
}

fn names(built: &Built) -> Vec<String> {
    let tree = built.tree();
    let files = tree.iter().filter(|(_, text)| !text.ends_with(" dir"));
    files.map(|(name, _)| name.clone()).collect()
}

fn error(folder: &Folder, sources: &[&str], destination: &str) -> String {
    let mut writing = Writing::scratch();
    writing.copy(sources, destination);
    build(folder, &writing.done())
        .result
        .unwrap_err()
        .to_string()
}

#[test]
fn destinations() {
    let folder = Folder::new();
    folder.file("a.txt", "a");
    folder.file("b.txt", "b");
    folder.file("dir/c.txt", "c");
    folder.file("dir/sub/d.txt", "d");
    symlink("dir", folder.context().join("link")).unwrap();
    symlink("a.txt", folder.context().join("file-link")).unwrap();
    for (sources, destination, expected) in [
        (&["a.txt"][..], "/x", &["/x"][..]),
        (&["a.txt"], "/x/", &["/x/a.txt"]),
        (&["a.txt", "b.txt"], "/x/", &["/x/a.txt", "/x/b.txt"]),
        (&["*.txt"], "/x/", &["/x/a.txt", "/x/b.txt"]),
        (&["dir"], "/x", &["/x/c.txt", "/x/sub/d.txt"]),
        (&["dir/"], "/x/y/", &["/x/y/c.txt", "/x/y/sub/d.txt"]),
        (&["d*/s?b"], "/", &["/d.txt"]),
        (&["link"], "/x/", &["/x/c.txt", "/x/sub/d.txt"]),
        (&["link/c.txt"], "/x/", &["/x/c.txt"]),
        (&["file-link"], "/x/", &["/x/file-link"]),
        (&["/a.txt"], "/", &["/a.txt"]),
        (&["../../a.txt"], "/", &["/a.txt"]),
    ] {
        assert_eq!(
            files(&folder, sources, destination),
            expected,
            "{sources:?} {destination}"
        );
    }
    assert_eq!(
        error(&folder, &["nope"], "/"),
        "failed to compute cache key: failed to calculate checksum of the build context: \"/nope\": not found"
    );
    assert!(error(&folder, &["n*pe"], "/").contains("no such file"));
    assert!(error(&folder, &["[a"], "/").contains("syntax error in pattern"));
}

#[test]
fn a_stage_without_layers_has_no_files() {
    let folder = Folder::new();
    let mut writing = Writing::scratch();
    let empty = writing.last();
    writing.copy_from(&Tree::Node(empty), &["/x"], "/", empty);
    let error = build(&folder, &writing.done()).result.unwrap_err();
    assert!(error.to_string().contains("lstat /x: no such file"));
    let mut writing = Writing::scratch();
    writing.copy_from(&Tree::Node(empty), &["/"], "/all/", empty);
    let built = build(&folder, &writing.done());
    assert_eq!(built.tree().keys().collect::<Vec<_>>(), ["/all"]);
}

#[test]
fn what_is_below_decides() {
    let folder = Folder::new();
    folder.file("a", "new");
    folder.file("real/x", "");
    let mut writing = Writing::scratch();
    writing.copy(&["real"], "/real/");
    writing.run(&["write", "taken", "file"]);
    let base = writing.last();
    // A file goes into a directory that is there.
    let mut into = Writing {
        graph: writing.graph.clone(),
    };
    into.copy_from(&Tree::Context, &["a"], "/real", base);
    assert!(names(&build(&folder, &into.done())).contains(&"/real/a".to_owned()));
    // A directory does not replace a file, nor the other way round.
    let mut onto = Writing {
        graph: writing.graph.clone(),
    };
    onto.copy_from(&Tree::Context, &["real"], "/taken", base);
    let error = build(&folder, &onto.done()).result.unwrap_err().to_string();
    assert_eq!(error, "cannot copy to non-directory: /taken");
    let mut nested = Writing {
        graph: writing.graph.clone(),
    };
    folder.file("tree/real", "");
    nested.copy_from(&Tree::Context, &["tree"], "/", base);
    let error = build(&folder, &nested.done())
        .result
        .unwrap_err()
        .to_string();
    assert_eq!(error, "cannot replace to directory /real with file");
}

#[test]
fn links_of_the_image_lead_within_it() {
    let folder = Folder::new();
    folder.file("a", "1");
    fs::create_dir_all(folder.context().join("rootfs/usr/lib")).unwrap();
    symlink("usr/lib", folder.context().join("rootfs/lib")).unwrap();
    symlink("/../../../etc", folder.context().join("rootfs/up")).unwrap();
    let mut writing = Writing::scratch();
    writing.copy(&["rootfs"], "/");
    writing.copy(&["a"], "/lib/");
    writing.copy(&["a"], "/up/a");
    let built = build(&folder, &writing.done());
    assert_eq!(names(&built), ["/etc/a", "/lib", "/up", "/usr/lib/a"]);
}

#[test]
fn metadata() {
    let folder = Folder::new();
    folder.file("dir/a", "1");
    folder.file("dir/b", "2");
    let mode = |path: &str, mode| {
        let path = folder.context().join(path);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("dir", 0o700);
    mode("dir/a", 0o4711);
    fs::hard_link(
        folder.context().join("dir/a"),
        folder.context().join("dir/z"),
    )
    .unwrap();
    let mut writing = Writing::scratch();
    writing.copy(&["."], "/x/");
    let built = build(&folder, &writing.done());
    let own = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let tree = built.tree();
    assert_eq!(tree["/x"], format!("755 {own:?} dir"));
    assert_eq!(tree["/x/dir"], format!("700 {own:?} dir"));
    assert_eq!(tree["/x/dir/a"], format!("4711 {own:?} 1"));
    let trees = built.result.as_ref().unwrap().targets[0].trees().unwrap();
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(trees.paths[0].join(name)).unwrap().ino()
    };
    assert_eq!(inode("x/dir/a"), inode("x/dir/z"));
    // The tar is the one that the tree gives.
    let dir = fs::File::open(&trees.paths[0]).unwrap();
    let mut tar = Vec::new();
    use std::os::fd::AsFd;
    lapstrake_layer::diff(
        dir.as_fd(),
        &mut tar,
        &lapstrake_layer::DiffOptions::default(),
    )
    .unwrap();
    assert_eq!(lapstrake_spec::Digest::sha256(&tar), built.layers()[0]);
}

#[test]
fn excludes_parents_and_modes() {
    let folder = Folder::new();
    for name in ["a/b/one.c", "a/b/two.o", "a/keep/three.o"] {
        folder.file(name, "1");
    }
    let mut writing = Writing::scratch();
    let copy = writing.copy(&["a"], "/x/");
    copy.excludes = vec!["**/*.o".to_owned(), "!keep/*.o".to_owned()];
    copy.chmod = Some("640".to_owned());
    let built = build(&folder, &writing.done());
    assert_eq!(names(&built), ["/x/b/one.c", "/x/keep/three.o"]);
    assert!(built.tree()["/x/b/one.c"].starts_with("640 "));
    let mut writing = Writing::scratch();
    writing.copy(&["a/./b/*.c"], "/x/").parents = true;
    assert_eq!(names(&build(&folder, &writing.done())), ["/x/b/one.c"]);
    let mut writing = Writing::scratch();
    writing.copy(&["a/b/one.c"], "/x").parents = true;
    assert_eq!(names(&build(&folder, &writing.done())), ["/x/a/b/one.c"]);
}

#[test]
fn links_layers_do_not_depend_on_what_is_below() {
    let folder = Folder::new();
    folder.file("a", "1");
    let layer = |text: &str| {
        let mut writing = Writing::scratch();
        writing.run(&["write", "opt/x", text]);
        writing.copy(&["a"], "/opt/a").link = true;
        let built = build(&folder, &writing.done());
        (built.cached(), built.layers()[1].clone())
    };
    let (first, digest) = layer("1");
    assert_eq!(first, (0, 2));
    assert_eq!(layer("2"), ((1, 2), digest));
}

#[test]
fn inline_and_remote_files() {
    let folder = Folder::new();
    fs::write(folder.0.join("remote"), "fetched").unwrap();
    let mut writing = Writing::scratch();
    let copy = writing.copy(&[], "/x/");
    copy.kind = CopyKind::Add;
    copy.sources = vec![
        CopySource::Inline(InlineFile {
            path: "EOF".to_owned(),
            content: "text".to_owned(),
            mode: 0o644,
        }),
        CopySource::Http(Http {
            url: "http://127.0.0.1/file.tar".to_owned(),
            file_name: "file.tar".to_owned(),
            checksum: None,
        }),
    ];
    let graph = writing.done();
    let tree = build(&folder, &graph).tree();
    assert!(tree["/x/EOF"].starts_with("644 ") && tree["/x/EOF"].ends_with(" text"));
    assert!(tree["/x/file.tar"].starts_with("600 ") && tree["/x/file.tar"].ends_with(" fetched"));
    assert_eq!(build(&folder, &graph).cached(), (1, 1));
    fs::write(folder.0.join("remote"), "other").unwrap();
    assert_eq!(build(&folder, &graph).cached(), (0, 1));
}

#[test]
fn archives_are_unpacked_where_links_lead() {
    let folder = Folder::new();
    fs::create_dir_all(folder.0.join("tree/lib")).unwrap();
    fs::write(folder.0.join("tree/lib/new"), "n").unwrap();
    let dir = fs::File::open(folder.0.join("tree")).unwrap();
    let mut tar = Vec::new();
    use std::os::fd::AsFd;
    lapstrake_layer::diff(
        dir.as_fd(),
        &mut tar,
        &lapstrake_layer::DiffOptions::default(),
    )
    .unwrap();
    fs::write(folder.context().join("a.tar"), &tar).unwrap();
    let mut gzip = lapstrake_layer::GzipWriter::new(Vec::new(), 3);
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    fs::write(folder.context().join("a.tgz"), gzip.finish().unwrap()).unwrap();
    folder.file("no.tar", "not an archive");
    fs::create_dir_all(folder.context().join("rootfs/usr/lib")).unwrap();
    symlink("usr/lib", folder.context().join("rootfs/lib")).unwrap();
    for archive in ["a.tar", "a.tgz"] {
        let mut writing = Writing::scratch();
        writing.copy(&["rootfs"], "/");
        writing.copy(&[archive], "/").kind = CopyKind::Add;
        assert_eq!(
            names(&build(&folder, &writing.done())),
            ["/lib", "/usr/lib/new"]
        );
    }
    let mut writing = Writing::scratch();
    writing.copy(&["no.tar"], "/").kind = CopyKind::Add;
    assert_eq!(names(&build(&folder, &writing.done())), ["/no.tar"]);
    assert_eq!(files(&folder, &["a.tar"], "/"), ["/a.tar"]);
}

#[test]
fn a_large_copy_is_the_same_as_its_tree() {
    let folder = Folder::new();
    for number in 0..300 {
        folder.file(
            &format!("d{}/f{number}", number % 7),
            &"x".repeat(number * 50),
        );
    }
    let mut writing = Writing::scratch();
    writing.copy(&["."], "/app");
    let graph = writing.done();
    let first = build(&folder, &graph);
    let second = build_with(&folder, &graph, &options(), BTreeMap::new());
    assert_eq!(second.cached(), (1, 1));
    let trees = first.result.as_ref().unwrap().targets[0].trees().unwrap();
    let dir = fs::File::open(&trees.paths[0]).unwrap();
    let mut tar = Vec::new();
    use std::os::fd::AsFd;
    lapstrake_layer::diff(
        dir.as_fd(),
        &mut tar,
        &lapstrake_layer::DiffOptions::default(),
    )
    .unwrap();
    assert_eq!(lapstrake_spec::Digest::sha256(&tar), first.layers()[0]);
}

#[test]
fn privileged_owners() {
    let folder = Folder::new();
    folder.file("a", "1");
    folder.file("etc/passwd", "root:x:0:0::/:\nweb:x:33:44::/:\n");
    folder.file("etc/group", "root:x:0:\nstaff:x:50:\n");
    for (chown, expected) in [
        ("web", "(33, 44)"),
        ("web:staff", "(33, 50)"),
        ("7", "(7, 7)"),
        ("0:9", "(0, 9)"),
    ] {
        let mut writing = Writing::scratch();
        writing.copy(&["etc"], "/etc/");
        writing.copy(&["a"], "/new/a").chown = Some(chown.to_owned());
        let tree = build(&folder, &writing.done()).tree();
        assert!(
            tree["/new/a"].contains(expected) && tree["/new"].contains(expected),
            "{tree:?}"
        );
        let stage = writing.last();
        // Files of a stage keep their owners.
        writing.copy_from(
            &Tree::Node(stage),
            &["/new"],
            "/kept/",
            crate::graph::NodeId(0),
        );
        let tree = build(&folder, &writing.done()).tree();
        assert!(tree["/kept/a"].contains(expected), "{tree:?}");
    }
    let mut writing = Writing::scratch();
    writing.copy(&["a"], "/a").chown = Some("nobody".to_owned());
    let error = build(&folder, &writing.done())
        .result
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "unable to find user nobody: no matching entries in passwd file"
    );
}

#[test]
fn two_stars_are_any_number_of_directories() {
    let folder = Folder::new();
    for path in ["src/a.txt", "src/x/y/b.txt", "src/x/c.bin", "src/d/e"] {
        folder.file(path, "");
    }
    for (source, expected) in [
        ("/src/**/*.txt", "/t/src/a.txt /t/src/x/y/b.txt"),
        ("src/./**/*.txt", "/t/a.txt /t/x/y/b.txt"),
        ("/**/d", "/t/src/d/e"),
        ("src/x/**", "/t/src/x/c.bin /t/src/x/y/b.txt"),
    ] {
        let mut writing = Writing::scratch();
        writing.copy(&[source], "/t/").parents = true;
        let tree = build(&folder, &writing.done()).tree();
        let files = tree.iter().filter(|(_, text)| !text.ends_with("dir"));
        let files: Vec<_> = files.map(|(path, _)| path.as_str()).collect();
        assert_eq!(files.join(" "), expected, "{source}");
    }
    let mut writing = Writing::scratch();
    writing.copy(&["/**/*.none"], "/t/").parents = true;
    let error = build(&folder, &writing.done()).result.unwrap_err();
    assert_eq!(
        error.to_string(),
        "lstat /**/*.none: no such file or directory"
    );
}

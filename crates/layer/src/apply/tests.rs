use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::testing::{MTIME, Random, Tar, TempDir, checked, mend_checksums, sample};
use crate::{Applied, ApplyOptions, Error, Limits, Ownership};

fn applied(tar: &[u8]) -> TempDir {
    let dir = TempDir::new();
    dir.apply(tar).unwrap();
    dir
}

fn refused(tar: &[u8]) -> String {
    let dir = TempDir::new();
    dir.apply(tar).unwrap_err().to_string()
}

/// What is said when one limit is lowered.
fn over(tar: &[u8], lower: impl FnOnce(&mut Limits)) -> String {
    let mut options = ApplyOptions::default();
    lower(&mut options.limits);
    let error = crate::apply(tar, TempDir::new().fd(), &options).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }));
    error.to_string()
}

#[test]
fn unpacks_every_kind() {
    let tar = Tar::new()
        .dir("./")
        .dir("etc/")
        .file("etc/hosts", "127.0.0.1")
        .symlink("etc/link", "../../../../outside")
        .hard_link("etc/same", "./etc/hosts")
        .entry(b'6', "etc/fifo", b"")
        .device(b'3', "etc/null", 1, 3)
        .device(b'4', "etc/disk", 8, 1)
        .end();
    let dir = TempDir::new();
    let result = dir.apply(&tar).unwrap();
    assert_eq!(
        result,
        Applied {
            entries: 8,
            bytes: 28,
            skipped: 0
        }
    );
    let picture = dir.picture();
    let time = format!("{MTIME}.000000000");
    assert_eq!(picture["etc"], format!("dir 755 0:0 {time}"));
    assert!(
        picture["etc/hosts"].starts_with("file 9 \"127.0.0.1\""),
        "{picture:?}"
    );
    assert!(
        picture["etc/same"].ends_with("links=2 first=etc/hosts"),
        "{picture:?}"
    );
    assert_eq!(
        picture["etc/link"],
        format!("link \"../../../../outside\" 777 0:0 {time}")
    );
    assert_eq!(picture["etc/fifo"], format!("fifo 644 0:0 {time}"));
    assert_eq!(picture["etc/null"], format!("c 1:3 644 0:0 {time}"));
    assert_eq!(picture["etc/disk"], format!("b 8:1 644 0:0 {time}"));
    assert_eq!(
        fs::metadata(dir.path()).unwrap().mtime(),
        i64::try_from(MTIME).unwrap()
    );
}

#[test]
fn an_empty_stream_is_an_empty_layer() {
    let dir = TempDir::new();
    assert_eq!(dir.apply(b"").unwrap(), Applied::default());
    assert_eq!(dir.apply(&[0; 512]).unwrap(), Applied::default());
    assert_eq!(dir.apply(&[0; 10240]).unwrap(), Applied::default());
}

#[test]
fn the_archive_need_not_be_ended() {
    let tar = Tar::new().file("a", "12345").unended();
    assert!(applied(&tar).picture()["a"].starts_with("file 5 \"12345\""));
    let without_padding = &tar[..512 + 5];
    assert!(applied(without_padding).picture()["a"].starts_with("file 5 \"12345\""));
}

#[test]
fn whiteouts_become_devices_and_marks() {
    let tar = Tar::new()
        .file(".wh.gone", "")
        .file("deep/.wh.gone", "")
        .dir("opaque/")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "x")
        .file(".wh..wh.aufs", "")
        .file(".wh..wh.plnk/12.34", "data")
        .file("deep/.wh..wh.orph", "")
        .end();
    let picture = applied(&tar).picture();
    let names: Vec<&str> = picture.keys().map(String::as_str).collect();
    assert_eq!(names, ["deep", "deep/gone", "gone", "opaque", "opaque/new"]);
    assert_eq!(picture["gone"], "whiteout");
    assert_eq!(picture["deep/gone"], "whiteout");
    assert!(
        picture["opaque"].ends_with("trusted.overlay.opaque=\"y\""),
        "{picture:?}"
    );
    assert!(!picture["deep"].contains("opaque"));
}

#[test]
fn a_whiteout_hides_only_what_is_below() {
    let before = Tar::new().file(".wh.a", "").dir("a/").file("a/x", "").end();
    let implied = Tar::new().file(".wh.a", "").file("a/x", "").end();
    let after = Tar::new().dir("a/").file("a/x", "").file(".wh.a", "").end();
    for tar in [before, implied, after] {
        let picture = applied(&tar).picture();
        assert!(
            picture["a"].ends_with("trusted.overlay.opaque=\"y\""),
            "{picture:?}"
        );
        assert!(picture["a/x"].starts_with("file 0"), "{picture:?}");
    }
    let file_before = Tar::new().file(".wh.a", "").file("a", "new").end();
    let file_after = Tar::new().file("a", "new").file(".wh.a", "").end();
    for tar in [file_before, file_after] {
        assert!(applied(&tar).picture()["a"].starts_with("file 3 \"new\""));
    }
}

#[test]
fn whiteouts_of_no_name_are_refused() {
    for name in [".wh.", "a/.wh.", ".wh..", "a/.wh...", ".wh..."] {
        let said = refused(&Tar::new().dir("a").file(name, "").end());
        assert_eq!(
            said,
            format!("invalid tar header: entry {name:?}: a whiteout of no name")
        );
    }
}

#[test]
fn names_that_leave_the_root_are_refused() {
    for name in ["../x", "..", "a/../../x", "./../x", "a/b/../../../x"] {
        let said = refused(&Tar::new().file(name, "").end());
        assert_eq!(
            said,
            format!("invalid tar header: {name:?} is outside of the layer's root")
        );
        let said = refused(&Tar::new().dir(name).end());
        assert_eq!(
            said,
            format!("invalid tar header: {name:?} is outside of the layer's root")
        );
        let said = refused(&Tar::new().file("f", "").hard_link("l", name).end());
        assert_eq!(said, format!("invalid hardlink \"l\" -> {name:?}"));
    }
}

#[test]
fn other_odd_names_stay_inside() {
    let tar = Tar::new()
        .file("/absolute", "1")
        .file("/../up", "2")
        .file("a//b/./c/../d", "3")
        .file("./e", "4")
        .end();
    let picture = applied(&tar).picture();
    let names: Vec<&str> = picture.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "a/b", "a/b/d", "absolute", "e", "up"]);
}

#[test]
fn links_do_not_lead_out() {
    let outside = TempDir::new();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let target = outside.path().to_str().unwrap();
    let through = Tar::new()
        .symlink("link", target)
        .file("link/new", "x")
        .end();
    assert!(
        refused(&through).starts_with("open link"),
        "{}",
        refused(&through)
    );
    let relative = format!("../../../../../../../..{target}");
    let through = Tar::new()
        .symlink("link", &relative)
        .file("link/new", "x")
        .end();
    assert!(refused(&through).starts_with("open link"));
    let hard = Tar::new()
        .symlink("link", target)
        .hard_link("hard", "link/secret")
        .end();
    assert!(
        refused(&hard).starts_with("link link/secret"),
        "{}",
        refused(&hard)
    );
    let hard = Tar::new()
        .hard_link("hard", &format!("{target}/secret"))
        .end();
    assert!(refused(&hard).starts_with("link "));
    let over = Tar::new()
        .symlink("link", &format!("{target}/secret"))
        .file("link", "x")
        .end();
    assert!(applied(&over).picture()["link"].starts_with("file 1 \"x\""));
    let over = Tar::new()
        .symlink("link", target)
        .dir("link")
        .file("link/new", "x")
        .end();
    assert!(applied(&over).picture()["link"].starts_with("dir"));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(outside.path().join("secret")).unwrap(),
        "secret"
    );
}

#[test]
fn files_below_a_link_of_the_layer_follow_it() {
    let tar = Tar::new()
        .dir("usr/lib")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr")
        .file("lib/a", "1")
        .file("lib/new/b", "2")
        .file("abs/lib/c", "3")
        .hard_link("d", "lib/a")
        .end();
    let picture = applied(&tar).picture();
    let names: Vec<&str> = picture.keys().map(String::as_str).collect();
    let expected = [
        "abs",
        "d",
        "lib",
        "usr",
        "usr/lib",
        "usr/lib/a",
        "usr/lib/c",
        "usr/lib/new",
        "usr/lib/new/b",
    ];
    assert_eq!(names, expected);
    assert_eq!(picture["usr/lib"], format!("dir 755 0:0 {MTIME}.000000000"));
}

#[test]
fn a_hard_link_takes_a_link_itself_and_never_follows() {
    let tar = Tar::new()
        .symlink("s", "/etc/passwd")
        .hard_link("h", "s")
        .end();
    assert!(applied(&tar).picture()["h"].starts_with("link \"/etc/passwd\""));
    assert!(refused(&Tar::new().hard_link("h", "none").end()).starts_with("link h"));
    let same = Tar::new().file("h", "").hard_link("h", "h").end();
    assert_eq!(
        refused(&same),
        "invalid tar header: entry \"h\": a link to itself"
    );
    assert!(refused(&Tar::new().dir("d").hard_link("h", "d").end()).starts_with("link h"));
}

#[test]
fn later_entries_replace_earlier_ones() {
    let tar = Tar::new()
        .dir("d")
        .file("d/kept", "1")
        .file("f", "old")
        .symlink("s", "f")
        .dir("e")
        .file("e/x", "")
        .raw(&checked({
            let mut header = Tar::header(b'5', b"d/", 0);
            header[100..107].copy_from_slice(b"0000700");
            header
        }))
        .file("f", "new")
        .dir("s")
        .file("s/in", "")
        .file("e", "now a file")
        .hard_link("f", "d/kept")
        .end();
    let picture = applied(&tar).picture();
    assert_eq!(picture["d"], format!("dir 700 0:0 {MTIME}.000000000"));
    assert!(picture["f"].contains("first=d/kept"));
    assert!(picture["s"].starts_with("dir") && picture.contains_key("s/in"));
    assert!(picture["e"].starts_with("file 10") && !picture.contains_key("e/x"));
}

#[test]
fn a_file_is_no_directory() {
    let said = refused(&Tar::new().file("f", "").file("f/x", "").end());
    assert_eq!(said, "open f");
    let said = refused(&Tar::new().file("./", "").end());
    assert_eq!(
        said,
        "invalid tar header: entry \"./\": the root is not a directory"
    );
}

#[test]
fn directories_keep_their_times_however_entries_are_ordered() {
    let tar = Tar::new()
        .dir("a")
        .dir("a/b")
        .dir("a/b/c")
        .dir("z")
        .file("a/b/c/1", "")
        .file("z/1", "")
        .file("a/2", "")
        .file("a/b/2", "")
        .dir("a/b/c/d")
        .file("z/.wh.x", "")
        .symlink("a/b/c/l", "x")
        .file("z/1", "again")
        .end();
    let picture = applied(&tar).picture();
    for name in ["a", "a/b", "a/b/c", "a/b/c/d", "z"] {
        assert_eq!(
            picture[name],
            format!("dir 755 0:0 {MTIME}.000000000"),
            "{name}"
        );
    }
}

#[test]
fn deep_trees_need_few_descriptors() {
    let deep: Vec<String> = (0..400).map(|depth| format!("d{depth}")).collect();
    let path = |depth: usize| deep[..depth].join("/");
    let long = |name: &str| vec![("path".to_owned(), name.as_bytes().to_vec())];
    let mut tar = Tar::new();
    for depth in 1..=400 {
        let records = long(&path(depth));
        let records: Vec<_> = records
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_slice()))
            .collect();
        tar = tar.pax(&records).dir("x");
    }
    for depth in (1..=400).rev().step_by(7) {
        let name = format!("{}/file", path(depth));
        tar = tar.pax(&[("path", name.as_bytes())]).file("x", "y");
    }
    let dir = applied(&tar.end());
    let picture = dir.picture();
    assert_eq!(picture.len(), 400 + 58);
    assert!(
        picture
            .iter()
            .all(|(_, text)| text.ends_with(&format!("{MTIME}.000000000")))
    );
    assert_eq!(dir.diff(), applied(&dir.diff()).diff());
}

#[test]
fn owners_modes_and_attributes_survive_each_other() {
    let capability =
        b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let mut header = Tar::header(b'0', b"bin/ping", 4);
    header[100..107].copy_from_slice(b"0004755");
    header[108..115].copy_from_slice(b"0001750");
    header[116..123].copy_from_slice(b"0000144");
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.user.note", b"a=b"),
        ])
        .raw(&checked(header))
        .content(b"ping")
        .pax(&[
            ("uid", b"3000000000"),
            ("gid", b"2097152"),
            ("mtime", b"-1.5"),
        ])
        .file("big", "")
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.redirect", b"/"),
        ])
        .dir("d")
        .end();
    let dir = TempDir::new();
    assert_eq!(dir.apply(&tar).unwrap().skipped, 2);
    let picture = dir.picture();
    let ping = &picture["bin/ping"];
    assert!(ping.contains(" 4755 1000:100 "), "{ping}");
    assert!(
        ping.contains("security.capability=") && ping.contains("user.note=\"a=b\""),
        "{ping}"
    );
    assert!(
        picture["big"].contains(" 644 3000000000:2097152 -2.500000000"),
        "{picture:?}"
    );
    assert_eq!(picture["d"], format!("dir 755 0:0 {MTIME}.000000000"));
}

#[test]
fn set_group_id_directories_do_not_leak_into_their_entries() {
    let mut header = Tar::header(b'5', b"d", 0);
    header[100..107].copy_from_slice(b"0002775");
    header[116..123].copy_from_slice(b"0000062");
    let tar = Tar::new()
        .raw(&checked(header))
        .dir("d/sub")
        .file("d/f", "")
        .symlink("d/s", "x")
        .end();
    let picture = applied(&tar).picture();
    assert_eq!(picture["d"], format!("dir 2775 0:50 {MTIME}.000000000"));
    assert_eq!(picture["d/sub"], format!("dir 755 0:0 {MTIME}.000000000"));
    assert!(picture["d/f"].contains(" 644 0:0 "));
    assert!(picture["d/s"].contains(" 777 0:0 "));
}

#[test]
fn ownership_can_be_ignored() {
    let mut header = Tar::header(b'0', b"f", 0);
    header[108..115].copy_from_slice(b"0001750");
    let tar = Tar::new().raw(&checked(header)).end();
    let dir = TempDir::new();
    let options = ApplyOptions {
        ownership: Ownership::Ignore,
        ..ApplyOptions::default()
    };
    crate::apply(tar.as_slice(), dir.fd(), &options).unwrap();
    assert!(dir.picture()["f"].contains(" 644 0:0 "));
}

#[test]
fn every_limit_is_kept() {
    let many = (0..20).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), ""));
    let said = over(&many.end(), |limits| limits.entries = 19);
    assert_eq!(said, "layer exceeds the limit of 19 entries");
    let said = over(&Tar::new().file("a/b/c/d", "").end(), |limits| {
        limits.depth = 3;
    });
    assert_eq!(said, "layer exceeds the limit of 3 components in a path");
    let said = over(&Tar::new().file("abcdef", "").end(), |limits| {
        limits.path_bytes = 5;
    });
    assert_eq!(said, "layer exceeds the limit of 5 bytes in a path");
    let pax = Tar::new()
        .pax(&[("SCHILY.xattr.user.x", &[b'x'; 1000])])
        .file("f", "")
        .end();
    let said = over(&pax, |limits| limits.xattr_bytes = 1000);
    assert_eq!(
        said,
        "layer exceeds the limit of 1000 bytes of extended attributes of one entry"
    );
    let said = over(&pax, |limits| limits.extension_bytes = 1000);
    assert_eq!(
        said,
        "layer exceeds the limit of 1000 bytes of extended headers of one entry"
    );
}

#[test]
fn a_bomb_is_found_by_its_header() {
    let bomb = Tar::new()
        .raw(&Tar::header(b'0', b"bomb", 8_000_000_000))
        .end();
    let said = over(&bomb, |limits| limits.total_bytes = 1_000_000);
    assert_eq!(
        said,
        "layer exceeds the limit of 1000000 bytes of file content"
    );
    let holes: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"9000000000000000000"),
        ("GNU.sparse.numblocks", b"1"),
        ("GNU.sparse.map", b"0,0"),
    ];
    let said = over(&Tar::new().pax(holes).file("holes", "").end(), |_| ());
    assert_eq!(
        said,
        "layer exceeds the limit of 1099511627776 bytes of file content"
    );
}

#[test]
fn what_follows_the_end_is_read() {
    let mut tar = Tar::new().end();
    tar.extend_from_slice(&[7; 5000]);
    let said = over(&tar, |limits| limits.trailing_bytes = 4999);
    assert_eq!(
        said,
        "layer exceeds the limit of 4999 bytes after the end of the archive"
    );
    let mut options = ApplyOptions::default();
    options.limits.trailing_bytes = 5000;
    let mut reader = tar.as_slice();
    crate::apply(&mut reader, TempDir::new().fd(), &options).unwrap();
    assert!(reader.is_empty());
}

#[test]
fn a_full_disk_is_told_apart() {
    struct Full;
    impl std::io::Read for Full {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::from_raw_os_error(28))
        }
    }
    let dir = TempDir::new();
    let error = crate::apply(Full, dir.fd(), &ApplyOptions::default()).unwrap_err();
    assert_eq!(
        error.io_error().unwrap().kind(),
        std::io::ErrorKind::StorageFull
    );
}

#[test]
fn odd_kinds_are_refused_in_dockers_words() {
    let said = refused(&Tar::new().entry(b'V', "label", b"").end());
    assert_eq!(said, "unhandled tar header type 86 of \"label\"");
}

/// Truncated anywhere, the archive is an error or a shorter layer, and never a panic.
#[test]
fn truncation_anywhere_is_harmless() {
    let whole = sample();
    for length in (0..whole.len()).step_by(29) {
        let dir = TempDir::new();
        let result = dir.apply(&whole[..length]);
        if let Err(error) = result {
            assert_eq!(error.to_string(), "unexpected EOF", "at {length}");
        }
    }
}

/// Bytes changed anywhere give an error or some tree inside the root.
#[test]
fn mutations_are_harmless() {
    let whole = sample();
    let mut random = Random(0x5eed);
    let outer = TempDir::new();
    for round in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = random.bytes(1)[0];
        }
        if round % 2 == 0 {
            mend_checksums(&mut bytes);
        }
        let root = outer.path().join("root");
        fs::create_dir(&root).unwrap();
        let fd = fs::File::open(&root).unwrap();
        let limits = Limits {
            total_bytes: 1 << 20,
            ..Limits::default()
        };
        let options = ApplyOptions {
            limits,
            ..ApplyOptions::default()
        };
        crate::apply(bytes.as_slice(), std::os::fd::AsFd::as_fd(&fd), &options).ok();
        lapstrake_sys::dir::remove_tree(outer.fd(), b"root").unwrap();
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
    }
}

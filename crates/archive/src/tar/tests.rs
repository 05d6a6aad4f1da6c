//! Scanning, with tars made by hand.

use super::{TarOutput, scan};
use crate::tests::{Folder, Tar};
use crate::{ArchiveError, limits};

/// What scanning says of some bytes.
fn scanned(bytes: &[u8]) -> Result<super::Table, ArchiveError> {
    let folder = Folder::new();
    scan(&folder.file("x.tar", bytes))
}

#[test]
fn what_is_written_is_found() {
    let folder = Folder::new();
    let mut output = TarOutput::file(folder.create("x.tar"), "x.tar");
    output.entry("blobs/", &[]).unwrap();
    output.entry("blobs/one", b"1").unwrap();
    output.begin("lost", 5).unwrap();
    output.put(b"abc").unwrap();
    output.entry("two", &[2; 513]).unwrap();
    output.finish().unwrap();
    let table = scan(&folder.open("x.tar")).unwrap();
    assert_eq!(table.find("./blobs//one").unwrap().unwrap().size, 1);
    assert_eq!(table.find("two").unwrap().unwrap().size, 513);
    assert!(table.find("lost").unwrap().is_none());
    assert_eq!(
        table.find("blobs").unwrap_err().to_string(),
        "blobs: is a directory"
    );
}

#[test]
fn a_stream_that_broke_is_not_continued() {
    let mut output = TarOutput::stream(Box::new(std::io::sink()), "stream");
    output.begin("x", 5).unwrap();
    assert!(matches!(output.entry("y", b""), Err(ArchiveError::Broken)));
}

#[test]
fn sizes_of_more_than_eleven_digits_are_written_in_binary() {
    for size in [0, 1, 0o77_777_777_777, 0o100_000_000_000, u64::MAX >> 1] {
        let block = super::header::write("x", size);
        let header = super::header::Header::check(&block).unwrap();
        assert_eq!(header.size().unwrap(), size);
    }
}

#[test]
fn links_stay_inside() {
    let tar = Tar::new()
        .file("a/layer.tar", b"content")
        .symlink("b/layer.tar", "../a/layer.tar")
        .symlink("c/layer.tar", "../b/./layer.tar")
        .hardlink("d", "a/layer.tar")
        .symlink("up", "../../etc/passwd")
        .symlink("abs", "/etc/passwd")
        .symlink("loop", "loop")
        .file("../evil", b"x")
        .file("/abs/evil", b"x")
        .file("twice", b"1")
        .file("twice", b"2")
        .bytes();
    let table = scanned(&tar).unwrap();
    let first = table.find("a/layer.tar").unwrap().unwrap();
    for name in ["b/layer.tar", "c/layer.tar", "d"] {
        assert_eq!(table.find(name).unwrap(), Some(first), "{name}");
    }
    let refused = [
        ("up", "up: link leads out of the archive"),
        ("abs", "abs: link leads out of the archive"),
        ("loop", "loop: too many levels of symbolic links"),
        ("twice", "twice: is in the archive twice"),
        ("../evil", "../evil: path leads out of the archive"),
        ("/abs/evil", "/abs/evil: path leads out of the archive"),
    ];
    for (name, words) in refused {
        assert_eq!(table.find(name).unwrap_err().to_string(), words);
    }
    assert!(table.find("evil").unwrap().is_none());
}

#[test]
fn every_truncation_is_noticed() {
    let tar = Tar::new()
        .long("a-name-of-the-pax-kind", b"12345")
        .file("manifest.json", b"[]")
        .bytes();
    let whole = tar.len() as u64 - 512;
    let folder = Folder::new();
    let _written = folder.file("x.tar", &tar);
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(folder.path("x.tar"))
        .unwrap();
    file.set_len(whole).unwrap();
    scan(&file).unwrap();
    for length in (1..whole).rev() {
        file.set_len(length).unwrap();
        let error = scan(&file).unwrap_err();
        assert!(matches!(error, ArchiveError::UnexpectedEof), "{length}");
    }
    // Nothing at all was not cut off; that it has no images is for others to notice.
    file.set_len(0).unwrap();
    assert!(
        scan(&file)
            .unwrap()
            .find("manifest.json")
            .unwrap()
            .is_none()
    );
}

#[test]
fn extended_headers_rename_and_are_bounded() {
    let tar = Tar::new().long("long/name", b"12345").bytes();
    let table = scanned(&tar).unwrap();
    assert_eq!(table.find("long/name").unwrap().unwrap().size, 5);
    assert!(table.find("short").unwrap().is_none());

    let mut huge = Tar::new().entry("x", b'x', "", &vec![b'1'; 70_000]).bytes();
    let error = scanned(&huge).unwrap_err();
    assert!(matches!(error, ArchiveError::Limit { limit, .. } if limit == limits::EXTENSION_BYTES));
    huge[0] = b'y';
    let error = scanned(&huge).unwrap_err().to_string();
    assert_eq!(error, "archive/tar: invalid tar header: wrong checksum");
}

#[test]
fn records_that_make_no_sense_are_refused() {
    for records in [
        "99 path=x\n",
        "x",
        "5 abc",
        "12 path=abcde",
        "10 size=x\n",
        "0 ",
    ] {
        let tar = Tar::new()
            .entry("x", b'x', "", records.as_bytes())
            .file("y", b"")
            .bytes();
        let error = scanned(&tar).unwrap_err();
        assert!(
            matches!(error, ArchiveError::InvalidHeader { .. }),
            "{records:?}: {error}"
        );
    }
}

#[test]
fn too_many_entries_are_refused() {
    let one = Tar::new().file("x", b"").entries();
    let mut tar = Tar::new();
    tar.raw(&one.repeat(11));
    let folder = Folder::new();
    let file = folder.file("x.tar", &tar.bytes());
    let error = super::scan::scan_bounded(&file, 10).unwrap_err();
    assert_eq!(error.to_string(), "archive has more than 10 entries");
    super::scan::scan_bounded(&file, 11).unwrap();
}

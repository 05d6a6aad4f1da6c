use std::fs;
use std::io::Write;

use super::{BLOCK_BYTES, BUFFER_BYTES, DirectWriter};
use crate::dir::Dir;
use crate::dir::tests::TempDir;

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index / 7 + index / 4096).to_le_bytes()[0])
        .collect()
}

#[test]
fn every_length_is_written_whole() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    for length in [
        0,
        1,
        4095,
        4096,
        4097,
        BUFFER_BYTES - 1,
        BUFFER_BYTES,
        BUFFER_BYTES + 1,
        3_333_333,
    ] {
        for step in [length.max(1), 1000, BLOCK_BYTES] {
            let mut writer = DirectWriter::create(&dir, "f", 0o600).unwrap();
            let bytes = pattern(length);
            for piece in bytes.chunks(step) {
                writer.write_all(piece).unwrap();
            }
            assert_eq!(writer.position(), length as u64);
            writer.finish_durable().unwrap();
            assert!(fs::read(temp.path().join("f")).unwrap() == bytes);
            dir.remove_file("f").unwrap();
        }
    }
}

#[test]
fn whole_blocks_can_be_written_early() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let bytes = pattern(3_333_333);
    let mut writer = DirectWriter::create(&dir, "f", 0o600).unwrap();
    for (index, piece) in bytes.chunks(70_001).enumerate() {
        writer.write_all(piece).unwrap();
        if index % 3 == 0 {
            writer.write_blocks().unwrap();
            let (written, position) = (writer.written(), writer.position());
            assert!(writer.buffered().len() < BLOCK_BYTES);
            assert_eq!(written + writer.buffered().len() as u64, position);
            let there = fs::read(temp.path().join("f")).unwrap();
            assert!(there == bytes[..usize::try_from(written).unwrap()]);
        }
    }
    writer.finish().unwrap();
    assert!(fs::read(temp.path().join("f")).unwrap() == bytes);
}

#[test]
fn a_partial_file_is_continued_at_a_block() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let bytes = pattern(2_000_000);
    for (have, trusted, kept) in [
        (1_500_000, 1_500_000, 1_499_136),
        (10, 10, 0),
        (8192, 5000, 4096),
        (4096, u64::MAX, 4096),
    ] {
        fs::write(temp.path().join("f"), &bytes[..have]).unwrap();
        let file = dir.open_or_create_file("f", 0o600).unwrap();
        let mut writer = DirectWriter::resume(file, trusted).unwrap();
        assert_eq!((writer.position(), writer.written()), (kept, kept));
        writer
            .write_all(&bytes[usize::try_from(kept).unwrap()..])
            .unwrap();
        writer.finish().unwrap();
        assert!(fs::read(temp.path().join("f")).unwrap() == bytes);
    }
}

#[test]
fn what_has_no_length_is_refused() {
    let dir = Dir::open("/dev").unwrap();
    let file = dir.open_or_create_file("full", 0o600).unwrap();
    // A device has no length to cut to.
    assert!(DirectWriter::resume(file, 0).is_err());
}

#[test]
fn through_the_page_cache_the_same_is_written() {
    let temp = TempDir::new();
    let dir = Dir::open(temp.path()).unwrap();
    let bytes = pattern(1_234_567);
    let (begin, rest) = bytes.split_at(300_001);
    let mut writer = DirectWriter::create(&dir, "f", 0o600).unwrap();
    writer.write_all(begin).unwrap();
    let file = writer.finish().unwrap();
    let mut writer = DirectWriter::resume_cached(file, begin.len() as u64).unwrap();
    assert!(!writer.is_direct());
    let start = usize::try_from(writer.position()).unwrap();
    assert_eq!(start, begin.len() - begin.len() % BLOCK_BYTES);
    writer.write_all(&bytes[start..begin.len()]).unwrap();
    for piece in rest.chunks(50_000) {
        writer.write_all(piece).unwrap();
        // What is lost with the process is less than one write.
        assert!(writer.position() - writer.written() <= 64 << 10);
    }
    writer.finish_durable().unwrap();
    assert!(fs::read(temp.path().join("f")).unwrap() == bytes);
}

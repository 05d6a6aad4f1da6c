use std::io::{Read, Write};

use crate::testing::Random;
use crate::{GzipWriter, compress_gzip, decompress};

fn data() -> Vec<u8> {
    let mut random = Random(11);
    (0..3000)
        .flat_map(|n| [random.bytes(n % 97), b"the same words again ".to_vec()].concat())
        .collect()
}

#[test]
fn what_is_compressed_comes_back() {
    let data = data();
    for level in [0, 1, 6, 9, 100] {
        let mut out = Vec::new();
        assert_eq!(
            compress_gzip(data.as_slice(), &mut out, level).unwrap(),
            data.len() as u64
        );
        assert!(out.len() < data.len());
        let mut back = Vec::new();
        decompress(out.as_slice())
            .unwrap()
            .read_to_end(&mut back)
            .unwrap();
        assert!(back == data);
    }
}

#[test]
fn the_header_tells_nothing() {
    let mut out = Vec::new();
    compress_gzip(b"x".as_slice(), &mut out, 6).unwrap();
    assert_eq!(out[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn the_bytes_do_not_depend_on_the_pieces() {
    let data = data();
    let mut whole = Vec::new();
    compress_gzip(data.as_slice(), &mut whole, 6).unwrap();
    for step in [1, 4096] {
        let mut gzip = GzipWriter::new(Vec::new(), 6);
        for piece in data.chunks(step) {
            gzip.write_all(piece).unwrap();
            gzip.flush().unwrap();
        }
        assert!(gzip.finish().unwrap() == whole);
    }
}

#[test]
fn threads_make_the_same_bytes() {
    let mut random = Random(5);
    let data: Vec<u8> = (0..60_000)
        .flat_map(|_| [random.bytes(30), vec![b' '; 60]].concat())
        .collect();
    let mut whole = Vec::new();
    compress_gzip(data.as_slice(), &mut whole, 1).unwrap();
    for threads in [1, 3] {
        let mut gzip = GzipWriter::with_threads(Vec::new(), 1, threads);
        gzip.write_all(&data).unwrap();
        assert!(gzip.finish().unwrap() == whole);
    }
    let mut back = Vec::new();
    // A reader that knows single members only reads it all.
    flate2::read::GzDecoder::new(whole.as_slice())
        .read_to_end(&mut back)
        .unwrap();
    assert!(back == data);
}

#[test]
fn nothing_is_a_member_too() {
    let out = GzipWriter::new(Vec::new(), 6).finish().unwrap();
    let mut back = Vec::new();
    decompress(out.as_slice())
        .unwrap()
        .read_to_end(&mut back)
        .unwrap();
    assert!(back.is_empty());
}

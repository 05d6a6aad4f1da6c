use std::io::{self, Read, Write};

use super::{Compression, decompress};
use crate::Error;
use crate::testing::Random;

/// Gives a few bytes at a time, as a network does.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(buffer.len());
        self.0.read(&mut buffer[..count])
    }
}

fn data() -> Vec<u8> {
    let mut random = Random(7);
    (0..300)
        .flat_map(|n| [random.bytes(200), vec![b'a'; n]].concat())
        .collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::compress_gzip(data, &mut out, 6).unwrap();
    out
}

fn bzip2(data: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn forms(data: &[u8]) -> [(Compression, Vec<u8>); 4] {
    [
        (Compression::Gzip, gzip(data)),
        (Compression::Zstd, zstd(data)),
        (Compression::Bzip2, bzip2(data)),
        (Compression::Xz, xz(data)),
    ]
}

fn inflated(bytes: &[u8], step: usize) -> Result<(Compression, Vec<u8>), Error> {
    let mut decoder = decompress(Slow(bytes, step))?;
    let mut out = Vec::new();
    decoder.read_to_end(&mut out).map_err(Error::from_reader)?;
    Ok((decoder.compression(), out))
}

fn fault(bytes: &[u8]) -> String {
    inflated(bytes, 4096).unwrap_err().to_string()
}

#[test]
fn every_form_is_recognised_and_undone() {
    let data = data();
    for (compression, bytes) in forms(&data) {
        for step in [1, 7, 1 << 20] {
            assert_eq!(inflated(&bytes, step).unwrap(), (compression, data.clone()));
        }
        let twice = [bytes.as_slice(), &bytes].concat();
        assert_eq!(
            inflated(&twice, 4096).unwrap().1,
            [data.as_slice(), &data].concat()
        );
        let empty = forms(&[])
            .into_iter()
            .find(|(form, _)| *form == compression)
            .unwrap()
            .1;
        assert_eq!(inflated(&empty, 1).unwrap(), (compression, Vec::new()));
    }
    for plain in [b"".as_slice(), b"x", b"\x1f\x8b", &data] {
        assert_eq!(
            inflated(plain, 1).unwrap(),
            (Compression::None, plain.to_vec())
        );
    }
}

#[test]
fn truncation_is_an_unexpected_end() {
    for (compression, bytes) in forms(&data()[..3000]) {
        for length in 6..bytes.len() {
            assert_eq!(
                fault(&bytes[..length]),
                "unexpected EOF",
                "{compression:?} at {length}"
            );
        }
    }
}

#[test]
fn damage_is_found() {
    let data = data();
    let mut random = Random(3);
    for (compression, bytes) in forms(&data) {
        for _ in 0..200 {
            // The first bytes tell the form, and gzip's header holds some that mean nothing.
            let at = 10 + random.below(bytes.len() - 10);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << random.below(8);
            match inflated(&damaged, 4096) {
                Err(Error::Corrupt(_) | Error::UnexpectedEof) => {}
                Ok((_, out)) if out == data => {}
                other => panic!("{compression:?} with a bit of byte {at} changed: {other:?}"),
            }
        }
    }
}

#[test]
fn docker_says_it_so() {
    let good = gzip(b"hello, world");
    let mut checksum = good.clone();
    let length = good.len();
    checksum[length - 5] ^= 1;
    assert_eq!(fault(&checksum), "gzip: invalid checksum");
    let mut size = good.clone();
    size[length - 1] ^= 1;
    assert_eq!(fault(&size), "gzip: invalid checksum");
    let trailing = [good.as_slice(), b"garbage after the member"].concat();
    assert_eq!(fault(&trailing), "gzip: invalid header");
    let mut block = good.clone();
    block[10] = 0x07;
    assert!(
        fault(&block).starts_with("flate: corrupt input before offset 1"),
        "{}",
        fault(&block)
    );
    assert!(fault(b"BZh9garbage that is no block").starts_with("bzip2: "));
    assert!(fault(b"\xfd7zXZ\0garbage that is no header").starts_with("xz: "));
    assert!(fault(b"\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff garbage").starts_with("zstd: "));
}

#[test]
fn a_failing_reader_is_not_a_damaged_stream() {
    struct Broken(Vec<u8>);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::ConnectionReset,
                    "the line is dead",
                ));
            }
            let count = self.0.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }
    for (_, bytes) in forms(&data()) {
        let half = bytes[..bytes.len() / 2].to_vec();
        let mut decoder = decompress(Broken(half)).unwrap();
        let error = decoder
            .read_to_end(&mut Vec::new())
            .map_err(Error::from_reader)
            .unwrap_err();
        assert!(matches!(error, Error::Read(_)), "{error:?}");
        assert_eq!(error.to_string(), "the line is dead");
    }
}

#[test]
fn decoders_may_move_to_other_threads() {
    fn movable<T: Send>(_: &T) {}
    movable(&decompress(std::io::empty()).unwrap());
    movable(&crate::GzipWriter::new(Vec::new(), 1));
}

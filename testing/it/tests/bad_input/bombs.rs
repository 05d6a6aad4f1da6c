//! Little that becomes much: memory stays small, and the end comes soon.

use super::{DAMAGED, FULL, Layer, MEMORY_LIMIT_KIB, Mounts, entry, holds, image, measured};
use bytes::Bytes;
use lapstrake_spec::{Digest, MediaType};
use lapstrake_testkit::{Cli, Compression, RandomImage, TestRegistry};
use std::io::Read;

const GIB: u64 = 1 << 30;

/// A compressed stream of `first` and then so many bytes of zeros, in many members or frames.
fn zeros_after(first: &[u8], zeros: u64, compression: Compression) -> Vec<u8> {
    const PIECE: u64 = 16 << 20;
    let plain = vec![0; 16 << 20];
    let mut out = compression.compress(first);
    let piece = if compression == Compression::Gzip {
        let mut gzip = flate2::read::GzEncoder::new(plain.as_slice(), flate2::Compression::best());
        let mut piece = Vec::new();
        gzip.read_to_end(&mut piece).unwrap();
        piece
    } else {
        compression.compress(&plain)
    };
    for _ in 0..zeros / PIECE {
        out.extend_from_slice(&piece);
    }
    out
}

/// Pulls an image that must be refused without much memory; returns the standard error.
fn pull(lap: &Cli, image: &RandomImage) -> String {
    let registry = TestRegistry::start();
    let name = registry.put("bomb:1", image).to_string();
    let (outcome, peak) = measured(lap, &["pull", "-q", &name]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB");
    holds(lap, &[]);
    let words = "failed to register layer: Error processing tar file(exit status 1): ";
    let stderr = outcome.levelled().stderr.trim_end().to_owned();
    stderr.strip_prefix(words).unwrap_or(&stderr).to_owned()
}

fn limit(words: &str) -> String {
    format!("layer exceeds the limit of {words}{DAMAGED}")
}

#[test]
fn privileged_zeros_fill_the_disk_and_not_the_memory() {
    let lap = Cli::built();
    let _mounts = Mounts::new().tmpfs(&lap.root(), 64 << 20);
    let header = entry("zeros", b'0', "", 10 * GIB);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let blob = zeros_after(&header, 10 * GIB, compression);
        assert!(blob.len() < 16 << 20, "{}", blob.len());
        let layer = Layer::raw(compression.media_type(), blob);
        let stderr = pull(&lap, &image(vec![layer]));
        // Tree and blob grow side by side: either may be the one that finds the disk full.
        let place = lap.root().join("ingest/sha256-H64.partial");
        let full = |file: &str| format!("write {file}: no space left on device{FULL}");
        let expected = [full("/zeros"), full(place.to_str().unwrap())];
        assert!(expected.contains(&stderr), "{compression:?} {stderr}");
    }
}

#[test]
fn zeros_after_the_end_of_the_archive_are_limited() {
    let lap = Cli::built();
    let blob = zeros_after(&[0; 1024], 10 * GIB, Compression::Gzip);
    let layer = Layer::raw(MediaType::OCI_LAYER_GZIP, blob);
    let limit = limit("1073741824 bytes after the end of the archive");
    assert_eq!(pull(&lap, &image(vec![layer])), limit);
}

#[test]
fn numbers_that_promise_too_much() {
    let lap = Cli::built();
    let header = entry("large", b'0', "", 2 << 40);
    let layer = Layer::of(&header, Compression::Gzip);
    let content = limit("1099511627776 bytes of file content");
    assert_eq!(pull(&lap, &image(vec![layer])), content);
    let extended = [&entry("pax", b'x', "", 8 << 30)[..], &[b'x'; 4096]].concat();
    let layer = Layer::of(&extended, Compression::Gzip);
    let headers = limit("1048576 bytes of extended headers of one entry");
    assert_eq!(pull(&lap, &image(vec![layer])), headers);
    let long_name = [&entry("long", b'L', "", 8 << 30)[..], &[b'x'; 4096]].concat();
    let layer = Layer::of(&long_name, Compression::Gzip);
    assert_eq!(pull(&lap, &image(vec![layer])), headers);
    let many = (0..501)
        .map(|_| Layer::of(&[0; 1024], Compression::Gzip))
        .collect();
    assert_eq!(
        pull(&lap, &image(many)),
        format!("max depth exceeded{DAMAGED}")
    );
}

#[test]
fn privileged_a_million_entries() {
    let (blob, diff_id) = million();
    let layer = Layer {
        media_type: MediaType::OCI_LAYER_GZIP,
        blob,
        diff_id,
    };
    let registry = TestRegistry::start();
    let name = registry.put("many:1", &image(vec![layer])).to_string();
    let lap = Cli::built();
    let mounts = Mounts::new().tmpfs(&lap.root(), 4 * GIB);
    let (outcome, peak) = measured(&lap, &["pull", "-q", &name]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB");
    holds(&lap, &[&name]);
    // With the disk, not file by file.
    drop(mounts);
}

/// A layer with a thousand directories of a thousand names each, made piece by piece.
fn million() -> (Bytes, Digest) {
    let mut blob = Vec::new();
    let mut hasher = lapstrake_spec::Hasher::sha256();
    let mut add = |piece: &[u8]| {
        hasher.update(piece);
        blob.extend(Compression::Gzip.compress(piece));
    };
    for directory in 0..1000 {
        let mut piece = Vec::with_capacity(1001 * 512);
        piece.extend(entry(&format!("d{directory:03}/"), b'5', "", 0));
        let mut header = entry(&format!("d{directory:03}/f000"), b'0', "", 0);
        let base: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        let checksum: u32 = header[148..156].iter().map(|&byte| u32::from(byte)).sum();
        // The sum of a header counts its own field as blanks.
        let base = base - checksum + 8 * u32::from(b' ');
        for name in 0..1000u32 {
            let digits = [name / 100, name / 10 % 10, name % 10];
            for (at, digit) in digits.into_iter().enumerate() {
                header[6 + at] = figure(digit);
            }
            let sum = base + digits.iter().sum::<u32>();
            for at in 0..6 {
                header[148 + at] = figure(sum >> (3 * (5 - at)) & 7);
            }
            piece.extend_from_slice(&header);
        }
        add(&piece);
    }
    add(&[0; 1024]);
    (blob.into(), hasher.finish())
}

/// A number below ten as a character.
fn figure(number: u32) -> u8 {
    b"0123456789"[number as usize]
}

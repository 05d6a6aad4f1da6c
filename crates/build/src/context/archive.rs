//! Archives as contexts: a tar in any of docker's compressions.

use lapstrake_layer::{ApplyOptions, Compression, Error};
use std::io::Read;
use std::os::fd::AsFd;

/// The block of a tar, and where its magic stands.
const BLOCK: usize = 512;
const MAGIC: std::ops::Range<usize> = 257..262;
/// Where the checksum of a header stands.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Whether these first bytes begin an archive and not a Dockerfile: a compression that docker knows, or
/// a tar header with a right checksum. As docker, a header without magic counts.
pub fn looks_like_archive(start: &[u8]) -> bool {
    if Compression::detect(start) != Compression::None {
        return true;
    }
    let Some(header) = start.get(..BLOCK) else {
        return false;
    };
    if header.get(MAGIC) == Some(b"ustar") {
        return true;
    }
    let stored = header
        .get(CHECKSUM)
        .and_then(|field| std::str::from_utf8(field).ok())
        .map(|field| field.trim_matches(|c: char| c == ' ' || c == '\0'))
        .and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let blank = |(at, &byte): (usize, &u8)| {
        let byte = if CHECKSUM.contains(&at) { b' ' } else { byte };
        u32::from(byte)
    };
    stored == Some(header.iter().enumerate().map(blank).sum())
}

/// Unpacks an archive into the directory `dest`; each path is resolved beneath it.
pub fn unpack(reader: impl Read, dest: impl AsFd) -> Result<(), Error> {
    let plain = lapstrake_layer::decompress(reader)?;
    lapstrake_layer::apply(plain, dest.as_fd(), &ApplyOptions::default())?;
    Ok(())
}

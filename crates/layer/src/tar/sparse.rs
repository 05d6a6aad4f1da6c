//! Files with holes: the old GNU header with its map, and the maps in extended headers (0.0, 0.1) or before the content (1.0).

use super::BLOCK;
use super::header::Header;
use super::number::{decimal, size_field};
use crate::error::Error;

const INVALID: Error = Error::InvalidHeader {
    reason: "bad sparse map",
};

/// A stretch of the file that is not a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Where the map of a sparse file with an extended header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// In the extended header: 0.0 and 0.1.
    InHeader,
    /// Before the content: 1.0.
    InContent,
}

/// The records of an extended header that start with `GNU.sparse.`
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    major: Vec<u8>,
    minor: Vec<u8>,
    pub(super) name: Vec<u8>,
    pub(super) size: Option<u64>,
    blocks: Option<u64>,
    /// Offsets and lengths in turn.
    numbers: Vec<u64>,
}

impl PaxSparse {
    pub(super) fn clear(&mut self) {
        self.major.clear();
        self.minor.clear();
        self.name.clear();
        (self.size, self.blocks) = (None, None);
        self.numbers.clear();
    }

    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        match key {
            b"major" => super::replace(&mut self.major, value),
            b"minor" => super::replace(&mut self.minor, value),
            b"name" if value.contains(&0) => return Err(INVALID),
            b"name" => super::replace(&mut self.name, value),
            b"size" | b"realsize" => self.size = Some(size(value)?),
            b"numblocks" => self.blocks = Some(decimal(value)?),
            b"offset" | b"numbytes" => {
                if self.numbers.len().is_multiple_of(2) != (key == b"offset") {
                    return Err(INVALID);
                }
                self.numbers.push(size(value)?);
            }
            b"map" => {
                self.numbers.clear();
                for number in value.split(|&byte| byte == b',') {
                    self.numbers.push(size(number)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Offsets and lengths come in pairs.
    pub(super) fn check_pairs(&self) -> Result<(), Error> {
        if self.numbers.len().is_multiple_of(2) {
            Ok(())
        } else {
            Err(INVALID)
        }
    }

    pub(super) fn version(&self) -> Result<Option<Version>, Error> {
        match (self.major.as_slice(), self.minor.as_slice()) {
            (b"1", b"0") => Ok(Some(Version::InContent)),
            (b"0", b"0" | b"1") => Ok(Some(Version::InHeader)),
            (b"", b"") if self.numbers.is_empty() => Ok(None),
            (b"", b"") => Ok(Some(Version::InHeader)),
            _ => Err(Error::InvalidHeader {
                reason: "unknown sparse format",
            }),
        }
    }

    pub(super) fn header_map(&self) -> Result<Vec<Segment>, Error> {
        let map: Vec<Segment> = self
            .numbers
            .chunks_exact(2)
            .filter_map(segment_of_pair)
            .collect();
        if self.blocks != u64::try_from(map.len()).ok() {
            return Err(INVALID);
        }
        Ok(map)
    }
}

/// The map before the content: the number of segments, then their offsets and lengths, each on a line, in whole blocks.
#[derive(Debug, Default)]
pub(super) struct ContentMap {
    /// The segments' count, then their offsets and lengths in turn.
    numbers: Vec<u64>,
    /// Digits of a number that goes on in the next block.
    digits: Vec<u8>,
}

impl ContentMap {
    /// Takes one block; true when the map is complete, and then the rest of the block is padding.
    pub(super) fn feed(&mut self, block: &[u8; BLOCK]) -> Result<bool, Error> {
        /// No number of 64 bits has more.
        const DIGITS: usize = 20;
        for &byte in block {
            if byte != b'\n' {
                if self.digits.len() >= DIGITS {
                    return Err(INVALID);
                }
                self.digits.push(byte);
                continue;
            }
            self.numbers.push(size(&self.digits)?);
            self.digits.clear();
            if self.is_complete() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_complete(&self) -> bool {
        let pairs = self.numbers.len().saturating_sub(1) as u64;
        self.numbers
            .first()
            .is_some_and(|count| count.saturating_mul(2) == pairs)
    }

    pub(super) fn into_map(self) -> Vec<Segment> {
        let numbers = self.numbers.get(1..).unwrap_or_default();
        numbers
            .chunks_exact(2)
            .filter_map(segment_of_pair)
            .collect()
    }
}

/// The segments in an old GNU header, and whether blocks with more of them follow.
pub(super) fn gnu_header(
    block: &[u8; BLOCK],
    header: &Header,
) -> Result<(Vec<Segment>, bool), Error> {
    if !header.is_gnu() {
        return Err(INVALID);
    }
    let mut map = Vec::new();
    gnu_segments(&block[386..482], &mut map)?;
    Ok((map, block[482] != 0))
}

/// Adds the segments of a block after an old GNU header; true when another one follows.
pub(super) fn gnu_extension(block: &[u8; BLOCK], map: &mut Vec<Segment>) -> Result<bool, Error> {
    gnu_segments(&block[..504], map)?;
    Ok(block[504] != 0)
}

/// The size, holes included, in an old GNU header.
pub(super) fn gnu_real_size(block: &[u8; BLOCK]) -> Result<u64, Error> {
    size_field(&block[483..495])
}

fn gnu_segments(bytes: &[u8], map: &mut Vec<Segment>) -> Result<(), Error> {
    for pair in bytes.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if offset.first() == Some(&0) {
            break;
        }
        map.push(Segment {
            offset: size_field(offset)?,
            length: size_field(length)?,
        });
    }
    Ok(())
}

/// Segments are in order, do not overlap, end within the file, and have as many bytes as there are.
pub(super) fn validate(map: &[Segment], size: u64, content: u64) -> Result<(), Error> {
    let mut end = 0_u64;
    let mut total = 0_u64;
    for segment in map {
        if segment.offset < end {
            return Err(INVALID);
        }
        end = segment.offset.checked_add(segment.length).ok_or(INVALID)?;
        total = total.checked_add(segment.length).ok_or(INVALID)?;
    }
    if end > size || total != content || i64::try_from(size).is_err() {
        return Err(INVALID);
    }
    Ok(())
}

fn segment_of_pair(pair: &[u64]) -> Option<Segment> {
    match *pair {
        [offset, length] => Some(Segment { offset, length }),
        _ => None,
    }
}

fn size(value: &[u8]) -> Result<u64, Error> {
    decimal(value).and_then(|size| {
        if i64::try_from(size).is_ok() {
            Ok(size)
        } else {
            Err(INVALID)
        }
    })
}

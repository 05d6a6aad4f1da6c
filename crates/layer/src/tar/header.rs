//! The 512 bytes before an entry's content.

use super::number::{field, owner, size_field};
use super::{BLOCK, Time};
use crate::error::Error;

/// Which fields a header has after the ones that all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// The oldest: nothing more.
    V7,
    /// POSIX: devices and a prefix of the name.
    Ustar,
    /// Jörg Schilling's: a shorter prefix.
    Star,
    /// GNU tar's: devices, times and sparse files.
    Gnu,
}

/// The numbers of a header whose checksum is right.
#[derive(Debug)]
pub(super) struct Header {
    format: Format,
    pub(super) kind: u8,
    pub(super) mode: u32,
    pub(super) size: u64,
    pub(super) mtime: Time,
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, Error> {
        verify_checksum(block)?;
        let mode = field(&block[100..108])? & 0o7777;
        Ok(Self {
            format: format_of(block),
            kind: block[156],
            mode: u32::try_from(mode).unwrap_or_default(),
            size: size_field(&block[124..136])?,
            mtime: Time {
                seconds: field(&block[136..148])?,
                nanoseconds: 0,
            },
        })
    }

    pub(super) fn is_gnu(&self) -> bool {
        self.format == Format::Gnu
    }

    /// Puts the name into `name`, with its prefix.
    pub(super) fn name_into(&self, block: &[u8; BLOCK], name: &mut Vec<u8>) {
        name.clear();
        let prefix = match self.format {
            Format::Ustar => until_nul(&block[345..500]),
            Format::Star => until_nul(&block[345..476]),
            Format::V7 | Format::Gnu => &[],
        };
        if !prefix.is_empty() {
            name.extend_from_slice(prefix);
            name.push(b'/');
        }
        name.extend_from_slice(until_nul(&block[..100]));
    }

    pub(super) fn link(block: &[u8; BLOCK]) -> &[u8] {
        until_nul(&block[157..257])
    }

    pub(super) fn uid(block: &[u8; BLOCK]) -> Result<u32, Error> {
        owner(field(&block[108..116])?)
    }

    pub(super) fn gid(block: &[u8; BLOCK]) -> Result<u32, Error> {
        owner(field(&block[116..124])?)
    }

    /// Major and minor number.
    pub(super) fn device(&self, block: &[u8; BLOCK]) -> Result<(u32, u32), Error> {
        if self.format == Format::V7 {
            return Ok((0, 0));
        }
        let number = |bytes| {
            let value = u32::try_from(field(bytes)?);
            value.ok().ok_or(Error::InvalidHeader {
                reason: "bad device number",
            })
        };
        Ok((number(&block[329..337])?, number(&block[337..345])?))
    }
}

/// The bytes before the first zero.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn format_of(block: &[u8; BLOCK]) -> Format {
    match &block[257..265] {
        b"ustar  \0" => Format::Gnu,
        [b'u', b's', b't', b'a', b'r', 0, ..] if block[508..] == *b"tar\0" => Format::Star,
        [b'u', b's', b't', b'a', b'r', 0, ..] => Format::Ustar,
        _ => Format::V7,
    }
}

/// The sum of all bytes, those of the sum itself taken as spaces. Some old writers added signed bytes.
fn verify_checksum(block: &[u8; BLOCK]) -> Result<(), Error> {
    const SPACES: i64 = 8 * 0x20;
    let bad = Error::InvalidHeader {
        reason: "bad checksum",
    };
    let Ok(stored) = field(&block[148..156]) else {
        return Err(bad);
    };
    let unsigned = |bytes: &[u8]| i64::from(bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>());
    let sum = [unsigned(&block[..148]), unsigned(&block[156..]), SPACES]
        .iter()
        .sum::<i64>();
    if stored == sum {
        return Ok(());
    }
    let signed = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|&byte| i64::from(byte.cast_signed()))
            .sum::<i64>()
    };
    let sum = [signed(&block[..148]), signed(&block[156..]), SPACES]
        .iter()
        .sum::<i64>();
    if stored == sum { Ok(()) } else { Err(bad) }
}

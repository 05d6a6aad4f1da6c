//! One block that describes an entry.

use super::BLOCK;
use crate::ArchiveError;

const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..263;
const PREFIX: std::ops::Range<usize> = 345..500;

/// A header whose checksum is right.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

impl<'a> Header<'a> {
    pub(super) fn check(block: &'a [u8; BLOCK]) -> Result<Self, ArchiveError> {
        let header = Self(block);
        let told = octal(header.field(CHECKSUM)).ok_or(invalid("checksum is not a number"))?;
        let sum = |byte_value: fn(u8) -> i64| -> i64 {
            let bytes = block.iter().enumerate();
            bytes
                .map(|(at, &byte)| byte_value(if CHECKSUM.contains(&at) { b' ' } else { byte }))
                .sum()
        };
        // Some old writers added up signed bytes.
        let fits = |sum: i64| u64::try_from(sum).is_ok_and(|sum| sum == told);
        if fits(sum(i64::from)) || fits(sum(|byte| i64::from(byte.cast_signed()))) {
            return Ok(header);
        }
        Err(invalid("wrong checksum"))
    }

    /// The type byte.
    pub(super) fn kind(&self) -> u8 {
        self.0.get(KIND).copied().unwrap_or_default()
    }

    /// Bytes of content, in octal or, with the highest bit set, in binary.
    pub(super) fn size(&self) -> Result<u64, ArchiveError> {
        let field = self.field(SIZE);
        match field.split_first() {
            Some((first, rest)) if first & 0x80 != 0 => {
                if *first != 0x80 {
                    return Err(invalid("size out of range"));
                }
                let (high, low) = rest.split_at_checked(3).unwrap_or_default();
                let low: [u8; 8] = low.try_into().unwrap_or_default();
                if high.iter().any(|byte| *byte != 0) {
                    return Err(invalid("size out of range"));
                }
                Ok(u64::from_be_bytes(low))
            }
            _ => octal(field).ok_or(invalid("size is not a number")),
        }
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_nul(self.field(0..100));
        let ustar = self.field(MAGIC) == b"ustar\0";
        let prefix = until_nul(self.field(PREFIX));
        if !ustar || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(self.field(LINK)).to_vec()
    }

    fn field(&self, range: std::ops::Range<usize>) -> &'a [u8] {
        self.0.get(range).unwrap_or_default()
    }
}

/// A header for a file or, when the name ends in a slash, a folder. Owner, time and device are nothing:
/// the same files give the same bytes.
pub(super) fn write(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let folder = name.ends_with('/');
    put(&mut block, 0, name.as_bytes());
    put(
        &mut block,
        100,
        if folder { b"0000755" } else { b"0000644" },
    );
    put(&mut block, 108, b"0000000");
    put(&mut block, 116, b"0000000");
    let digits = format!("{size:011o}");
    if digits.len() <= 11 {
        put(&mut block, SIZE.start, digits.as_bytes());
    } else {
        put(&mut block, SIZE.start, &[0x80, 0, 0, 0]);
        put(&mut block, 128, &size.to_be_bytes());
    }
    put(&mut block, 136, b"00000000000");
    put(&mut block, CHECKSUM.start, b"        ");
    put(&mut block, KIND, if folder { b"5" } else { b"0" });
    put(&mut block, MAGIC.start, b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    put(
        &mut block,
        CHECKSUM.start,
        format!("{sum:06o}\0 ").as_bytes(),
    );
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    for (slot, byte) in block.iter_mut().skip(at).zip(bytes) {
        *slot = *byte;
    }
}

pub(super) fn invalid(reason: &'static str) -> ArchiveError {
    ArchiveError::InvalidHeader { reason }
}

/// Digits between blanks and zero bytes; an empty field is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return None;
    }
    u64::from_str_radix(digits, 8).ok()
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

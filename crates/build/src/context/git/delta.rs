//! Deltas: an object as pieces of another one and new bytes.

use super::{Error, OBJECT_LIMIT};

/// The object that a delta makes of its base.
pub(super) fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, Error> {
    let wrong = || Error::invalid("damaged delta");
    let mut rest = delta.iter().copied();
    if size(&mut rest).ok_or_else(wrong)? != base.len() {
        return Err(wrong());
    }
    let length = size(&mut rest).ok_or_else(wrong)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > OBJECT_LIMIT {
        return Err(Error::TooLarge("object larger than 1 GiB"));
    }
    let mut out = Vec::with_capacity(length);
    while let Some(command) = rest.next() {
        if command & 0x80 != 0 {
            let offset = number(&mut rest, command, 4).ok_or_else(wrong)?;
            let count = match number(&mut rest, command >> 4, 3).ok_or_else(wrong)? {
                0 => 0x10000,
                count => count,
            };
            let end = offset.checked_add(count).ok_or_else(wrong)?;
            out.extend_from_slice(base.get(offset..end).ok_or_else(wrong)?);
        } else if command != 0 {
            let before = out.len();
            out.extend(rest.by_ref().take(usize::from(command)));
            if out.len().saturating_sub(before) != usize::from(command) {
                return Err(wrong());
            }
        } else {
            return Err(wrong());
        }
        if out.len() > length {
            return Err(wrong());
        }
    }
    if out.len() == length {
        Ok(out)
    } else {
        Err(wrong())
    }
}

/// Seven bits a byte, the lowest first.
fn size(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = bytes.next()?;
        value |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The bytes that the bits of `which` say are there, the lowest first.
fn number(bytes: &mut impl Iterator<Item = u8>, which: u8, count: u32) -> Option<usize> {
    let mut value = 0_usize;
    for at in 0..count {
        if which & (1 << at) != 0 {
            value |= usize::from(bytes.next()?) << at.saturating_mul(8);
        }
    }
    Some(value)
}

//! The numbers of tar headers.

use super::Time;
use crate::error::Error;

const INVALID: Error = Error::InvalidHeader {
    reason: "bad number",
};
const NANOSECONDS: i64 = 1_000_000_000;
const NANOSECOND_DIGITS: usize = 9;

/// A header field: octal digits among spaces and zeros, or, with the first bit set, a binary number.
pub(super) fn field(bytes: &[u8]) -> Result<i64, Error> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => binary(bytes),
        _ => octal(bytes),
    }
}

/// A header field that cannot be negative.
pub(super) fn size_field(bytes: &[u8]) -> Result<u64, Error> {
    u64::try_from(field(bytes)?).ok().ok_or(INVALID)
}

/// Two's complement, most significant byte first, its top bit replaced by the mark.
fn binary(bytes: &[u8]) -> Result<i64, Error> {
    let negative = bytes.first().is_some_and(|first| first & 0x40 != 0);
    let invert = if negative { 0xff } else { 0 };
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate() {
        let byte = byte ^ invert;
        let byte = if index == 0 { byte & 0x7f } else { byte };
        if value >> 56 != 0 {
            return Err(INVALID);
        }
        value = value << 8 | u64::from(byte);
    }
    let value = i64::try_from(value).ok().ok_or(INVALID)?;
    Ok(if negative { !value } else { value })
}

fn octal(bytes: &[u8]) -> Result<i64, Error> {
    let mut value = 0_u64;
    let mut digits = bytes
        .iter()
        .copied()
        .skip_while(|&byte| byte == b' ' || byte == 0);
    for byte in digits.by_ref() {
        match byte {
            b'0'..=b'7' if value >> 61 == 0 => {
                value = value << 3 | u64::from(byte.wrapping_sub(b'0'));
            }
            // What follows a zero byte is not part of the number.
            0 => break,
            b' ' if digits.all(|byte| byte == b' ' || byte == 0) => break,
            _ => return Err(INVALID),
        }
    }
    i64::try_from(value).ok().ok_or(INVALID)
}

/// A decimal number of an extended header.
pub(super) fn decimal(bytes: &[u8]) -> Result<u64, Error> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(INVALID)
}

/// A user or group number: the largest one means "leave as it is" to the kernel, so it is none.
pub(super) fn owner(value: i64) -> Result<u32, Error> {
    u32::try_from(value)
        .ok()
        .filter(|&id| id != u32::MAX)
        .ok_or(INVALID)
}

/// A time of an extended header: seconds, maybe negative, maybe with a fraction.
pub(super) fn time(bytes: &[u8]) -> Result<Time, Error> {
    let (negative, bytes) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let mut parts = bytes.splitn(2, |&byte| byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(seconds).ok().ok_or(INVALID)?;
    let nanoseconds = fraction(parts.next().unwrap_or_default())?;
    if !negative {
        return Ok(Time {
            seconds,
            nanoseconds: to_nanoseconds(nanoseconds),
        });
    }
    let seconds = seconds.wrapping_neg();
    if nanoseconds == 0 {
        return Ok(Time {
            seconds,
            nanoseconds: 0,
        });
    }
    let nanoseconds = to_nanoseconds(NANOSECONDS.saturating_sub(nanoseconds));
    Ok(Time {
        seconds: seconds.saturating_sub(1),
        nanoseconds,
    })
}

/// Nanoseconds of the digits after the point; further digits are cut off.
fn fraction(digits: &[u8]) -> Result<i64, Error> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(INVALID);
    }
    let padded = digits
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(NANOSECOND_DIGITS);
    Ok(padded.fold(0, |value: i64, digit| {
        value
            .wrapping_mul(10)
            .wrapping_add(i64::from(digit.wrapping_sub(b'0')))
    }))
}

fn to_nanoseconds(value: i64) -> u32 {
    u32::try_from(value).unwrap_or_default()
}

//! As much of DER as a public RSA key needs.

use super::wire::Reader;

/// `SEQUENCE { INTEGER, INTEGER }`: modulus and exponent.
pub(super) fn two_integers(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut inner = Reader(element(&mut Reader(bytes), 0x30)?);
    Some((element(&mut inner, 0x02)?, element(&mut inner, 0x02)?))
}

fn element<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    if reader.byte()? != tag {
        return None;
    }
    let short = reader.byte()?;
    let length = match short {
        0..=0x7f => usize::from(short),
        0x81..=0x83 => {
            let digits = reader.bytes(usize::from(short & 0x7f))?;
            digits
                .iter()
                .fold(0_usize, |sum, digit| (sum << 8) | usize::from(*digit))
        }
        _ => return None,
    };
    reader.bytes(length)
}

//! SSH's encoding of numbers and strings.

use std::io::{self, Read};

/// Bytes of a message, as with OpenSSH's agent.
pub(super) const MESSAGE_LIMIT: u32 = 256 << 10;

/// Takes fields from the front of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        let bytes = self.bytes(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.bytes(usize::try_from(count).ok()?)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }

    /// A number without sign, without zeros in front.
    pub(super) fn integer(&mut self) -> Option<&'a [u8]> {
        self.string().map(without_zeros)
    }
}

pub(super) fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// Puts fields behind each other.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// What is written here is far shorter than four gigabytes.
    pub(super) fn string(self, bytes: &[u8]) -> Self {
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut next = self.number(count);
        next.0.extend(bytes);
        next
    }

    /// A number without sign.
    pub(super) fn integer(self, bytes: &[u8]) -> Self {
        let bytes = without_zeros(bytes);
        if bytes.first().is_some_and(|byte| *byte >= 0x80) {
            let mut padded = vec![0];
            padded.extend(bytes);
            return self.string(&padded);
        }
        self.string(bytes)
    }
}

/// The next message; nothing when the other side has closed the connection between two.
pub(super) fn read_message(from: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let (first, rest) = length.split_at_mut(1);
    if from.read(first)? == 0 {
        return Ok(None);
    }
    from.read_exact(rest)?;
    let length = u32::from_be_bytes(length);
    if length == 0 || length > MESSAGE_LIMIT {
        let text = format!("agent message of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut message = Vec::new();
    let read = from.take(length.into()).read_to_end(&mut message)?;
    if u32::try_from(read).ok() != Some(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

//! Packet lines: four hexadecimal digits of length, then the bytes.

use super::Error;
use std::io::{self, Read};

/// The largest packet, its length included.
const PACKET_LIMIT: usize = 65_520;
/// Bytes of the length.
const LENGTH_BYTES: usize = 4;

/// Appends a packet with this text.
pub(super) fn write(out: &mut Vec<u8>, text: &str) {
    let length = text.len().saturating_add(LENGTH_BYTES);
    out.extend_from_slice(format!("{length:04x}").as_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the packet that ends a list.
pub(super) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// A packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// Some bytes.
    Data(&'a [u8]),
    /// The end of a list.
    Flush,
    /// The end of the stream.
    End,
}

/// Reads packets.
pub(super) struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
        }
    }

    /// The next packet.
    pub(super) fn next(&mut self) -> Result<Packet<'_>, Error> {
        let mut digits = [0; LENGTH_BYTES];
        if !self.fill(&mut digits)? {
            return Ok(Packet::End);
        }
        let length = std::str::from_utf8(&digits)
            .ok()
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .ok_or_else(|| Error::invalid("the server does not speak git's smart protocol"))?;
        match length {
            0 => return Ok(Packet::Flush),
            LENGTH_BYTES..=PACKET_LIMIT => {}
            _ => return Err(Error::invalid("packet of a wrong length")),
        }
        self.buffer.resize(length.saturating_sub(LENGTH_BYTES), 0);
        self.input
            .read_exact(&mut self.buffer)
            .map_err(Error::io("read from the git server"))?;
        Ok(Packet::Data(&self.buffer))
    }

    /// Fills the buffer; false when the stream has ended before its first byte.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, Error> {
        let failed = || Error::io("read from the git server");
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(failed()(io::Error::from(io::ErrorKind::UnexpectedEof))),
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed()(error)),
            }
        }
        Ok(true)
    }
}

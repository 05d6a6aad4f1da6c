//! What the monitor and its clients say to each other: frames of one kind byte, a length (32 bits, big
//! endian) and a payload, over a stream socket.
//!
//! Flow control: a client sends at most [`STDIN_WINDOW`] bytes of input that the monitor has not yet
//! reported as taken ([`Frame::StdinTaken`]), so that a signal never waits behind input nobody reads.

use crate::error::StartKind;
use std::io::{self, Read};

/// Longest payload that is accepted; anything longer is a broken peer.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// Bytes of input a client may have under way.
pub(crate) const STDIN_WINDOW: usize = 256 << 10;

const HEADER: usize = 5;
const READ_CHUNK: usize = 64 << 10;

/// What a client wants to take part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

impl Interest {
    pub(crate) fn to_byte(self) -> u8 {
        u8::from(self.stdin) | u8::from(self.stdout) << 1 | u8::from(self.stderr) << 2
    }

    pub(crate) fn from_byte(byte: u8) -> Self {
        Self {
            stdin: byte & 1 != 0,
            stdout: byte & 2 != 0,
            stderr: byte & 4 != 0,
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    // From clients.
    /// Must come first on `control.sock`.
    Hello(Interest),
    Stdin(Vec<u8>),
    CloseStdin,
    /// The client goes away on purpose: input stays open.
    Detach,
    Resize {
        rows: u16,
        columns: u16,
    },
    /// Answered by `Done` or `Refused`, as `Pause`, `Hold` and `Resume` are.
    Signal(i32),
    Pause,
    /// A pause that ends when the client goes, however it goes.
    Hold,
    Resume,
    // From the monitor.
    Started {
        pid: i32,
    },
    Failed {
        kind: StartKind,
        message: String,
    },
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    StdinTaken(u32),
    Done,
    Refused(String),
    Exit(i32),
}

impl Frame {
    /// Appends the frame's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(interest) => put(out, b'h', &[interest.to_byte()]),
            Self::Stdin(bytes) => put(out, b'i', bytes),
            Self::CloseStdin => put(out, b'c', &[]),
            Self::Detach => put(out, b'd', &[]),
            Self::Resize { rows, columns } => {
                let [a, b] = rows.to_be_bytes();
                let [c, d] = columns.to_be_bytes();
                put(out, b'r', &[a, b, c, d]);
            }
            Self::Signal(signal) => put(out, b's', &signal.to_be_bytes()),
            Self::Pause => put(out, b'p', &[]),
            Self::Hold => put(out, b'w', &[]),
            Self::Resume => put(out, b'u', &[]),
            Self::Started { pid } => put(out, b'S', &pid.to_be_bytes()),
            Self::Failed { kind, message } => {
                let mut payload = vec![kind.to_byte()];
                payload.extend_from_slice(message.as_bytes());
                put(out, b'F', &payload);
            }
            Self::Stdout(bytes) => put(out, b'O', bytes),
            Self::Stderr(bytes) => put(out, b'E', bytes),
            Self::StdinTaken(count) => put(out, b'T', &count.to_be_bytes()),
            Self::Done => put(out, b'D', &[]),
            Self::Refused(message) => put(out, b'R', message.as_bytes()),
            Self::Exit(code) => put(out, b'X', &code.to_be_bytes()),
        }
    }

    fn decode(kind: u8, payload: &[u8]) -> Option<Self> {
        Some(match kind {
            b'h' => Self::Hello(Interest::from_byte(*payload.first()?)),
            b'i' => Self::Stdin(payload.to_vec()),
            b'c' => Self::CloseStdin,
            b'd' => Self::Detach,
            b'r' => {
                let [a, b, c, d] = payload.try_into().ok()?;
                Self::Resize {
                    rows: u16::from_be_bytes([a, b]),
                    columns: u16::from_be_bytes([c, d]),
                }
            }
            b's' => Self::Signal(number(payload)?),
            b'p' => Self::Pause,
            b'w' => Self::Hold,
            b'u' => Self::Resume,
            b'S' => Self::Started {
                pid: number(payload)?,
            },
            b'F' => {
                let (kind, message) = payload.split_first()?;
                Self::Failed {
                    kind: StartKind::from_byte(*kind),
                    message: text(message),
                }
            }
            b'O' => Self::Stdout(payload.to_vec()),
            b'E' => Self::Stderr(payload.to_vec()),
            b'T' => Self::StdinTaken(u32::from_be_bytes(payload.try_into().ok()?)),
            b'D' => Self::Done,
            b'R' => Self::Refused(text(payload)),
            b'X' => Self::Exit(number(payload)?),
            _ => return None,
        })
    }
}

/// Appends a frame with output, without a copy of the bytes in between.
pub(crate) fn put_output(out: &mut Vec<u8>, stderr: bool, bytes: &[u8]) {
    put(out, if stderr { b'E' } else { b'O' }, bytes);
}

fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
}

fn number(payload: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(payload.try_into().ok()?))
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

/// Bytes in, frames out.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

/// What one read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Some bytes; there may be more.
    Some,
    /// The peer has nothing to say at the moment (non-blocking sockets).
    Nothing,
    /// The peer has gone.
    End,
}

impl Decoder {
    /// One read from the peer.
    pub(crate) fn fill(&mut self, mut source: impl Read) -> io::Result<Filled> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + READ_CHUNK, 0);
        let tail = self.buffer.get_mut(old..).unwrap_or_default();
        let outcome = loop {
            match source.read(tail) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer
            .truncate(old + outcome.as_ref().copied().unwrap_or(0));
        match outcome {
            Ok(0) => Ok(Filled::End),
            Ok(_) => Ok(Filled::Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Filled::End),
            Err(error) => Err(error),
        }
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let Some((&[kind, a, b, c, d], body)) = rest.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MAX_PAYLOAD {
            return Err(bad("a frame is too long"));
        }
        let Some(payload) = body.get(..length) else {
            return Ok(None);
        };
        let frame = Frame::decode(kind, payload).ok_or_else(|| bad("a frame makes no sense"))?;
        self.start += HEADER + length;
        Ok(Some(frame))
    }
}

fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests;

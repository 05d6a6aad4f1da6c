//! The log: docker's json-file format, one object for each line, or for each part of a long one.

use crate::logs::Stream;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// A line longer than this is written in parts.
pub(super) const PART_LIMIT: usize = 16 << 10;

/// Writes a container's log. The file is made with the first line. Trouble with it (a full disk) costs log
/// lines, never the container.
#[derive(Debug)]
pub(super) struct Log {
    path: Option<PathBuf>,
    file: Option<File>,
    /// Unfinished lines of standard output and standard error.
    partial: [Vec<u8>; 2],
    /// Lines on their way to the file.
    lines: Vec<u8>,
    /// The file may end within a line: the next one begins on a new one.
    torn: bool,
}

impl Log {
    /// `None` keeps nothing.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            file: None,
            partial: [Vec::new(), Vec::new()],
            lines: Vec::new(),
            torn: false,
        }
    }

    /// Takes output.
    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8], now: &str) {
        if self.path.is_none() {
            return;
        }
        let [stdout, stderr] = &mut self.partial;
        let partial = if stream == Stream::Stderr {
            stderr
        } else {
            stdout
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut piece = piece;
            while partial.len() + piece.len() > PART_LIMIT && !fits(partial, piece) {
                let (part, rest) = piece.split_at(PART_LIMIT - partial.len());
                partial.extend_from_slice(part);
                entry(&mut self.lines, stream, partial, now);
                partial.clear();
                piece = rest;
            }
            partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                entry(&mut self.lines, stream, partial, now);
                partial.clear();
            }
        }
        self.flush();
    }

    /// Writes the unfinished lines.
    pub(super) fn finish(&mut self, now: &str) {
        for (partial, stream) in self
            .partial
            .iter_mut()
            .zip([Stream::Stdout, Stream::Stderr])
        {
            if !partial.is_empty() {
                entry(&mut self.lines, stream, partial, now);
                partial.clear();
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        if self.file.is_none() {
            let path = self.path.as_deref();
            self.file =
                path.and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
        }
        if let Some(file) = &mut self.file {
            if self.torn {
                self.lines.insert(0, b'\n');
            }
            self.torn = file.write_all(&self.lines).is_err();
        }
        self.lines.clear();
    }
}

/// A line of exactly the limit keeps its line feed.
fn fits(partial: &[u8], piece: &[u8]) -> bool {
    piece.ends_with(b"\n") && partial.len() + piece.len() == PART_LIMIT + 1
}

/// One object and a line feed.
fn entry(out: &mut Vec<u8>, stream: Stream, text: &[u8], now: &str) {
    out.extend_from_slice(b"{\"log\":\"");
    escape(out, text);
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.as_str().as_bytes());
    out.extend_from_slice(b"\",\"time\":\"");
    out.extend_from_slice(now.as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// JSON's escapes as docker writes them; what is not UTF-8 becomes U+FFFD.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        escape_valid(out, chunk.valid());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Copies what needs no escape in whole runs.
fn escape_valid(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|byte| MAY_NEED_ESCAPE[usize::from(*byte)])
    {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let length = escape_first(out, tail);
        rest = tail.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Bytes that are escaped, and the first byte of the characters of three bytes that may be.
const MAY_NEED_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte, 0..0x20 | 0x22 | 0x26 | 0x3c | 0x3e | 0x5c | 0xe2);
        byte += 1;
    }
    table
};

/// Writes the first character, which may need an escape; its length.
fn escape_first(out: &mut Vec<u8>, text: &[u8]) -> usize {
    match text {
        [b'\n', ..] => out.extend_from_slice(b"\\n"),
        [b'\r', ..] => out.extend_from_slice(b"\\r"),
        [byte @ (b'"' | b'\\'), ..] => out.extend_from_slice(&[b'\\', *byte]),
        [0xe2, 0x80, 0xa8, ..] => {
            out.extend_from_slice(b"\\u2028");
            return 3;
        }
        [0xe2, 0x80, 0xa9, ..] => {
            out.extend_from_slice(b"\\u2029");
            return 3;
        }
        [0xe2, ..] => out.push(0xe2),
        [byte, ..] => out.extend_from_slice(&[
            b'\\',
            b'u',
            b'0',
            b'0',
            hex_digit(byte >> 4),
            hex_digit(byte & 15),
        ]),
        [] => {}
    }
    1
}

fn hex_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + (value - 10),
    }
}

#[cfg(test)]
mod tests;

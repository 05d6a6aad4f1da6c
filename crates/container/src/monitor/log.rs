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
}

impl Log {
    /// `None` keeps nothing.
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self {
            path,
            file: None,
            partial: [Vec::new(), Vec::new()],
            lines: Vec::new(),
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
            file.write_all(&self.lines).ok();
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
    let mut rest = text;
    while let Some(at) = rest.find(needs_escape) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let mut characters = tail.chars();
        match characters.next() {
            Some(character @ ('"' | '\\')) => out.extend_from_slice(&[b'\\', character as u8]),
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some(character) => escape_unicode(out, u32::from(character)),
            None => {}
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn needs_escape(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f' | '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}'
    )
}

fn escape_unicode(out: &mut Vec<u8>, code: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.extend(DIGITS.get((code >> shift & 15) as usize));
    }
}

#[cfg(test)]
mod tests;

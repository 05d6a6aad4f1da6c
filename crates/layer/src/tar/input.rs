//! The buffer that a tar is read through.

use std::io::{self, Read};

use super::BLOCK;
use crate::error::Error;

/// Size of the buffer: small enough to stay in a core's cache between inflating, hashing and writing.
const BUFFER_BYTES: usize = 256 << 10;

/// Contents up to this size are gathered, so that they are written by one call.
const GATHER_BYTES: usize = 64 << 10;

/// Buffered bytes of the reader, those in `start..end` unread.
#[derive(Debug)]
pub(crate) struct Input<R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Input<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// The next block; none at the end of the stream.
    pub(crate) fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        self.gather(BLOCK)?;
        match self.unread().first_chunk::<BLOCK>() {
            Some(block) => {
                let block = *block;
                self.consume(BLOCK);
                Ok(Some(block))
            }
            None if self.start == self.end => Ok(None),
            None => Err(Error::UnexpectedEof),
        }
    }

    /// Unread bytes, at least one and at most `limit`; they stay unread until [`consume`](Self::consume).
    pub(crate) fn chunk(&mut self, limit: u64) -> Result<&[u8], Error> {
        let want = usize::try_from(limit).unwrap_or(usize::MAX);
        self.gather(if want <= GATHER_BYTES { want } else { 1 })?;
        let unread = self.unread();
        let piece = unread.get(..want).unwrap_or(unread);
        if piece.is_empty() {
            Err(Error::UnexpectedEof)
        } else {
            Ok(piece)
        }
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Skips up to `count` bytes; returns how many there were.
    pub(crate) fn skip(&mut self, count: u64) -> Result<u64, Error> {
        let mut left = count;
        while left > 0 {
            self.gather(1)?;
            let unread = self.unread().len();
            if unread == 0 {
                break;
            }
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(unread);
            self.consume(step);
            left = left.saturating_sub(step as u64);
        }
        Ok(count.saturating_sub(left))
    }

    /// Appends the next `count` bytes to `target`, which grows as they come.
    pub(crate) fn read_into(&mut self, target: &mut Vec<u8>, count: u64) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let piece = self.chunk(left)?;
            target.extend_from_slice(piece);
            let read = piece.len();
            self.consume(read);
            left = left.saturating_sub(read as u64);
        }
        Ok(())
    }

    /// Reads to the end of the stream; false when there are more than `limit` bytes.
    pub(crate) fn drain(&mut self, limit: u64) -> Result<bool, Error> {
        let count = self.skip(limit)?;
        if count < limit {
            return Ok(true);
        }
        self.gather(1)?;
        Ok(self.unread().is_empty())
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Makes at least `want` unread bytes contiguous, unless the stream ends before.
    fn gather(&mut self, want: usize) -> Result<(), Error> {
        if self.end.saturating_sub(self.start) >= want {
            return Ok(());
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start.saturating_add(want) > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        }
        while self.end.saturating_sub(self.start) < want {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => return Ok(()),
                Ok(count) => self.end = self.end.saturating_add(count).min(self.buffer.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_reader(error)),
            }
        }
        Ok(())
    }
}

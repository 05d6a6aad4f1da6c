//! gzip, member after member.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use crate::error::Error;

/// The format's only window size, 32 KiB.
const WINDOW_BITS: u8 = 15;

/// Inflates the members of a gzip file, checking each one's sum and length.
pub(super) struct GzipReader<B> {
    input: B,
    inflate: Decompress,
    /// Nothing of the current member is read.
    fresh: bool,
    /// Compressed bytes of the members before.
    offset: u64,
}

impl<B: BufRead> GzipReader<B> {
    pub(super) fn new(input: B) -> Self {
        Self {
            input,
            inflate: Decompress::new_gzip(WINDOW_BITS),
            fresh: true,
            offset: 0,
        }
    }

    pub(super) fn into_inner(self) -> B {
        self.input
    }

    /// One step; returns how many bytes were made, and whether there can be more.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() {
            return if self.fresh {
                Ok((0, false))
            } else {
                Err(Error::UnexpectedEof.into())
            };
        }
        self.fresh = false;
        let (read, made) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(bytes, buffer, FlushDecompress::None);
        let read = self.inflate.total_in().saturating_sub(read);
        let made = self.inflate.total_out().saturating_sub(made);
        self.input
            .consume(usize::try_from(read).unwrap_or_default());
        match status {
            Ok(Status::StreamEnd) => self.next_member(),
            Ok(Status::Ok | Status::BufError) if read == 0 && made == 0 => {
                return Err(self.corrupt(None));
            }
            Ok(Status::Ok | Status::BufError) => {}
            Err(error) => return Err(self.corrupt(Some(&error))),
        }
        Ok((usize::try_from(made).unwrap_or_default(), true))
    }

    fn next_member(&mut self) {
        self.offset = self.offset.saturating_add(self.inflate.total_in());
        self.inflate = Decompress::new_gzip(WINDOW_BITS);
        self.fresh = true;
    }

    fn corrupt(&self, error: Option<&DecompressError>) -> io::Error {
        let message = error.and_then(DecompressError::message).unwrap_or_default();
        let offset = self.offset.saturating_add(self.inflate.total_in());
        Error::Corrupt(match message {
            "incorrect header check"
            | "unknown compression method"
            | "header crc mismatch"
            | "unknown header flags set" => "gzip: invalid header".to_owned(),
            "incorrect data check" | "incorrect length check" => {
                "gzip: invalid checksum".to_owned()
            }
            _ => format!("flate: corrupt input before offset {offset}"),
        })
        .into()
    }
}

impl<B: BufRead> Read for GzipReader<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let (made, more) = self.step(buffer)?;
            if made > 0 || !more {
                return Ok(made);
            }
        }
    }
}

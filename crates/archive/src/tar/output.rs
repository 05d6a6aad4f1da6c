//! Writing a tar whose files arrive one after the other.

use super::{BLOCK, header, padding_of};
use crate::ArchiveError;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of the two blocks of zeros at the end.
const END_BYTES: usize = 2 * BLOCK;

/// Where a tar is written to. In a file, a blob that turned out wrong is taken back; a stream is spoilt
/// by it.
pub struct TarOutput {
    target: Target,
    /// Bytes written.
    position: u64,
    /// Where the entry began that is being written.
    open: Option<u64>,
    name: String,
}

enum Target {
    File(File),
    /// A descriptor that only goes forward: a pipe, or a file that somebody else has written to.
    Pipe(File),
    Stream(Box<dyn Write + Send>),
}

impl TarOutput {
    /// Writes into a file, from its beginning.
    pub fn file(file: File, name: impl Into<String>) -> Self {
        Self::new(Target::File(file), name.into())
    }

    /// Writes to a descriptor that only goes forward, such as standard output. Blobs that are files reach it
    /// without passing through this process. `name` is what errors call it.
    pub fn pipe(file: File, name: impl Into<String>) -> Self {
        Self::new(Target::Pipe(file), name.into())
    }

    /// Writes to a stream. `name` is what errors call it: `/dev/stdout`.
    pub fn stream(stream: Box<dyn Write + Send>, name: impl Into<String>) -> Self {
        Self::new(Target::Stream(stream), name.into())
    }

    fn new(target: Target, name: String) -> Self {
        Self {
            target,
            position: 0,
            open: None,
            name,
        }
    }

    /// Writes a whole file, or a folder when the name ends in a slash.
    pub(crate) fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.begin(name, bytes.len() as u64)?;
        self.put(bytes)?;
        self.end(bytes.len() as u64)
    }

    /// Begins a file of this size. An earlier one that was never ended is taken back.
    pub(crate) fn begin(&mut self, name: &str, size: u64) -> Result<(), ArchiveError> {
        self.roll_back()?;
        self.open = Some(self.position);
        self.put(&header::write(name, size))
    }

    /// Ends a file of this size, all of which was written.
    pub(crate) fn end(&mut self, size: u64) -> Result<(), ArchiveError> {
        let padding = usize::try_from(padding_of(size)).unwrap_or_default();
        self.put([0; BLOCK].get(..padding).unwrap_or_default())?;
        self.open = None;
        Ok(())
    }

    /// Takes back a file that was begun and not ended.
    pub(crate) fn roll_back(&mut self) -> Result<(), ArchiveError> {
        let Some(start) = self.open else {
            return Ok(());
        };
        let Target::File(file) = &mut self.target else {
            return Err(ArchiveError::Broken);
        };
        file.set_len(start)
            .and_then(|()| file.seek(SeekFrom::Start(start)))
            .map_err(ArchiveError::io(format!("truncate {}", self.name)))?;
        self.position = start;
        self.open = None;
        Ok(())
    }

    /// Whether a file that is wrong can be taken back.
    pub(crate) fn can_roll_back(&self) -> bool {
        matches!(self.target, Target::File(_))
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let written = match &mut self.target {
            Target::File(file) | Target::Pipe(file) => file.write_all(bytes),
            Target::Stream(stream) => stream.write_all(bytes),
        };
        written.map_err(ArchiveError::io(format!("write {}", self.name)))?;
        self.position = self.position.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Copies from a file, without the bytes passing through this process where the kernel can do that.
    pub(crate) fn put_file(&mut self, from: &mut File, size: u64) -> Result<(), ArchiveError> {
        let mut from = from.take(size);
        let copied = match &mut self.target {
            Target::File(file) | Target::Pipe(file) => io::copy(&mut from, file),
            Target::Stream(stream) => io::copy(&mut from, stream),
        };
        let copied = copied.map_err(ArchiveError::io(format!("write {}", self.name)))?;
        self.position = self.position.saturating_add(copied);
        if copied < size {
            return Err(ArchiveError::UnexpectedEof);
        }
        Ok(())
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(&mut self) -> Result<(), ArchiveError> {
        self.roll_back()?;
        self.put(&[0; END_BYTES])?;
        let flushed = match &mut self.target {
            Target::File(file) | Target::Pipe(file) => file.flush(),
            Target::Stream(stream) => stream.flush(),
        };
        flushed.map_err(ArchiveError::io(format!("write {}", self.name)))
    }
}

impl fmt::Debug for TarOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TarOutput")
            .field("name", &self.name)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

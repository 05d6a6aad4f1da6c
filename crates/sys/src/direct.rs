//! Writing a large file past the page cache: a fresh cached page costs more than the copy into it.
//!
//! Bytes are gathered in an aligned buffer and written a buffer at a time with `O_DIRECT`. What is left at the end, less
//! than a block, is written after the flag is taken off. A file system that refuses the flag gets ordinary writes, and
//! so do downloads ([`DirectWriter::resume_cached`]).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// Bytes of one write, at most.
pub const BUFFER_BYTES: usize = 1 << 20;

/// Bytes of one write through the page cache, at most.
const CACHED_BYTES: usize = 64 << 10;

/// What addresses, offsets and lengths of direct writes are multiples of: the largest logical block in use.
pub const BLOCK_BYTES: usize = 4096;

/// A file that is written from one position on, sequentially. Bytes not yet written are lost when it is dropped
/// without [`finish`](Self::finish).
#[derive(Debug)]
pub struct DirectWriter {
    file: File,
    /// `capacity` and room for the alignment.
    memory: Vec<u8>,
    /// Bytes gathered for one write.
    capacity: usize,
    /// Where the aligned buffer starts in `memory`.
    start: usize,
    filled: usize,
    /// How much of the buffer is written: more than none only after an error.
    flushed: usize,
    /// Length of the file as far as it is written.
    written: u64,
    direct: bool,
}

impl DirectWriter {
    /// Creates `name` in `dir`, which must not exist.
    pub fn create(dir: impl AsFd, name: impl Arg, mode: u32) -> io::Result<Self> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))?;
        Self::new(File::from(fd), 0, BUFFER_BYTES, true)
    }

    /// Continues `file`, opened for writing, after its first `length` bytes. What follows is cut off, and so is the
    /// beginning of a last block: [`position`](Self::position) tells where the next byte goes.
    pub fn resume(file: File, length: u64) -> io::Result<Self> {
        let length = length.min(file.metadata()?.len());
        Self::new(
            file,
            length - length % BLOCK_BYTES as u64,
            BUFFER_BYTES,
            true,
        )
    }

    /// Like [`resume`](Self::resume), through the page cache and in small writes: for bytes that come from a network.
    /// A sender that is faster than the disk does not have to wait with what it has sent already, all of which is lost
    /// when the receiver is killed.
    pub fn resume_cached(file: File, length: u64) -> io::Result<Self> {
        let length = length.min(file.metadata()?.len());
        Self::new(
            file,
            length - length % BLOCK_BYTES as u64,
            CACHED_BYTES,
            false,
        )
    }

    fn new(file: File, written: u64, capacity: usize, direct: bool) -> io::Result<Self> {
        file.set_len(written)?;
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(written))?;
        let memory = vec![0; capacity + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        let direct = direct && set_direct(&file, true).is_ok();
        Ok(Self {
            file,
            memory,
            capacity,
            start,
            filled: 0,
            flushed: 0,
            written,
            direct,
        })
    }

    /// How many bytes of the file are written or buffered.
    pub fn position(&self) -> u64 {
        self.written + (self.filled - self.flushed) as u64
    }

    /// How many bytes of the file the kernel has: what another process may rely on to resume.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The bytes that are only buffered.
    pub fn buffered(&self) -> &[u8] {
        &self.memory[self.start + self.flushed..self.start + self.filled]
    }

    /// Writes the whole blocks of the buffer, so that less is lost when the process dies. The rest stays buffered.
    pub fn write_blocks(&mut self) -> io::Result<()> {
        let end = self.filled - self.filled % BLOCK_BYTES;
        self.write_buffered(end)?;
        self.memory
            .copy_within(self.start + end..self.start + self.filled, self.start);
        (self.filled, self.flushed) = (self.filled - end, 0);
        Ok(())
    }

    /// Whether the page cache is bypassed.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Writes everything out, to the last odd byte. Nothing can be written after it: the position is not aligned any more.
    pub fn finish(mut self) -> io::Result<File> {
        self.write_tail()?;
        Ok(self.file)
    }

    /// Like [`finish`](Self::finish), and makes the bytes durable.
    pub fn finish_durable(self) -> io::Result<File> {
        let file = self.finish()?;
        crate::durable::sync_data(&file)?;
        Ok(file)
    }

    fn write_tail(&mut self) -> io::Result<()> {
        self.write_buffered(self.filled - self.filled % BLOCK_BYTES)?;
        self.leave_direct()?;
        self.write_buffered(self.filled)
    }

    /// Writes the buffer's bytes before `end`.
    fn write_buffered(&mut self, end: usize) -> io::Result<()> {
        while self.flushed < end {
            let bytes = &self.memory[self.start + self.flushed..self.start + end];
            match rustix::io::write(&self.file, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.flushed += count;
                    self.written += count as u64;
                    // A short write, as before a full disk, may end inside a block.
                    if count % BLOCK_BYTES != 0 {
                        self.leave_direct()?;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) if self.direct => self.leave_direct()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        if self.direct {
            set_direct(&self.file, false)?;
            self.direct = false;
        }
        Ok(())
    }
}

impl Write for DirectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.filled == self.capacity {
            self.write_buffered(self.capacity)?;
            (self.filled, self.flushed) = (0, 0);
        }
        let count = bytes.len().min(self.capacity - self.filled);
        let at = self.start + self.filled;
        self.memory[at..at + count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        Ok(count)
    }

    /// Does nothing: only whole buffers are written before the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for DirectWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn set_direct(file: &File, on: bool) -> rustix::io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    let flags = if on {
        flags | OFlags::DIRECT
    } else {
        flags - OFlags::DIRECT
    };
    rustix::fs::fcntl_setfl(file, flags)
}

#[cfg(test)]
mod tests;

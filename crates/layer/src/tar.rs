//! Reading a tar: one entry at a time, from the front, as Go's `archive/tar` understands it.
//!
//! Docker reads layers with that package, so where tar dialects disagree its reading is the right one: two readers that
//! see different entries in the same bytes are how a layer hides something. In particular: kinds without content have
//! none whatever their size field says; the size in an extended header always overrides; global extended headers are
//! skipped; an extended header describes the next entry only.

use std::io::Read;

use crate::error::{Error, Limited};
use crate::limits::Limits;

mod header;
mod input;
mod number;
mod pax;
mod sparse;
mod write;

pub(crate) use input::Input;
pub(crate) use sparse::Segment;
pub use write::{Metadata, TarWriter};

use header::Header;
use pax::Pax;

/// Unit of everything in a tar.
pub(crate) const BLOCK: usize = 512;
/// The bits of a length that are not whole blocks.
const OFFSET_BITS: u64 = 511;

/// A point in time: seconds since the epoch, and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, less than a thousand million.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    Other(u8),
}

/// The current entry; its buffers are used again for the next one.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As the archive has it, not cleaned.
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permission bits, with set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The file's size, holes included; 0 for everything else.
    pub(crate) size: u64,
    pub(crate) mtime: Time,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the content goes when it is not in one piece from 0 on.
    pub(crate) sparse: Option<Vec<Segment>>,
}

/// An archive that is read from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Archive<'l, R> {
    input: Input<R>,
    limits: &'l Limits,
    entry: Entry,
    /// Entries so far, global headers included.
    entries: u64,
    /// Unread bytes of the current entry's content, and the padding after them.
    remaining: u64,
    padding: u64,
    pax: Pax,
    long_name: Vec<u8>,
    long_link: Vec<u8>,
    /// Content of the extension that is being read.
    scratch: Vec<u8>,
}

impl<'l, R: Read> Archive<'l, R> {
    pub(crate) fn new(reader: R, limits: &'l Limits) -> Self {
        Self {
            input: Input::new(reader),
            limits,
            entry: Entry::empty(),
            entries: 0,
            remaining: 0,
            padding: 0,
            pax: Pax::default(),
            long_name: Vec::new(),
            long_link: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Goes to the next entry; false at the end of the archive.
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        if !self.skip_content()? {
            return Ok(false);
        }
        self.forget_extensions();
        let mut budget = self.limits.extension_bytes;
        loop {
            let Some(block) = self.next_header()? else {
                return Ok(false);
            };
            let header = Header::parse(&block)?;
            match header.kind {
                b'x' => {
                    self.read_extension(&header, &mut budget)?;
                    self.pax.parse(&self.scratch, self.limits)?;
                }
                b'L' => {
                    self.read_extension(&header, &mut budget)?;
                    replace(&mut self.long_name, header::until_nul(&self.scratch));
                }
                b'K' => {
                    self.read_extension(&header, &mut budget)?;
                    replace(&mut self.long_link, header::until_nul(&self.scratch));
                }
                b'g' => {
                    self.read_extension(&header, &mut budget)?;
                    self.forget_extensions();
                    self.count_entry()?;
                }
                _ => {
                    self.count_entry()?;
                    self.take_entry(&block, &header, &mut budget)?;
                    return Ok(true);
                }
            }
        }
    }

    /// The current entry, and its content.
    pub(crate) fn current(&mut self) -> (&Entry, Content<'_, R>) {
        let content = Content {
            input: &mut self.input,
            remaining: &mut self.remaining,
        };
        (&self.entry, content)
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Reads what follows the archive's end.
    pub(crate) fn drain(&mut self) -> Result<(), Error> {
        if self.input.drain(self.limits.trailing_bytes)? {
            return Ok(());
        }
        Err(Error::limit(
            Limited::TrailingBytes,
            self.limits.trailing_bytes,
        ))
    }

    /// Skips what is left of the current content; false when the stream ends within the padding, as some writers leave it.
    fn skip_content(&mut self) -> Result<bool, Error> {
        if self.input.skip(self.remaining)? < self.remaining {
            return Err(Error::UnexpectedEof);
        }
        let padded = self.input.skip(self.padding)? == self.padding;
        (self.remaining, self.padding) = (0, 0);
        Ok(padded)
    }

    fn forget_extensions(&mut self) {
        self.pax.clear();
        self.long_name.clear();
        self.long_link.clear();
    }

    /// The next header's block; none at the end of the archive, which is the end of the stream or two blocks of zeros.
    fn next_header(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        const ZEROS: [u8; BLOCK] = [0; BLOCK];
        match self.input.block()? {
            Some(block) if block == ZEROS => match self.input.block()? {
                None | Some(ZEROS) => Ok(None),
                Some(_) => Err(Error::InvalidHeader {
                    reason: "single block of zeros",
                }),
            },
            other => Ok(other),
        }
    }

    fn count_entry(&mut self) -> Result<(), Error> {
        if self.entries >= self.limits.entries {
            return Err(Error::limit(Limited::Entries, self.limits.entries));
        }
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }

    /// Takes `bytes` from what the extensions of one entry may have.
    fn spend(&self, budget: &mut u64, bytes: u64) -> Result<(), Error> {
        let limit = self.limits.extension_bytes;
        let left = budget.checked_sub(bytes);
        *budget = left.ok_or_else(|| Error::limit(Limited::ExtensionBytes, limit))?;
        Ok(())
    }

    /// Reads the content of an entry that describes the next one into `scratch`.
    fn read_extension(&mut self, header: &Header, budget: &mut u64) -> Result<(), Error> {
        self.spend(budget, header.size.saturating_add(BLOCK as u64))?;
        self.scratch.clear();
        self.input.read_into(&mut self.scratch, header.size)?;
        let padding = padding_of(header.size);
        if self.input.skip(padding)? < padding {
            return Err(Error::UnexpectedEof);
        }
        Ok(())
    }

    /// Merges the header and the extensions before it into the current entry.
    fn take_entry(
        &mut self,
        block: &[u8; BLOCK],
        header: &Header,
        budget: &mut u64,
    ) -> Result<(), Error> {
        let entry = &mut self.entry;
        header.name_into(block, &mut entry.name);
        replace(&mut entry.link, Header::link(block));
        merge_name(&mut entry.name, &self.pax.path, &self.long_name);
        merge_name(&mut entry.link, &self.pax.linkpath, &self.long_link);
        entry.kind = kind_of(header.kind, &entry.name);
        entry.mode = header.mode;
        entry.uid = self.pax.uid.map_or_else(|| Header::uid(block), Ok)?;
        entry.gid = self.pax.gid.map_or_else(|| Header::gid(block), Ok)?;
        entry.mtime = self.pax.mtime.unwrap_or(header.mtime);
        entry.device = match entry.kind {
            Kind::CharDevice | Kind::BlockDevice => header.device(block)?,
            _ => (0, 0),
        };
        entry.xattrs.clear();
        entry.xattrs.append(&mut self.pax.xattrs);
        entry.sparse = None;
        entry.size = match entry.kind {
            Kind::File | Kind::Other(_) => self.pax.size.unwrap_or(header.size),
            _ => 0,
        };
        self.remaining = entry.size;
        self.padding = padding_of(entry.size);
        self.take_sparse_map(block, header, budget)?;
        self.check_paths()
    }

    fn take_sparse_map(
        &mut self,
        block: &[u8; BLOCK],
        header: &Header,
        budget: &mut u64,
    ) -> Result<(), Error> {
        let map = if header.kind == b'S' {
            let (mut map, more) = sparse::gnu_header(block, header)?;
            self.read_gnu_extensions(&mut map, more, budget)?;
            self.entry.size = sparse::gnu_real_size(block)?;
            map
        } else {
            match self.pax.sparse.version()? {
                None => return Ok(()),
                Some(sparse::Version::InHeader) => self.pax.sparse.header_map()?,
                Some(sparse::Version::InContent) => self.read_content_map(budget)?,
            }
        };
        if !self.pax.sparse.name.is_empty() {
            replace(&mut self.entry.name, &self.pax.sparse.name);
        }
        if let (Some(size), false) = (self.pax.sparse.size, header.kind == b'S') {
            self.entry.size = size;
        }
        if self.entry.kind != Kind::File {
            return Err(Error::InvalidHeader {
                reason: "sparse map of something without content",
            });
        }
        sparse::validate(&map, self.entry.size, self.remaining)?;
        self.entry.sparse = Some(map);
        Ok(())
    }

    /// The blocks of a sparse map that follow an old GNU header.
    fn read_gnu_extensions(
        &mut self,
        map: &mut Vec<Segment>,
        mut more: bool,
        budget: &mut u64,
    ) -> Result<(), Error> {
        while more {
            self.spend(budget, BLOCK as u64)?;
            let block = self.input.block()?.ok_or(Error::UnexpectedEof)?;
            more = sparse::gnu_extension(&block, map)?;
        }
        Ok(())
    }

    /// The sparse map at the beginning of the content, in whole blocks.
    fn read_content_map(&mut self, budget: &mut u64) -> Result<Vec<Segment>, Error> {
        let mut parser = sparse::ContentMap::default();
        loop {
            self.spend(budget, BLOCK as u64)?;
            let left = self.remaining.checked_sub(BLOCK as u64);
            self.remaining = left.ok_or(Error::InvalidHeader {
                reason: "sparse map longer than its file",
            })?;
            let block = self.input.block()?.ok_or(Error::UnexpectedEof)?;
            if parser.feed(&block)? {
                return Ok(parser.into_map());
            }
        }
    }

    fn check_paths(&self) -> Result<(), Error> {
        let longest = self.entry.name.len().max(self.entry.link.len());
        if longest > self.limits.path_bytes {
            return Err(Error::limit(Limited::PathBytes, self.limits.path_bytes));
        }
        Ok(())
    }
}

impl Entry {
    fn empty() -> Self {
        Self {
            name: Vec::new(),
            link: Vec::new(),
            kind: Kind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}

/// The unread content of the current entry.
#[derive(Debug)]
pub(crate) struct Content<'a, R> {
    input: &'a mut Input<R>,
    remaining: &'a mut u64,
}

impl<R: Read> Content<'_, R> {
    /// Hands the next `length` bytes to `sink`, in pieces that are as large as the buffer allows.
    pub(crate) fn copy(
        &mut self,
        length: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = length.min(*self.remaining);
        *self.remaining = self.remaining.saturating_sub(left);
        while left > 0 {
            let piece = self.input.chunk(left)?;
            sink(piece)?;
            let count = piece.len();
            self.input.consume(count);
            left = left.saturating_sub(count as u64);
        }
        Ok(())
    }
}

fn kind_of(kind: u8, name: &[u8]) -> Kind {
    match kind {
        // Archives from before there was a type for them name directories with a slash.
        0 if name.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

/// A GNU long name wins over an extended header's, and both over the header's own.
fn merge_name(name: &mut Vec<u8>, pax: &[u8], gnu: &[u8]) {
    if !gnu.is_empty() {
        replace(name, gnu);
    } else if !pax.is_empty() {
        replace(name, pax);
    }
}

fn replace(target: &mut Vec<u8>, bytes: &[u8]) {
    target.clear();
    target.extend_from_slice(bytes);
}

/// How many bytes follow `size` bytes up to the next block.
fn padding_of(size: u64) -> u64 {
    size.wrapping_neg() & OFFSET_BITS
}

#[cfg(test)]
mod tests;

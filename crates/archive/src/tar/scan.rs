//! Where the files of a tar are.
//!
//! Go's reading of tars is followed, because docker reads with it: kinds without content have none
//! whatever their size field says, the size in an extended header overrides, an extended header
//! describes the next entry only.

use super::header::{Header, invalid, until_nul};
use super::{BLOCK, padding_of};
use crate::{ArchiveError, limits, path};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A file's bytes within the tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: u64,
    pub(crate) size: u64,
}

/// What a path of the tar is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    File(Place),
    /// Another path of the archive; none when it leads out of it.
    Link(Option<String>),
    /// Two entries have the name: readers may disagree on which one counts.
    Twice,
    /// Something that is no file.
    Other(&'static str),
}

/// The files of a tar by path.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: BTreeMap<String, Slot>,
}

impl Table {
    /// The place of a file, links followed; none when there is no such entry.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Place>, ArchiveError> {
        let bad = |reason| ArchiveError::BadPath {
            path: name.to_owned(),
            reason,
        };
        let mut current = path::clean(name).ok_or_else(|| bad("path leads out of the archive"))?;
        for _ in 0..=limits::LINKS {
            match self.slots.get(&current) {
                None => return Ok(None),
                Some(Slot::File(place)) => return Ok(Some(*place)),
                Some(Slot::Twice) => return Err(bad("is in the archive twice")),
                Some(Slot::Other(what)) => return Err(bad(what)),
                Some(Slot::Link(None)) => return Err(bad("link leads out of the archive")),
                Some(Slot::Link(Some(next))) => current.clone_from(next),
            }
        }
        Err(bad("too many levels of symbolic links"))
    }

    /// Folders may come again; of anything else there is to be one.
    fn insert(&mut self, name: &[u8], slot: Slot) {
        // A path that leads out, or is no text, cannot be looked up: it may as well not be there.
        let Some(name) = std::str::from_utf8(name).ok().and_then(path::clean) else {
            return;
        };
        let folder = Slot::Other("is a directory");
        match self.slots.get(&name) {
            Some(old) if *old == folder && slot == folder => {}
            Some(_) => {
                self.slots.insert(name, Slot::Twice);
            }
            None => {
                self.slots.insert(name, slot);
            }
        }
    }
}

/// Reads the headers of a tar.
pub(crate) fn scan(file: &File) -> Result<Table, ArchiveError> {
    scan_bounded(file, limits::ENTRIES)
}

/// The same with another limit.
pub(super) fn scan_bounded(file: &File, limit: usize) -> Result<Table, ArchiveError> {
    let length = file
        .metadata()
        .map_err(ArchiveError::io("stat archive"))?
        .len();
    let mut scanner = Scanner {
        file,
        length,
        position: 0,
        extension: Extension::default(),
        table: Table::default(),
    };
    let mut entries = 0_usize;
    // Nothing at all is no tar that was cut off: as in Go, it has no entries.
    while length > 0 && scanner.entry()? {
        entries = entries.saturating_add(1);
        if entries > limit {
            return Err(ArchiveError::Limit {
                what: "entries",
                limit: limit as u64,
            });
        }
    }
    Ok(scanner.table)
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

struct Scanner<'a> {
    file: &'a File,
    length: u64,
    position: u64,
    extension: Extension,
    table: Table,
}

impl Scanner<'_> {
    /// Takes one header and what belongs to it; false at the end of the archive.
    fn entry(&mut self) -> Result<bool, ArchiveError> {
        const ZEROS: [u8; BLOCK] = [0; BLOCK];
        let block = self.block()?;
        if block == ZEROS {
            let more = self.length.saturating_sub(self.position) >= BLOCK as u64;
            if more && self.block()? != ZEROS {
                return Err(invalid("single block of zeros"));
            }
            return Ok(false);
        }
        let header = Header::check(&block)?;
        match header.kind() {
            b'x' => {
                let records = self.extension(header.size()?)?;
                self.extension.take_records(&records)?;
            }
            b'g' => {
                self.extension(header.size()?)?;
            }
            b'L' => {
                let name = self.extension(header.size()?)?;
                self.extension.name = Some(until_nul(&name).to_vec());
            }
            b'K' => {
                let link = self.extension(header.size()?)?;
                self.extension.link = Some(until_nul(&link).to_vec());
            }
            kind => self.content(kind, &header)?,
        }
        Ok(true)
    }

    fn content(&mut self, kind: u8, header: &Header<'_>) -> Result<(), ArchiveError> {
        let extension = std::mem::take(&mut self.extension);
        let name = extension.name.unwrap_or_else(|| header.name());
        let link = extension.link.unwrap_or_else(|| header.link());
        if name.len() > limits::PATH_BYTES || link.len() > limits::PATH_BYTES {
            return Err(ArchiveError::Limit {
                what: "bytes in a path",
                limit: limits::PATH_BYTES as u64,
            });
        }
        let kind = match kind {
            0 if name.ends_with(b"/") => b'5',
            0 | b'7' => b'0',
            other => other,
        };
        if kind == b'S' || extension.sparse {
            return Err(ArchiveError::Unsupported {
                path: String::from_utf8_lossy(&name).into_owned(),
                reason: "sparse file in an image archive".to_owned(),
            });
        }
        let size = match kind {
            b'1'..=b'6' => 0,
            _ => extension.size.map_or_else(|| header.size(), Ok)?,
        };
        let start = self.position;
        self.skip(size)?;
        let slot = match kind {
            b'0' => Slot::File(Place { start, size }),
            b'1' => Slot::Link(std::str::from_utf8(&link).ok().and_then(path::clean)),
            b'2' => Slot::Link(symlink(&name, &link)),
            b'5' => Slot::Other("is a directory"),
            _ => Slot::Other("is not a regular file"),
        };
        self.table.insert(&name, slot);
        Ok(())
    }

    /// The content of an entry that describes the next one.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > limits::EXTENSION_BYTES {
            return Err(ArchiveError::Limit {
                what: "bytes in an extended header",
                limit: limits::EXTENSION_BYTES,
            });
        }
        let start = self.position;
        self.skip(size)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.read(&mut bytes, start)?;
        Ok(bytes)
    }

    /// Goes over content and the padding after it, all of which has to be there.
    fn skip(&mut self, size: u64) -> Result<(), ArchiveError> {
        let end = size
            .checked_add(padding_of(size))
            .and_then(|whole| self.position.checked_add(whole))
            .filter(|end| *end <= self.length);
        self.position = end.ok_or(ArchiveError::UnexpectedEof)?;
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let start = self.position;
        self.skip(BLOCK as u64)?;
        let mut block = [0; BLOCK];
        self.read(&mut block, start)?;
        Ok(block)
    }

    fn read(&self, bytes: &mut [u8], start: u64) -> Result<(), ArchiveError> {
        self.file
            .read_exact_at(bytes, start)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => ArchiveError::UnexpectedEof,
                _ => ArchiveError::io("read archive")(error),
            })
    }
}

fn symlink(name: &[u8], link: &[u8]) -> Option<String> {
    let name = path::clean(std::str::from_utf8(name).ok()?)?;
    path::follow(&name, std::str::from_utf8(link).ok()?)
}

impl Extension {
    /// Records are `LENGTH KEY=VALUE\n`, where the length counts all of it.
    fn take_records(&mut self, mut bytes: &[u8]) -> Result<(), ArchiveError> {
        const BAD: &str = "extended header is not valid";
        while !bytes.is_empty() {
            let blank = bytes.iter().position(|byte| *byte == b' ');
            let digits = blank.and_then(|blank| bytes.get(..blank));
            let length = digits
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| digits.parse::<usize>().ok());
            let (Some(blank), Some(length)) = (blank, length) else {
                return Err(invalid(BAD));
            };
            let (record, rest) = bytes.split_at_checked(length).ok_or(invalid(BAD))?;
            let record = record
                .get(blank.saturating_add(1)..)
                .and_then(|record| record.strip_suffix(b"\n"))
                .ok_or(invalid(BAD))?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = equals
                .and_then(|equals| record.split_at_checked(equals))
                .ok_or(invalid(BAD))?;
            self.take_record(key, value.get(1..).unwrap_or_default())?;
            bytes = rest;
        }
        Ok(())
    }

    fn take_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        match key {
            b"path" => self.name = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok();
                let size = size.and_then(|size| size.parse().ok());
                self.size = Some(size.ok_or(invalid("size is not a number"))?);
            }
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Ok(())
    }
}

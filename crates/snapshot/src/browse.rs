//! A merged tree, directory by directory: for whoever copies out of one or writes a layer for it.
//!
//! Nothing follows links here: a caller that wants to does it with [`Directory::read_link`], within the tree.

use crate::error::Error;
use crate::view::{Found, Merged, View};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// A directory of a merged tree. Cheap to clone; keeps one descriptor of each layer that has a part in it.
#[derive(Debug, Clone)]
pub struct Directory {
    merged: Arc<Merged>,
}

/// What a name in a [`Directory`] is.
#[derive(Debug)]
pub enum Item {
    /// A directory, and what the topmost layer says of it.
    Directory(Directory, Stat),
    /// Anything else.
    Other(Place),
}

/// Something that is not a directory, and where it lies.
#[derive(Debug)]
pub struct Place {
    directory: Arc<Merged>,
    part: usize,
    name: CString,
    /// What it is.
    pub stat: Stat,
}

impl View {
    /// The merged tree of these trees, the top one first.
    pub fn of(trees: &[PathBuf]) -> Result<Self, Error> {
        Self::open(trees.iter())
    }

    /// Its root directory.
    pub fn root(&self) -> Directory {
        Directory {
            merged: self.merged(),
        }
    }
}

impl Directory {
    /// What a name is; `None` when the tree has no such name. A name that no file can have is none.
    pub fn look_up(&self, name: &[u8]) -> io::Result<Option<Item>> {
        let Ok(name) = CString::new(name) else {
            return Ok(None);
        };
        Ok(match self.merged.look_up(&name)? {
            None => None,
            Some(Found::Directory(merged, stat)) => {
                let merged = Arc::new(merged);
                Some(Item::Directory(Self { merged }, stat))
            }
            Some(Found::Other { part, stat }) => Some(Item::Other(Place {
                directory: Arc::clone(&self.merged),
                part,
                name,
                stat,
            })),
        })
    }

    /// Every name in it, sorted by bytes. Some may be hidden by a layer above: [`look_up`](Self::look_up) tells.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let names = self.merged.names()?;
        Ok(names.into_iter().map(CString::into_bytes).collect())
    }

    /// What the topmost layer says of the directory itself.
    pub fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(self.merged.top()?)?)
    }

    /// The topmost layer's part of it, whose attributes are the directory's.
    pub fn top(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.merged.top()?)
    }
}

impl Place {
    /// The directory of the layer that has it, and its name there.
    pub fn at(&self) -> io::Result<(BorrowedFd<'_>, &[u8])> {
        Ok((self.directory.part(self.part)?, self.name.to_bytes()))
    }

    /// Opens a regular file to be read; anything else is refused.
    pub fn open(&self) -> io::Result<File> {
        if FileType::from_raw_mode(self.stat.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let dir = self.directory.part(self.part)?;
        Ok(File::from(rustix::fs::openat(
            dir,
            &self.name,
            flags,
            Mode::empty(),
        )?))
    }

    /// Where a symbolic link leads, as it is written.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        let dir = self.directory.part(self.part)?;
        Ok(rustix::fs::readlinkat(dir, &self.name, Vec::new())?.into_bytes())
    }
}

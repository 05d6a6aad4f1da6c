//! An overlay's upper directory as a layer's tar.
//!
//! The same tree gives the same bytes: names are sorted within their directory, a directory comes before what it holds,
//! owners are numbers, and nothing but the tree's own times is written. Whiteouts become `.wh.NAME`, the opaque mark becomes
//! `.wh..wh..opq`, first in its directory. Later names of a file are hard links to its first one. Sockets are left out.
//!
//! The tree may change meanwhile, as when a running container is committed: a file that is gone is left out, one that
//! shrinks is filled up with zeros to the size in its header.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::apply::OverlayMarks;
use crate::error::Error;
use crate::limits::Limits;
use crate::tar::{Metadata, TarWriter, Time};

mod attributes;
mod frame;

use attributes::Attributes;
use frame::{Frames, Name};

/// How [`diff`] reads the tree.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// How deep the tree may be, and how long its paths.
    pub limits: Limits,
    /// How opaque directories are marked.
    pub marks: OverlayMarks,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffStats {
    /// How many entries, whiteouts and opaque markers included.
    pub entries: u64,
    /// Sum of the sizes of regular files and of the targets of symbolic links.
    pub bytes: u64,
}

/// Writes the overlay upper directory `upper` to `out` as a tar, without an entry for its root. The caller flushes `out`.
pub fn diff(
    upper: BorrowedFd<'_>,
    out: impl Write,
    options: &DiffOptions,
) -> Result<DiffStats, Error> {
    let mut walk = Walk {
        frames: Frames::new(upper, &options.limits)?,
        tar: TarWriter::new(out),
        options,
        links: BTreeMap::new(),
        stats: DiffStats::default(),
    };
    walk.root()?;
    while let Some(name) = walk.frames.next() {
        walk.name(&name)?;
    }
    walk.tar.finish()?;
    Ok(walk.stats)
}

struct Walk<'a, W> {
    frames: Frames<'a>,
    tar: TarWriter<W>,
    options: &'a DiffOptions,
    /// First names of files that have several, by device and inode.
    links: BTreeMap<(u64, u64), Vec<u8>>,
    stats: DiffStats,
}

impl<W: Write> Walk<'_, W> {
    fn root(&mut self) -> Result<(), Error> {
        let fd = self.frames.fd()?;
        let attributes = Attributes::of_open(fd, self.options.marks)
            .map_err(|error| Error::file("getxattr", b".", error))?;
        if attributes.opaque {
            let stat = rustix::fs::fstat(fd).map_err(|errno| Error::file("fstat", b".", errno))?;
            self.opaque_marker(b"", &stat)?;
        }
        Ok(())
    }

    /// Writes what `name` of the current directory is; nothing when it is gone.
    fn name(&mut self, name: &Name) -> Result<(), Error> {
        let path = self.frames.path_of(&name.bytes)?;
        if name.bytes.starts_with(b".wh.") {
            // In a tar it would take something away from the layers below.
            return Err(Error::Unsupported {
                path: String::from_utf8_lossy(&path).into_owned(),
                reason: "a name that begins with .wh. marks a removed file and cannot be kept in a layer",
            });
        }
        let result = match name.file_type {
            FileType::RegularFile => self.file(&name.bytes, &path),
            FileType::Directory => self.directory(&name.bytes, &path),
            _ => self.other(&name.bytes, &path),
        };
        match result {
            // Reading comes after the header, when the entry cannot be left out any more.
            Err(Error::File {
                operation, source, ..
            }) if operation != "read" && is_gone(&source) => Ok(()),
            result => result,
        }
    }

    fn directory(&mut self, name: &[u8], path: &[u8]) -> Result<(), Error> {
        let fd = self.open(name, path, OFlags::DIRECTORY)?;
        let stat = stat_open(&fd, path)?;
        let attributes = self.attributes_of_open(fd.as_fd(), path)?;
        let with_slash = [path, b"/"].concat();
        self.entry(&metadata(&with_slash, &stat, b'5', &attributes))?;
        if attributes.opaque {
            self.opaque_marker(&with_slash, &stat)?;
        }
        self.frames.push(name, fd)
    }

    fn file(&mut self, name: &[u8], path: &[u8]) -> Result<(), Error> {
        let fd = self.open(name, path, OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = stat_open(&fd, path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        if self.link_to_first(path, &stat)? {
            return Ok(());
        }
        let attributes = self.attributes_of_open(fd.as_fd(), path)?;
        self.remember(path, &stat);
        let mut header = metadata(path, &stat, b'0', &attributes);
        header.size = u64::try_from(stat.st_size).unwrap_or_default();
        self.entry(&header)?;
        self.stats.bytes = self.stats.bytes.saturating_add(header.size);
        self.tar.content(header.size, |buffer| {
            rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut *buffer))
                .map_err(|errno| Error::file("read", path, errno))
        })
    }

    /// Everything that is not opened.
    fn other(&mut self, name: &[u8], path: &[u8]) -> Result<(), Error> {
        let dir = self.frames.fd()?;
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::file("lstat", path, errno))?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let kind = match file_type {
            FileType::CharacterDevice if stat.st_rdev == 0 => return self.whiteout(name, path),
            FileType::CharacterDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Fifo => b'6',
            FileType::Symlink => b'2',
            // It was a socket, or something else took the name meanwhile.
            _ => return Ok(()),
        };
        if self.link_to_first(path, &stat)? {
            return Ok(());
        }
        let dir = self.frames.fd()?;
        let attributes = Attributes::at(dir, name, self.options.marks)
            .map_err(|error| Error::file("lgetxattr", path, error))?;
        let target = match file_type {
            FileType::Symlink => rustix::fs::readlinkat(dir, name, Vec::new())
                .map_err(|errno| Error::file("readlink", path, errno))?
                .into_bytes(),
            _ => Vec::new(),
        };
        self.remember(path, &stat);
        let mut header = metadata(path, &stat, kind, &attributes);
        header.link = &target;
        let length = u64::try_from(target.len()).unwrap_or_default();
        self.stats.bytes = self.stats.bytes.saturating_add(length);
        if kind == b'3' || kind == b'4' {
            header.device = (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            );
        }
        self.entry(&header)
    }

    /// A later name of a file that was written already; true when it was. Whiteouts share an inode and are none.
    fn link_to_first(&mut self, path: &[u8], stat: &Stat) -> Result<bool, Error> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)).cloned() else {
            return Ok(false);
        };
        let none = Attributes::default();
        let mut header = metadata(path, stat, b'1', &none);
        header.link = &first;
        self.entry(&header)?;
        Ok(true)
    }

    /// Keeps the name of a file that is about to be written, if it has others.
    fn remember(&mut self, path: &[u8], stat: &Stat) {
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
    }

    fn whiteout(&mut self, name: &[u8], path: &[u8]) -> Result<(), Error> {
        let directory = path.strip_suffix(name).unwrap_or_default();
        self.marker(&[directory, b".wh.", name].concat(), 0, (0, 0))
    }

    fn opaque_marker(&mut self, directory: &[u8], stat: &Stat) -> Result<(), Error> {
        let owner = (stat.st_uid, stat.st_gid);
        self.marker(
            &[directory, b".wh..wh..opq"].concat(),
            stat.st_mode & 0o777,
            owner,
        )
    }

    /// An empty file whose name says it all; it has no time, because it is not a file of the tree.
    fn marker(&mut self, name: &[u8], mode: u32, (uid, gid): (u32, u32)) -> Result<(), Error> {
        self.entry(&Metadata {
            name,
            link: &[],
            kind: b'0',
            mode,
            uid,
            gid,
            size: 0,
            mtime: Time::default(),
            device: (0, 0),
            xattrs: &[],
        })
    }

    fn entry(&mut self, header: &Metadata<'_>) -> Result<(), Error> {
        self.stats.entries = self.stats.entries.saturating_add(1);
        self.tar.header(header)
    }

    fn open(&mut self, name: &[u8], path: &[u8], more: OFlags) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        match rustix::fs::openat(self.frames.fd()?, name, flags, Mode::empty()) {
            Ok(fd) => Ok(fd),
            Err(errno) => Err(Error::file("open", path, errno)),
        }
    }

    fn attributes_of_open(&self, fd: BorrowedFd<'_>, path: &[u8]) -> Result<Attributes, Error> {
        let attributes = Attributes::of_open(fd, self.options.marks)
            .map_err(|error| Error::file("getxattr", path, error))?;
        match attributes.unsupported {
            None => Ok(attributes),
            Some(reason) => Err(Error::Unsupported {
                path: String::from_utf8_lossy(path).into_owned(),
                reason,
            }),
        }
    }
}

fn metadata<'a>(name: &'a [u8], stat: &Stat, kind: u8, attributes: &'a Attributes) -> Metadata<'a> {
    Metadata {
        xattrs: &attributes.carried,
        ..Metadata::of(name, kind, stat)
    }
}

fn stat_open(fd: &OwnedFd, path: &[u8]) -> Result<Stat, Error> {
    rustix::fs::fstat(fd).map_err(|errno| Error::file("fstat", path, errno))
}

/// Gone, or replaced by something of another kind, since its directory was read.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO)
    )
}

#[cfg(test)]
mod tests;

//! One entry after the other.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::metadata::{Also, Defaults, Failed, Known, set_at, set_on_file, times};
use super::path;
use super::tree::{Tree, is_whiteout};
use super::{Applied, ApplyOptions, Ownership};
use crate::error::{Error, Limited};
use crate::tar::{Content, Entry, Kind, Segment};

/// A name that takes `NAME` of the layers below away is `.wh.NAME`.
const WHITEOUT: &[u8] = b".wh.";
/// Names of the aufs file system itself; layers from its time may have them.
const RESERVED: &[u8] = b".wh..wh.";
/// Takes everything of the layers below out of its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Makes entries below a root.
#[derive(Debug)]
pub(super) struct Unpacker<'a> {
    options: &'a ApplyOptions,
    tree: Tree<'a>,
    defaults: Defaults,
    applied: Applied,
    path: Vec<u8>,
    target: Vec<u8>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, options: &'a ApplyOptions) -> Result<Self, Error> {
        let defaults = Defaults::of_process(options.ownership);
        Ok(Self {
            options,
            tree: Tree::new(root, options.marks, defaults.mask)?,
            defaults,
            applied: Applied::default(),
            path: Vec::new(),
            target: Vec::new(),
        })
    }

    pub(super) fn finish(mut self) -> Result<Applied, Error> {
        self.tree.finish()?;
        Ok(self.applied)
    }

    /// Makes one entry.
    pub(super) fn entry<R: Read>(
        &mut self,
        entry: &Entry,
        content: &mut Content<'_, R>,
    ) -> Result<(), Error> {
        let mut path = std::mem::take(&mut self.path);
        path::clean(&entry.name, &self.options.limits, &mut path)?;
        let (parent, name) = path::split(&path);
        if name.is_empty() {
            self.root(entry)?;
        } else if name.starts_with(WHITEOUT) || path.starts_with(RESERVED) {
            self.whiteout(parent, name, entry)?;
        } else {
            self.tree.enter(parent)?;
            self.make(name, entry, content)?;
        }
        self.path = path;
        Ok(())
    }

    fn make<R: Read>(
        &mut self,
        name: &[u8],
        entry: &Entry,
        content: &mut Content<'_, R>,
    ) -> Result<(), Error> {
        match entry.kind {
            Kind::File => self.file(name, entry, content),
            Kind::Directory => self.directory(name, entry),
            Kind::Symlink => self.symlink(name, entry),
            Kind::HardLink => self.hard_link(name, entry),
            Kind::CharDevice => self.node(name, entry, FileType::CharacterDevice),
            Kind::BlockDevice => self.node(name, entry, FileType::BlockDevice),
            Kind::Fifo => self.node(name, entry, FileType::Fifo),
            Kind::Other(kind) => Err(Error::UnhandledType {
                name: String::from_utf8_lossy(&entry.name).into_owned(),
                kind,
            }),
        }
    }

    /// The layer's own root: only what it is described as.
    fn root(&mut self, entry: &Entry) -> Result<(), Error> {
        if entry.kind != Kind::Directory {
            return Err(Error::entry(&entry.name, "the root is not a directory"));
        }
        let root = self.tree.enter(b"")?.fd;
        let failed = |(operation, error): Failed| Error::file(operation, b".", error);
        let stat = rustix::fs::fstat(root).map_err(|errno| failed(("fstat", errno.into())))?;
        let known = Known::Old(&stat);
        let skipped = set_on_file(root, entry, &self.defaults, known).map_err(failed)?;
        self.skip(skipped);
        self.tree
            .describe_root(times(entry), entry.mode & 0o2000 != 0);
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        name: &[u8],
        entry: &Entry,
        content: &mut Content<'_, R>,
    ) -> Result<(), Error> {
        let limit = self.options.limits.total_bytes;
        let bytes = self
            .applied
            .bytes
            .checked_add(entry.size)
            .filter(|&bytes| bytes <= limit);
        self.applied.bytes = bytes.ok_or_else(|| Error::limit(Limited::TotalBytes, limit))?;
        let file = self.create(name, entry)?;
        let result = match &entry.sparse {
            None => write_all(&file, entry.size, content),
            Some(map) => write_sparse(&file, entry.size, map, content),
        };
        result.map_err(|failed| self.locate(failed, name))?;
        let known = Known::New {
            inherits_group: self.tree.top().inherits_group,
        };
        let skipped = set_on_file(file.as_fd(), entry, &self.defaults, known);
        self.settle(name, skipped)
    }

    fn create(&mut self, name: &[u8], entry: &Entry) -> Result<OwnedFd, Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        self.replacing(name, "open", |tree| {
            rustix::fs::openat(tree.top().fd, name, flags, mode)
        })
    }

    fn directory(&mut self, name: &[u8], entry: &Entry) -> Result<(), Error> {
        let parent = self.tree.top();
        let mode = Mode::from_raw_mode(entry.mode & 0o1777);
        let made = rustix::fs::mkdirat(parent.fd, name, mode);
        let known_new = Known::New {
            inherits_group: parent.inherits_group,
        };
        let old: Option<Stat> = match made {
            Ok(()) => None,
            Err(Errno::EXIST) => self.make_way_for_directory(name, mode)?,
            Err(errno) => return Err(self.failed("mkdir", name, errno)),
        };
        let known = old.as_ref().map_or(known_new, Known::Old);
        let at = (self.tree.top().fd, name);
        let also = Also {
            mode: true,
            times: false,
        };
        let skipped = set_at(at, entry, &self.defaults, known, also);
        self.settle(name, skipped)?;
        self.tree
            .descend(name, times(entry), entry.mode & 0o2000 != 0);
        Ok(())
    }

    /// A directory keeps what an earlier one of its name holds, and replaces anything else.
    fn make_way_for_directory(&mut self, name: &[u8], mode: Mode) -> Result<Option<Stat>, Error> {
        let old = self.tree.stat(name)?;
        let old_type = old
            .as_ref()
            .map(|stat| FileType::from_raw_mode(stat.st_mode));
        if old_type == Some(FileType::Directory) {
            return Ok(old);
        }
        self.tree.remove(name)?;
        rustix::fs::mkdirat(self.tree.top().fd, name, mode)
            .map_err(|errno| self.failed("mkdir", name, errno))?;
        if old.as_ref().is_some_and(is_whiteout) {
            self.tree.mark_opaque(name)?;
        }
        Ok(None)
    }

    fn symlink(&mut self, name: &[u8], entry: &Entry) -> Result<(), Error> {
        self.replacing(name, "symlink", |tree| {
            rustix::fs::symlinkat(entry.link.as_slice(), tree.top().fd, name)
        })?;
        let length = u64::try_from(entry.link.len()).unwrap_or_default();
        self.applied.bytes = self.applied.bytes.saturating_add(length);
        self.set(
            name,
            entry,
            Also {
                mode: false,
                times: true,
            },
        )
    }

    fn hard_link(&mut self, name: &[u8], entry: &Entry) -> Result<(), Error> {
        let mut target = std::mem::take(&mut self.target);
        path::clean(&entry.link, &self.options.limits, &mut target).map_err(
            |error| match error {
                Error::Breakout { name: target } => Error::LinkBreakout {
                    name: String::from_utf8_lossy(&entry.name).into_owned(),
                    target,
                },
                other => other,
            },
        )?;
        if target == self.tree.path_of(name) {
            return Err(Error::entry(&entry.name, "a link to itself"));
        }
        let linked = match self.tree.link(&target, name)? {
            Err(Errno::EXIST) => {
                self.tree.remove(name)?;
                self.tree.link(&target, name)?
            }
            linked => linked,
        };
        linked.map_err(|errno| self.failed("link", name, errno))?;
        self.target = target;
        self.describe_link(name, entry)
    }

    /// A link's entry describes the file again; where it differs, the last description counts.
    fn describe_link(&mut self, name: &[u8], entry: &Entry) -> Result<(), Error> {
        let Some(stat) = self.tree.stat(name)? else {
            return Ok(());
        };
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let same = (entry.uid, entry.gid, entry.mode)
            == (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777)
            && entry.mtime.seconds == stat.st_mtime
            && u64::from(entry.mtime.nanoseconds) == stat.st_mtime_nsec;
        if same || file_type == FileType::Symlink || is_whiteout(&stat) {
            return Ok(());
        }
        let at = (self.tree.top().fd, name);
        let also = Also {
            mode: true,
            times: true,
        };
        let skipped = set_at(at, entry, &self.defaults, Known::Old(&stat), also);
        self.settle(name, skipped)
    }

    fn node(&mut self, name: &[u8], entry: &Entry, file_type: FileType) -> Result<(), Error> {
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let (major, minor) = entry.device;
        let device = rustix::fs::makedev(major, minor);
        let made = self.replacing(name, "mknod", |tree| {
            rustix::fs::mknodat(tree.top().fd, name, file_type, mode, device)
        });
        match made {
            Err(Error::File { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied
                    && self.options.ownership == Ownership::Ignore =>
            {
                self.skip(1);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => self.set(
                name,
                entry,
                Also {
                    mode: true,
                    times: true,
                },
            ),
        }
    }

    fn whiteout(&mut self, parent: &[u8], name: &[u8], entry: &Entry) -> Result<(), Error> {
        if name == OPAQUE && !parent.starts_with(RESERVED) {
            self.tree.enter(parent)?;
            return self.tree.mark_opaque(b"");
        }
        if name.starts_with(RESERVED) || parent.starts_with(RESERVED) {
            return Ok(());
        }
        let hidden = name.strip_prefix(WHITEOUT).unwrap_or_default();
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::entry(&entry.name, "a whiteout of no name"));
        }
        let dir = self.tree.enter(parent)?.fd;
        match rustix::fs::mknodat(dir, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let stat = self.tree.stat(hidden)?;
                match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                    Some(FileType::Directory) => self.tree.mark_opaque(hidden),
                    _ => Ok(()),
                }
            }
            Err(errno) => Err(self.failed("mknod", hidden, errno)),
        }
    }

    /// Runs `make`, and once more after removing what has the name already.
    fn replacing<T>(
        &mut self,
        name: &[u8],
        operation: &'static str,
        make: impl Fn(&Tree<'_>) -> rustix::io::Result<T>,
    ) -> Result<T, Error> {
        let result = match make(&self.tree) {
            Err(Errno::EXIST) => {
                self.tree.remove(name)?;
                make(&self.tree)
            }
            result => result,
        };
        result.map_err(|errno| self.failed(operation, name, errno))
    }

    /// Sets everything on a new `name` that is not a regular file.
    fn set(&mut self, name: &[u8], entry: &Entry, also: Also) -> Result<(), Error> {
        let parent = self.tree.top();
        let known = Known::New {
            inherits_group: parent.inherits_group,
        };
        let skipped = set_at((parent.fd, name), entry, &self.defaults, known, also);
        self.settle(name, skipped)
    }

    fn settle(&mut self, name: &[u8], skipped: Result<u64, Failed>) -> Result<(), Error> {
        let skipped = skipped.map_err(|(operation, error)| {
            Error::file(operation, &self.tree.path_of(name), error)
        })?;
        self.skip(skipped);
        Ok(())
    }

    fn skip(&mut self, count: u64) {
        self.applied.skipped = self.applied.skipped.saturating_add(count);
    }

    fn failed(&self, operation: &'static str, name: &[u8], errno: Errno) -> Error {
        Error::file(operation, &self.tree.path_of(name), errno)
    }

    /// Says which file could not be written.
    fn locate(&self, failed: Error, name: &[u8]) -> Error {
        match failed {
            Error::File {
                operation, source, ..
            } => Error::file(operation, &self.tree.path_of(name), source),
            other => other,
        }
    }
}

fn write_all<R: Read>(
    file: &OwnedFd,
    size: u64,
    content: &mut Content<'_, R>,
) -> Result<(), Error> {
    content.copy(size, |mut bytes| {
        while !bytes.is_empty() {
            let count = rustix::io::retry_on_intr(|| rustix::io::write(file, bytes));
            bytes = bytes.get(written(count)?..).unwrap_or_default();
        }
        Ok(())
    })
}

fn write_sparse<R: Read>(
    file: &OwnedFd,
    size: u64,
    map: &[Segment],
    content: &mut Content<'_, R>,
) -> Result<(), Error> {
    for segment in map {
        let mut offset = segment.offset;
        content.copy(segment.length, |mut bytes| {
            while !bytes.is_empty() {
                let count = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, offset));
                let count = written(count)?;
                bytes = bytes.get(count..).unwrap_or_default();
                offset = offset.saturating_add(count as u64);
            }
            Ok(())
        })?;
    }
    rustix::fs::ftruncate(file, size).map_err(|errno| Error::file("truncate", b"", errno))
}

/// How much was written; writing nothing is an error, or it would be tried for ever.
fn written(result: rustix::io::Result<usize>) -> Result<usize, Error> {
    match result {
        Ok(0) => Err(Error::file("write", b"", Errno::NOSPC)),
        Ok(count) => Ok(count),
        Err(errno) => Err(Error::file("write", b"", errno)),
    }
}

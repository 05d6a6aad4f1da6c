//! The directories on the way to the current entry, open.
//!
//! Tars are written depth first, so the directories from the root to the last entry's parent are the cache that matters.
//! A directory's modification time is set, or, when the layer already set it, set again, when the path leaves it: the
//! memory this takes is bounded by the depth of the tree and not by its size.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use lapstrake_sys::dir::{open_beneath, open_in_root};
use lapstrake_sys::xattr;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::OverlayMarks;
use super::path;
use crate::error::Error;

/// Mode of directories that the layer uses without describing them.
const IMPLIED_MODE: u32 = 0o755;

/// How many directories stay open.
const OPEN_LEVELS: usize = 64;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// One directory of the current path.
#[derive(Debug)]
struct Level {
    /// Length of its path.
    end: usize,
    fd: Option<OwnedFd>,
    /// To be set when the path leaves it.
    times: Option<Timestamps>,
    inherits_group: bool,
}

/// A directory that entries are made in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent<'a> {
    pub(super) fd: BorrowedFd<'a>,
    /// New files get the directory's group, and new directories its set-group-id bit.
    pub(super) inherits_group: bool,
}

/// The root, and the path of open directories below it.
#[derive(Debug)]
pub(super) struct Tree<'r> {
    root: BorrowedFd<'r>,
    root_times: Option<Timestamps>,
    root_inherits_group: bool,
    marks: OverlayMarks,
    /// Permission bits that new directories do not get.
    mask: u32,
    path: Vec<u8>,
    levels: Vec<Level>,
    /// The directory of the last hard link's target.
    target: Option<(Vec<u8>, OwnedFd)>,
}

impl<'r> Tree<'r> {
    pub(super) fn new(root: BorrowedFd<'r>, marks: OverlayMarks, mask: u32) -> Result<Self, Error> {
        let stat = rustix::fs::fstat(root).map_err(|errno| Error::file("fstat", b".", errno))?;
        Ok(Self {
            root,
            root_times: None,
            root_inherits_group: inherits_group(stat.st_mode),
            marks,
            mask,
            path: Vec::new(),
            levels: Vec::new(),
            target: None,
        })
    }

    /// The directory at the clean path `path`, made when there is none.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<Parent<'_>, Error> {
        if path != self.path.as_slice() {
            self.leave_to(path::common(&self.path, path))?;
        }
        if !self.is_open(path.len()) {
            self.open_rest(path)?;
            self.close_some()?;
        }
        Ok(self.top())
    }

    /// Makes the new directory `name` of the current one the current one. `times` will be its times.
    pub(super) fn descend(&mut self, name: &[u8], times: Timestamps, inherits_group: bool) {
        self.append(name);
        let end = self.path.len();
        self.levels.push(Level {
            end,
            fd: None,
            times: Some(times),
            inherits_group,
        });
    }

    /// Gives the root these times in the end.
    pub(super) fn describe_root(&mut self, times: Timestamps, inherits_group: bool) {
        (self.root_times, self.root_inherits_group) = (Some(times), inherits_group);
    }

    /// Leaves every directory.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.leave_to(0)?;
        if let Some(times) = self.root_times.take() {
            rustix::fs::futimens(self.root, &times)
                .map_err(|errno| Error::file("utimensat", b".", errno))?;
        }
        Ok(())
    }

    /// Makes `name` of the current directory absent, with everything in it.
    pub(super) fn remove(&mut self, name: &[u8]) -> Result<(), Error> {
        self.target = None;
        lapstrake_sys::dir::remove_tree(self.top().fd, name)
            .map_err(|error| Error::file("unlinkat", &self.path_of(name), error))
    }

    /// What `name` of the current directory is.
    pub(super) fn stat(&self, name: &[u8]) -> Result<Option<Stat>, Error> {
        match rustix::fs::statat(self.top().fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::file("lstat", &self.path_of(name), errno)),
        }
    }

    /// Marks the directory `name` of the current one, or with an empty name the current one, as opaque.
    pub(super) fn mark_opaque(&self, name: &[u8]) -> Result<(), Error> {
        let fd = self.top().fd;
        let attribute = self.marks.opaque();
        let result = if name.is_empty() {
            xattr::set(fd, attribute, b"y")
        } else {
            xattr::set_at(fd, name, attribute, b"y")
        };
        result.map_err(|error| Error::file("setxattr", &self.path_of(name), error))
    }

    /// Links the file at the clean path `target` as `name` of the current directory.
    pub(super) fn link(&mut self, target: &[u8], name: &[u8]) -> Result<Result<(), Errno>, Error> {
        let (parent, file) = path::split(target);
        let here = self.top().fd;
        if parent == self.path.as_slice() {
            return Ok(rustix::fs::linkat(here, file, here, name, AtFlags::empty()));
        }
        if self.target.as_ref().is_none_or(|(path, _)| path != parent) {
            let fd = self
                .open_target(parent)
                .map_err(|error| Error::file("link", target, error))?;
            self.target = Some((parent.to_vec(), fd));
        }
        let here = self.top().fd;
        let there = self.target.as_ref().map_or(self.root, |(_, fd)| fd.as_fd());
        Ok(rustix::fs::linkat(
            there,
            file,
            here,
            name,
            AtFlags::empty(),
        ))
    }

    /// The path of `name` of the current directory, for messages.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        match (self.path.is_empty(), name.is_empty()) {
            (true, true) => b".".to_vec(),
            (true, false) => name.to_vec(),
            (false, true) => self.path.clone(),
            (false, false) => [self.path.as_slice(), name].join(&b'/'),
        }
    }

    /// The directory that was entered last.
    pub(super) fn top(&self) -> Parent<'_> {
        let level = self.levels.last();
        match level.and_then(|level| level.fd.as_ref().map(|fd| (fd, level.inherits_group))) {
            Some((fd, inherits_group)) => Parent {
                fd: fd.as_fd(),
                inherits_group,
            },
            None => Parent {
                fd: self.root,
                inherits_group: self.root_inherits_group,
            },
        }
    }

    /// Whether the current path has `length` bytes, and its directory is open.
    fn is_open(&self, length: usize) -> bool {
        length == self.path.len() && self.levels.last().is_none_or(|level| level.fd.is_some())
    }

    /// Opens what is missing of `path`, which begins with the current path: all of it at once if it exists.
    fn open_rest(&mut self, path: &[u8]) -> Result<(), Error> {
        self.open_described()?;
        if path.len() == self.path.len() && self.is_open(path.len()) {
            return Ok(());
        }
        let (base, start) = self.deepest_open();
        let rest = rest_of(path, start);
        match open_beneath(base, rest, DIRECTORY, Mode::empty()) {
            Ok(fd) => {
                self.push_unopened(path);
                self.set_top(path, fd)
            }
            Err(error) if may_be_mended(&error) => self.open_each(path),
            Err(error) => Err(Error::file("open", path, error)),
        }
    }

    /// Opens the current directory when it was made by its entry and nothing was put into it yet.
    fn open_described(&mut self) -> Result<(), Error> {
        if !self
            .levels
            .last()
            .is_some_and(|level| level.fd.is_none() && level.times.is_some())
        {
            return Ok(());
        }
        let (base, start) = self.deepest_open();
        let fd = open_beneath(base, rest_of(&self.path, start), DIRECTORY, Mode::empty())
            .map_err(|error| Error::file("open", &self.path, error))?;
        if let Some(level) = self.levels.last_mut() {
            level.fd = Some(fd);
        }
        Ok(())
    }

    /// The deepest open directory of the current path, and the length of its path.
    fn deepest_open(&self) -> (BorrowedFd<'_>, usize) {
        let open = |level: &'_ Level| level.fd.is_some();
        match self.levels.iter().rfind(|level| open(level)) {
            Some(Level {
                end, fd: Some(fd), ..
            }) => (fd.as_fd(), *end),
            _ => (self.root, 0),
        }
    }

    /// Makes `path` the current path; its new directories are not open.
    fn push_unopened(&mut self, path: &[u8]) {
        let from = self.path.len();
        let rest = rest_of(path, from);
        for component in rest
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
        {
            self.append(component);
            let end = self.path.len();
            self.levels.push(Level {
                end,
                fd: None,
                times: None,
                inherits_group: false,
            });
        }
    }

    fn append(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    /// Puts an opened directory, which may have been there before, on top: its times come back when it is left.
    fn set_top(&mut self, path: &[u8], fd: OwnedFd) -> Result<(), Error> {
        let stat = rustix::fs::fstat(&fd).map_err(|errno| Error::file("fstat", path, errno))?;
        if let Some(level) = self.levels.last_mut() {
            level.inherits_group = inherits_group(stat.st_mode);
            level.times = Some(times_of(&stat));
            level.fd = Some(fd);
        }
        Ok(())
    }

    /// Opens the missing directories of `path` one by one, making those that do not exist.
    fn open_each(&mut self, path: &[u8]) -> Result<(), Error> {
        let (_, start) = self.deepest_open();
        while self.levels.last().is_some_and(|level| level.fd.is_none()) {
            self.levels.pop();
        }
        self.path.truncate(start);
        for component in rest_of(path, start).split(|&byte| byte == b'/') {
            let fd = self.open_or_make(component)?;
            self.push_unopened(&self.path_of(component));
            self.set_top(path, fd)?;
            self.close_some()?;
        }
        Ok(())
    }

    fn open_or_make(&mut self, name: &[u8]) -> Result<OwnedFd, Error> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        let open = |tree: &Self| rustix::fs::openat(tree.top().fd, name, flags, Mode::empty());
        match open(self) {
            Ok(fd) => return Ok(fd),
            Err(Errno::NOENT) => self.make_implied(name)?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let kind = self.stat(name)?;
                if kind.as_ref().is_some_and(is_whiteout) {
                    self.remove(name)?;
                    self.make_implied(name)?;
                    self.mark_opaque(name)?;
                } else {
                    return self.open_through_link(name);
                }
            }
            Err(errno) => return Err(Error::file("open", &self.path_of(name), errno)),
        }
        open(self).map_err(|errno| Error::file("open", &self.path_of(name), errno))
    }

    fn make_implied(&self, name: &[u8]) -> Result<(), Error> {
        let (dir, mode) = (self.top().fd, Mode::from_raw_mode(IMPLIED_MODE));
        let mut made = rustix::fs::mkdirat(dir, name, mode);
        if made.is_ok() && self.mask & IMPLIED_MODE != 0 {
            made = rustix::fs::chmodat(dir, name, mode, AtFlags::empty());
        }
        made.map_err(|errno| Error::file("mkdir", &self.path_of(name), errno))
    }

    /// A layer may put files below a link that it brings itself, as in `lib -> usr/lib`, `lib/file`. The kernel resolves
    /// such a path with the layer's root as its root directory, so that no link leads out of it.
    fn open_through_link(&self, name: &[u8]) -> Result<OwnedFd, Error> {
        let path = self.path_of(name);
        open_in_root(self.root, path.as_slice(), DIRECTORY, Mode::empty())
            .map_err(|error| Error::file("open", &path, error))
    }

    fn open_target(&self, parent: &[u8]) -> io::Result<OwnedFd> {
        let parent = if parent.is_empty() { b"." } else { parent };
        match open_beneath(self.root, parent, DIRECTORY, Mode::empty()) {
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                open_in_root(self.root, parent, DIRECTORY, Mode::empty())
            }
            result => result,
        }
    }

    /// Leaves directories until the current path has `length` bytes.
    fn leave_to(&mut self, length: usize) -> Result<(), Error> {
        while let Some(level) = self.levels.pop_if(|level| level.end > length) {
            self.set_times(&level)?;
            let end = self.levels.last().map_or(0, |level| level.end);
            self.path.truncate(end);
        }
        Ok(())
    }

    /// Sets the times of `level`, which was the last one.
    fn set_times(&self, level: &Level) -> Result<(), Error> {
        let Some(times) = &level.times else {
            return Ok(());
        };
        let result = if let Some(fd) = &level.fd {
            rustix::fs::futimens(fd, times)
        } else {
            let name = path::split(&self.path).1;
            rustix::fs::utimensat(self.top().fd, name, times, AtFlags::SYMLINK_NOFOLLOW)
        };
        result.map_err(|errno| Error::file("utimensat", &self.path, errno))
    }

    /// Closes the directory nearest to the root when too many are open; it is opened again when it is needed.
    fn close_some(&mut self) -> Result<(), Error> {
        let open = self
            .levels
            .iter()
            .filter(|level| level.fd.is_some())
            .count();
        if open <= OPEN_LEVELS {
            return Ok(());
        }
        let Some(level) = self.levels.iter_mut().find(|level| level.fd.is_some()) else {
            return Ok(());
        };
        if let (Some(fd), Some(times)) = (level.fd.take(), level.times.take()) {
            rustix::fs::futimens(&fd, &times)
                .map_err(|errno| Error::file("utimensat", &self.path, errno))?;
        }
        Ok(())
    }
}

/// The whiteout of an overlay: a character device with number 0.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn inherits_group(mode: u32) -> bool {
    mode & 0o2000 != 0
}

/// The modification time; the access time is left alone.
fn times_of(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        },
    }
}

/// What follows the first `start` bytes of a path, without the slash between.
fn rest_of(path: &[u8], start: usize) -> &[u8] {
    let rest = path.get(start..).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Whether a path that cannot be opened in one step may still be when its missing directories are made, its whiteouts
/// replaced, and its links resolved.
fn may_be_mended(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

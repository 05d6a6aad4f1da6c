//! Directory handles: every name is resolved beneath one of them, by descriptor, and no symbolic link is followed.
//!
//! [`Dir`] is the convenient form for code that owns its directory. [`open_beneath`] and [`open_in_root`] are the two
//! ways to resolve a path that somebody else chose.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;

mod remove;
mod walk;

pub use remove::remove_tree;

/// How often `openat2` is repeated when a rename elsewhere on the machine disturbs the resolution.
const RESOLVE_ATTEMPTS: u32 = 64;

/// Opens `path` strictly beneath `dir`: `..` out of it, absolute paths and symbolic links anywhere in it are errors
/// (`EXDEV`; `ELOOP` or `ENOTDIR`).
pub fn open_beneath(
    dir: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match open_resolved(dir.as_fd(), path, (flags, mode, resolve)) {
        Err(Errno::NOSYS) => Ok(walk::open_by_steps(
            dir.as_fd(),
            path.as_cow_c_str()?.to_bytes(),
            flags,
            mode,
        )?),
        result => Ok(result?),
    }
}

/// Opens `path` with `root` as the root directory: symbolic links and `..` are followed but cannot leave it.
pub fn open_in_root(
    root: impl AsFd,
    path: impl Arg + Copy,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(open_resolved(root.as_fd(), path, (flags, mode, resolve))?)
}

fn open_resolved(
    dir: BorrowedFd<'_>,
    path: impl Arg + Copy,
    (flags, mode, resolve): (OFlags, Mode, ResolveFlags),
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let mut attempt = 0;
    loop {
        match rustix::fs::openat2(dir, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) if attempt < RESOLVE_ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// The permission bits that the process' umask takes from new files; all of them when it cannot be known.
///
/// Read from `/proc`, because asking the kernel means to change it, which other threads would see.
pub fn creation_mask() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok())
        .unwrap_or(0o777)
}

/// What a directory entry is, as far as the kernel tells without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, a fifo or a socket.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without any slash.
    pub name: OsString,
    /// What it names.
    pub kind: Kind,
    /// Its inode number.
    pub inode: u64,
}

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

impl Dir {
    /// Opens a directory by an ordinary path, following symbolic links.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let fd = rustix::fs::open(path.as_ref(), DIRECTORY, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Opens the directory at the relative path `path`, beneath this one.
    pub fn child(&self, path: impl AsRef<OsStr>) -> io::Result<Self> {
        let fd = open_beneath(&self.fd, path.as_ref().as_bytes(), DIRECTORY, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Opens the directory `name`, making it first, with `mode`, when there is none.
    pub fn child_or_create(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        match self.create_dir(name.as_ref(), mode) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.child(name),
        }
    }

    /// Makes the directory `name`.
    pub fn create_dir(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<()> {
        let name = name.as_ref().as_bytes();
        Ok(rustix::fs::mkdirat(
            &self.fd,
            name,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// Opens the regular file at the relative path `path` to be read; never waits for a fifo's writer.
    pub fn open_file(&self, path: impl AsRef<OsStr>) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = open_beneath(&self.fd, path.as_ref().as_bytes(), flags, Mode::empty())?;
        match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            FileType::Directory => Err(Errno::ISDIR.into()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    /// Creates the file `name` to be read and written; an error when the name exists.
    pub fn create_file(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        self.open_for_writing(name.as_ref(), OFlags::EXCL, mode)
    }

    /// Opens the file `name` to be read and written, creating it with `mode` when there is none.
    pub fn open_or_create_file(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        self.open_for_writing(name.as_ref(), OFlags::empty(), mode)
    }

    fn open_for_writing(&self, name: &OsStr, more: OFlags, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        let mode = Mode::from_raw_mode(mode);
        Ok(File::from(rustix::fs::openat(
            &self.fd,
            name.as_bytes(),
            flags,
            mode,
        )?))
    }

    /// The whole of the regular file at the relative path `path`, which may have at most `limit` bytes.
    pub fn read(&self, path: impl AsRef<OsStr>, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open_file(path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(&file, limit.saturating_add(1)),
            &mut bytes,
        )?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "file is larger than its limit",
            ));
        }
        Ok(bytes)
    }

    /// The directory's entries but `.` and `..`, sorted by name.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = self.kind_of(name, entry.file_type())?;
            let name = OsString::from_vec(name.to_vec());
            entries.push(Entry {
                name,
                kind,
                inode: entry.ino(),
            });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Not every file system tells the type along with the name.
    fn kind_of(&self, name: &[u8], told: FileType) -> io::Result<Kind> {
        let file_type = match told {
            FileType::Unknown => {
                let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        Ok(match file_type {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        })
    }

    /// Whether `name` exists, be it a dangling symbolic link.
    pub fn exists(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        match rustix::fs::statat(
            &self.fd,
            name.as_ref().as_bytes(),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves `from` to `to` in `target`, replacing what is there.
    pub fn rename(
        &self,
        from: impl AsRef<OsStr>,
        target: &Self,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        let (from, to) = (from.as_ref().as_bytes(), to.as_ref().as_bytes());
        Ok(rustix::fs::renameat(&self.fd, from, &target.fd, to)?)
    }

    /// Moves `from` to `to` in `target`; an error of kind `AlreadyExists` when that name is taken.
    pub fn rename_new(
        &self,
        from: impl AsRef<OsStr>,
        target: &Self,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        let (from, to) = (from.as_ref().as_bytes(), to.as_ref().as_bytes());
        Ok(rustix::fs::renameat_with(
            &self.fd,
            from,
            &target.fd,
            to,
            RenameFlags::NOREPLACE,
        )?)
    }

    /// Removes `name`, which is not a directory.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.fd,
            name.as_ref().as_bytes(),
            AtFlags::empty(),
        )?)
    }

    /// Removes the empty directory `name`.
    pub fn remove_dir(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.fd,
            name.as_ref().as_bytes(),
            AtFlags::REMOVEDIR,
        )?)
    }

    /// Removes `name` and everything in it; nothing happens when there is no such name.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        remove_tree(&self.fd, name.as_ref().as_bytes())
    }

    /// Makes the directory's names durable.
    pub fn sync(&self) -> io::Result<()> {
        crate::durable::sync_dir(&self.fd)
    }

    /// Another handle of the same directory.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
        })
    }
}

impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.fd
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! A merged tree in a folder of the host.
//!
//! What is there already stays, unless the tree has something of the same name. Links in the folder are
//! replaced, never followed.

use super::{Attributes, Target};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The folder that a tree is written into.
pub(super) struct Folder {
    root: OwnedFd,
    /// The folders that are open, with what they get when they are left.
    open: Vec<(OwnedFd, Stat)>,
    /// Who gets everything: whoever runs this. None when that is not root, to whom it belongs anyway; root may find
    /// a folder of another's, or one that hands its group on.
    owner: Option<(Uid, Gid)>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: rustix::fs::open(path, flags, Mode::empty())?,
            open: Vec::new(),
            owner: rustix::process::geteuid()
                .is_root()
                .then(|| (rustix::process::geteuid(), rustix::process::getegid())),
        })
    }

    /// The time of the folder itself.
    pub(super) fn set_time(&self, seconds: i64) -> io::Result<()> {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        Ok(rustix::fs::futimens(&self.root, &times)?)
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.open
            .last()
            .map_or_else(|| self.root.as_fd(), |(fd, _)| fd.as_fd())
    }

    /// Makes something, in the place of what is there. A folder is not replaced.
    fn replace(&self, name: &[u8], make: impl Fn() -> rustix::io::Result<()>) -> io::Result<()> {
        match make() {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(self.here(), name, AtFlags::empty())?;
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }

    /// Owner, mode and times of something that is no file and no folder.
    fn finish_at(&self, name: &[u8], stat: &Stat) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(self.here(), name, Some(uid), Some(gid), flags)?;
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            let mode = Mode::from_raw_mode(stat.st_mode);
            rustix::fs::chmodat(self.here(), name, mode, AtFlags::empty())?;
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(
            self.here(),
            name,
            &times(stat),
            flags,
        )?)
    }

    /// Owner, attributes, mode and times of what is open, in the order in which none undoes another.
    fn finish(&self, fd: BorrowedFd<'_>, stat: &Stat, attributes: &Attributes) -> io::Result<()> {
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(fd, Some(uid), Some(gid))?;
        }
        for (name, value) in attributes {
            match rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(stat.st_mode))?;
        Ok(rustix::fs::futimens(fd, &times(stat))?)
    }
}

/// The last name of a path.
fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

impl Target for Folder {
    fn enter(&mut self, path: &[u8], stat: &Stat, attributes: Attributes) -> io::Result<()> {
        let name = last(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(self.here(), name, flags, Mode::empty());
        let made = rustix::fs::mkdirat(self.here(), name, Mode::RWXU);
        let fd = match made {
            Ok(()) => open()?,
            Err(Errno::EXIST) => match open() {
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    rustix::fs::unlinkat(self.here(), name, AtFlags::empty())?;
                    rustix::fs::mkdirat(self.here(), name, Mode::RWXU)?;
                    open()?
                }
                other => other?,
            },
            Err(error) => return Err(error.into()),
        };
        // Mode and times come when nothing is written into it any more.
        self.finish(fd.as_fd(), stat, &attributes)?;
        if self.owner.is_none() {
            rustix::fs::fchmod(&fd, Mode::from_raw_mode(stat.st_mode | 0o700))?;
        }
        self.open.push((fd, *stat));
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        let Some((fd, stat)) = self.open.pop() else {
            return Ok(());
        };
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(stat.st_mode))?;
        Ok(rustix::fs::futimens(&fd, &times(&stat))?)
    }

    fn link(&mut self, path: &[u8], first: &[u8], _stat: &Stat) -> io::Result<()> {
        // The first name was made in this export, without links on the way.
        let name = last(path);
        self.replace(name, || {
            rustix::fs::linkat(&self.root, first, self.here(), name, AtFlags::empty())
        })
    }

    fn file(
        &mut self,
        path: &[u8],
        stat: &Stat,
        mut content: File,
        attributes: Attributes,
    ) -> io::Result<()> {
        let name = last(path);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(self.here(), name, flags, Mode::RUSR | Mode::WUSR);
        let fd = match open() {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(self.here(), name, AtFlags::empty())?;
                open()?
            }
            other => other?,
        };
        let mut file = File::from(fd);
        io::copy(&mut content, &mut file)?;
        self.finish(file.as_fd(), stat, &attributes)
    }

    fn symlink(&mut self, path: &[u8], stat: &Stat, target: &[u8]) -> io::Result<()> {
        let name = last(path);
        self.replace(name, || rustix::fs::symlinkat(target, self.here(), name))?;
        self.finish_at(name, stat)
    }

    fn special(&mut self, path: &[u8], stat: &Stat) -> io::Result<()> {
        let name = last(path);
        let kind = FileType::from_raw_mode(stat.st_mode);
        // Others than root cannot make devices; docker leaves them out as well.
        if self.owner.is_none() && kind != FileType::Fifo {
            return Ok(());
        }
        self.replace(name, || {
            rustix::fs::mknodat(self.here(), name, kind, Mode::RUSR, stat.st_rdev)
        })?;
        self.finish_at(name, stat)
    }
}

fn times(stat: &Stat) -> Timestamps {
    let modified = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec.cast_signed(),
    };
    Timestamps {
        last_access: modified,
        last_modification: modified,
    }
}

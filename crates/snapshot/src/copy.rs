//! Copying a directory of the merged tree to the host: how a volume gets the image's content.

use crate::view::{Found, Merged};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

/// Directories nested deeper than this are refused.
const DEPTH_LIMIT: u32 = 256;
/// Attributes that overlay keeps for itself.
const OVERLAY_PREFIXES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
/// The longest list of attribute names, and the longest value, that is copied.
const ATTRIBUTE_LIMIT: usize = 64 << 10;

/// Copies what is in `from` into `to`, and gives `to` the owner, mode and times of `stat`.
pub(crate) fn directory(
    from: &Merged,
    stat: &Stat,
    to: BorrowedFd<'_>,
    depth: u32,
) -> rustix::io::Result<()> {
    if depth > DEPTH_LIMIT {
        return Err(Errno::NAMETOOLONG);
    }
    for name in from.names()? {
        match from.look_up(&name)? {
            None => {}
            Some(Found::Directory(child, stat)) => {
                rustix::fs::mkdirat(to, &name, Mode::RWXU)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let target = rustix::fs::openat(to, &name, flags, Mode::empty())?;
                directory(&child, &stat, target.as_fd(), depth.saturating_add(1))?;
            }
            Some(Found::Other { part, stat }) => other(from.part(part)?, &name, &stat, to)?,
        }
    }
    rustix::fs::fchown(to, Some(owner(stat)), Some(group(stat)))?;
    attributes(from.top()?, to)?;
    finish(to, stat)
}

/// Copies one thing that is not a directory.
fn other(
    from: BorrowedFd<'_>,
    name: &CString,
    stat: &Stat,
    to: BorrowedFd<'_>,
) -> rustix::io::Result<()> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::RegularFile => return file(from, name, stat, to),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, to, name)?;
        }
        // A socket without its program is nothing.
        FileType::Socket => return Ok(()),
        _ => rustix::fs::mknodat(
            to,
            name,
            kind,
            Mode::from_raw_mode(stat.st_mode),
            stat.st_rdev,
        )?,
    }
    rustix::fs::chownat(
        to,
        name,
        Some(owner(stat)),
        Some(group(stat)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

fn file(
    from: BorrowedFd<'_>,
    name: &CString,
    stat: &Stat,
    to: BorrowedFd<'_>,
) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut source = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut target = File::from(rustix::fs::openat(
        to,
        name,
        flags,
        Mode::RUSR | Mode::WUSR,
    )?);
    std::io::copy(&mut source, &mut target)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    // Owner first: changing it takes set-user-id bits and capabilities away.
    rustix::fs::fchown(&target, Some(owner(stat)), Some(group(stat)))?;
    attributes(source.as_fd(), target.as_fd())?;
    finish(target.as_fd(), stat)
}

/// Mode and times.
fn finish(to: BorrowedFd<'_>, stat: &Stat) -> rustix::io::Result<()> {
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?;
    rustix::fs::futimens(to, &times(stat))
}

/// Extended attributes but overlay's own. Those that the target's file system does not take are left out.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut list = vec![0_u8; ATTRIBUTE_LIMIT];
    let length = match rustix::fs::flistxattr(from, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    if length == 0 {
        return Ok(());
    }
    let mut value = vec![0_u8; ATTRIBUTE_LIMIT];
    for name in list
        .get(..length)
        .unwrap_or_default()
        .split_inclusive(|byte| *byte == 0)
    {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        if OVERLAY_PREFIXES
            .iter()
            .any(|prefix| name.to_bytes().starts_with(prefix))
        {
            continue;
        }
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        let bytes = value.get(..length).unwrap_or_default();
        match rustix::fs::fsetxattr(to, name, bytes, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn owner(stat: &Stat) -> Uid {
    Uid::from_raw(stat.st_uid)
}

fn group(stat: &Stat) -> Gid {
    Gid::from_raw(stat.st_gid)
}

#[expect(
    clippy::cast_possible_wrap,
    clippy::unnecessary_cast,
    reason = "the width and sign of these fields differ between architectures"
)]
fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime as i64,
            tv_nsec: stat.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime as i64,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    }
}

//! Owners, modes, attributes and times of new files: what the file has already is not set again.

use std::io;
use std::os::fd::BorrowedFd;

use lapstrake_sys::xattr;
use rustix::fs::{AtFlags, Mode, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use super::{OverlayMarks, Ownership};
use crate::tar::Entry;

/// Set-user-id, set-group-id and sticky.
const SPECIAL_BITS: u32 = 0o7000;

/// What new files get from the process.
#[derive(Debug)]
pub(super) struct Defaults {
    uid: u32,
    gid: u32,
    /// Permission bits that new files do not get.
    pub(super) mask: u32,
    ownership: Ownership,
}

/// What a file is known to have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known<'a> {
    /// Made by this process with the wanted mode; the flag tells that the group came from the directory.
    New { inherits_group: bool },
    /// What `stat` said.
    Old(&'a Stat),
}

impl Defaults {
    pub(super) fn of_process(ownership: Ownership) -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            mask: lapstrake_sys::dir::creation_mask(),
            ownership,
        }
    }

    /// The owner to set, if any.
    pub(super) fn owner(&self, entry: &Entry, known: Known<'_>) -> Option<(Uid, Gid)> {
        let same = match known {
            Known::New { inherits_group } => {
                !inherits_group && entry.uid == self.uid && entry.gid == self.gid
            }
            Known::Old(stat) => entry.uid == stat.st_uid && entry.gid == stat.st_gid,
        };
        if same || self.ownership == Ownership::Ignore {
            return None;
        }
        Some((Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)))
    }

    /// The mode to set, if any: a change of owner takes set-id bits away, and so does writing.
    pub(super) fn mode(&self, entry: &Entry, known: Known<'_>) -> Option<Mode> {
        let same = match known {
            Known::New { inherits_group } => {
                !inherits_group && entry.mode & (self.mask | SPECIAL_BITS) == 0
            }
            Known::Old(stat) => {
                entry.mode == stat.st_mode & 0o7777 && entry.mode & SPECIAL_BITS == 0
            }
        };
        (!same).then(|| Mode::from_raw_mode(entry.mode))
    }
}

/// Access and modification time are both the entry's.
pub(super) fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime.seconds,
        tv_nsec: i64::from(entry.mtime.nanoseconds),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// A system call's name, and how it failed.
pub(super) type Failed = (&'static str, io::Error);

/// Sets what is missing on an open regular file. Returns how many attributes were left out.
pub(super) fn set_on_file(
    file: BorrowedFd<'_>,
    entry: &Entry,
    defaults: &Defaults,
    known: Known<'_>,
) -> Result<u64, Failed> {
    if let Some((uid, gid)) = defaults.owner(entry, known) {
        call("chown", rustix::fs::fchown(file, Some(uid), Some(gid)))?;
    }
    let skipped = set_xattrs(entry, |name, value| xattr::set(file, name, value))?;
    if let Some(mode) = defaults.mode(entry, known) {
        call("chmod", rustix::fs::fchmod(file, mode))?;
    }
    call("utimensat", rustix::fs::futimens(file, &times(entry)))?;
    Ok(skipped)
}

/// What [`set_at`] sets besides owner and attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Also {
    /// Symbolic links have no mode.
    pub(super) mode: bool,
    /// Directories get their times later.
    pub(super) times: bool,
}

/// Sets what is missing on `name` in `dir`, which is not followed.
pub(super) fn set_at(
    (dir, name): (BorrowedFd<'_>, &[u8]),
    entry: &Entry,
    defaults: &Defaults,
    known: Known<'_>,
    also: Also,
) -> Result<u64, Failed> {
    const NOFOLLOW: AtFlags = AtFlags::SYMLINK_NOFOLLOW;
    if let Some((uid, gid)) = defaults.owner(entry, known) {
        call(
            "lchown",
            rustix::fs::chownat(dir, name, Some(uid), Some(gid), NOFOLLOW),
        )?;
    }
    let skipped = set_xattrs(entry, |attribute, value| {
        xattr::set_at(dir, name, attribute, value)
    })?;
    if let (true, Some(mode)) = (also.mode, defaults.mode(entry, known)) {
        call(
            "chmod",
            rustix::fs::chmodat(dir, name, mode, AtFlags::empty()),
        )?;
    }
    if also.times {
        call(
            "utimensat",
            rustix::fs::utimensat(dir, name, &times(entry), NOFOLLOW),
        )?;
    }
    Ok(skipped)
}

/// Sets the attributes that a layer may set. Like docker, passes over those that the file system does not have or this
/// process may not set, and counts them.
fn set_xattrs(entry: &Entry, set: impl Fn(&[u8], &[u8]) -> io::Result<()>) -> Result<u64, Failed> {
    let mut skipped = 0_u64;
    for (name, value) in &entry.xattrs {
        if OverlayMarks::is_mark(name) {
            skipped = skipped.saturating_add(1);
            continue;
        }
        match set(name, value) {
            Ok(()) => {}
            Err(error) if may_be_left_out(&error) => skipped = skipped.saturating_add(1),
            Err(error) => return Err(("lsetxattr", error)),
        }
    }
    Ok(skipped)
}

fn may_be_left_out(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOTSUP | Errno::PERM)
    )
}

fn call(name: &'static str, result: rustix::io::Result<()>) -> Result<(), Failed> {
    result.map_err(|errno| (name, errno.into()))
}

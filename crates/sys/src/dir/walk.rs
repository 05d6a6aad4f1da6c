//! `openat2` in steps, for tracers and sandboxes that do not have that call: as safe, one call for every component.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, Result};

/// Opens `path` beneath `dir` without following any symbolic link. `..` is refused even where it would stay beneath.
pub(super) fn open_by_steps(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    if path.first() == Some(&b'/') {
        return Err(Errno::XDEV);
    }
    let is_name = |name: &&[u8]| !name.is_empty() && *name != b".";
    let mut names = path.split(|&byte| byte == b'/').filter(is_name).peekable();
    let mut reached: Option<OwnedFd> = None;
    while let Some(name) = names.next() {
        if name == b".." {
            return Err(Errno::XDEV);
        }
        let at = reached.as_ref().map_or(dir, AsFd::as_fd);
        if names.peek().is_none() {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            return no_link(rustix::fs::openat(at, name, flags, mode)?);
        }
        reached = Some(rustix::fs::openat(
            at,
            name,
            STEP | OFlags::NOFOLLOW,
            Mode::empty(),
        )?);
    }
    rustix::fs::openat(dir, ".", flags | OFlags::CLOEXEC, mode)
}

/// A symbolic link can be opened as itself, with `O_PATH`.
fn no_link(fd: OwnedFd) -> Result<OwnedFd> {
    match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
        FileType::Symlink => Err(Errno::LOOP),
        _ => Ok(fd),
    }
}

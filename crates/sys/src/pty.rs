//! Pseudo terminals.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::pty::OpenptFlags;

/// Both ends of a new pseudo terminal.
#[derive(Debug)]
pub struct Pty {
    /// The side a person or a monitor reads and writes.
    pub master: OwnedFd,
    /// The side that is a process's terminal.
    pub slave: OwnedFd,
}

/// Opens a new pseudo terminal of the devpts whose root directory is `devpts`.
pub fn open_in(devpts: BorrowedFd<'_>) -> io::Result<Pty> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let master = rustix::fs::openat2(devpts, c"ptmx", flags, Mode::empty(), resolve)?;
    rustix::pty::unlockpt(&master)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    Ok(Pty { master, slave })
}

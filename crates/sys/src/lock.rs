//! Advisory whole-file locks (`flock`) that end with the value that holds them, and with the process that dies.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// A held lock: dropping it closes the file, which releases the lock unless a duplicate of the descriptor lives on.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// Opens, or creates with mode 0600, the file `name` in `dir` to be locked. A symbolic link is refused.
pub fn open_lock_file(dir: impl AsFd, name: impl Arg) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(fd))
}

impl Lock {
    /// Waits for the exclusive lock of `file`.
    pub fn exclusive(file: File) -> io::Result<Self> {
        wait(&file, FlockOperation::LockExclusive)?;
        Ok(Self { file })
    }

    /// Waits for a shared lock of `file`.
    pub fn shared(file: File) -> io::Result<Self> {
        wait(&file, FlockOperation::LockShared)?;
        Ok(Self { file })
    }

    /// Takes the exclusive lock of `file`, or gives the file back when another holds any lock of it.
    pub fn try_exclusive(file: File) -> io::Result<Result<Self, File>> {
        try_lock(file, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes a shared lock of `file`, or gives the file back when another holds it exclusively.
    pub fn try_shared(file: File) -> io::Result<Result<Self, File>> {
        try_lock(file, FlockOperation::NonBlockingLockShared)
    }

    /// Turns the exclusive lock into a shared one; not atomic: another waiter may hold the lock in between.
    pub fn downgrade(&self) -> io::Result<()> {
        wait(&self.file, FlockOperation::LockShared)
    }

    /// Whether `name` in `dir` is still the locked file: a lock file that is unlinked by its owner must be checked
    /// after a wait, because the waiter may have got the lock of a file that no one else can find any more.
    pub fn is_at(&self, dir: impl AsFd, name: impl Arg) -> io::Result<bool> {
        let held = rustix::fs::fstat(&self.file)?;
        match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(found.st_ino == held.st_ino && found.st_dev == held.st_dev),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The locked file; the lock lives on until it is closed.
    pub fn into_file(self) -> File {
        self.file
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether some open file description holds a lock of `file` that excludes this one.
pub fn is_locked(file: &File) -> io::Result<bool> {
    match retry(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            retry(file, FlockOperation::Unlock)?;
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn wait(file: &File, operation: FlockOperation) -> io::Result<()> {
    Ok(retry(file, operation)?)
}

fn try_lock(file: File, operation: FlockOperation) -> io::Result<Result<Lock, File>> {
    match retry(&file, operation) {
        Ok(()) => Ok(Ok(Lock { file })),
        Err(Errno::WOULDBLOCK) => Ok(Err(file)),
        Err(error) => Err(error.into()),
    }
}

fn retry(file: &File, operation: FlockOperation) -> rustix::io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation))
}

#[cfg(test)]
mod tests;

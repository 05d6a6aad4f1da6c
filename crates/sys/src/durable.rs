//! Writes that survive a crash: a name shows either its old bytes or its new ones, whole.
//!
//! [`write_atomic`] leaves at most a file named `.<name>.<random>.tmp` behind when the process dies in the middle.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// Mode of a file that everybody may read.
pub const MODE_PUBLIC: u32 = 0o644;
/// Mode of a file that its owner alone may read.
pub const MODE_PRIVATE: u32 = 0o600;

/// Suffix of the temporary names of [`write_atomic`]: a file with it that no one holds is garbage of a crash.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// How many temporary names are tried before giving up.
const NAME_ATTEMPTS: u32 = 128;

/// Replaces `name` in `dir` by a file of `bytes` with mode 0644: temporary file, fsync, rename, fsync of `dir`.
pub fn write_atomic(dir: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_atomic_with(dir, name, MODE_PUBLIC, |file| file.write_all(bytes))
}

/// Like [`write_atomic`], with the file's mode and a function that writes its content.
pub fn write_atomic_with(
    dir: impl AsFd,
    name: &str,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let dir = dir.as_fd();
    let (mut file, temporary) = create_temporary(dir, name, mode)?;
    let result = write(&mut file)
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(dir, temporary.as_str(), dir, name)?));
    match result {
        Ok(()) => sync_dir(dir),
        Err(error) => {
            // The first error is the one to report; the temporary is garbage that the next sweep takes as well.
            rustix::fs::unlinkat(dir, temporary.as_str(), AtFlags::empty()).ok();
            Err(error)
        }
    }
}

/// Moves `from` to `to`, and makes the move durable: both directories are synced.
pub fn rename_durable(
    from_dir: impl AsFd,
    from: &str,
    to_dir: impl AsFd,
    to: &str,
) -> io::Result<()> {
    rustix::fs::renameat(&from_dir, from, &to_dir, to)?;
    sync_dir(&to_dir)?;
    sync_dir(&from_dir)
}

/// Makes the names of a directory durable.
pub fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fsync(&dir))?)
}

/// Makes a file's bytes and length durable, not its times.
pub fn sync_data(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::fdatasync(&file))?)
}

/// Makes the whole file system of `fd` durable.
pub fn sync_filesystem(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::syncfs(&fd))?)
}

fn create_temporary(dir: impl AsFd, name: &str, mode: u32) -> io::Result<(File, String)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let process = rustix::process::getpid().as_raw_nonzero();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    for _ in 0..NAME_ATTEMPTS {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".{name}.{process}-{count}{TEMPORARY_SUFFIX}");
        match rustix::fs::openat(&dir, temporary.as_str(), flags, Mode::from_raw_mode(mode)) {
            Ok(fd) => return Ok((File::from(fd), temporary)),
            // A process with our number died here, or lives in another process namespace.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EXIST.into())
}

#[cfg(test)]
mod tests;

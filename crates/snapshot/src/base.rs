//! The tree of empty mount points that lies below every image.

use crate::error::Error;
use rustix::fs::{Mode, OFlags, RenameFlags};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Folder of the base tree among the containers.
const NAME: &str = ".base";

const DIRECTORIES: [&str; 6] = ["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"];
const FILES: [&str; 5] = [
    ".dockerenv",
    "dev/console",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
];

/// The base tree of the store at `root`, made when it is missing: the lowest lower of every overlay.
pub fn ensure(root: &Path) -> Result<PathBuf, Error> {
    let containers = root.join("containers");
    let path = containers.join(NAME);
    if rustix::fs::access(&path, rustix::fs::Access::EXISTS).is_ok() {
        return Ok(path);
    }
    let context = || format!("making {}", path.display());
    std::fs::create_dir_all(&containers).map_err(Error::io(context()))?;
    // Threads of one process may come here at once, too.
    let thread = rustix::thread::gettid().as_raw_nonzero();
    let temporary = format!("{NAME}.{thread}");
    let staged = containers.join(&temporary);
    build(&staged).map_err(Error::io(context()))?;
    let flags = RenameFlags::NOREPLACE;
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, &staged, cwd, &path, flags) {
        Ok(()) => {}
        // Another process was faster; its tree is the same.
        Err(rustix::io::Errno::EXIST) => {
            std::fs::remove_dir_all(&staged).map_err(Error::io(context()))?;
        }
        Err(error) => return Err(Error::io(context())(error)),
    }
    Ok(path)
}

/// Makes a base tree at `at`, for an overlay that needs more mount points than those.
pub fn build_at(at: &Path) -> Result<(), Error> {
    build(at).map_err(Error::io(format!("making {}", at.display())))
}

fn build(at: &Path) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    // A thread of the same number may have died in the middle of this: its names are welcome.
    make(rustix::fs::mkdir(at, mode))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir: OwnedFd = rustix::fs::open(at, flags, Mode::empty())?;
    for name in DIRECTORIES {
        make(rustix::fs::mkdirat(&dir, name, mode))?;
        rustix::fs::chmodat(&dir, name, mode, rustix::fs::AtFlags::empty())?;
    }
    for name in FILES {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        drop(rustix::fs::openat(
            &dir,
            name,
            flags,
            Mode::from_raw_mode(0o755),
        )?);
    }
    make(rustix::fs::symlinkat("/proc/mounts", &dir, "etc/mtab"))?;
    rustix::fs::chmod(at, mode)
}

fn make(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        other => other,
    }
}

//! Places inside a root that its image does not get to choose.
//!
//! Images are full of symbolic links, some absolute, some dangling. Every path is followed as if
//! the root were `/`; what is missing is made where a program inside would see it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// As many symbolic links as the kernel follows.
const LINK_LIMIT: usize = 40;

/// What to make when a path does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Directory,
    File,
}

/// Opens what `path` names inside `root`, as a place only.
pub(super) fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    open(root, path, OFlags::PATH)
}

/// Opens `path` inside `root`.
pub(super) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, &relative(path), flags, resolve)?)
}

/// Opens `path` inside `root`, whose every component must be an ordinary directory.
pub(super) fn find_plain(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(
        root,
        &relative(path),
        OFlags::PATH | OFlags::DIRECTORY,
        resolve,
    )?)
}

/// Opens `path` inside `root`, making it and the directories before it when they are missing.
pub(super) fn ensure(root: BorrowedFd<'_>, path: &Path, missing: Missing) -> io::Result<OwnedFd> {
    match find(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let real = follow(root, path)?;
    let (Some(name), Some(before)) = (real.file_name(), real.parent()) else {
        return find(root, &real);
    };
    let mut directory = root.try_clone_to_owned()?;
    for component in before.components() {
        if let Component::Normal(name) = component {
            directory = step(directory.as_fd(), Path::new(name))?;
        }
    }
    if missing == Missing::Directory {
        return Ok(step(directory.as_fd(), Path::new(name))?);
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&directory, name, flags, Mode::from_raw_mode(0o755)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(&directory, name, flags, Mode::empty())?)
}

/// Opens the directory `name`, made if missing.
fn step(directory: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// The path without symbolic links that `path` leads to, whether or not its end exists.
fn follow(root: BorrowedFd<'_>, path: &Path) -> io::Result<PathBuf> {
    let mut todo: VecDeque<OsString> = components(path);
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&name);
        let Some(target) = link_target(root, &next)? else {
            done = next;
            continue;
        };
        links += 1;
        if links > LINK_LIMIT {
            return Err(Errno::LOOP.into());
        }
        if target.is_absolute() {
            done = PathBuf::new();
        }
        for name in components(&target).into_iter().rev() {
            todo.push_front(name);
        }
    }
    Ok(done)
}

/// The names and `..`s of a path.
fn components(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// Where a path without further links in it points to, if it is a symbolic link.
fn link_target(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<PathBuf>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let fd = match openat2(root, path, flags, resolve) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    let target = rustix::fs::readlinkat(&fd, c"", Vec::new())?;
    Ok(Some(PathBuf::from(OsString::from_vec(target.into_bytes()))))
}

fn openat2(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    loop {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            // A rename somewhere disturbed the check; or a signal came.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The path as one below a directory; the root itself is `.`.
fn relative(path: &Path) -> PathBuf {
    let path: PathBuf = path
        .components()
        .filter(|component| !matches!(component, Component::RootDir))
        .collect();
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path
    }
}

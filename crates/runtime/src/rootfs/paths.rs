//! Kernel settings, and the paths that a container may not see or write.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use lapstrake_sys::mount::{self, Attributes, Configuration, MountAttrFlags};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use super::resolve;
use crate::error::{StartError, failed};

/// Writes a kernel setting (`net.ipv4.ip_forward`) through the container's `/proc`.
pub(super) fn set_sysctl(root: BorrowedFd<'_>, name: &str, value: &str) -> Result<(), StartError> {
    let path = PathBuf::from("/proc/sys").join(sysctl_path(name));
    let set = || -> io::Result<()> {
        let file = resolve::open(root, &path, OFlags::WRONLY)?;
        // Never anything else than the kernel's own file.
        if rustix::fs::fstatfs(&file)?.f_type != rustix::fs::PROC_SUPER_MAGIC {
            return Err(Errno::NOENT.into());
        }
        rustix::io::write(&file, value.as_bytes())?;
        Ok(())
    };
    set().map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::NOENT.raw_os_error() => StartError::other(format!(
            "open {}: no such file or directory",
            path.display()
        )),
        _ => failed(format_args!("error setting sysctl {name}"))(error),
    })
}

/// Dots separate names; a name with a dot in it (`eth0.100`) is written with slashes as separators.
fn sysctl_path(name: &str) -> String {
    let first = name.find(['.', '/']).and_then(|at| name.get(at..=at));
    if first == Some("/") {
        return name.to_owned();
    }
    let swap = |char| match char {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

/// Mounts a path over itself, read-only. A missing one needs no protection.
pub(super) fn make_readonly(root: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let Some(target) = find(root, path)? else {
        return Ok(());
    };
    let tree = mount::clone_at(target.as_fd(), Path::new(""), true)?;
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY;
    mount::set_attributes(
        tree.as_fd(),
        &Attributes {
            set,
            ..Attributes::default()
        },
    )?;
    mount::attach(tree.as_fd(), target.as_fd())
}

/// Hides paths: a file behind the container's `/dev/null`, a directory behind an empty one. A
/// missing path needs no hiding.
pub(super) fn mask<'a>(
    root: BorrowedFd<'_>,
    paths: impl Iterator<Item = &'a String>,
) -> Result<(), StartError> {
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let hide = || -> io::Result<()> {
            let Some(target) = find(root, Path::new(path))? else {
                return Ok(());
            };
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode);
            if kind != FileType::Directory {
                let null = resolve::find(root, Path::new("/dev/null"))?;
                let tree = mount::clone_at(null.as_fd(), Path::new(""), false)?;
                return mount::attach(tree.as_fd(), target.as_fd());
            }
            // One empty directory hides them all.
            let tree = match &empty {
                Some(first) => mount::clone_at(first.as_fd(), Path::new(""), false)?,
                None => empty_directory()?,
            };
            mount::attach(tree.as_fd(), target.as_fd())?;
            empty.get_or_insert(tree);
            Ok(())
        };
        let mut hide = hide;
        hide().map_err(failed(format_args!("error masking {path:?}")))?;
    }
    Ok(())
}

fn empty_directory() -> io::Result<OwnedFd> {
    let configuration = Configuration::new("tmpfs")?;
    configuration.set("source", Path::new("tmpfs"))?;
    configuration.set("size", Path::new("0"))?;
    configuration.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)
}

fn find(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<OwnedFd>> {
    match resolve::find(root, path) {
        Ok(fd) => Ok(Some(fd)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

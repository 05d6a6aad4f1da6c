//! Extended attributes, through descriptors and for names in a directory, never through a path that could be redirected.
//!
//! There is no descriptor-relative form for names before Linux 6.13, so [`set_at`] and its like go through
//! `/proc/self/fd/<directory>/<name>` with the calls that do not follow a final symbolic link. [`list_at`], which is
//! asked of every file of a build, takes the newer form where there is one: it costs a third.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use rustix::path::Arg;

/// Room for a name list and for a value before the kernel is asked how much it needs.
const FIRST_GUESS: usize = 256;
/// The kernel's own limits (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const KERNEL_LIMIT: usize = 64 * 1024;
/// The number of the call, the same on every architecture.
const LISTXATTRAT: libc::c_long = 465;

/// Sets `name` to `value` on an open file or directory.
pub fn set(fd: impl AsFd, name: impl Arg, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())?)
}

/// Sets `name` on `file` in `dir`; a symbolic link gets the attribute itself.
pub fn set_at(dir: impl AsFd, file: &[u8], name: impl Arg, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::lsetxattr(
        path_at(dir, file),
        name,
        value,
        XattrFlags::empty(),
    )?)
}

/// The value of `name` on an open file or directory; `None` when it has none, or its file system has no attributes.
pub fn get(fd: impl AsFd, name: impl Arg + Copy) -> io::Result<Option<Vec<u8>>> {
    read(|buffer| rustix::fs::fgetxattr(&fd, name, buffer))
}

/// The value of `name` on `file` in `dir`, not following a symbolic link.
pub fn get_at(dir: impl AsFd, file: &[u8], name: impl Arg + Copy) -> io::Result<Option<Vec<u8>>> {
    let path = path_at(dir, file);
    read(|buffer| rustix::fs::lgetxattr(path.as_slice(), name, buffer))
}

/// The attribute names of an open file or directory, sorted; empty when its file system has no attributes.
pub fn list(fd: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let names = read(|buffer| rustix::fs::flistxattr(&fd, buffer))?;
    Ok(split(names.as_deref()))
}

/// The attribute names of `file` in `dir`, not following a symbolic link, sorted.
pub fn list_at(dir: impl AsFd, file: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let dir = dir.as_fd();
    let newer = CString::new(file).map_err(|_nul| Errno::INVAL)?;
    let names = match read(|buffer| listxattrat(dir, &newer, buffer)) {
        // An older kernel, or a filter that does not know the call.
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::NOSYS | Errno::PERM)
            ) =>
        {
            let path = path_at(dir, file);
            read(|buffer| rustix::fs::llistxattr(path.as_slice(), buffer))?
        }
        names => names?,
    };
    Ok(split(names.as_deref()))
}

/// `listxattrat(2)`, not following a symbolic link.
fn listxattrat(dir: BorrowedFd<'_>, file: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    // SAFETY: the name ends with a NUL, and the kernel writes at most as many bytes as the buffer has.
    let length = unsafe {
        libc::syscall(
            LISTXATTRAT,
            libc::c_long::from(dir.as_raw_fd()),
            file.as_ptr(),
            libc::c_long::from(libc::AT_SYMLINK_NOFOLLOW),
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    usize::try_from(length)
        .map_err(|_negative| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

fn path_at(dir: impl AsFd, file: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(file);
    path
}

/// Calls `fill` with a small buffer on the stack first: most lists are empty or hold one name.
fn read(fill: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    let mut small = [0_u8; FIRST_GUESS];
    match fill(&mut small) {
        Ok(length) => return Ok(Some(small.get(..length).unwrap_or_default().to_vec())),
        Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error.into()),
    }
    let mut large = vec![0_u8; KERNEL_LIMIT];
    match fill(&mut large) {
        Ok(length) => {
            large.truncate(length);
            Ok(Some(large))
        }
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn split(names: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = names
        .unwrap_or_default()
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests;

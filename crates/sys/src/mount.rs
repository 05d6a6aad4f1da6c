//! The mount API by descriptor, where rustix leaves off.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags};

pub use rustix::mount::{MountAttrFlags, MountPropagationFlags};

/// A change to the attributes of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Switched on.
    pub set: MountAttrFlags,
    /// Switched off. [`MountAttrFlags::MOUNT_ATTR__ATIME`] must be here when `set` has one of the
    /// access time modes.
    pub clear: MountAttrFlags,
    /// The new propagation, when it changes.
    pub propagation: Option<MountPropagationFlags>,
    /// Apply to the mounts below too.
    pub recursive: bool,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            set: MountAttrFlags::empty(),
            clear: MountAttrFlags::empty(),
            propagation: None,
            recursive: false,
        }
    }
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes the attributes of the mount that `mount` is the root of.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    let attr = MountAttr {
        set: u64::from(attributes.set.bits()),
        clear: u64::from(attributes.clear.bits()),
        propagation: attributes
            .propagation
            .map_or(0, |flags| u64::from(flags.bits())),
        userns_fd: 0,
    };
    let recursive = if attributes.recursive {
        libc::AT_RECURSIVE
    } else {
        0
    };
    let flags = libc::c_long::from(libc::AT_EMPTY_PATH | recursive);
    let fd = libc::c_long::from(mount.as_raw_fd());
    let path: *const libc::c_char = c"".as_ptr();
    // SAFETY: the path is terminated, `attr` is a mount_attr of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            path,
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A copy of the mount at `path`, attached nowhere; with `recursive`, of those below too.
pub fn clone_at(dir: BorrowedFd<'_>, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(dir, path, flags)?)
}

/// A copy of the mount at `path` of the calling process's own root and working directory.
pub fn clone_path(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    clone_at(CWD, path, recursive)
}

/// Attaches a detached mount over what `target` is open on.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, c"", target, c"", flags)?)
}

/// A file system being configured.
#[derive(Debug)]
pub struct Configuration(OwnedFd);

impl Configuration {
    /// Starts configuring a file system of the given type.
    pub fn new(kind: &str) -> io::Result<Self> {
        Ok(Self(rustix::mount::fsopen(
            kind,
            FsOpenFlags::FSOPEN_CLOEXEC,
        )?))
    }

    /// Sets a parameter with a value.
    pub fn set(&self, key: &str, value: &Path) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_string(&self.0, key, value)?)
    }

    /// Sets a parameter without one.
    pub fn flag(&self, key: &str) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_set_flag(&self.0, key)?)
    }

    /// Makes the file system and a detached mount of it.
    pub fn mount(&self, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(&self.0)?;
        Ok(rustix::mount::fsmount(
            &self.0,
            FsMountFlags::FSMOUNT_CLOEXEC,
            attributes,
        )?)
    }

    /// The kernel's own words on what went wrong last, if it has any.
    pub fn message(&self) -> Option<String> {
        let mut buffer = [0_u8; 512];
        let length = rustix::io::read(self.0.as_fd(), &mut buffer).ok()?;
        let text = String::from_utf8_lossy(buffer.get(..length)?)
            .trim_end()
            .to_owned();
        // A class letter and a space come first.
        Some(text.get(2..).unwrap_or_default().to_owned()).filter(|text| !text.is_empty())
    }
}

/// Replaces the root of the calling process by the mount `new_root` and lets go of the old root
/// and everything mounted in it.
pub fn change_root(new_root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(new_root)?;
    // The old root is stacked over the new one at `.`, whence it is taken away again: no directory
    // for it is needed.
    const HERE: &CStr = c".";
    rustix::process::pivot_root(HERE, HERE)?;
    rustix::mount::unmount(HERE, rustix::mount::UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir(c"/")?)
}

//! The root file system itself.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use lapstrake_sys::mount::{self, Attributes, Configuration, MountAttrFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::error::{StartError, failed};
use crate::launch::{OverlaySpec, RootFs};

/// The most read-only trees of an overlay: docker's 127 layers of an image, and one of mount points below
/// them.
const LOWERS_LIMIT: usize = 128;

/// Overlay's features that would make `upper` something else than a plain layer.
const PLAIN: [&str; 4] = ["redirect_dir", "metacopy", "index", "xino"];

/// Mounts the root file system in the calling process's mount namespace and returns its root.
///
/// It is attached over a directory of its own (the overlay's upper one, or the root directory
/// itself), where nothing of the host is hidden that is still needed.
pub(crate) fn mount_root(
    rootfs: &RootFs,
    nodev: bool,
    user_namespace: bool,
) -> Result<OwnedFd, StartError> {
    match rootfs {
        RootFs::Dir(path) => bind_directory(path, nodev),
        RootFs::Overlay(overlay) if overlay.lowers.is_empty() => {
            bind_directory(&overlay.upper, nodev)
        }
        RootFs::Overlay(overlay) => {
            let what = "error mounting overlay";
            let root = mount_overlay(
                &without_repetitions(overlay),
                attributes(nodev),
                user_namespace,
            )
            .map_err(failed(what))?;
            attach_over(root, &overlay.upper).map_err(failed(what))
        }
    }
}

/// Mounts an overlay at a directory of the calling process's mount namespace.
pub(crate) fn mount_at(rootfs: &RootFs, target: &Path) -> io::Result<()> {
    let mount = match rootfs {
        RootFs::Overlay(overlay) if !overlay.lowers.is_empty() => mount_overlay(
            &without_repetitions(overlay),
            MountAttrFlags::empty(),
            false,
        )?,
        RootFs::Overlay(overlay) => mount::clone_path(&overlay.upper, true)?,
        RootFs::Dir(path) => mount::clone_path(path, true)?,
    };
    attach_over(mount, target).map(drop)
}

/// The kernel refuses a tree that is in the stack twice, as a layer may be in an image. What the lower one shows, the
/// upper one shows too.
fn without_repetitions(overlay: &OverlaySpec) -> OverlaySpec {
    let mut seen = BTreeSet::new();
    let mut overlay = overlay.clone();
    overlay.lowers.retain(|lower| seen.insert(lower.clone()));
    overlay
}

fn attributes(nodev: bool) -> MountAttrFlags {
    if nodev {
        MountAttrFlags::MOUNT_ATTR_NODEV
    } else {
        MountAttrFlags::empty()
    }
}

fn bind_directory(path: &Path, nodev: bool) -> Result<OwnedFd, StartError> {
    let bind = || {
        let root = mount::clone_path(path, true)?;
        let set = attributes(nodev);
        let change = Attributes {
            set,
            recursive: true,
            ..Attributes::default()
        };
        mount::set_attributes(root.as_fd(), &change)?;
        attach_over(root, path)
    };
    let path = path.display();
    bind().map_err(failed(format_args!("error mounting root {path}")))
}

fn attach_over(mount: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::open(path, flags, Mode::empty())?;
    mount::attach(mount.as_fd(), target.as_fd())?;
    Ok(mount)
}

/// Makes a detached overlay mount.
fn mount_overlay(
    overlay: &OverlaySpec,
    attributes: MountAttrFlags,
    user_namespace: bool,
) -> io::Result<OwnedFd> {
    if overlay.lowers.len() > LOWERS_LIMIT {
        return Err(io::Error::other("too many layers: the limit is 127"));
    }
    let configuration = Configuration::new("overlay")?;
    configuration.set("source", Path::new("overlay"))?;
    for lower in &overlay.lowers {
        match configuration.set("lowerdir+", lower) {
            // Before Linux 6.8 there is no such parameter.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                return mount_overlay_by_options(overlay, attributes);
            }
            result => result?,
        }
    }
    configuration.set("upperdir", &overlay.upper)?;
    configuration.set("workdir", &overlay.work)?;
    if user_namespace {
        // Without power over the host the features are off, and may not be named.
        configuration.flag("userxattr")?;
    } else {
        for feature in PLAIN {
            // Kernels built without a feature do not know its name.
            configuration.set(feature, Path::new("off")).ok();
        }
    }
    if overlay.volatile {
        configuration.flag("volatile")?;
    }
    configuration
        .mount(attributes)
        .map_err(|error| match configuration.message() {
            Some(message) => {
                io::Error::other(format!("{}: {message}", crate::error::words(&error)))
            }
            None => error,
        })
}

/// The same through one option string, which is limited to a page: lower directories are named
/// relative to the directory that they have in common.
fn mount_overlay_by_options(
    overlay: &OverlaySpec,
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let base = common_directory(&overlay.lowers);
    let before = rustix::fs::open(c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir(&base)?;
    let mut options = b"lowerdir=".to_vec();
    for (index, lower) in overlay.lowers.iter().enumerate() {
        let relative = lower.strip_prefix(&base).unwrap_or(lower);
        if index > 0 {
            options.push(b':');
        }
        push_escaped(
            &mut options,
            if relative == Path::new("") {
                lower
            } else {
                relative
            },
        );
    }
    options.extend_from_slice(b",upperdir=");
    push_escaped(&mut options, &overlay.upper);
    options.extend_from_slice(b",workdir=");
    push_escaped(&mut options, &overlay.work);
    for feature in PLAIN {
        if Path::new("/sys/module/overlay/parameters")
            .join(feature)
            .exists()
        {
            options.extend_from_slice(format!(",{feature}=off").as_bytes());
        }
    }
    if overlay.volatile {
        options.extend_from_slice(b",volatile");
    }
    let options = std::ffi::CString::new(options)?;
    let nodev = attributes.contains(MountAttrFlags::MOUNT_ATTR_NODEV);
    let flags = if nodev {
        MountFlags::NODEV
    } else {
        MountFlags::empty()
    };
    // Mounted over the upper directory first: the old call knows no detached mounts.
    let mounted = rustix::mount::mount(
        c"overlay",
        &overlay.upper,
        c"overlay",
        flags,
        options.as_c_str(),
    );
    rustix::process::fchdir(before)?;
    mounted?;
    let copy = mount::clone_path(&overlay.upper, false)?;
    rustix::mount::unmount(&overlay.upper, rustix::mount::UnmountFlags::DETACH)?;
    Ok(copy)
}

/// The deepest directory that is a parent of all.
fn common_directory(paths: &[PathBuf]) -> PathBuf {
    let mut common = paths
        .first()
        .and_then(|path| path.parent())
        .unwrap_or(Path::new("/"));
    while let Some(parent) = common.parent() {
        if paths.iter().all(|path| path.starts_with(common)) {
            break;
        }
        common = parent;
    }
    common.to_owned()
}

/// Appends a path with overlay's separators escaped.
fn push_escaped(options: &mut Vec<u8>, path: &Path) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b':' | b',') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
}

#[cfg(test)]
pub(crate) fn mount_root_by_options(overlay: &OverlaySpec) -> io::Result<OwnedFd> {
    let root = mount_overlay_by_options(overlay, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    attach_over(root, &overlay.upper)
}

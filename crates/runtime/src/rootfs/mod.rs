//! The file system that a container sees, built inside its new mount namespace.
//!
//! Order: root, mounts of the specification, devices, console, kernel settings, read-only and
//! masked paths, read-only root. The root stays a descriptor throughout: every place is looked up
//! from it, as a program inside would see it, and mounted on by descriptor.

mod cgroups;
mod devices;
mod mounts;
mod options;
mod overlay;
mod paths;
mod resolve;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use lapstrake_sys::mount::{self, Attributes, MountAttrFlags, MountPropagationFlags};
use lapstrake_sys::pty::Pty;
use lapstrake_sys::tty::{self, WindowSize};
use oci_spec::runtime::{Linux, LinuxNamespaceType, Spec};
use rustix::fs::OFlags;

use crate::error::{StartError, failed};
use crate::launch::{Launch, Stdio};

pub(crate) use devices::DeviceRules;
pub(crate) use overlay::mount_at;
#[cfg(test)]
pub(crate) use overlay::mount_root_by_options;

/// A root file system, mounted and furnished, not yet anybody's root.
#[derive(Debug)]
pub(crate) struct Rootfs {
    root: OwnedFd,
    /// The container's terminal, when it has one.
    pub(crate) terminal: Option<Pty>,
}

impl Rootfs {
    /// Builds it in the calling process's mount namespace, which nobody else uses. `entered` tells that the
    /// process has been moved into control groups of the container's own.
    pub(crate) fn build(launch: &Launch, entered: bool) -> Result<Self, StartError> {
        let spec = &launch.spec;
        let linux = spec.linux().as_ref();
        set_host_propagation(linux)?;
        let rules = DeviceRules::new(linux);
        let user_namespace = mounts::has_namespace(spec, LinuxNamespaceType::User);
        let nodev = !rules.allow_everything();
        let root = overlay::mount_root(&launch.rootfs, nodev, user_namespace)?;
        mounts::mount_all(root.as_fd(), spec, &rules, entered)?;
        make_working_directory(root.as_fd(), spec);
        let own_dev = !mounts::binds_dev(spec);
        if own_dev {
            devices::furnish(root.as_fd(), linux, &rules).map_err(failed("error creating /dev"))?;
        }
        let terminal = match launch.stdio {
            Stdio::Terminal { rows, columns } => {
                let pty = open_terminal(root.as_fd(), WindowSize { rows, columns });
                let pty = pty.map_err(failed("error allocating a terminal"))?;
                if own_dev {
                    devices::bind_console(root.as_fd(), pty.slave.as_fd())
                        .map_err(failed("error setting up /dev/console"))?;
                }
                Some(pty)
            }
            _ => None,
        };
        let rootfs = Self { root, terminal };
        rootfs.restrict(spec)?;
        Ok(rootfs)
    }

    /// What a container may not see or change.
    fn restrict(&self, spec: &Spec) -> Result<(), StartError> {
        let root = self.root.as_fd();
        if let Some(linux) = spec.linux() {
            let sysctls = linux.sysctl().iter().flatten();
            for (name, value) in sysctls.collect::<std::collections::BTreeMap<_, _>>() {
                paths::set_sysctl(root, name, value)?;
            }
            for path in linux.readonly_paths().iter().flatten() {
                let what = format_args!("error making {path:?} read-only");
                paths::make_readonly(root, Path::new(path)).map_err(failed(what))?;
            }
            paths::mask(root, linux.masked_paths().iter().flatten())?;
        }
        if spec
            .root()
            .as_ref()
            .and_then(oci_spec::runtime::Root::readonly)
            == Some(true)
        {
            let set = MountAttrFlags::MOUNT_ATTR_RDONLY;
            let change = Attributes {
                set,
                ..Attributes::default()
            };
            mount::set_attributes(root, &change)
                .map_err(failed("error making the root file system read-only"))?;
        }
        Ok(())
    }

    /// Makes it the root of the calling process. The host's mounts are gone afterwards.
    pub(crate) fn enter(&self) -> Result<(), StartError> {
        mount::change_root(self.root.as_fd()).map_err(failed("error changing the root"))
    }
}

/// What is mounted from here on stays here; what the host mounts later may still be seen.
fn set_host_propagation(linux: Option<&Linux>) -> Result<(), StartError> {
    let asked = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
    let asked = asked.and_then(options::propagation).map(|(flags, _)| flags);
    let flags = match asked {
        // The container's own mounts must never reach the host.
        Some(MountPropagationFlags::SHARED) | None => MountPropagationFlags::DOWNSTREAM,
        Some(flags) => flags,
    };
    rustix::mount::mount_change(c"/", flags | MountPropagationFlags::REC)
        .map_err(failed("error setting the propagation of mounts"))
}

/// Docker makes a missing working directory, as root. One that cannot be made is reported when it is
/// entered.
fn make_working_directory(root: BorrowedFd<'_>, spec: &Spec) {
    if let Some(process) = spec.process() {
        resolve::ensure(root, process.cwd(), resolve::Missing::Directory).ok();
    }
}

/// A terminal of the container's own devpts.
fn open_terminal(root: BorrowedFd<'_>, size: WindowSize) -> io::Result<Pty> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let devpts = resolve::open(root, Path::new("/dev/pts"), flags)?;
    let pty = lapstrake_sys::pty::open_in(devpts.as_fd())?;
    if size != WindowSize::default() {
        tty::set_window_size(pty.master.as_fd(), size)?;
    }
    Ok(pty)
}

//! A Linux container from an OCI runtime specification and a root file system.
//!
//! [`spawn`] makes namespaces, mounts and limits in a forked child and executes the command; the
//! caller, a single-threaded process, keeps [`Running`] and is told of the end through its pidfd.
//! [`external::run`] hands the same [`Launch`] to an OCI runtime program instead.
//!
//! What is absent: no daemon, no shim, no helper program, no state on disk. A container's mounts
//! live in its own mount namespace and vanish with it; it dies with the process that spawned it
//! (`PR_SET_PDEATHSIG`); an empty control group directory is all that may be left, and
//! [`cleanup`] sweeps it.
//!
//! Devices are kept from a container that was not given them all by `nodev` on every mount
//! (its own nodes in `/dev` are single bind mounts), not by a device control group.

mod cgroup;
mod child;
mod control;
pub mod defaults;
mod error;
pub mod external;
mod launch;
mod protect;
mod reaper;
mod rootfs;
pub mod seccomp;
mod spawn;
#[cfg(test)]
mod tests;

pub use cgroup::{Cgroup, Hierarchy, hierarchy, missing_controllers};
pub use control::cleanup;
pub use error::{Error, StartError, StartErrorKind};
pub use launch::{ChildStdio, Exit, Launch, OverlaySpec, RootFs, Running, Stdio};
pub use protect::protected_program;
pub use spawn::{Connect, spawn, spawn_connected};

/// Mounts an overlay at a directory of the calling process's mount namespace, which it has for itself
/// ([`external::isolate_mounts`]).
pub fn mount_overlay_at(overlay: &OverlaySpec, target: &std::path::Path) -> std::io::Result<()> {
    rootfs::mount_at(&RootFs::Overlay(overlay.clone()), target)
}

/// Works out what most containers need, before it is known which one is to be started. Nothing depends on
/// its having been called.
pub fn prepare() {
    cgroup::Layout::of_start();
    seccomp::prepare();
}

/// Capability names and sets.
pub use lapstrake_sys::caps;
/// Signal names and numbers.
pub use lapstrake_sys::signal;

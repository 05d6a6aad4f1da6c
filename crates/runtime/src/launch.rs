//! What a caller asks for, and what it gets back once the container runs.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci_spec::runtime::Spec;

use crate::cgroup::Cgroup;

/// Everything needed to start one container.
#[derive(Debug)]
pub struct Launch {
    /// The container's id: names its cgroup and its session keyring.
    pub id: String,
    /// The OCI runtime specification: process, mounts, namespaces, limits. `spec.root.path` is not
    /// read, `spec.root.readonly` is.
    pub spec: Spec,
    /// Where the root file system comes from.
    pub rootfs: RootFs,
    /// What the process's standard streams are.
    pub stdio: Stdio,
    /// Run a small reaper as process 1 and the container's command as its child (`--init`).
    pub init: bool,
}

/// The root file system of a container.
#[derive(Debug, Clone)]
pub enum RootFs {
    /// An overlay, mounted inside the container's own mount namespace.
    Overlay(OverlaySpec),
    /// A directory, used as it is.
    Dir(PathBuf),
}

/// An overlay mount. All paths are absolute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverlaySpec {
    /// Read-only trees, the top one first. With none, `upper` alone is the root.
    pub lowers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// Overlay's scratch directory, on the file system of `upper`, empty or left by an earlier mount.
    pub work: PathBuf,
    /// Skip every sync: for a container whose changes need not survive a power loss.
    pub volatile: bool,
}

/// The standard streams asked for.
#[derive(Debug)]
pub enum Stdio {
    /// Pipes, owned by the container's user. Without `stdin` it reads `/dev/null`.
    Pipes {
        /// Make a pipe for standard input too.
        stdin: bool,
    },
    /// A pseudo terminal of the container's own devpts.
    Terminal {
        /// Height in characters; 0 is unknown.
        rows: u16,
        /// Width in characters; 0 is unknown.
        columns: u16,
    },
    /// The container's `/dev/null` three times.
    Null,
    /// Descriptors of the caller.
    Inherit {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
}

/// The caller's ends of the standard streams. All are close-on-exec and blocking.
#[derive(Debug)]
pub enum ChildStdio {
    /// The ends of [`Stdio::Pipes`].
    Pipes {
        /// Writes to the container's standard input, when it was asked for.
        stdin: Option<OwnedFd>,
        /// Reads the container's standard output.
        stdout: OwnedFd,
        /// Reads the container's standard error.
        stderr: OwnedFd,
    },
    /// The terminal's master side.
    Terminal(OwnedFd),
    /// Nothing to hold: [`Stdio::Null`] and [`Stdio::Inherit`].
    None,
}

/// A container that has started: its command has been executed.
#[derive(Debug)]
pub struct Running {
    /// Its first process, as the caller's process namespace numbers it.
    pub pid: i32,
    /// The same process, free of reuse: readable once it has ended.
    pub pidfd: OwnedFd,
    /// The caller's ends of the standard streams.
    pub stdio: ChildStdio,
    /// Its control group, when one was made.
    pub cgroup: Cgroup,
    /// Whether it has a process namespace of its own, which dies with its first process.
    pub own_pid_namespace: bool,
}

/// How the first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// 0 to 255; 128 plus the signal when one ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

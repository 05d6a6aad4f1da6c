//! The seam to whatever runs the processes of `RUN`. This crate prepares directories and says what is wanted;
//! the implementation mounts, isolates, runs and leaves nothing behind.
//!
//! What an implementation promises:
//!
//! - The root is an overlay of [`RunRequest::lowers`] with [`RunRequest::upper`], mounted where nobody else sees it
//!   and gone when `run` returns, however it returns.
//! - `upper` then holds the program's changes and nothing else: mount points that had to be made are removed,
//!   and so are the files over which `/etc/hosts`, `/etc/resolv.conf` and the like were mounted.
//! - When [`RunRequest::cancel`] is raised, every process of the step is killed and `run` returns
//!   [`SandboxError::Cancelled`].

use crate::cancel::CancelToken;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Runs one step.
pub trait Sandbox: Send + Sync {
    /// Runs a process to its end and passes on what it prints. Called from several threads at once.
    fn run(
        &self,
        request: &RunRequest,
        output: &mut dyn Output,
    ) -> Result<ExitStatus, SandboxError>;
}

/// Where the output of a step goes, in the order in which it came.
pub trait Output: Send {
    /// Some bytes, not necessarily whole lines or characters.
    fn write(&mut self, stream: Stream, bytes: &[u8]);
}

/// Which of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a step's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this.
    Code(u8),
    /// A signal of this number killed it.
    Signal(u8),
    /// It was killed because the memory limit was reached.
    OutOfMemory,
}

impl ExitStatus {
    /// Whether all is well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// As a shell has it: 128 and more for signals.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128_u8.saturating_add(number),
            Self::OutOfMemory => 137,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(_) | Self::Signal(_) => write!(f, "exit code: {}", self.code()),
            Self::OutOfMemory => f.write_str("cannot allocate memory"),
        }
    }
}

/// What is to be run, on what.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Read-only trees, the top one first. The last one is the base tree of mount points.
    pub lowers: Vec<PathBuf>,
    /// Where changes go. An empty directory.
    pub upper: PathBuf,
    /// Overlay's scratch directory, on the same file system.
    pub work: PathBuf,
    /// The program and its arguments; looked up in the `PATH` of `environment` inside the root.
    pub arguments: Vec<String>,
    /// `NAME=value`, complete: nothing is inherited.
    pub environment: Vec<String>,
    /// Working directory inside the root; made when it is missing.
    pub directory: String,
    /// `user[:group]`, names or numbers, looked up inside the root; empty for root.
    pub user: String,
    /// Mounts beside the root, in the order in which they are to be made.
    pub mounts: Vec<SandboxMount>,
    /// What of the network it sees.
    pub network: Network,
    /// Every capability and no filter: `--security=insecure`.
    pub privileged: bool,
    /// Host name.
    pub hostname: String,
    /// More lines of `/etc/hosts`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Bytes of `/dev/shm`; `None` is the default.
    pub shm_bytes: Option<u64>,
    /// Limits of the process.
    pub ulimits: Vec<Ulimit>,
    /// Limits of the step's control group.
    pub resources: Resources,
    /// Raised when the step is to be killed.
    pub cancel: CancelToken,
}

/// A mount of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxMount {
    /// A directory or file of the host.
    Bind {
        /// What is shown.
        source: PathBuf,
        /// Where, inside the root; made when it is missing.
        target: String,
        /// Whether it may not be written.
        read_only: bool,
    },
    /// A merged tree: with `upper`, what is written goes there and is thrown away later; without, it
    /// may not be written.
    Overlay {
        /// The top one first; at least two where nothing is written, one otherwise.
        lowers: Vec<PathBuf>,
        /// Upper and work directories.
        upper: Option<(PathBuf, PathBuf)>,
        /// The part of the merged tree that is shown, relative; empty for all of it. A directory or a file.
        subpath: String,
        /// Where, inside the root.
        target: String,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Where, inside the root.
        target: String,
        /// Bytes at most.
        size_bytes: Option<u64>,
    },
    /// A file that is only in memory.
    Secret {
        /// Its content.
        content: SecretBytes,
        /// Where, inside the root.
        target: String,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

impl SandboxMount {
    /// Where it is mounted, inside the root.
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. }
            | Self::Overlay { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Secret { target, .. } => target,
        }
    }
}

/// Bytes that are not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Hides these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

/// What a step sees of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The engine's default network.
    #[default]
    Default,
    /// Only its own loopback device.
    None,
    /// The host's.
    Host,
}

/// One limit of a process, as `setrlimit` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// As docker names it: `nofile`, `core`, …
    pub name: String,
    /// Soft limit; -1 is none.
    pub soft: i64,
    /// Hard limit; -1 is none.
    pub hard: i64,
}

/// Limits of a step's control group; `None` and empty mean no limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory and swap together; -1 is no limit.
    pub memory_swap_bytes: Option<i64>,
    /// Relative weight.
    pub cpu_shares: Option<u64>,
    /// Microseconds of a period.
    pub cpu_period: Option<u64>,
    /// Microseconds of processor time in a period.
    pub cpu_quota: Option<i64>,
    /// Processors that may be used, as `0-2,7`.
    pub cpuset_cpus: String,
    /// Memory nodes that may be used.
    pub cpuset_mems: String,
    /// The control group to be below.
    pub cgroup_parent: String,
}

/// Why a step could not be run, or not to its end. A program that fails is no error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The token was raised.
    #[error("context canceled")]
    Cancelled,
    /// The program could not be executed; the text is docker's. `code` is 126 or 127.
    #[error("{message}")]
    Exec {
        /// What is wrong with it.
        message: String,
        /// The exit status that a shell would return.
        code: u8,
    },
    /// A user or group that the root does not have.
    #[error("{0}")]
    User(String),
    /// A system call failed.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Something else of the implementation.
    #[error("{message}")]
    Other {
        /// What went wrong.
        message: String,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

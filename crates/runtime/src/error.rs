//! Failures, in docker's words.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Why a container did not start, as far as exit codes care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartErrorKind {
    /// The command does not exist: exit code 127.
    NotFound,
    /// The command cannot be executed: exit code 126.
    NotExecutable,
    /// A mount's source and destination are not of one kind: exit code 127, as docker has it.
    NotDirectory,
    /// Anything else: exit code 125.
    Other,
}

/// A container did not start. Nothing of it is left.
///
/// Displays as docker's whole text:
/// `failed to create task for container: … unable to start container process: <message>: unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartError {
    /// What exit code it maps to.
    pub kind: StartErrorKind,
    /// The innermost text: `exec: "nosuch": executable file not found in $PATH`.
    pub message: String,
}

/// What docker's layers put before a runtime's message.
const PREFIX: &str = "failed to create task for container: failed to create shim task: \
                      OCI runtime create failed: runc create failed: \
                      unable to start container process: ";

/// What docker adds when a file meets a directory in a mount.
const MOUNT_KIND_HINT: &str = ": Are you trying to mount a directory onto a file (or vice-versa)? \
                               Check if the specified host path exists and is the expected type";

impl StartError {
    /// A failure of kind [`StartErrorKind::Other`].
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(StartErrorKind::Other, message)
    }

    /// A failure of the given kind.
    pub fn new(kind: StartErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The exit code of `docker run` for this failure: 125, 126 or 127.
    pub fn exit_code(&self) -> i32 {
        match self.kind {
            StartErrorKind::NotFound | StartErrorKind::NotDirectory => 127,
            StartErrorKind::NotExecutable => 126,
            StartErrorKind::Other => 125,
        }
    }
}

/// The words of a system error as Go prints them: no number, lower case.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// Turns a system error into a failure to do `what`.
pub(crate) fn failed<E: Into<io::Error>>(
    what: impl std::fmt::Display,
) -> impl FnOnce(E) -> StartError {
    move |error| StartError::other(format!("{what}: {}", words(&error.into())))
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}: unknown", self.message)?;
        if self.kind == StartErrorKind::NotDirectory {
            f.write_str(MOUNT_KIND_HINT)?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {}

/// A failure of anything but starting.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "the error of this crate: `runtime::Error` elsewhere"
)]
pub enum Error {
    /// A seccomp profile is not valid.
    #[error("invalid seccomp profile: {0}")]
    Seccomp(String),
    /// A control group file refused a value.
    #[error("cgroup {path}")]
    Cgroup {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The container has ended.
    #[error("container is not running")]
    NotRunning,
    /// A system call failed.
    #[error("{action}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// Names the action that failed.
    pub(crate) fn io(action: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Io {
            action,
            source: errno.into(),
        }
    }
}

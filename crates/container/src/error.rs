//! The errors of this crate, in docker's words where docker has words.

use std::io;

/// Why a container did not start; decides the exit status of `run` and `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum StartKind {
    /// The command is not in the container (127).
    NotFound,
    /// The command cannot be executed (126).
    NotExecutable,
    /// Anything else (125).
    Other,
}

impl StartKind {
    /// The exit status docker's `run` gives for it.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::NotFound => 127,
            Self::NotExecutable => 126,
            Self::Other => 125,
        }
    }

    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::NotFound => 1,
            Self::NotExecutable => 2,
            Self::Other => 0,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::NotFound,
            2 => Self::NotExecutable,
            _ => Self::Other,
        }
    }
}

/// The errors of this crate.
#[expect(
    clippy::error_impl_error,
    reason = "read as the crate's error, by its path"
)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither a name, an id nor the beginning of one.
    #[error("No such container: {0}")]
    NotFound(String),
    /// The beginning of several ids.
    #[error("Multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// The name is taken.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have \
         to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
    },
    /// The name has characters that names cannot have.
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    /// Renaming to the name it has.
    #[error("Renaming a container with the same name as its current name")]
    SameName,
    /// Neither the request nor the image says what to execute.
    #[error("no command specified")]
    NoCommand,
    /// A value of the request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The image has more layers than a container can stand on.
    #[error("max depth exceeded")]
    TooDeep,
    /// The container did not start.
    #[error("{message}")]
    Start {
        /// Which exit status this gives.
        kind: StartKind,
        /// The runtime's message.
        message: String,
    },
    /// The operation needs a running container.
    #[error("Container {0} is not running")]
    NotRunning(String),
    /// A signal for a container that does not run.
    #[error("Cannot kill container: {typed}: Container {id} is not running")]
    KillNotRunning {
        /// The container as typed.
        typed: String,
        /// Its id.
        id: String,
    },
    /// `docker kill -s` with something else than a signal.
    #[error("Invalid signal: {0}")]
    InvalidSignal(String),
    /// The operation is not for paused containers.
    #[error("Container {0} is already paused")]
    AlreadyPaused(String),
    /// The operation is for paused containers only.
    #[error("Container {0} is not paused")]
    NotPaused(String),
    /// Starting a paused container.
    #[error("cannot start a paused container, try unpause instead")]
    StartPaused,
    /// Attaching to a paused container.
    #[error("Container {0} is paused, unpause the container before attach")]
    AttachPaused(String),
    /// Attaching to a stopped container.
    #[error("You cannot attach to a stopped container, start it first")]
    AttachStopped,
    /// Removing a container that lives.
    #[error(
        "cannot remove container {0:?}: container is running: stop the container before removing \
         or force remove"
    )]
    RemoveRunning(String),
    /// Removing a container that is frozen.
    #[error("cannot remove container {0:?}: container is paused and must be unpaused first")]
    RemovePaused(String),
    /// The container did not end although it was killed.
    #[error("container {0} did not end within the time given")]
    StillRunning(String),
    /// The monitor answered what it must not, or nothing.
    #[error("the monitor of the container does not answer as it should: {0}")]
    Protocol(String),
    /// The configured logging driver keeps nothing that can be read.
    #[error("configured logging driver does not support reading")]
    NoLogs,
    /// A record on disk is not what it should be.
    #[error("the record {path} is damaged")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The snapshot crate's error.
    #[error(transparent)]
    Snapshot(#[from] lapstrake_snapshot::Error),
    /// The store's error.
    #[error(transparent)]
    Store(#[from] lapstrake_store::Error),
    /// A failing system call.
    #[error("{action}")]
    Io {
        /// What was tried, on what.
        action: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Results of this crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Says what was tried.
pub(crate) trait Context<T> {
    /// Wraps a system's error.
    fn context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io {
            action: action(),
            source: source.into(),
        })
    }
}

//! The closed set of error kinds, and the one error type that faces render.
//!
//! Libraries below have their own error types; this module decides what kind each of them is. The
//! command line maps a kind to an exit status, the Engine API to an HTTP status.

use std::fmt;
use std::io;

/// What went wrong, as far as a caller needs to tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The image, container or file is not there.
    NotFound,
    /// The request makes no sense as it stands.
    InvalidArgument,
    /// The request is sound, and the present state forbids it.
    Conflict,
    /// The registry wants credentials, or other ones.
    Unauthorized,
    /// The registry, or the kernel, refuses.
    Denied,
    /// The registry asks for patience.
    RateLimited,
    /// The other end cannot be reached or answers with a failure of its own.
    Unavailable,
    /// Bytes are not what their digest says, or are no valid document.
    Corrupt,
    /// The disk is full.
    NoSpace,
    /// The store cannot be written.
    ReadOnly,
    /// The operation was cancelled.
    Interrupted,
    /// This host or version cannot do it.
    Unsupported,
    /// The container's command is not executable (exit status 126).
    NotExecutable,
    /// The container's command was not found (exit status 127).
    CommandNotFound,
    /// Anything else: a bug or a failing system call.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 15] = [
        Self::NotFound,
        Self::InvalidArgument,
        Self::Conflict,
        Self::Unauthorized,
        Self::Denied,
        Self::RateLimited,
        Self::Unavailable,
        Self::Corrupt,
        Self::NoSpace,
        Self::ReadOnly,
        Self::Interrupted,
        Self::Unsupported,
        Self::NotExecutable,
        Self::CommandNotFound,
        Self::Internal,
    ];

    /// The HTTP status the Engine API answers with.
    pub fn http_status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::InvalidArgument | Self::NotExecutable | Self::CommandNotFound => 400,
            Self::Conflict => 409,
            Self::Unauthorized => 401,
            Self::Denied => 403,
            Self::RateLimited => 429,
            Self::Unavailable
            | Self::Corrupt
            | Self::NoSpace
            | Self::ReadOnly
            | Self::Interrupted
            | Self::Internal => 500,
            Self::Unsupported => 501,
        }
    }
}

/// Who noticed: decides which words docker puts before the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The client, before any request: no prefix.
    Client,
    /// The engine, in answer to a request: `Error response from daemon: `.
    Engine,
    /// The engine, after progress had begun to flow: no prefix.
    Stream,
}

/// The error of every operation.
#[derive(Debug)]
#[expect(
    clippy::error_impl_error,
    reason = "read as lapstrake_engine::Error wherever it is used"
)]
pub struct Error {
    kind: ErrorKind,
    origin: Origin,
    message: String,
    hint: Option<String>,
    is_untrusted: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    build: Option<Box<crate::ops::FailedBuild>>,
}

impl Error {
    /// An error that the engine found.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            origin: Origin::Engine,
            message: message.into(),
            hint: None,
            is_untrusted: false,
            source: None,
            build: None,
        }
    }

    /// The same error with an action that helps.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with this action, unless a better one is known.
    pub(crate) fn or_hint(self, hint: &str) -> Self {
        match self.hint {
            Some(_) => self,
            None => self.with_hint(hint),
        }
    }

    /// The same error in other words.
    pub(crate) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The same error from another place.
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// What helps when the disk of the store is full or cannot be written.
    fn with_disk_hint(self) -> Self {
        match self.kind {
            ErrorKind::NoSpace => self.or_hint(
                "make room on that disk: `lap system df` shows what the store holds, `lap rm` and \
                 `lap rmi` remove from it",
            ),
            ErrorKind::ReadOnly => self.or_hint(
                "let the disk be mounted so that it can be written, or name another store with \
                 `lap --root`",
            ),
            _ => self,
        }
    }

    /// The same error with the error that caused it.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// `No such image: NAME`.
    pub fn no_such_image(name: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("No such image: {name}"))
    }

    /// A failure that no user can mend.
    pub(crate) fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::new(ErrorKind::Internal, source.to_string()).with_source(source)
    }

    /// The same error with what is known of the build that failed.
    pub fn with_failed_build(mut self, build: crate::ops::FailedBuild) -> Self {
        self.build = Some(Box::new(build));
        self
    }

    /// What is known of the build that failed, when one did.
    pub fn failed_build(&self) -> Option<&crate::ops::FailedBuild> {
        self.build.as_deref()
    }

    /// The same error as content trust's own answer: signatures were looked for, and none counts.
    pub(crate) fn untrusted(mut self) -> Self {
        self.is_untrusted = true;
        self
    }

    /// Whether it is content trust's own answer. A registry that refuses is none: perhaps there are signatures.
    pub(crate) fn is_untrusted(&self) -> bool {
        self.is_untrusted
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Who noticed.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The message without prefix.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| {
            let source: &(dyn std::error::Error + 'static) = source.as_ref();
            source
        })
    }
}

impl From<lapstrake_image::Error> for Error {
    fn from(error: lapstrake_image::Error) -> Self {
        use lapstrake_image::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::NotFound => ErrorKind::NotFound,
            Kind::Unauthorized => ErrorKind::Unauthorized,
            Kind::Denied => ErrorKind::Denied,
            Kind::RateLimited => ErrorKind::RateLimited,
            Kind::Unavailable => ErrorKind::Unavailable,
            Kind::DigestMismatch | Kind::TooLarge | Kind::InvalidContent => ErrorKind::Corrupt,
            Kind::Unsupported => ErrorKind::Unsupported,
            Kind::NoSpace => ErrorKind::NoSpace,
            Kind::ReadOnly => ErrorKind::ReadOnly,
            Kind::Cancelled => ErrorKind::Interrupted,
            Kind::Io => ErrorKind::Internal,
        };
        let made = Self::new(kind, error.message());
        let made = match error.hint() {
            Some(hint) => made.with_hint(hint),
            None => made.with_disk_hint(),
        };
        made.with_source(error)
    }
}

impl From<lapstrake_registry::credentials::CredentialsError> for Error {
    fn from(error: lapstrake_registry::credentials::CredentialsError) -> Self {
        Self::internal(error).with_origin(Origin::Client)
    }
}

impl From<lapstrake_container::Error> for Error {
    fn from(error: lapstrake_container::Error) -> Self {
        use lapstrake_container::{Error as Failed, NETWORK_FAILURE, StartKind};
        let kind = match &error {
            Failed::NotFound(_) => ErrorKind::NotFound,
            Failed::NameInUse { .. } | Failed::SameName => ErrorKind::Conflict,
            Failed::NotRunning(_) | Failed::KillNotRunning { .. } => ErrorKind::Conflict,
            Failed::Ambiguous(_)
            | Failed::InvalidName(_)
            | Failed::NoCommand
            | Failed::Invalid(_)
            | Failed::TooDeep
            | Failed::InvalidSignal(_) => ErrorKind::InvalidArgument,
            Failed::Start {
                kind: StartKind::NotFound,
                ..
            } => ErrorKind::CommandNotFound,
            Failed::Start {
                kind: StartKind::NotExecutable,
                ..
            } => ErrorKind::NotExecutable,
            _ => kind_of_cause(&error),
        };
        let made = Self::new(kind, chain(&error)).with_disk_hint();
        let made = match &error {
            Failed::Start { message, .. } if message.starts_with(NETWORK_FAILURE) => {
                made.or_hint("`--network host` and `--network none` do without the bridge")
            }
            _ => made,
        };
        made.with_source(error)
    }
}

impl From<lapstrake_store::Error> for Error {
    fn from(error: lapstrake_store::Error) -> Self {
        use lapstrake_store::Error as Failed;
        let hint = match &error {
            Failed::NotAStore { .. } => "name a store, or an empty folder, with `lap --root`",
            Failed::NewerVersion { .. } => "use the version of lap that wrote it, or a later one",
            Failed::Damaged { .. } => "`lap system check --repair` mends what can be mended",
            _ => return lapstrake_image::Error::from(error).into(),
        };
        Self::from(lapstrake_image::Error::from(error)).or_hint(hint)
    }
}

/// The kind of a failure of the system somewhere below an error.
fn kind_of_cause(error: &(dyn std::error::Error + 'static)) -> ErrorKind {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let system = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    match system.map(lapstrake_image::ErrorKind::of_io) {
        Some(lapstrake_image::ErrorKind::NoSpace) => ErrorKind::NoSpace,
        Some(lapstrake_image::ErrorKind::ReadOnly) => ErrorKind::ReadOnly,
        _ => ErrorKind::Internal,
    }
}

/// The message of an error and of those that caused it, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = words(error);
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = words(next);
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

/// What an error says; the system's errors speak as they do in Go.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    error.downcast_ref::<io::Error>().map_or_else(
        || error.to_string(),
        |error| lapstrake_image::ErrorKind::io_words(error).into_owned(),
    )
}

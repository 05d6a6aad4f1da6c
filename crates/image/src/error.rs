//! The error of sources, sinks and the copy between them.

use lapstrake_spec::Digest;
use std::borrow::Cow;
use std::fmt;
use std::io;

/// What went wrong, as far as a caller needs to tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The name, manifest or blob is not there.
    NotFound,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The other end refuses.
    Denied,
    /// The other end asks for patience.
    RateLimited,
    /// The other end cannot be reached, broke off or failed on its own. Worth another attempt.
    Unavailable,
    /// Bytes do not have the digest they should have.
    DigestMismatch,
    /// Something exceeds a limit.
    TooLarge,
    /// Bytes are no valid document, archive or compressed stream.
    InvalidContent,
    /// The content is valid and this endpoint cannot hold it.
    Unsupported,
    /// The disk is full.
    NoSpace,
    /// The disk cannot be written.
    ReadOnly,
    /// The operation was cancelled.
    Cancelled,
    /// A system call failed.
    Io,
}

impl ErrorKind {
    /// The kind of a failed system call.
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io,
        }
    }

    /// A failed system call in Go's words.
    pub fn io_words(error: &io::Error) -> Cow<'static, str> {
        if error.get_ref().is_some() {
            // It has words of its own.
            return Cow::Owned(error.to_string());
        }
        Cow::Borrowed(match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory",
            io::ErrorKind::StorageFull => "no space left on device",
            io::ErrorKind::QuotaExceeded => "disk quota exceeded",
            io::ErrorKind::ReadOnlyFilesystem => "read-only file system",
            io::ErrorKind::PermissionDenied => "permission denied",
            _ => return Cow::Owned(kernel_words(&error.to_string())),
        })
    }
}

/// The kernel's text as Go shows it: `Not a directory (os error 20)` is `not a directory`.
fn kernel_words(text: &str) -> String {
    let text = text.split(" (os error").next().unwrap_or(text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// The error of every transfer: a kind to act on and docker's words to show.
#[derive(Debug)]
#[expect(
    clippy::error_impl_error,
    reason = "used as `image::Error`: the crate has one error"
)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind. The message is what the user sees.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same error with an action that helps.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the error that caused it.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with words before its message.
    pub fn context(mut self, words: impl fmt::Display) -> Self {
        self.message = format!("{words}: {}", self.message);
        self
    }

    /// A failed system call, as Go words it: `write /path: no space left on device`. The kind is that
    /// of the error: [`NotFound`](ErrorKind::NotFound), [`NoSpace`](ErrorKind::NoSpace),
    /// [`ReadOnly`](ErrorKind::ReadOnly) or [`Io`](ErrorKind::Io).
    pub fn io(action: impl fmt::Display, error: io::Error) -> Self {
        let message = format!("{action}: {}", ErrorKind::io_words(&error));
        Self::new(ErrorKind::of_io(&error), message).with_source(error)
    }

    /// A layer blob with another digest than its descriptor's, in docker's words.
    pub fn layer_mismatch(digest: &Digest) -> Self {
        Self::new(
            ErrorKind::DigestMismatch,
            format!("filesystem layer verification failed for digest {digest}"),
        )
    }

    /// A manifest with another digest than its descriptor's, in docker's words.
    pub fn manifest_mismatch(digest: &Digest) -> Self {
        Self::new(
            ErrorKind::DigestMismatch,
            format!("manifest verification failed for digest {digest}"),
        )
    }

    /// A configuration with another digest than its descriptor's, in docker's words.
    pub fn config_mismatch(digest: &Digest) -> Self {
        Self::new(
            ErrorKind::DigestMismatch,
            format!(
                "error pulling image configuration: image config verification failed for digest {digest}"
            ),
        )
    }

    /// A manifest and a configuration that do not belong together, in docker's words.
    pub fn layers_mismatch() -> Self {
        Self::new(
            ErrorKind::InvalidContent,
            "layers from manifest don't match image configuration",
        )
    }

    /// A blob or manifest that is not there.
    pub fn blob_not_found(digest: &Digest) -> Self {
        Self::new(ErrorKind::NotFound, format!("blob {digest} not found"))
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        self.kind == ErrorKind::Unavailable
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

//! What can go wrong in the store.

use lapstrake_image::ErrorKind;
use lapstrake_spec::{ConfigError, Digest, ManifestError};
use std::io;
use std::path::PathBuf;

/// The error of every operation of the store.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "used as `store::Error`: the crate has one error"
)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("{action}: {}", ErrorKind::io_words(source))]
    Io {
        /// What was done to what: `write /path`.
        action: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The store was written by a later version.
    #[error("store version {found} is newer than this lap understands")]
    NewerVersion {
        /// The version found.
        found: String,
    },
    /// The folder holds other things.
    #[error("{} is not empty and holds no store", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the store is not what it should be.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file, relative to the root.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob is not in the store.
    #[error("blob {digest} not found")]
    NoBlob {
        /// Its digest.
        digest: Digest,
    },
    /// A layer is not unpacked.
    #[error("layer {diff_id} is not unpacked")]
    NoLayer {
        /// Its diff id.
        diff_id: Digest,
    },
    /// A blob's bytes are not those of its digest.
    #[error("filesystem layer verification failed for digest {digest}")]
    Mismatch {
        /// The digest it should have.
        digest: Digest,
    },
    /// A layer's tar is not that of the image configuration.
    #[error("layers from manifest don't match image configuration")]
    DiffIdMismatch {
        /// The diff id of the configuration.
        expected: Digest,
        /// The diff id of the tar.
        found: Digest,
    },
    /// A blob is larger than its reader takes.
    #[error("blob {digest} of {size} bytes is larger than {limit} bytes")]
    TooLarge {
        /// Its digest.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A layer could not be unpacked.
    #[error("failed to register layer: Error processing tar file(exit status 1): {}", layer_words(.0))]
    Layer(#[source] lapstrake_layer::Error),
    /// An archive that was given could not be read.
    #[error("Error processing tar file(exit status 1): {}", layer_words(.0))]
    Archive(#[source] lapstrake_layer::Error),
    /// The bytes of a layer could not be read or made.
    #[error("{}", ErrorKind::io_words(.0))]
    Content(#[source] io::Error),
    /// A manifest is not one.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A configuration is not one.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another endpoint of a transfer failed.
    #[error(transparent)]
    Transfer(#[from] lapstrake_image::Error),
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } | Self::Content(source) => ErrorKind::of_io(source),
            Self::NewerVersion { .. } | Self::NotAStore { .. } => ErrorKind::Unsupported,
            Self::Damaged { .. }
            | Self::DiffIdMismatch { .. }
            | Self::Manifest(_)
            | Self::Config(_) => ErrorKind::InvalidContent,
            Self::NoBlob { .. } | Self::NoLayer { .. } => ErrorKind::NotFound,
            Self::Mismatch { .. } => ErrorKind::DigestMismatch,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Layer(error) | Self::Archive(error) => layer_kind(error),
            Self::Transfer(error) => error.kind(),
        }
    }

    /// Wraps the error of a system call.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// Wraps what a reader of a layer's bytes said: a decoder passes its own errors through as such.
    pub(crate) fn reader(error: io::Error) -> Self {
        match error.downcast::<lapstrake_layer::Error>() {
            Ok(own) => Self::Layer(own),
            Err(error) => Self::Content(error),
        }
    }

    /// Whether a reading thread only ended because its other end went away.
    pub(crate) fn is_cancelled(&self) -> bool {
        let aborted = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionAborted;
        match self {
            Self::Content(error) => aborted(error),
            Self::Layer(error) | Self::Archive(error) => error.io_error().is_some_and(aborted),
            _ => false,
        }
    }

    pub(crate) fn damaged(path: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Damaged {
            path: path.into(),
            reason: reason.to_string(),
        }
    }

    /// Whether a name was not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether something that should be a file is a folder.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::IsADirectory)
    }

    /// Whether something that should be a folder is none.
    pub(crate) fn is_no_folder(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if source.kind() == io::ErrorKind::NotADirectory)
    }

    /// Whether a name was there already.
    pub(crate) fn is_already_exists(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty))
    }
}

/// Docker's words: paths are those of the container, and the kernel's answer is part of the message.
fn layer_words(error: &lapstrake_layer::Error) -> String {
    match error {
        lapstrake_layer::Error::File {
            operation,
            path,
            source,
        } => {
            let path = path.trim_start_matches('/');
            format!("{operation} /{path}: {}", ErrorKind::io_words(source))
        }
        other => other.to_string(),
    }
}

fn layer_kind(error: &lapstrake_layer::Error) -> ErrorKind {
    use lapstrake_layer::Error as Layer;
    match error {
        Layer::File { source, .. } => match ErrorKind::of_io(source) {
            ErrorKind::NotFound => ErrorKind::Io,
            kind => kind,
        },
        Layer::Read(source) | Layer::Write(source) => ErrorKind::of_io(source),
        Layer::Limit { .. } => ErrorKind::TooLarge,
        _ => ErrorKind::InvalidContent,
    }
}

impl From<Error> for lapstrake_image::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Transfer(error) => error,
            other => Self::new(other.kind(), other.to_string()).with_source(other),
        }
    }
}

//! What can be wrong with an archive.

use lapstrake_image::{Error as TransferError, ErrorKind};
use std::io;

/// Why an archive could not be read or written. Endpoints give it as an [`image::Error`](TransferError).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The bytes end before the archive does; the text is docker's.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A header is not one of a tar.
    #[error("archive/tar: invalid tar header: {reason}")]
    InvalidHeader {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Neither a docker archive nor an OCI layout.
    #[error("unrecognized image format: neither manifest.json nor index.json in {place}")]
    Unrecognized {
        /// The archive.
        place: String,
    },
    /// More than the named limit.
    #[error("archive has more than {limit} {what}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// A file that is named is not there.
    #[error("{path}: no such file in the archive")]
    Missing {
        /// The path as it was named.
        path: String,
    },
    /// A path that may not be opened.
    #[error("{path}: {reason}")]
    BadPath {
        /// The path.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// A table of the archive is not readable.
    #[error("{path} is not valid: {source}")]
    Table {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A document of the archive says what cannot be.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A form that is known and not supported.
    #[error("{path}: {reason}")]
    Unsupported {
        /// The file.
        path: String,
        /// What it is.
        reason: String,
    },
    /// An earlier failure left a stream with half a file in it.
    #[error("archive is incomplete: an earlier write failed")]
    Broken,
    /// A system call failed.
    #[error("{action}: {}", ErrorKind::io_words(source))]
    Io {
        /// What was tried: `open /x/index.json`.
        action: String,
        /// The failure.
        source: io::Error,
    },
}

impl ArchiveError {
    /// For `map_err`: a failure while doing this.
    pub(crate) fn io<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::Io {
            action: action.into(),
            source: source.into(),
        }
    }

    /// The kind that callers act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Limit { .. } => ErrorKind::TooLarge,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::UnexpectedEof
            | Self::InvalidHeader { .. }
            | Self::Unrecognized { .. }
            | Self::BadPath { .. }
            | Self::Table { .. }
            | Self::Invalid { .. }
            | Self::Broken => ErrorKind::InvalidContent,
        }
    }
}

impl From<ArchiveError> for TransferError {
    fn from(error: ArchiveError) -> Self {
        let made = Self::new(error.kind(), error.to_string());
        let made = match &error {
            ArchiveError::UnexpectedEof => {
                made.with_hint("the archive was cut off: transfer or save it again")
            }
            _ => made,
        };
        made.with_source(error)
    }
}

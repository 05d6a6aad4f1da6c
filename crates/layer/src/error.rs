//! What can be wrong with a layer.

use std::fmt;
use std::io;

/// Which of the [`Limits`](crate::Limits) was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limited {
    /// `Limits::entries`
    Entries,
    /// `Limits::total_bytes`
    TotalBytes,
    /// `Limits::path_bytes`
    PathBytes,
    /// `Limits::depth`
    Depth,
    /// `Limits::xattr_bytes`
    XattrBytes,
    /// `Limits::extension_bytes`
    ExtensionBytes,
    /// `Limits::trailing_bytes`
    TrailingBytes,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entries => "entries",
            Self::TotalBytes => "bytes of file content",
            Self::PathBytes => "bytes in a path",
            Self::Depth => "components in a path",
            Self::XattrBytes => "bytes of extended attributes of one entry",
            Self::ExtensionBytes => "bytes of extended headers of one entry",
            Self::TrailingBytes => "bytes after the end of the archive",
        })
    }
}

/// Why a layer could not be read, unpacked or made.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "used as `layer::Error`: the crate has one error"
)]
#[non_exhaustive]
pub enum Error {
    /// The compressed bytes are damaged; the text is docker's.
    #[error("{0}")]
    Corrupt(String),
    /// The bytes end before the archive does, or before the compressed stream does.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A header is not one of a tar archive, or contradicts itself.
    #[error("archive/tar: invalid tar header: {reason}")]
    InvalidHeader {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry is of a kind that has no place in a layer.
    #[error("unhandled tar header type {kind} of {name:?}")]
    UnhandledType {
        /// The entry's name.
        name: String,
        /// Its type byte.
        kind: u8,
    },
    /// An entry's name, or what it links to, is not below the root.
    #[error("invalid tar header: {name:?} is outside of the layer's root")]
    Breakout {
        /// The name as the archive has it.
        name: String,
    },
    /// A hard link's target is not below the root.
    #[error("invalid hardlink {name:?} -> {target:?}")]
    LinkBreakout {
        /// The link's name.
        name: String,
        /// Its target, as the archive has it.
        target: String,
    },
    /// An entry's name cannot be one of its kind.
    #[error("invalid tar header: entry {name:?}: {reason}")]
    InvalidEntry {
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The layer asks for more than it may have.
    #[error("layer exceeds the limit of {limit} {what}")]
    Limit {
        /// Of what.
        what: Limited,
        /// The limit.
        limit: u64,
    },
    /// A file of the tree could not be made, changed or read.
    #[error("{operation} {path}")]
    File {
        /// The system call's name.
        operation: &'static str,
        /// The path within the layer.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The directory holds a form of overlay change that a layer cannot carry.
    #[error("{path}: {reason}")]
    Unsupported {
        /// The path within the layer.
        path: String,
        /// What it is.
        reason: &'static str,
    },
    /// The layer's bytes could not be read: the reader's own error.
    #[error(transparent)]
    Read(io::Error),
    /// The layer's bytes could not be written: the writer's own error.
    #[error(transparent)]
    Write(io::Error),
}

impl Error {
    /// The operating system's error below this one, as when the disk is full.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::File { source, .. } | Self::Read(source) | Self::Write(source) => Some(source),
            _ => None,
        }
    }

    /// An error of the layer's reader: a decoder of this crate passes its own through as an [`io::Error`].
    pub(crate) fn from_reader(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::UnexpectedEof,
            Err(error) => Self::Read(error),
        }
    }

    /// A failed system call on `path`.
    pub(crate) fn file(operation: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        let path = String::from_utf8_lossy(path).into_owned();
        Self::File {
            operation,
            path,
            source: source.into(),
        }
    }

    pub(crate) fn entry(name: &[u8], reason: &'static str) -> Self {
        Self::InvalidEntry {
            name: String::from_utf8_lossy(name).into_owned(),
            reason,
        }
    }

    pub(crate) fn limit(what: Limited, limit: impl TryInto<u64>) -> Self {
        Self::Limit {
            what,
            limit: limit.try_into().unwrap_or(u64::MAX),
        }
    }
}

impl From<Error> for io::Error {
    /// For readers and writers that fail with an error of this crate; [`apply`](crate::apply) takes it out again.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::UnexpectedEof => io::ErrorKind::UnexpectedEof,
            _ => error
                .io_error()
                .map_or(io::ErrorKind::InvalidData, Self::kind),
        };
        Self::new(kind, error)
    }
}

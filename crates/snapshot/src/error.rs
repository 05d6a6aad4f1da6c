//! The errors of this crate.

use std::io;

/// The errors of this crate.
#[expect(
    clippy::error_impl_error,
    reason = "read as the crate's error, by its path"
)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image has more layers than one overlay takes.
    #[error("max depth exceeded")]
    TooDeep,
    /// A layer is kept in a form that cannot be mounted here.
    #[error("layer {0} cannot be mounted")]
    Unmountable(String),
    /// The store's error.
    #[error(transparent)]
    Store(#[from] lapstrake_store::Error),
    /// The layer codec's error.
    #[error(transparent)]
    Layer(#[from] lapstrake_layer::Error),
    /// A failing system call.
    #[error("{action}")]
    Io {
        /// What was tried, on what.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Io {
            action,
            source: source.into(),
        }
    }
}

impl From<Error> for io::Error {
    /// For writers of layers: keeps apart what the system said, as when the disk is full.
    fn from(error: Error) -> Self {
        match error {
            Error::Layer(error) => error.into(),
            Error::Io { action, source } => Self::new(source.kind(), format!("{action}: {source}")),
            other => Self::other(other),
        }
    }
}

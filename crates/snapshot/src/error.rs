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
    #[error("{action}: {source}")]
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

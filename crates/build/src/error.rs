//! What can go wrong while a graph is solved.

use crate::cache::{CacheError, Explanation};
use crate::graph::NodeId;
use crate::sandbox::{ExitStatus, SandboxError};
use crate::source::SourceError;
use lapstrake_dockerfile::Span;
use lapstrake_snapshot::Layer;
use std::io;

/// Why a graph was not solved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// The token was raised.
    #[error("context canceled")]
    Cancelled,
    /// A step failed.
    #[error(transparent)]
    Step(Box<FailedStep>),
    /// A step was not in the cache, and the user expected that.
    #[error("step is not cached: {name}: {reason}")]
    NotCached {
        /// Which node.
        node: NodeId,
        /// The step as people know it.
        name: String,
        /// Why.
        reason: Explanation,
    },
    /// The plan ends here with an error.
    #[error(transparent)]
    Refused(Box<crate::plan::PlanError>),
    /// Something that is not one step's fault.
    #[error(transparent)]
    Other(#[from] StepError),
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct FailedStep {
    /// Which node.
    pub node: NodeId,
    /// The step as people know it: `[builder 2/5] RUN make`.
    pub name: String,
    /// The instruction, its variables expanded.
    pub instruction: String,
    /// Where it stands.
    pub span: Option<Span>,
    /// What happened.
    #[source]
    pub error: StepError,
    /// The layers of the file system as the program left it, bottom first; none when no program failed, or the
    /// build does not want them.
    pub layers: Option<Vec<Layer>>,
}

/// What went wrong in a step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The program failed. In BuildKit's words; see [`StepError::classic_text`].
    #[error("process \"{display}\" did not complete successfully: {status}")]
    Program {
        /// The command.
        display: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The program could not be run.
    #[error(transparent)]
    Sandbox(SandboxError),
    /// A source could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What was asked for cannot be done; the text is docker's where docker has one.
    #[error("{0}")]
    Invalid(String),
    /// The store's error.
    #[error(transparent)]
    Store(#[from] lapstrake_store::Error),
    /// The snapshot's error.
    #[error(transparent)]
    Snapshot(#[from] lapstrake_snapshot::Error),
    /// The layer codec's error.
    #[error(transparent)]
    Layer(#[from] lapstrake_layer::Error),
    /// The cache's error.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A failing system call.
    #[error("{action}")]
    Io {
        /// What was tried, on what.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A step that does the same failed; its own error was reported.
    #[error("{0}")]
    Same(String),
    /// The build was cancelled.
    #[error("context canceled")]
    Cancelled,
}

impl StepError {
    /// For `map_err`: a failing system call.
    pub(crate) fn io<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Io {
            action,
            source: source.into(),
        }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// As the classic builder says it.
    pub fn classic_text(&self) -> String {
        match self {
            Self::Program { display, status } => format!(
                "The command '{display}' returned a non-zero code: {}",
                status.code()
            ),
            other => other.to_string(),
        }
    }

    /// The status of the program, when that is what failed.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        match self {
            Self::Program { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether it is only that the build was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled
                | Self::Sandbox(SandboxError::Cancelled)
                | Self::Source(SourceError::Cancelled)
        )
    }
}

impl From<SandboxError> for StepError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Cancelled => Self::Cancelled,
            other => Self::Sandbox(other),
        }
    }
}

//! Why a Dockerfile cannot be planned.

use std::fmt;

use lapstrake_dockerfile::words::WordError;
use lapstrake_dockerfile::{Point, Span};

use super::text::go_quote;

/// Why a Dockerfile cannot be planned, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}{}", Suggestion(.suggestion.as_deref()))]
pub struct PlanError {
    /// The instruction that is wrong; nothing when no instruction is (a target that does not exist).
    pub span: Option<Span>,
    /// What is wrong.
    pub kind: PlanErrorKind,
    /// What was probably meant: a stage, an argument.
    pub suggestion: Option<String>,
}

/// What is wrong, in docker's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanErrorKind {
    /// There is no FROM.
    #[error("dockerfile contains no stages to build")]
    NoStages,
    /// `--target` names no stage.
    #[error("target stage {} could not be found", go_quote(.0))]
    TargetMissing(String),
    /// The same in the classic builder's words.
    #[error("failed to reach build target {0} in Dockerfile")]
    TargetUnreachable(String),
    /// A stage needs itself.
    #[error("circular dependency detected on stage: {0}")]
    Circular(String),
    /// Two stages have one name (classic refuses that).
    #[error("{0} stage name already used")]
    StageTaken(String),
    /// FROM names nothing once its variables are expanded.
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    /// FROM names what cannot be an image.
    #[error("failed to parse stage name {}: {reason}", go_quote(.name))]
    BaseName {
        /// The name.
        name: String,
        /// Why it cannot.
        reason: String,
    },
    /// `--platform` of FROM expands to nothing.
    #[error("empty platform value from expression {0}")]
    BlankPlatform(String),
    /// `--platform` of FROM is no platform.
    #[error("failed to parse platform {text}: {reason}")]
    Platform {
        /// As written.
        text: String,
        /// Why it is none.
        reason: String,
    },
    /// `--from=$X`.
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
    )]
    FromVariable,
    /// `--from=9` with fewer stages.
    #[error("invalid stage index {0}")]
    StageIndex(u64),
    /// `--from` names what cannot be used, in the classic builder's words.
    #[error("invalid from flag value {name}: {reason}")]
    FromFlag {
        /// As written.
        name: String,
        /// Why it cannot.
        reason: String,
    },
    /// `--from` names a later stage.
    #[error(
        "cannot copy from stage {}, it needs to be defined before current stage {}",
        go_quote(.from), go_quote(.stage)
    )]
    CopyFromLater {
        /// As written.
        from: String,
        /// The stage of the instruction.
        stage: String,
    },
    /// A mount names a later stage.
    #[error(
        "cannot mount from stage {} to {}, stage needs to be defined before current command",
        go_quote(.from), go_quote(.target)
    )]
    MountFromLater {
        /// As written.
        from: String,
        /// Where it was to be mounted.
        target: String,
    },
    /// Variables of an instruction cannot be expanded.
    #[error("{0}")]
    Words(#[from] WordError),
    /// An instruction's flags are wrong.
    #[error("{0}")]
    Instruction(String),
    /// A trigger of a base is not one instruction.
    #[error("onbuild trigger should be a single expression")]
    TriggerForm,
    /// A trigger of a base cannot be read.
    #[error("{0}")]
    Trigger(String),
    /// More triggers than [`TRIGGER_LIMIT`](super::TRIGGER_LIMIT).
    #[error("base images have more than {limit} ONBUILD triggers", limit = super::TRIGGER_LIMIT)]
    TriggerCount,
    /// WORKDIR without a directory.
    #[error("cannot normalize nothing")]
    BlankDirectory,
    /// VOLUME with an empty path.
    #[error("VOLUME specified can not be an empty string")]
    BlankVolume,
    /// STOPSIGNAL with something else.
    #[error("invalid signal: {0}")]
    Signal(String),
    /// EXPOSE with something else.
    #[error("{0}")]
    Port(String),
    /// `--chmod` with something else.
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    Chmod(String),
    /// COPY of an address or a repository.
    #[error("source can't be a {what} for COPY")]
    CopySource {
        /// As written, variables replaced.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// `--checksum` with several sources.
    #[error("checksum can't be specified for multiple sources")]
    ChecksumCount,
    /// `--checksum` of files of the context.
    #[error("checksum requires HTTP(S) or Git sources")]
    ChecksumSource,
    /// `--checksum` that is no digest.
    #[error("{0}")]
    Checksum(String),
    /// A mount over the root, or a mount without what its type needs.
    #[error("{0}")]
    Mount(String),
    /// Something is wrong with one of several mounts.
    #[error("{kind}")]
    InMount {
        /// The flag as written.
        flag: String,
        /// What is wrong.
        kind: Box<Self>,
    },
    /// `SOURCE_DATE_EPOCH` with something else.
    #[error("invalid SOURCE_DATE_EPOCH: {0}")]
    Epoch(String),
    /// Together the configurations of all steps would be too large to hold.
    #[error("the Dockerfile's instructions make too large a configuration")]
    TooLarge,
    /// More layers than [`LAYER_LIMIT`](super::LAYER_LIMIT).
    #[error("max depth exceeded")]
    MaxDepth,
}

impl PlanError {
    /// An error of an instruction.
    pub(crate) fn at(span: Option<Span>, kind: PlanErrorKind) -> Self {
        Self {
            span,
            kind,
            suggestion: None,
        }
    }
}

impl PlanErrorKind {
    /// The word of the instruction that is wrong.
    pub fn point(&self) -> Point {
        let flag = |name: &str| Point::Flag(name.to_owned());
        let word = |word: &str| Point::Word(word.to_owned());
        match self {
            Self::StageTaken(name) => Point::LastWord(name.clone()),
            Self::BlankBase(text) => word(text),
            Self::BaseName { name, .. } | Self::FromFlag { name, .. } => word(name),
            Self::BlankPlatform(_) | Self::Platform { .. } => flag("platform"),
            Self::FromVariable | Self::StageIndex(_) | Self::CopyFromLater { .. } => flag("from"),
            Self::MountFromLater { from, .. } => word(from),
            Self::Words(error) => word(error.written()),
            Self::Signal(text) => word(text),
            Self::Chmod(_) => flag("chmod"),
            Self::ChecksumCount | Self::ChecksumSource | Self::Checksum(_) => flag("checksum"),
            Self::Mount(_) => flag("mount"),
            Self::InMount { flag, .. } => word(flag),
            Self::CopySource { path, .. } => word(path),
            Self::NoStages
            | Self::TargetMissing(_)
            | Self::TargetUnreachable(_)
            | Self::Circular(_)
            | Self::Instruction(_)
            | Self::TriggerForm
            | Self::Trigger(_)
            | Self::TriggerCount
            | Self::BlankDirectory
            | Self::BlankVolume
            | Self::Port(_)
            | Self::Epoch(_)
            | Self::TooLarge
            | Self::MaxDepth => Point::Start,
        }
    }
}

impl From<PlanErrorKind> for PlanError {
    fn from(kind: PlanErrorKind) -> Self {
        Self::at(None, kind)
    }
}

struct Suggestion<'a>(Option<&'a str>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(meant) => write!(f, " (did you mean {meant}?)"),
            None => Ok(()),
        }
    }
}

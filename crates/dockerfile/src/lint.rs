//! Docker's build checks: rules as data, and the checks.
//!
//! What the text alone shows is found by [`crate::Dockerfile::interpret`], [`check`] and
//! [`check_stages`]; the rules of `EXPOSE` come with [`crate::instruction::expose`]. The planner,
//! which knows values, base images and the ignore file, finds the rest with
//! [`undefined_variables`], [`base_image_platform`] and [`copy_ignored`], and leaves out with
//! [`filtered`] what the file does not want to hear.

mod checks;
mod from;
mod options;
mod rules;

use crate::{Point, Span};

pub use checks::{
    base_image_platform, check, check_stages, copy_ignored, filtered, relative_directory,
    undefined_variables,
};
pub use options::{CheckOptions, CheckOptionsError};

/// A rule of docker's, under docker's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Stage names in lower case.
    StageNameCasing,
    /// `FROM` and `AS` in the same case.
    FromAsCasing,
    /// No empty line in a continuation.
    NoEmptyContinuation,
    /// All instructions in the same case.
    ConsistentInstructionCasing,
    /// Stage names are unique.
    DuplicateStageName,
    /// Stage names are not `scratch` or `context`.
    ReservedStageName,
    /// `CMD` and `ENTRYPOINT` in exec form.
    JsonArgsRecommended,
    /// No `MAINTAINER`.
    MaintainerDeprecated,
    /// `FROM` uses declared arguments.
    UndefinedArgInFrom,
    /// `WORKDIR` begins with an absolute path.
    WorkdirRelativePath,
    /// Variables are defined before use.
    UndefinedVar,
    /// One `CMD`, `ENTRYPOINT`, `HEALTHCHECK` per stage.
    MultipleInstructionsDisallowed,
    /// `ENV` and `LABEL` with `=`.
    LegacyKeyValueFormat,
    /// The base image has the wanted platform.
    InvalidBaseImagePlatform,
    /// No `--platform=$TARGETPLATFORM`.
    RedundantTargetPlatform,
    /// No secrets in `ARG` and `ENV`.
    SecretsUsedInArgOrEnv,
    /// `FROM` is valid with default arguments.
    InvalidDefaultArgInFrom,
    /// `--platform` is no constant.
    FromPlatformFlagConstDisallowed,
    /// Copied files are not ignored.
    CopyIgnoredFile,
    /// Comments above stages and arguments describe them (experimental).
    InvalidDefinitionDescription,
    /// Protocols of `EXPOSE` in lower case.
    ExposeProtoCasing,
    /// No address or host port in `EXPOSE`.
    ExposeInvalidFormat,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Which rule.
    pub rule: Rule,
    /// What was found, in docker's words.
    pub detail: String,
    /// Where.
    pub span: Span,
    /// The word that it is about.
    pub point: Point,
}

impl Warning {
    /// A finding.
    pub fn new(rule: Rule, detail: impl Into<String>, span: Span) -> Self {
        Self {
            rule,
            detail: detail.into(),
            span,
            point: Point::Start,
        }
    }
}

#[cfg(test)]
mod tests;

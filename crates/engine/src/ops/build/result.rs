//! What a build brought.

use super::request::Call;
use lapstrake_spec::{Descriptor, Digest, Platform, Reference};

/// What a build brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildResult {
    /// The images, one for each platform, in the order asked for. Empty when nothing was recorded:
    /// after a check, or when no output keeps an image.
    pub images: Vec<BuiltImage>,
    /// The names given, familiar form, in the order asked for.
    pub names: Vec<Reference>,
    /// What outputs wrote, in their order, as a person reads it.
    pub outputs: Vec<String>,
    /// Build arguments that no ARG consumed.
    pub unused_build_args: Vec<String>,
    /// What the lint rules say.
    pub warnings: Vec<Warning>,
    /// The answer to [`Call::Check`], [`Call::Outline`] or [`Call::Targets`].
    pub answer: Option<Answer>,
    /// Steps that were taken from the cache, and steps in all.
    pub cached: (usize, usize),
    /// What goes to standard output besides: the metadata document (`--metadata-file`).
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl BuildResult {
    /// The image id that `-q` prints and `--iidfile` gets: the first image's.
    pub fn id(&self) -> Option<&Digest> {
        self.images.first().map(|image| &image.id)
    }
}

/// One image of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The image id: the digest of the configuration.
    pub id: Digest,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What it runs on.
    pub platform: Platform,
}

/// One finding of a lint rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule's name as docker has it: `StageNameCasing`.
    pub rule: String,
    /// What the rule is about.
    pub description: String,
    /// Where it is explained.
    pub url: String,
    /// What was found.
    pub detail: String,
    /// The first line, from 1.
    pub line: usize,
    /// The last line, from 1.
    pub end_line: usize,
    /// The Dockerfile's name and the lines around, with marks, as docker prints them.
    pub excerpt: String,
}

/// The answer to a question about the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub call: Call,
    /// The targets: name, whether it is the default one, and its description.
    pub targets: Vec<(String, bool, String)>,
    /// The arguments: name, default and description.
    pub arguments: Vec<(String, Option<String>, String)>,
    /// The error that the Dockerfile has, when it cannot be planned.
    pub error: Option<String>,
}

/// What is known of a build that failed at a step, see [`crate::Error::failed_build`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedBuild {
    /// The exit status of the program that failed: the build's own in classic mode. `None` when no
    /// program did.
    pub status: Option<i32>,
    /// The image of the failed step's file system, as it was when the program ended.
    pub image: Option<Digest>,
    /// The shell form of the step's environment, for entering it: the SHELL in force.
    pub shell: Vec<String>,
    /// The Dockerfile's name and the lines around the failed instruction with marks, as docker prints
    /// them above the error.
    pub excerpt: Option<String>,
}

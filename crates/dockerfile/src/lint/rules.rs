//! Names, descriptions and addresses of docker's rules, and how each words a finding.

use super::{Rule, Warning};
use crate::quote::quote;
use crate::{Point, Span};

/// Where docker explains its rules.
const PAGES: &str = "https://docs.docker.com/go/dockerfile/rule/";

impl Rule {
    /// Every rule, in docker's order.
    pub const ALL: [Self; 22] = [
        Self::StageNameCasing,
        Self::FromAsCasing,
        Self::NoEmptyContinuation,
        Self::ConsistentInstructionCasing,
        Self::DuplicateStageName,
        Self::ReservedStageName,
        Self::JsonArgsRecommended,
        Self::MaintainerDeprecated,
        Self::UndefinedArgInFrom,
        Self::WorkdirRelativePath,
        Self::UndefinedVar,
        Self::MultipleInstructionsDisallowed,
        Self::LegacyKeyValueFormat,
        Self::InvalidBaseImagePlatform,
        Self::RedundantTargetPlatform,
        Self::SecretsUsedInArgOrEnv,
        Self::InvalidDefaultArgInFrom,
        Self::FromPlatformFlagConstDisallowed,
        Self::CopyIgnoredFile,
        Self::InvalidDefinitionDescription,
        Self::ExposeProtoCasing,
        Self::ExposeInvalidFormat,
    ];

    /// Docker's name of the rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::StageNameCasing => "StageNameCasing",
            Self::FromAsCasing => "FromAsCasing",
            Self::NoEmptyContinuation => "NoEmptyContinuation",
            Self::ConsistentInstructionCasing => "ConsistentInstructionCasing",
            Self::DuplicateStageName => "DuplicateStageName",
            Self::ReservedStageName => "ReservedStageName",
            Self::JsonArgsRecommended => "JSONArgsRecommended",
            Self::MaintainerDeprecated => "MaintainerDeprecated",
            Self::UndefinedArgInFrom => "UndefinedArgInFrom",
            Self::WorkdirRelativePath => "WorkdirRelativePath",
            Self::UndefinedVar => "UndefinedVar",
            Self::MultipleInstructionsDisallowed => "MultipleInstructionsDisallowed",
            Self::LegacyKeyValueFormat => "LegacyKeyValueFormat",
            Self::InvalidBaseImagePlatform => "InvalidBaseImagePlatform",
            Self::RedundantTargetPlatform => "RedundantTargetPlatform",
            Self::SecretsUsedInArgOrEnv => "SecretsUsedInArgOrEnv",
            Self::InvalidDefaultArgInFrom => "InvalidDefaultArgInFrom",
            Self::FromPlatformFlagConstDisallowed => "FromPlatformFlagConstDisallowed",
            Self::CopyIgnoredFile => "CopyIgnoredFile",
            Self::InvalidDefinitionDescription => "InvalidDefinitionDescription",
            Self::ExposeProtoCasing => "ExposeProtoCasing",
            Self::ExposeInvalidFormat => "ExposeInvalidFormat",
        }
    }

    /// What it asks for, in docker's words, which scripts and editors show.
    pub fn description(self) -> &'static str {
        match self {
            Self::StageNameCasing => "Stage names should be lowercase",
            Self::FromAsCasing => "The 'as' keyword should match the case of the 'from' keyword",
            Self::NoEmptyContinuation => {
                "Empty continuation lines will become errors in a future release"
            }
            Self::ConsistentInstructionCasing => {
                "All commands within the Dockerfile should use the same casing (either upper or lower)"
            }
            Self::DuplicateStageName => "Stage names should be unique",
            Self::ReservedStageName => "Reserved words should not be used as stage names",
            Self::JsonArgsRecommended => {
                "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
            }
            Self::MaintainerDeprecated => {
                "The MAINTAINER instruction is deprecated, use a label instead to define an image author"
            }
            Self::UndefinedArgInFrom => "FROM command must use declared ARGs",
            Self::WorkdirRelativePath => {
                "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes"
            }
            Self::UndefinedVar => "Variables should be defined before their use",
            Self::MultipleInstructionsDisallowed => {
                "Multiple instructions of the same type should not be used in the same stage"
            }
            Self::LegacyKeyValueFormat => {
                "Legacy key/value format with whitespace separator should not be used"
            }
            Self::InvalidBaseImagePlatform => {
                "Base image platform does not match expected target platform"
            }
            Self::RedundantTargetPlatform => {
                "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
            }
            Self::SecretsUsedInArgOrEnv => {
                "Sensitive data should not be used in the ARG or ENV commands"
            }
            Self::InvalidDefaultArgInFrom => {
                "Default value for global ARG results in an empty or invalid base image name"
            }
            Self::FromPlatformFlagConstDisallowed => {
                "FROM --platform flag should not use a constant value"
            }
            Self::CopyIgnoredFile => "Attempting to Copy file that is excluded by .dockerignore",
            Self::InvalidDefinitionDescription => {
                "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment."
            }
            Self::ExposeProtoCasing => "Protocol in EXPOSE instruction should be lowercase",
            Self::ExposeInvalidFormat => {
                "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release"
            }
        }
    }

    /// Docker's page about it, if it has one: the name with hyphens.
    pub fn url(self) -> Option<String> {
        if self == Self::InvalidBaseImagePlatform {
            return None;
        }
        let mut page = String::from(PAGES);
        let mut after_lower = false;
        let name = if self == Self::JsonArgsRecommended {
            "JsonArgsRecommended"
        } else {
            self.name()
        };
        for c in name.chars() {
            if c.is_ascii_uppercase() && after_lower {
                page.push('-');
            }
            after_lower = true;
            page.push(c.to_ascii_lowercase());
        }
        page.push('/');
        Some(page)
    }

    /// True if it is only checked when asked for.
    pub fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }

    /// A finding about `words`, which docker's text names; missing ones are empty.
    ///
    /// Most rules take one word. Two: `FromAsCasing` (`as` and `from` as written),
    /// `ConsistentInstructionCasing` (instruction, `lowercase` or `uppercase`), `UndefinedArgInFrom`
    /// and `UndefinedVar` (name, nearest name or nothing), `SecretsUsedInArgOrEnv` (`ARG` or `ENV`,
    /// name), `CopyIgnoredFile` (`Copy` or `Add`, path), `InvalidDefinitionDescription` (`FROM` or
    /// `ARG`, name). Three: `InvalidBaseImagePlatform` (image, expected, actual platform).
    pub fn at(self, span: Span, words: &[&str]) -> Warning {
        Warning {
            point: self.point(words),
            ..Warning::new(self, self.detail(words), span)
        }
    }

    /// Which of the words stands in the instruction.
    fn point(self, words: &[&str]) -> Point {
        let [a, b] = [0, 1].map(|at| words.get(at).copied().unwrap_or_default().to_owned());
        match self {
            Self::StageNameCasing | Self::DuplicateStageName | Self::ReservedStageName => {
                Point::LastWord(a)
            }
            Self::UndefinedArgInFrom | Self::UndefinedVar => Point::Variable(a),
            Self::RedundantTargetPlatform | Self::FromPlatformFlagConstDisallowed => {
                Point::Flag("platform".to_owned())
            }
            Self::FromAsCasing
            | Self::InvalidDefaultArgInFrom
            | Self::WorkdirRelativePath
            | Self::ExposeProtoCasing
            | Self::ExposeInvalidFormat
            | Self::InvalidBaseImagePlatform => Point::Word(a),
            Self::SecretsUsedInArgOrEnv | Self::CopyIgnoredFile => Point::Word(b),
            Self::NoEmptyContinuation
            | Self::ConsistentInstructionCasing
            | Self::JsonArgsRecommended
            | Self::MaintainerDeprecated
            | Self::MultipleInstructionsDisallowed
            | Self::LegacyKeyValueFormat
            | Self::InvalidDefinitionDescription => Point::Start,
        }
    }

    fn detail(self, words: &[&str]) -> String {
        let [a, b, c] = [0, 1, 2].map(|at| words.get(at).copied().unwrap_or_default());
        match self {
            Self::StageNameCasing => format!("Stage name '{a}' should be lowercase"),
            Self::FromAsCasing => format!("'{a}' and '{b}' keywords' casing do not match"),
            Self::NoEmptyContinuation => "Empty continuation line".to_owned(),
            Self::ConsistentInstructionCasing => {
                format!("Command '{a}' should match the case of the command majority ({b})")
            }
            Self::DuplicateStageName => {
                format!(
                    "Duplicate stage name {}, stage names should be unique",
                    quote(a)
                )
            }
            Self::ReservedStageName => format!(
                "Stage name should not use the same name as reserved stage {}",
                quote(a)
            ),
            Self::JsonArgsRecommended => format!(
                "JSON arguments recommended for {a} to prevent unintended behavior related to OS signals"
            ),
            Self::MaintainerDeprecated => {
                "Maintainer instruction is deprecated in favor of using label".to_owned()
            }
            Self::UndefinedArgInFrom => {
                format!("FROM argument '{a}' is not declared{}", meant("", b))
            }
            Self::WorkdirRelativePath => format!(
                "Relative workdir {} can have unexpected results if the base image changes",
                quote(a)
            ),
            Self::UndefinedVar => format!("Usage of undefined variable '${a}'{}", meant("$", b)),
            Self::MultipleInstructionsDisallowed => format!(
                "Multiple {a} instructions should not be used in the same stage because only the last one will be used"
            ),
            Self::LegacyKeyValueFormat => format!(
                "\"{a} key=value\" should be used instead of legacy \"{a} key value\" format"
            ),
            Self::InvalidBaseImagePlatform => format!(
                "Base image {a} was pulled with platform {}, expected {} for current build",
                quote(c),
                quote(b)
            ),
            Self::RedundantTargetPlatform => format!(
                "Setting platform to predefined {a} in FROM is redundant as this is the default behavior"
            ),
            _ => self.later_detail(a, b),
        }
    }

    /// The younger rules, apart only because of length.
    fn later_detail(self, a: &str, b: &str) -> String {
        match self {
            Self::SecretsUsedInArgOrEnv => format!(
                "Do not use ARG or ENV instructions for sensitive data ({a} {})",
                quote(b)
            ),
            Self::InvalidDefaultArgInFrom => {
                format!("Default value for ARG {a} results in empty or invalid base image name")
            }
            Self::FromPlatformFlagConstDisallowed => {
                format!(
                    "FROM --platform flag should not use constant value {}",
                    quote(a)
                )
            }
            Self::CopyIgnoredFile => {
                format!(
                    "Attempting to {a} file {} that is excluded by .dockerignore",
                    quote(b)
                )
            }
            Self::InvalidDefinitionDescription => {
                format!("Comment for {a} should follow the format: `# {b} <description>`")
            }
            Self::ExposeProtoCasing => {
                format!("Defined protocol '{a}' in EXPOSE instruction should be lowercase")
            }
            Self::ExposeInvalidFormat => format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{a}'"
            ),
            other => other.description().to_owned(),
        }
    }
}

fn meant(prefix: &str, near: &str) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!(" (did you mean {prefix}{near}?)")
    }
}

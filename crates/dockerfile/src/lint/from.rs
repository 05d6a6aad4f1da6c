//! The checks of `FROM`: its arguments and its platform.

use std::collections::{BTreeMap, BTreeSet};

use lapstrake_spec::{Platform, Reference};

use super::{Rule, Warning};
use crate::instruction::Argument;
use crate::suggest::nearest;
use crate::words::{Expansion, Lookup, expand};
use crate::{Dockerfile, Instruction, Span, Stage};

/// Among how many arguments a misspelt one is looked for.
const SUGGESTIONS_LIMIT: usize = 256;

/// Arguments that a build has by itself, with values that serve the checks of names.
const PLATFORM_ARGUMENTS: [(&str, &str); 11] = [
    ("BUILDPLATFORM", "linux/amd64"),
    ("BUILDOS", "linux"),
    ("BUILDOSVERSION", ""),
    ("BUILDARCH", "amd64"),
    ("BUILDVARIANT", ""),
    ("TARGETPLATFORM", "linux/amd64"),
    ("TARGETOS", "linux"),
    ("TARGETOSVERSION", ""),
    ("TARGETARCH", "amd64"),
    ("TARGETVARIANT", ""),
    ("TARGETSTAGE", "default"),
];

/// The arguments before the first `FROM` with their defaults, and those that a build has by itself.
pub(super) struct Arguments {
    values: BTreeMap<String, String>,
    declared: BTreeSet<String>,
    /// False when a default cannot be expanded: then nothing is said about names.
    complete: bool,
}

impl Lookup for Arguments {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

impl Arguments {
    pub(super) fn of(dockerfile: &Dockerfile) -> Self {
        let known = PLATFORM_ARGUMENTS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut all = Self {
            declared: known.iter().map(|(name, _)| name.clone()).collect(),
            values: BTreeMap::from(known),
            complete: true,
        };
        for command in &dockerfile.global_args {
            if let Instruction::Arg(arguments) = &command.instruction {
                for argument in arguments {
                    all.declare(argument, dockerfile.directives.escape);
                }
            }
        }
        all
    }

    fn declare(&mut self, argument: &Argument, escape: char) {
        self.declared.insert(argument.key.clone());
        let Some(value) = &argument.value else {
            return;
        };
        match expand(value, self, escape) {
            Ok(value) => {
                self.values.insert(argument.key.clone(), value.text);
            }
            Err(_) => self.complete = false,
        }
    }
}

pub(super) fn check(stage: &Stage, arguments: &Arguments, escape: char, found: &mut Vec<Warning>) {
    let Ok(base) = expand(&stage.base, arguments, escape) else {
        return;
    };
    if arguments.complete && Reference::parse(&base.text).is_err() {
        found.push(Rule::InvalidDefaultArgInFrom.at(stage.span, &[&stage.base]));
    }
    undeclared(&base, arguments, stage.span, found);
    let Some(written) = &stage.platform else {
        return;
    };
    let Ok(platform) = expand(written, arguments, escape) else {
        return;
    };
    undeclared(&platform, arguments, stage.span, found);
    let target = arguments.get("TARGETPLATFORM").unwrap_or_default();
    let alone = platform.used.len() == 1 && platform.undefined.is_empty();
    if alone && platform.used.contains("TARGETPLATFORM") && platform.text == target {
        found.push(Rule::RedundantTargetPlatform.at(stage.span, &[written]));
    }
    if platform.used.is_empty() && platform.undefined.is_empty() {
        constant_platform(stage, &platform.text, found);
    }
}

fn undeclared(expansion: &Expansion, arguments: &Arguments, span: Span, found: &mut Vec<Warning>) {
    let declared = arguments.declared.iter().map(String::as_str);
    let declared: Vec<&str> = declared.take(SUGGESTIONS_LIMIT).collect();
    for name in expansion.undefined.difference(&arguments.declared) {
        let near = nearest(name, &declared, true).unwrap_or_default();
        found.push(Rule::UndefinedArgInFrom.at(span, &[name, &near]));
    }
}

/// A constant is fine when the stage's name says so.
fn constant_platform(stage: &Stage, text: &str, found: &mut Vec<Warning>) {
    let Ok(platform) = Platform::parse(text) else {
        return;
    };
    let name = stage.name.as_deref().unwrap_or_default();
    if !name.contains(&platform.os) && !name.contains(&platform.architecture) {
        found.push(Rule::FromPlatformFlagConstDisallowed.at(stage.span, &[text]));
    }
}

//! The checks.

use std::collections::{BTreeMap, BTreeSet};

use super::from::{self, Arguments};
use super::{CheckOptions, Rule, Warning};
use crate::ignore::Matcher;
use crate::instruction::KeyValue;
use crate::suggest::nearest;
use crate::{Command, Dockerfile, Instruction, Span, Stage};

const RESERVED_STAGES: [&str; 2] = ["context", "scratch"];
const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
const HARMLESS_WORDS: [&str; 3] = ["public", "file", "version"];

/// The findings about the file as a whole: names of stages, case of instructions, arguments in
/// `FROM` with their defaults. What the file's own check options skip is left out.
pub fn check(dockerfile: &Dockerfile) -> Vec<Warning> {
    let mut found = Vec::new();
    stage_names(dockerfile, &mut found);
    casing(dockerfile, &mut found);
    let arguments = Arguments::of(dockerfile);
    for stage in &dockerfile.stages {
        from::check(stage, &arguments, dockerfile.directives.escape, &mut found);
    }
    filtered(dockerfile, found)
}

/// The findings in stages. Docker looks only at stages that the target needs, and so leaves the
/// choice of them to the planner.
pub fn check_stages(dockerfile: &Dockerfile, needed: &dyn Fn(usize) -> bool) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut ends: BTreeMap<&str, Below> = BTreeMap::new();
    for (index, stage) in dockerfile.stages.iter().enumerate() {
        let below = ends
            .get(stage.base.to_lowercase().as_str())
            .copied()
            .unwrap_or_default();
        let kept = found.len();
        let end = stage_findings(stage, below, &mut found);
        if !needed(index) {
            found.truncate(kept);
        }
        if let Some(name) = &stage.name {
            ends.insert(name, end);
        }
    }
    filtered(dockerfile, found)
}

/// What a stage hands on to stages that are made from it.
#[derive(Clone, Copy, Default)]
struct Below {
    shell: bool,
}

fn stage_findings(stage: &Stage, mut below: Below, found: &mut Vec<Warning>) -> Below {
    let mut seen: BTreeMap<&'static str, Span> = BTreeMap::new();
    for command in &stage.commands {
        match &command.instruction {
            Instruction::Arg(arguments) => {
                for one in arguments {
                    secret("ARG", &one.key, command, found);
                }
            }
            Instruction::Env(pairs) => {
                legacy(pairs, command, found);
                for one in pairs {
                    secret("ENV", &one.key, command, found);
                }
            }
            Instruction::Label(pairs) => legacy(pairs, command, found),
            Instruction::Cmd(line) | Instruction::Entrypoint(line) => {
                if line.shell && !below.shell {
                    found.push(Rule::JsonArgsRecommended.at(command.span, &[&command.keyword]));
                }
                once(command, &mut seen, found);
            }
            Instruction::Healthcheck(_) => once(command, &mut seen, found),
            Instruction::Shell(_) => below.shell = true,
            _ => {}
        }
    }
    below
}

/// Names without a value in an instruction of a stage: `known` are the names that have one.
pub fn undefined_variables(
    undefined: &BTreeSet<String>,
    known: &[&str],
    span: Span,
) -> Vec<Warning> {
    let finding = |name: &String| {
        let near = nearest(name, known, true).unwrap_or_default();
        Rule::UndefinedVar.at(span, &[name, &near])
    };
    undefined.iter().map(finding).collect()
}

/// A base image of another platform than was wanted.
pub fn base_image_platform(
    image: &str,
    expected: &str,
    actual: &str,
    span: Span,
) -> Option<Warning> {
    let differs = expected != actual;
    differs.then(|| Rule::InvalidBaseImagePlatform.at(span, &[image, expected, actual]))
}

/// The first `WORKDIR` of a stage and those that it stands on, with its variables replaced.
pub fn relative_directory(path: &str, span: Span) -> Option<Warning> {
    let is_relative = !path.starts_with('/');
    is_relative.then(|| Rule::WorkdirRelativePath.at(span, &[path]))
}

/// A source of `COPY` or `ADD` that the ignore file hides. An ignore file with `!` patterns is not
/// judged, as a directory may be ignored and a file in it not.
pub fn copy_ignored(matcher: &Matcher, source: &str, add: bool, span: Span) -> Option<Warning> {
    if matcher.has_exclusions() {
        return None;
    }
    let clean = crate::ignore::clean(source);
    let hidden = if clean == "." || clean == "/" {
        matcher.hides_all()
    } else {
        matcher.matches(clean.trim_start_matches('/'))
    };
    let verb = if add { "Add" } else { "Copy" };
    hidden.then(|| Rule::CopyIgnoredFile.at(span, &[verb, &clean]))
}

/// The findings that the file's check options and the comments above instructions let through.
pub fn filtered(dockerfile: &Dockerfile, mut found: Vec<Warning>) -> Vec<Warning> {
    let text = dockerfile.directives.check.as_deref().unwrap_or_default();
    let word = text.split(' ').next().unwrap_or_default();
    let options = CheckOptions::parse(word).unwrap_or_default();
    found.retain(|one| options.wants(one.rule));
    if found.is_empty() {
        return found;
    }
    let own = own_options(dockerfile);
    found.retain(|one| {
        own.get(&one.span.start.line)
            .is_none_or(|own| options.merged(own).wants(one.rule))
    });
    found
}

/// Check options in comments, by the line of the instruction below.
fn own_options(dockerfile: &Dockerfile) -> BTreeMap<usize, CheckOptions> {
    let stages = dockerfile
        .stages
        .iter()
        .map(|stage| (stage.span, &stage.comments));
    let all = dockerfile.stages.iter().flat_map(|stage| &stage.commands);
    let commands = all
        .chain(&dockerfile.global_args)
        .map(|one| (one.span, &one.comments));
    let mut own = BTreeMap::new();
    for (span, comments) in stages.chain(commands) {
        let text = comments
            .iter()
            .find_map(|comment| crate::parse::check_comment(comment));
        let word = text.and_then(|text| text.split(' ').next());
        if let Some(Ok(options)) = word.map(CheckOptions::parse) {
            own.insert(span.start.line, options);
        }
    }
    own
}

fn stage_names(dockerfile: &Dockerfile, found: &mut Vec<Warning>) {
    let mut names = BTreeSet::new();
    for stage in &dockerfile.stages {
        let Some(name) = stage.name.as_deref() else {
            continue;
        };
        if RESERVED_STAGES.contains(&name) {
            found.push(Rule::ReservedStageName.at(stage.span, &[name]));
        }
        if !names.insert(name) {
            found.push(Rule::DuplicateStageName.at(stage.span, &[name]));
        }
    }
}

/// Each instruction against the case of most of them; as many of both count as upper case.
fn casing(dockerfile: &Dockerfile, found: &mut Vec<Warning>) {
    let words = || {
        dockerfile.stages.iter().flat_map(|stage| {
            let commands = stage
                .commands
                .iter()
                .map(|one| (one.keyword.as_str(), one.span));
            std::iter::once((stage.keyword.as_str(), stage.span)).chain(commands)
        })
    };
    let lower = words()
        .filter(|(word, _)| *word == word.to_lowercase())
        .count();
    let upper = words()
        .filter(|(word, _)| *word == word.to_uppercase())
        .count();
    for (word, span) in words() {
        let (right, case) = if lower > upper {
            (word.to_lowercase(), "lowercase")
        } else {
            (word.to_uppercase(), "uppercase")
        };
        if word != right {
            found.push(Rule::ConsistentInstructionCasing.at(span, &[word, case]));
        }
    }
}

fn once(command: &Command, seen: &mut BTreeMap<&'static str, Span>, found: &mut Vec<Warning>) {
    let rule = Rule::MultipleInstructionsDisallowed;
    // It is the earlier one that has no effect.
    if let Some(earlier) = seen.insert(command.instruction.name(), command.span) {
        found.push(rule.at(earlier, &[&command.keyword]));
    }
}

fn legacy(pairs: &[KeyValue], command: &Command, found: &mut Vec<Warning>) {
    for _ in pairs.iter().filter(|pair| pair.legacy) {
        found.push(Rule::LegacyKeyValueFormat.at(command.span, &[&command.keyword]));
    }
}

fn secret(kind: &str, key: &str, command: &Command, found: &mut Vec<Warning>) {
    // As a regular expression without regard to case: a long s is one, too.
    let lower = key.to_lowercase().replace('\u{17f}', "s");
    let has = |words: &[&str]| lower.split('_').any(|word| words.contains(&word));
    if has(&SECRET_WORDS) && !has(&HARMLESS_WORDS) {
        found.push(Rule::SecretsUsedInArgOrEnv.at(command.span, &[kind, key]));
    }
}

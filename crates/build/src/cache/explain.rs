//! Why a step was not taken from the cache: what is different from the newest record of the same step.

use super::{Cache, Record};
use std::collections::BTreeMap;
use std::fmt;

/// How many changed files an explanation names.
const NAMED_FILES: usize = 3;

/// Why a step ran.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// No build of this Dockerfile made this step before.
    New,
    /// The user said so.
    CacheOff,
    /// A step that it stands on ran.
    ParentRan(String),
    /// The base image is another one.
    BaseMoved(String),
    /// The instruction itself is another one; this is what it was.
    InstructionChanged(String),
    /// The value of a build argument.
    ArgumentChanged(String),
    /// The value of a variable.
    EnvironmentChanged(String),
    /// Files of its sources.
    FilesChanged {
        /// Changed, new and missing ones; the first few.
        paths: Vec<String>,
        /// How many in all.
        changed: usize,
        /// How many files there are.
        total: u64,
    },
    /// What is mounted at a place.
    MountChanged(String),
    /// An option: user, working directory, network, …
    OptionChanged(String),
    /// Its layer was removed.
    LayerGone,
}

impl Explanation {
    /// Whether the step could not have been cached as far as its own instruction is concerned: it is new, or a step
    /// below it ran.
    pub fn is_obvious(&self) -> bool {
        matches!(self, Self::New | Self::CacheOff | Self::ParentRan(_))
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("not built before"),
            Self::CacheOff => f.write_str("cache is switched off"),
            Self::ParentRan(step) => write!(f, "after {step}"),
            Self::BaseMoved(image) => write!(f, "base image moved: {image}"),
            Self::InstructionChanged(old) => write!(f, "instruction changed, was: {old}"),
            Self::ArgumentChanged(name) => write!(f, "ARG {name} changed"),
            Self::EnvironmentChanged(name) => write!(f, "ENV {name} changed"),
            Self::FilesChanged {
                paths,
                changed,
                total,
            } => {
                write!(
                    f,
                    "{changed} of {total} files changed: {}",
                    paths.join(", ")
                )?;
                if *changed > paths.len() {
                    f.write_str(", …")?;
                }
                Ok(())
            }
            Self::MountChanged(target) => write!(f, "what is mounted at {target} changed"),
            Self::OptionChanged(name) => write!(f, "{name} changed"),
            Self::LayerGone => f.write_str("its layer is not in the store any more"),
        }
    }
}

/// Compares a step with its newest record. The first difference in the order of what a person would
/// look for is the reason.
pub(crate) fn explain(
    cache: &Cache,
    old: &Record,
    new: &Record,
    parent: Option<&str>,
) -> Explanation {
    if let Some(name) = changed(&old.arguments, &new.arguments) {
        return Explanation::ArgumentChanged(name);
    }
    if old.instruction != new.instruction {
        return Explanation::InstructionChanged(old.instruction.clone());
    }
    if let Some(name) = changed(&old.inputs.environment, &new.inputs.environment) {
        return Explanation::EnvironmentChanged(name);
    }
    if let Some(files) = files(cache, old, new) {
        return files;
    }
    let mounts = |record: &Record| record.inputs.mounts.iter().cloned().collect();
    if let Some(target) = changed(&mounts(old), &mounts(new)) {
        return Explanation::MountChanged(target);
    }
    if let Some(name) = changed(&old.inputs.options, &new.inputs.options) {
        return Explanation::OptionChanged(name);
    }
    if old.inputs.parent != new.inputs.parent {
        if let Some(base) = &new.inputs.base {
            return Explanation::BaseMoved(base.clone());
        }
        if let Some(parent) = parent {
            return Explanation::ParentRan(parent.to_owned());
        }
    }
    Explanation::LayerGone
}

/// The first name whose value is another one.
fn changed(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Option<String> {
    let gone = old.keys().find(|name| !new.contains_key(*name));
    new.iter()
        .find(|(name, value)| old.get(*name) != Some(value))
        .map(|(name, _)| name)
        .or(gone)
        .cloned()
}

fn files(cache: &Cache, old: &Record, new: &Record) -> Option<Explanation> {
    let (before, after) = (old.inputs.files.as_ref()?, new.inputs.files.as_ref()?);
    if before == after {
        return None;
    }
    let map = |list| -> Option<BTreeMap<String, String>> {
        Some(
            cache
                .files(list)?
                .into_iter()
                .map(|file| (file.path, file.digest))
                .collect(),
        )
    };
    let (before, files) = (map(before)?, map(after)?);
    let mut paths: Vec<String> = files
        .iter()
        .filter(|(path, digest)| before.get(*path) != Some(digest))
        .map(|(path, _)| path.clone())
        .chain(
            before
                .keys()
                .filter(|path| !files.contains_key(*path))
                .cloned(),
        )
        .collect();
    let changed = paths.len();
    paths.sort();
    paths.truncate(NAMED_FILES);
    Some(Explanation::FilesChanged {
        paths,
        changed,
        total: after.count,
    })
}

//! What steps are called: `[builder 2/5] RUN make`.

use lapstrake_dockerfile::Command;
use lapstrake_dockerfile::words::{self, Lookup, Options};
use lapstrake_spec::Platform;

use super::scope::Environment;

/// Counts the vertices of a stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// The stage's name; empty when it is the only one.
    pub(super) label: String,
    /// The platform, when there are several.
    pub(super) platform: Option<Platform>,
    /// How many vertices there are.
    pub(super) total: usize,
    count: usize,
}

impl Names {
    pub(super) fn new(label: &str, platform: Option<Platform>, total: usize) -> Self {
        Self {
            label: label.to_owned(),
            platform,
            total,
            count: 0,
        }
    }

    /// The next vertex. `target` is the platform that its environment names.
    pub(super) fn next(&mut self, text: &str, trigger: bool, target: Option<&Platform>) -> String {
        self.count += 1;
        let mut words = Vec::new();
        if let Some(platform) = &self.platform {
            words.push(format!("{platform}{}", crossing(platform, target)));
        }
        if !self.label.is_empty() {
            words.push(self.label.clone());
        }
        let width = self.total.checked_ilog10().unwrap_or_default() as usize + 1;
        let (count, total) = (self.count, self.total);
        words.push(format!("{count:>width$}/{total}"));
        let mark = if trigger { "ONBUILD " } else { "" };
        format!("[{}] {mark}{text}", words.join(" "))
    }
}

/// `->arm64` for a step that runs on one platform and is told to build for another.
fn crossing(platform: &Platform, target: Option<&Platform>) -> String {
    let Some(target) = target.map(Platform::normalized) else {
        return String::new();
    };
    if target.os != platform.os {
        return format!("->{target}");
    }
    if target.architecture == platform.architecture {
        return String::new();
    }
    match &target.variant {
        Some(variant) => format!("->{}/{variant}", target.architecture),
        None => format!("->{}", target.architecture),
    }
}

/// The platform that TARGETPLATFORM, or its parts, name in an environment.
pub(super) fn target_of(environment: &Environment, base: &Platform) -> Option<Platform> {
    if let Some(platform) = environment.get("TARGETPLATFORM") {
        return Platform::parse(platform).ok();
    }
    let part = |name| environment.get(name).filter(|value| !value.is_empty());
    let (os, architecture) = (part("TARGETOS"), part("TARGETARCH"));
    if os.is_none() && architecture.is_none() {
        return None;
    }
    Some(Platform {
        os: os.unwrap_or(&base.os).to_owned(),
        architecture: architecture.unwrap_or(&base.architecture).to_owned(),
        variant: part("TARGETVARIANT").map(str::to_owned),
        ..Platform::default()
    })
}

/// An instruction for people: variables replaced as far as they are set, its word in upper case. Quotes
/// stay in RUN, where they mean something to the shell.
pub(super) fn shown(
    command: &Command,
    text: &str,
    environment: &dyn Lookup,
    escape: char,
) -> String {
    let is_run = command.instruction.name() == "RUN";
    let options = Options {
        raw_quotes: is_run,
        keep_unset: is_run,
        ..Options::new(escape)
    };
    let expanded = words::expand_with(text, environment, options)
        .map_or_else(|_| text.to_owned(), |expansion| expansion.text);
    match expanded.split_once(' ') {
        Some((word, rest)) => format!("{} {rest}", word.to_uppercase()),
        None => expanded.to_uppercase(),
    }
}

//! Variables: what is set, in which order, and what an expansion used.

use std::collections::{BTreeMap, BTreeSet};

use lapstrake_dockerfile::instruction::Expander;
use lapstrake_dockerfile::words::{self, Lookup, WordError};
use lapstrake_dockerfile::{Command, Instruction};
use lapstrake_spec::Platform;

use super::{PlanError, PlanErrorKind, PlanOptions};
use crate::graph::{Origin, Variable};

/// The proxy arguments that docker passes to RUN without an ARG.
pub(super) const PROXIES: [&str; 5] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// Among how many names a misspelt one is looked for.
const SUGGESTIONS_LIMIT: usize = 256;

/// Variables in an order.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    entries: BTreeMap<String, Entry>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    place: u64,
    value: String,
    origin: Origin,
}

impl Environment {
    /// The `NAME=value` texts of a configuration.
    pub(super) fn of_config(pairs: &[String]) -> Self {
        let mut environment = Self::default();
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            environment.replace(name, value, Origin::Image);
        }
        environment
    }

    /// Sets a variable, in its old place when there is one: docker's configurations.
    pub(super) fn replace(&mut self, name: &str, value: &str, origin: Origin) {
        match self.entries.get_mut(name) {
            Some(entry) => {
                value.clone_into(&mut entry.value);
                entry.origin = origin;
            }
            None => self.set(name, value, origin),
        }
    }

    /// Sets a variable behind all others: the environment of BuildKit's steps.
    pub(super) fn set(&mut self, name: &str, value: &str, origin: Origin) {
        let entry = Entry {
            place: self.next,
            value: value.to_owned(),
            origin,
        };
        self.next += 1;
        self.entries.insert(name.to_owned(), entry);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.entries.remove(name);
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        self.entries.get(name).map(|entry| entry.origin)
    }

    /// Names among which a misspelt one is looked for: the first [`SUGGESTIONS_LIMIT`].
    pub(super) fn names(&self) -> Vec<&str> {
        let names = self.entries.keys().map(String::as_str);
        names.take(SUGGESTIONS_LIMIT).collect()
    }

    /// Variables in order.
    pub(super) fn variables(&self) -> Vec<Variable> {
        let mut entries: Vec<(&String, &Entry)> = self.entries.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.place);
        entries
            .into_iter()
            .map(|(name, entry)| Variable {
                name: name.clone(),
                value: entry.value.clone(),
                origin: entry.origin,
            })
            .collect()
    }

    /// `NAME=value` in order.
    pub(super) fn pairs(&self) -> Vec<String> {
        let variables = self.variables().into_iter();
        variables
            .map(|variable| format!("{}={}", variable.name, variable.value))
            .collect()
    }

    /// Names and values of build arguments, in order of their names.
    pub(super) fn arguments(&self) -> Vec<(String, String)> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.origin == Origin::Argument)
            .map(|(name, entry)| (name.clone(), entry.value.clone()))
            .collect()
    }
}

impl Lookup for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| entry.value.as_str())
    }
}

/// Expands an instruction's words, and remembers the names in them.
pub(super) struct Recorder<'a> {
    environment: &'a Environment,
    escape: char,
    pub(super) used: BTreeSet<String>,
    pub(super) undefined: BTreeSet<String>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(environment: &'a Environment, escape: char) -> Self {
        Self {
            environment,
            escape,
            used: BTreeSet::new(),
            undefined: BTreeSet::new(),
        }
    }

    fn record(&mut self, used: BTreeSet<String>, undefined: BTreeSet<String>) {
        self.used.extend(used);
        self.undefined.extend(undefined);
    }

    /// The build arguments among the names that were used.
    pub(super) fn arguments(&self) -> Vec<(String, String)> {
        let arguments = self.used.iter().filter_map(|name| {
            let is_argument = self.environment.origin(name) == Some(Origin::Argument);
            let value = self.environment.get(name).filter(|_| is_argument)?;
            Some((name.clone(), value.to_owned()))
        });
        arguments.collect()
    }
}

impl Expander for Recorder<'_> {
    fn word(&mut self, text: &str) -> Result<String, WordError> {
        let expansion = words::expand(text, self.environment, self.escape)?;
        self.record(expansion.used, expansion.undefined);
        Ok(expansion.text)
    }

    fn raw(&mut self, text: &str) -> Result<String, WordError> {
        // Here-documents have their own escape character, whatever the directive says.
        let expansion = words::expand_raw(text, self.environment, '\\')?;
        self.record(expansion.used, expansion.undefined);
        Ok(expansion.text)
    }

    fn words(&mut self, text: &str) -> Result<Vec<String>, WordError> {
        let expansion = words::expand_words(text, self.environment, self.escape)?;
        self.record(expansion.used, expansion.undefined);
        Ok(expansion.words)
    }
}

/// The arguments that BuildKit declares before all stages.
pub(super) fn automatic(options: &PlanOptions, target: &Platform, stage: &str) -> Environment {
    let build = &options.build_platform;
    let stage = if stage.is_empty() { "default" } else { stage };
    let text = Option::as_deref;
    let mut environment = Environment::default();
    for (name, value) in [
        ("BUILDPLATFORM", build.to_string().as_str()),
        ("BUILDOS", &build.os),
        (
            "BUILDOSVERSION",
            text(&build.os_version).unwrap_or_default(),
        ),
        ("BUILDARCH", &build.architecture),
        ("BUILDVARIANT", text(&build.variant).unwrap_or_default()),
        ("TARGETPLATFORM", target.to_string().as_str()),
        ("TARGETOS", &target.os),
        (
            "TARGETOSVERSION",
            text(&target.os_version).unwrap_or_default(),
        ),
        ("TARGETARCH", &target.architecture),
        ("TARGETVARIANT", text(&target.variant).unwrap_or_default()),
        ("TARGETSTAGE", stage),
    ] {
        let given = options.build_args.get(name).map(String::as_str);
        environment.set(name, given.unwrap_or(value), Origin::Argument);
    }
    environment
}

/// Adds the arguments before the first FROM, each with its value from outside or its default.
pub(super) fn declare(
    commands: &[Command],
    start: &Environment,
    given: &BTreeMap<String, String>,
    escape: char,
) -> Result<Environment, PlanError> {
    let mut environment = start.clone();
    for command in commands {
        let Instruction::Arg(arguments) = &command.instruction else {
            continue;
        };
        for argument in arguments {
            let value = match (given.get(&argument.key), &argument.value) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(default)) => {
                    let expansion = words::expand(default, &environment, escape);
                    let expansion = expansion.map_err(|error| {
                        PlanError::at(Some(command.span), PlanErrorKind::Words(error))
                    })?;
                    Some(expansion.text)
                }
                (None, None) => None,
            };
            if let Some(value) = value {
                environment.set(&argument.key, &value, Origin::Argument);
            }
        }
    }
    Ok(environment)
}

/// Proxy variables for RUN. BuildKit passes each in both cases whatever the case of the argument was;
/// classic passes the names as they were given.
pub(super) fn proxies(options: &PlanOptions, both_cases: bool) -> Vec<(String, String)> {
    let mut proxies = Vec::new();
    for name in PROXIES {
        let lower = name.to_ascii_lowercase();
        if both_cases {
            let mut given = options.build_args.iter();
            let value = given.rfind(|(given, _)| given.eq_ignore_ascii_case(name));
            if let Some((_, value)) = value.filter(|(_, value)| !value.is_empty()) {
                proxies.push((name.to_owned(), value.clone()));
                proxies.push((lower, value.clone()));
            }
        } else {
            for name in [name, &lower] {
                if let Some(value) = options.build_args.get(name) {
                    proxies.push((name.to_owned(), value.clone()));
                }
            }
        }
    }
    proxies
}

/// Whether classic takes this argument without an ARG.
pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

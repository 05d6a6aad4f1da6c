//! What a command reads from its flags.

use super::flag::{Flag, Kind, parse_bool, parse_bytes, parse_int};
use super::parse::Parsed;

/// The flags and arguments of one invocation, checked.
#[derive(Debug)]
pub(crate) struct Matches {
    flags: &'static [Flag],
    values: Vec<(usize, String)>,
    /// The arguments.
    pub args: Vec<String>,
}

impl Matches {
    /// Pairs a table with what was read through it.
    pub(crate) fn new(flags: &'static [Flag], parsed: Parsed) -> Self {
        Self {
            flags,
            values: parsed.values,
            args: parsed.positional,
        }
    }

    /// An argument by position.
    pub(crate) fn arg(&self, index: usize) -> Option<&str> {
        self.args.get(index).map(String::as_str)
    }

    /// An argument that the command's arity guarantees.
    pub(crate) fn required(&self, index: usize) -> &str {
        self.arg(index).unwrap_or_default()
    }

    /// Whether the flag was given at all.
    pub(crate) fn changed(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// Whether the command has a flag of this name.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag.long == name)
    }

    /// A truth value: as given, else the flag's default.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self.last(name) {
            Some(value) => parse_bool(value).unwrap_or(false),
            None => self.flag(name).is_some_and(|flag| flag.default == "true"),
        }
    }

    /// The last text given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.last(name)
    }

    /// The last text given, unless empty.
    pub(crate) fn nonempty(&self, name: &str) -> Option<&str> {
        self.last(name).filter(|text| !text.is_empty())
    }

    /// The last text given as an owned value, unless empty.
    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.nonempty(name).map(str::to_owned)
    }

    /// The last number given.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.last(name).and_then(|value| parse_int(value).ok())
    }

    /// The last size given, in bytes.
    pub(crate) fn bytes(&self, name: &str) -> Option<i64> {
        self.last(name).and_then(|value| parse_bytes(value).ok())
    }

    /// Every text given, in order.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let commas = self
            .flag(name)
            .is_some_and(|flag| flag.kind == Kind::Strings);
        if commas {
            self.all(name)
                .flat_map(|value| value.split(',').map(str::to_owned))
                .collect()
        } else {
            self.all(name).map(str::to_owned).collect()
        }
    }

    /// Every filter given, in order: name in lower case, value.
    pub(crate) fn filters(&self, name: &str) -> Vec<(String, String)> {
        self.all(name)
            .filter_map(|value| value.split_once('='))
            .map(|(key, value)| (key.trim().to_lowercase(), value.trim().to_owned()))
            .collect()
    }

    fn flag(&self, name: &str) -> Option<&'static Flag> {
        let flag = self.flags.iter().find(|flag| flag.long == name);
        debug_assert!(flag.is_some(), "the command has no flag --{name}");
        flag
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        debug_assert!(self.flag(name).is_some());
        let wanted = self.flags.iter().position(|flag| flag.long == name);
        self.values
            .iter()
            .filter(move |(index, _)| Some(*index) == wanted)
            .map(|(_, value)| value.as_str())
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }
}

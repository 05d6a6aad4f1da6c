//! An instruction's flags: which there are, and their values.

use crate::parse::Node;
use crate::suggest::nearest;

use super::{Fault, fault};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Text,
    Texts,
}

/// Declared first, then parsed, then taken.
pub(super) struct Flags<'a> {
    node: &'a Node,
    known: Vec<Known>,
}

struct Known {
    name: &'static str,
    kind: Kind,
    values: Vec<String>,
}

impl<'a> Flags<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self {
            node,
            known: Vec::new(),
        }
    }

    /// A flag that is true, false or absent.
    pub(super) fn switch(&mut self, name: &'static str) {
        self.add(name, Kind::Switch);
    }

    /// A flag with a value, once.
    pub(super) fn text(&mut self, name: &'static str) {
        self.add(name, Kind::Text);
    }

    /// A flag with a value, any number of times.
    pub(super) fn texts(&mut self, name: &'static str) {
        self.add(name, Kind::Texts);
    }

    fn add(&mut self, name: &'static str, kind: Kind) {
        self.known.push(Known {
            name,
            kind,
            values: Vec::new(),
        });
    }

    /// Reads what the node has; after it the values can be taken.
    pub(super) fn parse(&mut self) -> Result<(), Fault> {
        for flag in &self.node.flags {
            self.one(&flag.text).map_err(|fault| Fault {
                offset: Some(flag.offset),
                ..fault
            })?;
        }
        Ok(())
    }

    fn one(&mut self, text: &str) -> Result<(), Fault> {
        let Some(rest) = text.strip_prefix("--") else {
            return Err(fault(format!("arg should start with -- : {text}")));
        };
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        let names: Vec<&str> = self.known.iter().map(|known| known.name).collect();
        let Some(known) = self.known.iter_mut().find(|known| known.name == name) else {
            let suggestion = nearest(name, &names, true);
            return Err(Fault {
                suggestion,
                ..fault(format!("unknown flag: --{name}"))
            });
        };
        if !known.values.is_empty() && known.kind != Kind::Texts {
            return Err(fault(format!("duplicate flag specified: --{name}")));
        }
        let missing = || fault(format!("missing a value on flag: --{name}"));
        let value = match (known.kind, value) {
            (Kind::Switch, None) => "true".to_owned(),
            (Kind::Switch, Some("")) => return Err(missing()),
            (Kind::Switch, Some(value)) => match value.to_lowercase() {
                lower if lower == "true" || lower == "false" => lower,
                _ => {
                    return Err(fault(format!(
                        "expecting boolean value for flag --{name}, not: {value}"
                    )));
                }
            },
            (Kind::Text | Kind::Texts, value) => value.ok_or_else(missing)?.to_owned(),
        };
        known.values.push(value);
        Ok(())
    }

    pub(super) fn take_texts(&mut self, name: &str) -> Vec<String> {
        let known = self.known.iter_mut().find(|known| known.name == name);
        known
            .map(|known| std::mem::take(&mut known.values))
            .unwrap_or_default()
    }

    /// The value; an empty one is as good as none.
    pub(super) fn take_text(&mut self, name: &str) -> Option<String> {
        self.take_texts(name)
            .pop()
            .filter(|value| !value.is_empty())
    }

    pub(super) fn take_switch(&mut self, name: &str) -> Option<bool> {
        self.take_texts(name).pop().map(|value| value == "true")
    }
}

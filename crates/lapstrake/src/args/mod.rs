//! The command line, read as docker reads it.
//!
//! Every command is a static [`Command`] with a table of [`Flag`]s; one parser, one help printer and
//! one set of error texts serve all of them. The texts, exit codes and layout are those of docker's
//! client 28, because scripts read them. The program's own name in every text is the name it was
//! invoked as.

mod flag;
mod help;
mod matches;
mod parse;
mod suggest;

pub(crate) use flag::{Flag, Kind, go_quote, parse_bool, parse_bytes, parse_duration, parse_int};
pub(crate) use help::{HelpStyle, help, root_help, shown_default};
pub(crate) use matches::Matches;
pub(crate) use parse::{Parsed, parse};
pub(crate) use suggest::{flag_hint, nearest, typographic_hint};

#[cfg(test)]
mod tests;

use std::fmt;

/// How many positional arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// None.
    None,
    /// Exactly this many.
    Exact(usize),
    /// This many or more.
    AtLeast(usize),
    /// This many or fewer.
    AtMost(usize),
    /// Between two numbers, both included.
    Range(usize, usize),
}

/// One command: its texts, its flags and what it takes.
pub(crate) struct Command<R: 'static> {
    /// What follows the command's path in its usage line: `[OPTIONS] NAME[:TAG|@DIGEST]`.
    pub usage: &'static str,
    /// One line, as listings of commands show it.
    pub about: &'static str,
    /// More lines, in place of `about` in the command's own help.
    pub long: &'static str,
    /// Every way to say this command, without the program's name; shown when there is more than one.
    pub aliases: &'static [&'static str],
    /// The flags, sorted by name.
    pub flags: &'static [Flag],
    /// How many arguments it takes.
    pub arity: Arity,
    /// Whether flags may follow arguments. Commands that pass the rest on to a container stop at the
    /// first argument.
    pub interspersed: bool,
    /// What runs it.
    pub run: R,
}

/// A name in a group, and what it stands for.
pub(crate) struct Entry<R: 'static> {
    /// The name that help and errors show.
    pub name: &'static str,
    /// Other names that do the same.
    pub aliases: &'static [&'static str],
    /// A command, or a group of them.
    pub node: Node<R>,
}

/// A node of the command tree.
pub(crate) enum Node<R: 'static> {
    /// A command.
    Leaf(&'static Command<R>),
    /// A group of commands.
    Group(&'static Group<R>),
}

/// A group: `image`, `container`, `system`.
pub(crate) struct Group<R: 'static> {
    /// One line about it.
    pub about: &'static str,
    /// What it holds, sorted by name.
    pub entries: &'static [Entry<R>],
}

impl<R> Group<R> {
    /// The entry with this name or alias.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Entry<R>> {
        self.entries
            .iter()
            .find(|entry| entry.name == name || entry.aliases.contains(&name))
    }
}

impl<R> Node<R> {
    /// One line about it.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Leaf(command) => command.about,
            Self::Group(group) => group.about,
        }
    }
}

impl<R> Clone for Node<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Node<R> {}

/// A command line that was refused: the whole text, and the exit status docker gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsageError {
    /// What goes to the standard error.
    pub message: String,
    /// The exit status.
    pub status: u8,
    /// An action that helps; shown on a line of its own.
    pub hint: Option<String>,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl UsageError {
    /// A flag that is unknown, lacks its value, or has a bad one.
    pub(crate) fn flag(error: &str, path: &str, usage_line: &str) -> Self {
        Self {
            message: format!(
                "{error}\n\nUsage:  {usage_line}\n\nRun '{path} --help' for more information"
            ),
            status: 125,
            hint: None,
        }
    }

    /// A word that is no command of the program.
    pub(crate) fn unknown_command(program: &str, word: &str) -> Self {
        Self {
            message: format!(
                "{program}: unknown command: {program} {word}\n\nRun '{program} --help' for more \
                 information"
            ),
            status: 1,
            hint: None,
        }
    }

    /// A word that is no command of a group.
    pub(crate) fn unknown_subcommand(program: &str, path: &str, usage: &str, word: &str) -> Self {
        Self {
            message: format!(
                "{program}: unknown command: {path} {word}\n\nUsage:  {usage}\n\nRun '{path} --help' \
                 for more information"
            ),
            status: 1,
            hint: None,
        }
    }

    /// The same error with an action that helps.
    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// The usage line of a command: its path and what follows.
pub(crate) fn usage_line(path: &str, usage: &str) -> String {
    if usage.is_empty() {
        path.to_owned()
    } else {
        format!("{path} {usage}")
    }
}

impl Arity {
    /// Checks a number of arguments; the error has docker's words, slip included ("SRun").
    pub(crate) fn check(
        self,
        count: usize,
        program: &str,
        path: &str,
        usage_line: &str,
    ) -> Result<(), UsageError> {
        let (wanted, verb) = match self {
            Self::None if count > 0 => ("accepts no arguments".to_owned(), "Run"),
            Self::Exact(n) if count != n => (format!("requires {n} {}", arguments(n)), "Run"),
            Self::AtLeast(n) if count < n => {
                (format!("requires at least {n} {}", arguments(n)), "See")
            }
            Self::AtMost(n) if count > n => {
                (format!("requires at most {n} {}", arguments(n)), "SRun")
            }
            Self::Range(low, high) if count < low || count > high => (
                format!(
                    "requires at least {low} and at most {high} {}",
                    arguments(high)
                ),
                "Run",
            ),
            _ => return Ok(()),
        };
        Err(UsageError {
            message: format!(
                "{program}: '{path}' {wanted}\n\nUsage:  {usage_line}\n\n{verb} '{path} --help' for \
                 more information"
            ),
            status: 1,
            hint: None,
        })
    }
}

fn arguments(count: usize) -> &'static str {
    if count == 1 { "argument" } else { "arguments" }
}

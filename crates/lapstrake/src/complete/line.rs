//! The words before the unfinished one: which command they name, and what may come next.

use super::values::Values;
use crate::args::{Command, Flag, Group, Kind, Node};
use crate::commands::{ROOT, Run, group_flags};

/// What the unfinished word is.
pub(super) enum Wanted<'a> {
    /// A command of this group.
    Entry(&'static Group<Run>),
    /// A command or topic after `help`.
    Topic,
    /// The name of one of these flags.
    Flag(&'a [Flag]),
    /// The value of a flag, or an argument.
    Value(Values),
}

/// Where the words have led.
pub(super) struct Line<'a> {
    /// How many words stand before the command.
    pub(super) globals: usize,
    place: Place,
    /// The command's names from the top, aliases resolved: `image ls`.
    path: String,
    flags: &'a [Flag],
    /// Arguments of the command so far.
    arguments: usize,
    flags_ended: bool,
    /// A flag that still needs its value.
    pending: Option<Flag>,
    /// The value of `--file`.
    file: Option<String>,
    /// The first argument.
    first: Option<String>,
}

#[derive(Clone, Copy)]
enum Place {
    Group(&'static Group<Run>),
    Command(&'static Command<Run>),
    Help,
    /// After a word that is no command.
    Nowhere,
}

impl<'a> Line<'a> {
    pub(super) fn read(words: &[String], globals: &'a [Flag]) -> Self {
        let mut line = Self {
            globals: words.len(),
            place: Place::Group(&ROOT),
            path: String::new(),
            flags: globals,
            arguments: 0,
            flags_ended: false,
            pending: None,
            file: None,
            first: None,
        };
        for (index, word) in words.iter().enumerate() {
            if let Some(flag) = line.pending.take() {
                if flag.long == "file" {
                    line.file = Some(word.clone());
                }
                continue;
            }
            if !line.flags_ended && word == "--" {
                line.flags_ended = true;
            } else if !line.flags_ended && word.len() > 1 && word.starts_with('-') {
                line.pending = line.flag_without_value(word);
                if let Some(file) = word.strip_prefix("--file=") {
                    line.file = Some(file.to_owned());
                }
            } else {
                line.globals = line.globals.min(index);
                line.argument(word);
            }
        }
        line
    }

    /// The flag of this word when its value must be the next one.
    fn flag_without_value(&self, word: &str) -> Option<Flag> {
        if let Some(long) = word.strip_prefix("--") {
            let flag = self.flags.iter().find(|flag| flag.long == long)?;
            return (flag.kind != Kind::Bool).then_some(*flag);
        }
        let letters = word.get(1..)?;
        for (at, letter) in letters.char_indices() {
            let flag = self.flags.iter().find(|flag| flag.short == Some(letter))?;
            if flag.kind != Kind::Bool {
                let is_last = at + letter.len_utf8() == letters.len();
                return is_last.then_some(*flag);
            }
        }
        None
    }

    fn argument(&mut self, word: &str) {
        match self.place {
            Place::Group(group) => {
                self.flags = &[];
                self.flags_ended = false;
                self.place = match group.find(word) {
                    Some(entry) => {
                        let blank = if self.path.is_empty() { "" } else { " " };
                        self.path = format!("{}{blank}{}", self.path, entry.name);
                        match entry.node {
                            Node::Group(inner) => {
                                self.flags = group_flags(inner);
                                Place::Group(inner)
                            }
                            Node::Leaf(command) => {
                                self.flags = command.flags;
                                Place::Command(command)
                            }
                        }
                    }
                    None if word == "help" && self.path.is_empty() => Place::Help,
                    None => Place::Nowhere,
                };
            }
            Place::Command(command) => {
                self.arguments += 1;
                self.first.get_or_insert_with(|| word.to_owned());
                self.flags_ended |= !command.interspersed;
            }
            Place::Help => {
                self.place = match ROOT.find(word).map(|entry| entry.node) {
                    Some(Node::Group(group)) => Place::Group(group),
                    _ => Place::Nowhere,
                };
            }
            Place::Nowhere => {}
        }
    }

    fn values(&self, flag: &Flag) -> Values {
        if flag.long != "target" {
            return Values::of_flag(flag, &self.path);
        }
        // The context often comes behind; it is this folder then.
        let folder = || self.first.as_deref().unwrap_or(".");
        let file = self.file.clone();
        Values::Stages(file.unwrap_or_else(|| format!("{}/Dockerfile", folder())))
    }

    /// What the unfinished word is, and the part of it that candidates must begin with.
    pub(super) fn wanted<'w>(&self, word: &'w str) -> (Wanted<'a>, &'w str) {
        if let Some(flag) = self.pending {
            return (Wanted::Value(self.values(&flag)), word);
        }
        if !self.flags_ended && word.starts_with('-') {
            if let Some((name, value)) = word.split_once('=') {
                let flag = self
                    .flags
                    .iter()
                    .find(|flag| name.strip_prefix("--") == Some(flag.long));
                let values = flag.map_or(Values::Nothing, |flag| self.values(flag));
                return (Wanted::Value(values), value);
            }
            return (Wanted::Flag(self.flags), word);
        }
        let wanted = match self.place {
            Place::Group(group) => Wanted::Entry(group),
            Place::Help => Wanted::Topic,
            Place::Nowhere => Wanted::Value(Values::Nothing),
            Place::Command(command) => {
                Wanted::Value(Values::of_argument(command, &self.path, self.arguments))
            }
        };
        (wanted, word)
    }
}

//! What a shell offers when a word of a command line is not finished yet.
//!
//! The shells' scripts (`lap completion bash`) call the hidden command `__complete` with the words so far,
//! the unfinished one last, and get candidates, a line each with a description behind a tab, then `:` and a
//! number of [`directive`]s. That is the protocol of the library that docker's command line is made with, so
//! docker's own scripts work as well.
//!
//! Commands and flags come from the table of commands. What an argument is comes from the command's usage
//! line, what a flag's value may be from its name and its help; images and containers from the store, which
//! is only read when it exists; stages from the Dockerfile, registries from the client's configuration. Nothing
//! asks the network.

mod line;
mod script;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use script::script;

use crate::args::Flag;
use crate::commands::{ROOT, Run};
use crate::ui::text::PushFormat;
use lapstrake_engine::Engine;
use line::{Line, Wanted};

/// The word that asks for candidates.
pub(crate) const ROLE: &str = "__complete";
/// The same without descriptions.
pub(crate) const ROLE_WITHOUT_DESCRIPTIONS: &str = "__completeNoDesc";

/// What the shell is to do with the candidates: bits of one number.
pub(crate) mod directive {
    /// Offer files when there is no candidate.
    pub(crate) const FILES: u8 = 0;
    /// Put no blank after the candidate.
    pub(crate) const NO_SPACE: u8 = 2;
    /// Offer no files.
    pub(crate) const NO_FILES: u8 = 4;
    /// Offer folders.
    pub(crate) const FOLDERS: u8 = 16;
}

/// One word that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    word: String,
    about: String,
}

/// What is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    candidates: Vec<Candidate>,
    directive: u8,
}

/// What candidates are drawn from, besides the table of commands.
pub(crate) struct Sources<'a> {
    /// The flags before the command.
    pub globals: &'a [Flag],
    /// The engine for these words before the command; none when there is no store.
    pub engine: &'a dyn Fn(&[String]) -> Option<Engine>,
    /// The registries that credentials are kept for, with these words before the command.
    pub servers: &'a dyn Fn(&[String]) -> Vec<String>,
    /// The names of the variables in the environment.
    pub variables: &'a dyn Fn() -> Vec<String>,
    /// The names of help topics.
    pub topics: &'a [&'static str],
}

/// Answers a shell: the words after the program's name, the unfinished one last.
pub(crate) fn complete(words: &[String], sources: &Sources<'_>) -> Offer {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let line = Line::read(before, sources.globals);
    let globals = &before[..line.globals.min(before.len())];
    let (wanted, prefix) = line.wanted(last);
    let mut offer = match wanted {
        Wanted::Entry(group) => entries(group),
        Wanted::Topic => topics(sources.topics),
        Wanted::Flag(flags) => flag_names(flags, prefix),
        Wanted::Value(kind) => values::offer(&kind, prefix, globals, sources),
    };
    offer
        .candidates
        .retain(|candidate| candidate.word.starts_with(prefix));
    offer
}

impl Offer {
    fn words(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let candidates = words.into_iter().map(|word| Candidate {
            word: word.into(),
            about: String::new(),
        });
        Self {
            candidates: candidates.collect(),
            directive: directive::NO_FILES,
        }
    }

    fn with(mut self, bits: u8) -> Self {
        self.directive |= bits;
        self
    }

    fn only(directive: u8) -> Self {
        Self {
            candidates: Vec::new(),
            directive,
        }
    }

    /// The answer as the shells' scripts read it.
    pub(crate) fn text(&self, with_descriptions: bool) -> String {
        let mut out = String::new();
        for candidate in &self.candidates {
            if with_descriptions && !candidate.about.is_empty() {
                let about = candidate.about.lines().next().unwrap_or_default();
                out.push_fmt(format_args!("{}\t{about}\n", candidate.word));
            } else {
                out.push_fmt(format_args!("{}\n", candidate.word));
            }
        }
        out.push_fmt(format_args!(":{}\n", self.directive));
        out
    }
}

fn entries(group: &'static crate::args::Group<Run>) -> Offer {
    let entry = |entry: &crate::args::Entry<Run>| Candidate {
        word: entry.name.to_owned(),
        about: entry.node.about().to_owned(),
    };
    let mut candidates: Vec<Candidate> = group.entries.iter().map(entry).collect();
    if std::ptr::eq(group, &raw const ROOT) {
        candidates.push(Candidate {
            word: "help".to_owned(),
            about: "Help about a command or a topic".to_owned(),
        });
        candidates.sort_by(|a, b| a.word.cmp(&b.word));
    }
    Offer {
        candidates,
        directive: directive::NO_FILES,
    }
}

/// Commands and topics, after `help`.
fn topics(topics: &[&'static str]) -> Offer {
    let mut offer = entries(&ROOT);
    offer
        .candidates
        .retain(|candidate| candidate.word != "help");
    offer
        .candidates
        .extend(topics.iter().map(|topic| Candidate {
            word: (*topic).to_owned(),
            about: "Topic".to_owned(),
        }));
    offer
}

/// Long names; one-letter names only when nothing but a dash stands there.
fn flag_names(flags: &[Flag], prefix: &str) -> Offer {
    let mut candidates = Vec::new();
    let shown = |flag: &&Flag| !flag.hidden;
    for flag in flags.iter().filter(shown) {
        candidates.push(Candidate {
            word: format!("--{}", flag.long),
            about: flag.help.to_owned(),
        });
        if let (Some(short), true) = (flag.short, prefix.len() < 3 && !prefix.starts_with("--")) {
            candidates.push(Candidate {
                word: format!("-{short}"),
                about: flag.help.to_owned(),
            });
        }
    }
    if !flags.iter().any(|flag| flag.long == "help") {
        candidates.push(Candidate {
            word: "--help".to_owned(),
            about: "Print usage".to_owned(),
        });
    }
    candidates.sort_by(|a, b| a.word.cmp(&b.word));
    Offer {
        candidates,
        directive: directive::NO_FILES,
    }
}

//! What people read: topics of `lap help`, examples of every command, manual pages.
//!
//! Texts are files next to this one; they call the program `lap`, and are shown with the name it was
//! invoked as. A test reads every command line in them against the table of commands.

mod man;
mod roff;

#[cfg(test)]
mod tests;

pub(crate) use man::{page, pages};

use crate::args::nearest;
use crate::ui::text::PushFormat;

/// A text about something that is not one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Topic {
    /// Its name.
    pub name: &'static str,
    /// Other words that people look for it under.
    also: &'static [&'static str],
    /// A heading, and below it the text.
    text: &'static str,
}

macro_rules! topic {
    ($name:literal, $also:expr) => {
        Topic {
            name: $name,
            also: $also,
            text: include_str!(concat!("topics/", $name, ".txt")),
        }
    };
}

/// All topics, sorted by name.
static TOPICS: [Topic; 12] = [
    topic!("build-cache", &["cache"]),
    topic!("coming-from-docker", &["docker"]),
    topic!("configuration", &["settings", "daemon.json"]),
    topic!("content-trust", &["signatures", "policy"]),
    topic!("environment", &["env", "variables"]),
    topic!("exit-status", &["exit-codes", "exit", "status"]),
    topic!("filters", &["filter"]),
    topic!("formatting", &["format", "templates"]),
    topic!("layers", &["layer"]),
    topic!("mirrors", &["mirror", "registries", "certificates"]),
    topic!("names", &["references", "tags", "digests"]),
    topic!("store", &["storage", "disk"]),
];

/// The names of all topics.
pub(crate) static TOPIC_NAMES: [&str; TOPICS.len()] = {
    let mut names = [""; TOPICS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = TOPICS[at].name;
        at += 1;
    }
    names
};

/// The topic with this name.
pub(crate) fn topic(word: &str) -> Option<&'static Topic> {
    TOPICS
        .iter()
        .find(|topic| topic.name == word || topic.also.contains(&word))
}

/// The topic whose name is nearly this.
pub(crate) fn nearest_topic(word: &str) -> Option<&'static str> {
    let names = TOPICS
        .iter()
        .flat_map(|topic| std::iter::once(topic.name).chain(topic.also.iter().copied()));
    nearest(word, names).and_then(topic).map(|topic| topic.name)
}

impl Topic {
    fn heading(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The text with the program's name as it was invoked.
    pub(crate) fn shown(&self, program: &str) -> String {
        if self.name == "coming-from-docker" {
            return self.text.to_owned();
        }
        renamed(self.text, program)
    }
}

/// The list of topics that stands under the help of the program.
pub(crate) fn topic_list(program: &str) -> String {
    let mut out = format!("\nTopics (run '{program} help TOPIC'):\n");
    for topic in &TOPICS {
        out.push_fmt(format_args!("  {:<18}  {}\n", topic.name, topic.heading()));
    }
    out
}

/// Examples of a command: what they do, and the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Example {
    /// A sentence.
    pub about: &'static str,
    /// Command lines, the program's name included.
    pub lines: Vec<&'static str>,
}

const EXAMPLES: &str = include_str!("examples.txt");

/// One part of the file for each command: its name, then its examples.
fn sections() -> impl Iterator<Item = &'static str> {
    let text = EXAMPLES.strip_prefix("= ").unwrap_or(EXAMPLES);
    text.split("\n= ")
}

/// The examples of the command with one of these names.
pub(crate) fn examples(names: &[&str]) -> Vec<Example> {
    let mut sections = sections().filter_map(|section| {
        let (name, text) = section.split_once('\n')?;
        names.contains(&name).then_some(text)
    });
    let mut found: Vec<Example> = Vec::new();
    for line in sections.next().unwrap_or_default().lines() {
        match line.strip_prefix("$ ") {
            Some(command) => {
                if let Some(example) = found.last_mut() {
                    example.lines.push(command);
                }
            }
            None if line.is_empty() => {}
            None => found.push(Example {
                about: line,
                lines: Vec::new(),
            }),
        }
    }
    found
}

/// A text with the program's name where `lap` stands as a command.
pub(crate) fn renamed(text: &str, program: &str) -> String {
    if program == "lap" {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("lap ") {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let is_word = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c));
        out.push_str(if is_word { program } else { "lap" });
        rest = after.get("lap".len()..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

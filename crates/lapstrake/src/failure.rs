//! How a command fails: the text on the standard error, a hint, an exit status.

use crate::args::UsageError;
use crate::ui::template::TemplateError;
use lapstrake_engine::{Error, ErrorKind, Origin};
use std::io;

/// The exit status of a process that a keyboard interrupt ended.
pub(crate) const INTERRUPTED: u8 = 130;
/// The exit status of a process that wrote to a closed pipe.
pub(crate) const BROKEN_PIPE: u8 = 141;

/// A command's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What is printed; nothing when empty.
    pub text: String,
    /// What the user can do about it.
    pub hints: Vec<String>,
    /// The exit status.
    pub status: u8,
}

impl Failure {
    /// A failure with this text and exit status 1.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hints: Vec::new(),
            status: 1,
        }
    }

    /// An exit status without a text.
    pub(crate) fn silent(status: u8) -> Self {
        Self {
            text: String::new(),
            hints: Vec::new(),
            status,
        }
    }

    /// The same failure with another exit status.
    pub(crate) fn with_status(mut self, status: u8) -> Self {
        self.status = status;
        self
    }

    /// The same failure with a hint.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Several failures as one, a line each.
    pub(crate) fn joined(failures: Vec<Self>) -> Self {
        let mut all = Self::new("");
        for failure in failures {
            if !all.text.is_empty() {
                all.text.push('\n');
            }
            all.text.push_str(&failure.text);
            for hint in failure.hints {
                if !all.hints.contains(&hint) {
                    all.hints.push(hint);
                }
            }
        }
        all
    }

    /// A failure of `run` or `start`, as docker's client dresses it, with 125, 126 or 127.
    pub(crate) fn of_run(error: &Error, program: &str, command: &str) -> Self {
        let status = run_status(error);
        Self::of_usage(&with_prefix(error), program, command, status).with_hints_of(error)
    }

    /// An engine's error with another text, its hints kept. An interrupt has none.
    pub(crate) fn from_error(error: &Error, text: String) -> Self {
        if error.kind() == ErrorKind::Interrupted {
            return Self::silent(INTERRUPTED);
        }
        Self::new(text).with_hints_of(error)
    }

    /// A refusal by the client of `run` or `create`.
    pub(crate) fn of_usage(text: &str, program: &str, command: &str, status: u8) -> Self {
        Self::new(format!(
            "{program}: {text}\n\nRun '{program} {command} --help' for more information"
        ))
        .with_status(status)
    }

    fn with_hints_of(mut self, error: &Error) -> Self {
        self.hints.extend(error.hint().map(str::to_owned));
        self
    }
}

/// The message with the prefix that docker's client puts before answers of the daemon.
pub(crate) fn with_prefix(error: &Error) -> String {
    match error.origin() {
        Origin::Engine => format!("Error response from daemon: {}", error.message()),
        Origin::Client | Origin::Stream => error.message().to_owned(),
    }
}

/// The exit status of a container that did not start.
fn run_status(error: &Error) -> u8 {
    let text = error.message();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match error.kind() {
        ErrorKind::Interrupted => INTERRUPTED,
        // The container's own status is 127 then, the client's is not.
        _ if says(&["mount a directory onto a file"]) => 125,
        ErrorKind::CommandNotFound => 127,
        ErrorKind::NotExecutable => 126,
        _ if says(&["executable file not found", "no such file or directory"]) => 127,
        _ if says(&["permission denied", "is a directory"]) => 126,
        _ => 125,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from_error(&error, with_prefix(&error))
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self {
            text: error.message,
            hints: error.hint.into_iter().collect(),
            status: error.status,
        }
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        Self::new(format!("template parsing error: {error}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(BROKEN_PIPE);
        }
        Self::new(io_text(&error))
    }
}

/// A system error in the words of Go programs: the kernel's text, without a number behind it.
pub(crate) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    };
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text,
    }
}

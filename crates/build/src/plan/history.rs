//! What an instruction leaves in the history, and what classic's container for it is called.

use lapstrake_spec::{ContainerConfig, Healthcheck, History};

use super::Dialect;
use super::text::{go_duration, go_quote_list, go_quote_number};

/// BuildKit's remark on every entry.
const COMMENT: &str = "buildkit.dockerfile.v0";
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// How an entry is worded.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// An instruction that is configuration alone.
    Config(String),
    /// WORKDIR, and whether it makes a layer with BuildKit.
    Directory(String, bool),
    /// COPY and ADD.
    Files(String),
    /// RUN: arguments for the entry's front, then the command.
    Run(Vec<String>, Vec<String>),
}

impl Entry {
    /// The entry; times come later.
    pub(super) fn history(&self, dialect: Dialect, shell: &[String], author: &str) -> History {
        let empty_layer = match self {
            Self::Config(_) => true,
            Self::Directory(_, layer) => !layer,
            Self::Files(_) | Self::Run(..) => false,
        };
        let (created_by, comment, author) = match dialect {
            Dialect::Classic => (self.classic_command(shell).join(" "), "", author),
            Dialect::BuildKit => (self.buildkit(), COMMENT, ""),
        };
        History {
            created: None,
            created_by,
            author: author.to_owned(),
            comment: comment.to_owned(),
            empty_layer,
        }
    }

    fn buildkit(&self) -> String {
        match self {
            Self::Config(text) | Self::Directory(text, _) => text.clone(),
            Self::Files(text) => format!("{text} # buildkit"),
            Self::Run(arguments, command) => {
                let words = [arguments.as_slice(), command].concat();
                format!("RUN {} # buildkit", words.join(" "))
            }
        }
    }

    /// The command of classic's container: a shell that does nothing, or RUN's own.
    fn classic_command(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Config(text) => [shell, &["#(nop) ".to_owned(), text.clone()]].concat(),
            Self::Directory(text, _) | Self::Files(text) => {
                [shell, &[format!("#(nop) {text}")]].concat()
            }
            Self::Run(arguments, command) => [arguments.as_slice(), command].concat(),
        }
    }

    /// The configuration of the container that classic commits.
    pub(super) fn commit_config(&self, run: &ContainerConfig) -> ContainerConfig {
        let mut config = run.clone();
        config.cmd = Some(self.classic_command(&shell_of(run)));
        if let Self::Run(..) = self {
            config.entrypoint = None;
        }
        config
    }
}

/// The shell of shell forms.
pub(super) fn shell_of(config: &ContainerConfig) -> Vec<String> {
    match config.shell.as_deref() {
        Some(shell) if !shell.is_empty() => shell.to_vec(),
        _ => DEFAULT_SHELL.map(str::to_owned).to_vec(),
    }
}

/// `HEALTHCHECK` as docker writes it: the structure with Go's `%q`, so that the number of retries is the
/// character of that number. The structure of classic has no interval for the start.
pub(super) fn healthcheck(check: &Healthcheck, dialect: Dialect) -> String {
    let mut times = vec![check.interval, check.timeout, check.start_period];
    if dialect == Dialect::BuildKit || check.start_interval != 0 {
        times.push(check.start_interval);
    }
    let times: Vec<String> = times
        .into_iter()
        .map(|time| format!("\"{}\"", go_duration(time)))
        .collect();
    format!(
        "HEALTHCHECK &{{{} {} {}}}",
        go_quote_list(&check.test),
        times.join(" "),
        go_quote_number(check.retries)
    )
}

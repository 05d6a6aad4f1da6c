//! Runs the built `lap` with an environment of its own.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::directory::Directory;

/// A `lap` with its own store, configuration and home.
#[derive(Debug)]
pub struct Cli {
    binary: PathBuf,
    directory: Directory,
    variables: Vec<(String, String)>,
}

impl Cli {
    /// The `lap` that was built beside the running test.
    pub fn built() -> Self {
        Self::of(Self::program())
    }

    /// Where the `lap` is that was built beside the running test.
    pub fn program() -> PathBuf {
        let test = std::env::current_exe().unwrap();
        // target/<profile>/deps/<test>
        let folder = test.parent().and_then(Path::parent).unwrap();
        let binary = folder.join("lap");
        assert!(
            binary.exists(),
            "there is no {}: run `cargo build` first",
            binary.display()
        );
        binary
    }

    /// Another `lap`.
    pub fn of(binary: impl Into<PathBuf>) -> Self {
        let directory = Directory::new();
        for folder in ["home", "config"] {
            std::fs::create_dir(directory.join(folder)).unwrap();
        }
        Self {
            binary: binary.into(),
            directory,
            variables: Vec::new(),
        }
    }

    /// Sets a variable for all commands to come.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The store's root.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// The folder of the client's configuration.
    pub fn config(&self) -> PathBuf {
        self.directory.join("config")
    }

    /// The folder that commands run in.
    pub fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// A command that is not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.home())
            .env("LAPSTRAKE_ROOT", self.root())
            .env("DOCKER_CONFIG", self.config())
            .env("TZ", "UTC")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home());
        command
    }

    /// Runs a command with no input.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, b"")
    }

    /// Runs a command with this input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.binary.display()));
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that does not read its input closes the pipe early, which is no failure.
        let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome {
            command: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            code: output.status.code(),
        }
    }

    /// Runs a command that must succeed; returns its standard output.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert!(outcome.code == Some(0), "{outcome}");
        outcome.stdout
    }

    /// Runs a command that must fail with this exit code; returns its standard error.
    #[track_caller]
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert!(outcome.code == Some(code), "{outcome}");
        outcome.stderr
    }
}

/// What a command did. Displays as one text, for comparison with what is expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The arguments.
    pub command: Vec<String>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
}

impl Outcome {
    /// The same with ids, digests, ages and ports levelled, see [`levelled`].
    pub fn levelled(&self) -> Self {
        Self {
            command: self
                .command
                .iter()
                .map(|argument| levelled(argument))
                .collect(),
            stdout: levelled(&self.stdout),
            stderr: levelled(&self.stderr),
            code: self.code,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ lap {}", self.command.join(" "))?;
        f.write_str(&self.stdout)?;
        if !self.stdout.is_empty() && !self.stdout.ends_with('\n') {
            writeln!(f, "[no newline]")?;
        }
        for line in self.stderr.lines() {
            writeln!(f, "[stderr] {line}")?;
        }
        match self.code {
            Some(0) => Ok(()),
            Some(code) => writeln!(f, "[exit {code}]"),
            None => writeln!(f, "[killed]"),
        }
    }
}

/// Replaces what differs from run to run: 64 hex digits become `H64`, 12 become `H12`, an address on
/// the loopback becomes `REG`, ages become `AGO`; runs of blanks become two, so that a column's
/// width does not matter.
pub fn levelled(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(level_line).collect();
    if text.ends_with('\n') {
        lines.push(String::new());
    }
    lines.join("\n")
}

fn level_line(line: &str) -> String {
    level_blanks(&level_ages(&level_words(line)))
}

/// Levels hex numbers and addresses.
pub(crate) fn level_words(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = |c: char| c.is_ascii_alphanumeric();
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        if end == 0 {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let (token, after) = rest.split_at(end);
        if let Some(after) = rest.strip_prefix("127.0.0.1:") {
            let digits = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            out.push_str("REG");
            rest = &after[digits..];
            continue;
        }
        let hex = token
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        out.push_str(match (hex, token.len()) {
            (true, 64) => "H64",
            (true, 12) => "H12",
            _ => token,
        });
        rest = after;
    }
    out
}

/// Levels `2 minutes ago`, `About an hour ago`, `Less than a second ago`.
fn level_ages(line: &str) -> String {
    const UNITS: [&str; 7] = ["second", "minute", "hour", "day", "week", "month", "year"];
    let mut out = line.to_owned();
    while let Some(end) = out.find(" ago") {
        let before: Vec<&str> = out[..end].split(' ').collect();
        let unit = before.last().copied().unwrap_or_default();
        if !UNITS.contains(&unit.trim_end_matches('s')) {
            break;
        }
        let mut words = 2;
        for (count, start) in [(4, "Less"), (3, "About")] {
            let at = before.len().checked_sub(count);
            let is_mark = |c: char| !c.is_ascii_alphanumeric();
            let word = at.and_then(|at| before[at].rsplit(is_mark).next());
            if word == Some(start) {
                words = count;
            }
        }
        let kept = before.len().saturating_sub(words);
        let mut start = before[..kept].join(" ");
        if kept > 0 {
            start.push(' ');
        }
        // In JSON and in templates the first word of an age may have something before it.
        let first = before[kept];
        let own = first.rfind(|c: char| !c.is_ascii_alphanumeric());
        start.push_str(&first[..own.map_or(0, |at| at + 1)]);
        out = format!("{start}AGO{}", &out[end + " ago".len()..]);
    }
    out
}

fn level_blanks(line: &str) -> String {
    let mut out = String::new();
    for (index, part) in line
        .trim_end()
        .split("  ")
        .filter(|part| !part.is_empty())
        .enumerate()
    {
        if index > 0 || line.starts_with("  ") {
            out.push_str("  ");
        }
        out.push_str(part.trim_start_matches(' '));
    }
    out
}

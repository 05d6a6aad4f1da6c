//! Rows: command lines and what they answer, as transcripts in `testing/it/rows/`.
//!
//! A file is one store's life. Its lines are
//!
//! ```text
//! # a comment
//! @image team/app:1 7        a random image in the registry: name and seed
//! @file context/Dockerfile   a file in the folder that commands run in; its lines follow, each after `| `
//! $ lap pull REG/team/app:1  a command; words may be in quotes
//! < y                        a line of its standard input
//! ```
//!
//! and everything else is what the command answered: its standard output, its standard error behind
//! `[stderr]`, its exit status when that is not 0. What differs from run to run is levelled, see
//! [`lapstrake_testkit::levelled`] and [`Scene::level`].
//!
//! These words stand for addresses in commands and answers: `REG` a registry, `LOGIN` one that wants the
//! user `testuser` with the password `testpass`, `ODD` a server with answers of its own (see [`odd`]),
//! `DOWN` where nobody listens.
//!
//! `UPDATE_EXPECT=1` writes what commands answer now into the files.

mod odd;

use std::path::Path;

use expect_test::expect_file;
use lapstrake_registry::server::{Access, Login, ServerOptions};
use lapstrake_testkit::{Cli, RandomImage, Shape, TestRegistry, levelled};

use crate::containers::Engine;

/// A line of a file that is no answer.
enum Line<'a> {
    Comment(&'a str),
    Image { name: &'a str, seed: u64 },
    File { path: &'a str, text: String },
    Command { words: &'a str, input: String },
}

/// The lines of a transcript without the answers.
fn script(text: &str) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("$ lap") {
            lines.push(Line::Command {
                words,
                input: String::new(),
            });
        } else if let Some(rest) = line.strip_prefix("@image ") {
            let (name, seed) = rest.split_once(' ').expect("a name and a seed");
            let seed = seed.parse().expect("a seed is a number");
            lines.push(Line::Image { name, seed });
        } else if let Some(path) = line.strip_prefix("@file ") {
            let text = String::new();
            lines.push(Line::File { path, text });
        } else if line == "#" || line.starts_with("# ") {
            lines.push(Line::Comment(line));
        } else if let (Some(Line::File { text, .. }), Some(content)) =
            (lines.last_mut(), line.strip_prefix("| "))
        {
            text.push_str(content);
            text.push('\n');
        } else if let (Some(Line::Command { input, .. }), Some(typed)) =
            (lines.last_mut(), line.strip_prefix("< "))
        {
            input.push_str(typed);
            input.push('\n');
        }
    }
    lines
}

/// Words as a shell splits them: blanks part, quotes keep together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (None, ' ') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            _ => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "an open quote in {text}");
    words.extend(word);
    words
}

/// Where a file's commands run.
struct Scene<'a> {
    lap: &'a Cli,
    registry: TestRegistry,
    login: TestRegistry,
    odd: String,
    down: String,
}

impl<'a> Scene<'a> {
    fn new(lap: &'a Cli) -> Self {
        let access = Access::Basic(Login {
            user: "testuser".to_owned(),
            password: "testpass".to_owned(),
        });
        Self {
            lap,
            registry: TestRegistry::start(),
            login: TestRegistry::start_with(ServerOptions {
                access,
                ..ServerOptions::default()
            }),
            odd: odd::start(),
            down: odd::nobody(),
        }
    }

    fn addresses(&self) -> [(&'static str, String); 4] {
        [
            ("REG", self.registry.address()),
            ("LOGIN", self.login.address()),
            ("ODD", self.odd.clone()),
            ("DOWN", self.down.clone()),
        ]
    }

    /// The words for addresses, replaced where they stand alone.
    fn addressed(&self, word: &str) -> String {
        let mut out = word.to_owned();
        for (name, address) in self.addresses() {
            let is_alone = |text: &str| {
                text.strip_prefix(name)
                    .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
            };
            if let Some(at) = out.find(name).filter(|at| is_alone(&out[*at..])) {
                out.replace_range(at..at + name.len(), &address);
            }
        }
        out
    }

    /// Levels addresses, folders, and then what [`levelled`] levels. What is left over at the ends of
    /// lines is cut: `git` and editors do the same.
    fn level(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, address) in self.addresses() {
            text = text.replace(&address, name);
        }
        let folders = [
            ("HOME", self.lap.home()),
            ("ROOT", self.lap.root()),
            ("CONFIG", self.lap.config()),
        ];
        for (name, folder) in folders {
            text = text.replace(&folder.display().to_string(), name);
        }
        let host = lapstrake_spec::Platform::host().to_string();
        let ups = ["Up Less than a second", "Up About a minute", "Up 1 second"];
        for up in ups {
            text = text.replace(up, "Up A WHILE");
        }
        for seconds in 2..=59 {
            text = text.replace(&format!("Up {seconds} seconds"), "Up A WHILE");
        }
        levelled(&times(&text.replace(&host, "HOST")))
    }

    /// What a line of the script becomes in the transcript.
    fn play(&self, line: &Line<'_>) -> String {
        match line {
            Line::Comment(text) => format!("{text}\n"),
            Line::Image { name, seed } => {
                self.registry
                    .put(name, &RandomImage::with(*seed, &Shape::small()));
                format!("@image {name} {seed}\n")
            }
            Line::File { path, text } => {
                let place = self.lap.home().join(path);
                std::fs::create_dir_all(place.parent().unwrap()).unwrap();
                std::fs::write(&place, self.addressed(text)).unwrap();
                let content = text.lines().map(|line| format!("| {line}\n"));
                format!("@file {path}\n{}", content.collect::<String>())
            }
            Line::Command { words, input } => self.command(words, input),
        }
    }

    fn command(&self, typed: &str, input: &str) -> String {
        let words = words(typed);
        let words: Vec<String> = words.iter().map(|word| self.addressed(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut outcome = self.lap.run_with(&words, input.as_bytes());
        outcome.stdout = self.level(&outcome.stdout);
        outcome.stderr = self.level(&outcome.stderr);
        let shown = outcome.to_string();
        let (_, answer) = shown.split_once('\n').unwrap();
        let input = input.lines().map(|line| format!("< {line}\n"));
        format!("$ lap{typed}\n{}{answer}\n", input.collect::<String>())
    }
}

/// Levels moments of this day and later; those of random images are always the same.
fn times(text: &str) -> String {
    const FORM: &str = "0000-00-00T00:00:00";
    const FIXED: &str = "2024-02-03";
    let is_time = |text: &str| {
        text.len() >= FORM.len()
            && text
                .bytes()
                .zip(FORM.bytes())
                .all(|(byte, form)| match form {
                    b'0' => byte.is_ascii_digit(),
                    b'T' => byte == b'T' || byte == b' ',
                    form => byte == form,
                })
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if is_time(rest) && !rest.starts_with(FIXED) {
            out.push_str("TIME");
            rest = &rest[FORM.len()..];
            let fraction = |c: char| c == '.' || c.is_ascii_digit();
            rest = rest.trim_start_matches(fraction);
            continue;
        }
        out.push(character);
        rest = &rest[character.len_utf8()..];
    }
    out
}

/// Runs one file's commands and compares.
fn play(file: &str, lap: &Cli) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("rows")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let scene = Scene::new(lap);
    let script = script(&text);
    let said: Vec<String> = script.iter().map(|line| scene.play(line)).collect();
    let said = said.concat();
    expect_file![path].assert_eq(&format!("{}\n", said.trim_end()));
}

#[test]
fn words_are_split_as_a_shell_does() {
    for (text, expected) in [
        (" a  b", vec!["a", "b"]),
        (" 'a b' \"c 'd'\" ''", vec!["a b", "c 'd'", ""]),
        (" --format='{{.ID}} x'", vec!["--format={{.ID}} x"]),
        ("", vec![]),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn moments_are_levelled() {
    let text = "a 2026-11-21T18:00:00.25Z b 2026-11-21 18:00:00 +0000 UTC c 2024-02-03T04:05:06Z 1";
    assert_eq!(
        times(text),
        "a TIMEZ b TIME +0000 UTC c 2024-02-03T04:05:06Z 1"
    );
}

#[test]
fn every_file_is_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rows");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut played: Vec<&str> = PLAIN.iter().chain(&PRIVILEGED).copied().collect();
    played.sort_unstable();
    assert_eq!(names, played);
}

/// The commands below a command, as its help lists them, each with its whole path.
fn commands(lap: &Cli, path: &str) -> Vec<String> {
    let words: Vec<&str> = path.split_whitespace().chain(["--help"]).collect();
    let help = lap.ok(&words);
    let mut in_list = false;
    let mut found = Vec::new();
    for line in help.lines() {
        if let Some(heading) = line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            in_list = heading.ends_with("Commands");
            continue;
        }
        let name = line
            .strip_prefix("  ")
            .and_then(|line| line.split(' ').next());
        let name = name.filter(|name| in_list && !name.is_empty());
        let Some(name) = name.map(|name| name.trim_end_matches('*')) else {
            continue;
        };
        let below = commands(lap, &format!("{path} {name}"));
        if below.is_empty() {
            found.push(format!("{path} {name}"));
        }
        found.extend(below);
    }
    found
}

#[test]
fn every_command_has_a_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rows");
    let files = PLAIN.iter().chain(&PRIVILEGED);
    let rows: String = files
        .map(|file| std::fs::read_to_string(folder.join(file)).unwrap())
        .collect();
    let commands = commands(&Cli::built(), "");
    assert!(commands.len() > 60, "{commands:?}");
    let has_row = |command: &str| {
        let row = format!("$ lap{command}");
        let mut lines = rows.lines();
        lines.any(|line| line == row || line.starts_with(&format!("{row} ")))
    };
    let bare: Vec<&String> = commands
        .iter()
        .filter(|command| !has_row(command))
        .collect();
    assert!(bare.is_empty(), "without a row: {bare:?}");
}

/// Files whose commands need no privileges.
const PLAIN: [&str; 8] = [
    "archives.rows",
    "images.rows",
    "inspect.rows",
    "login.rows",
    "pull-push.rows",
    "remove.rows",
    "search.rows",
    "usage.rows",
];

/// Files with containers; their store has the image `box`, a busybox.
const PRIVILEGED: [&str; 3] = ["build.rows", "containers.rows", "lists.rows"];

macro_rules! plain {
    ($($name:ident $index:literal),*) => {$(
        #[test]
        fn $name() {
            play(PLAIN[$index], &Cli::built());
        }
    )*};
}

plain!(
    archives 0, images 1, inspect 2, login 3, pull_and_push 4, remove 5, search 6, usage 7
);

macro_rules! privileged {
    ($($name:ident $index:literal),*) => {$(
        #[test]
        fn $name() {
            play(PRIVILEGED[$index], &Engine::new().0);
        }
    )*};
}

privileged!(privileged_build 0, privileged_containers 1, privileged_lists 2);

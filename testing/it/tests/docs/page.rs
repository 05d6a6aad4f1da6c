//! Reads a page of the guide: what is typed, what is shown, which files are written.
//!
//! Three kinds of fences stand in a page, and no other:
//!
//! - ` ```console ` has commands behind `$ ` and below each what the terminal shows then. A command goes
//!   on in the next line behind `> ` when its line ends with a backslash. A line `...` stands for any
//!   number of lines.
//! - ` ```LANGUAGE NAME ` is a file of that name, written where the page stands at that moment.
//! - ` ```sh ` has commands that this machine must not or cannot run: installing, editing. They are not
//!   run, but a `lap` among them must be a command that there is.

use std::path::{Path, PathBuf};

/// A page, in the order of reading.
pub(crate) struct Page {
    path: PathBuf,
    lines: Vec<String>,
    pub(crate) blocks: Vec<Block>,
}

/// What a fence holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// A command that is run.
    Step(Step),
    /// A file that is written.
    File { name: String, text: String },
    /// A command that is not run.
    Mention(String),
}

/// A command and what is shown below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: String,
    pub(crate) expected: Vec<String>,
    /// The number of the first line below the command, from 0.
    pub(crate) line: usize,
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let blocks = blocks(&lines).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
        Self {
            path: path.to_owned(),
            lines,
            blocks,
        }
    }

    /// `PATH:LINE` of a step, for people.
    pub(crate) fn place(&self, step: &Step) -> String {
        format!("{}:{}", self.path.display(), step.line)
    }

    /// Everything that the page and its translation must have alike.
    pub(crate) fn commands(&self) -> Vec<String> {
        let lines = self.blocks.iter().map(|block| match block {
            Block::Step(step) => format!("$ {}", step.command),
            Block::File { name, .. } => format!("file {name}"),
            Block::Mention(command) => command.clone(),
        });
        lines.collect()
    }

    /// Writes what was really shown below these steps into the page.
    pub(crate) fn rewrite(&self, shown: &[(Step, Vec<String>)]) {
        let mut lines = self.lines.clone();
        for (step, actual) in shown.iter().rev() {
            let end = step.line + step.expected.len();
            lines.splice(step.line..end, actual.iter().cloned());
        }
        std::fs::write(&self.path, lines.join("\n") + "\n").unwrap();
    }
}

fn blocks(lines: &[String]) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let Some(info) = line.strip_prefix("```") else {
            at += 1;
            continue;
        };
        let start = at + 1;
        let length = lines.iter().skip(start).position(|line| line == "```");
        let end = start + length.ok_or(format!("{at}: a fence without an end"))?;
        let inside = lines.get(start..end).unwrap_or_default();
        match info.split_once(' ') {
            Some((_, name)) => blocks.push(Block::File {
                name: name.to_owned(),
                text: inside.join("\n") + "\n",
            }),
            None if info == "console" => steps(inside, start, &mut blocks)?,
            None if info == "sh" => {
                blocks.extend(inside.iter().cloned().map(Block::Mention));
            }
            None => return Err(format!("{start}: no such fence: {info:?}")),
        }
        at = end + 1;
    }
    Ok(blocks)
}

fn steps(lines: &[String], first: usize, blocks: &mut Vec<Block>) -> Result<(), String> {
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let Some(command) = line.strip_prefix("$ ") else {
            return Err(format!("{}: a line before the first command", first + at));
        };
        let mut command = command.to_owned();
        at += 1;
        while command.ends_with('\\') {
            let more = lines.get(at).and_then(|line| line.strip_prefix("> "));
            command.push('\n');
            command.push_str(more.ok_or(format!("{}: no line with `> `", first + at))?);
            at += 1;
        }
        let shown = lines.iter().skip(at);
        let expected: Vec<String> = shown
            .take_while(|line| !line.starts_with("$ "))
            .cloned()
            .collect();
        let line = first + at;
        at += expected.len();
        blocks.push(Block::Step(Step {
            command,
            expected,
            line,
        }));
    }
    Ok(())
}

#[test]
fn a_page_has_commands_files_and_mentions() {
    let text = "# Title\n```console\n$ lap images\nREPOSITORY\n$ lap commit \\\n> -m x a\n```\nwords\n\
                ```dockerfile app/Dockerfile\nFROM a\n```\n```sh\nman lap\n```";
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let step = |command: &str, expected: &[&str], line| {
        Block::Step(Step {
            command: command.to_owned(),
            expected: expected.iter().map(|&line| line.to_owned()).collect(),
            line,
        })
    };
    let expected = [
        step("lap images", &["REPOSITORY"], 3),
        step("lap commit \\\n-m x a", &[], 6),
        Block::File {
            name: "app/Dockerfile".to_owned(),
            text: "FROM a\n".to_owned(),
        },
        Block::Mention("man lap".to_owned()),
    ];
    assert_eq!(blocks(&lines).unwrap(), expected);
    for text in ["```text\n```", "```console\nlost\n```", "```console"] {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(blocks(&lines).is_err(), "{text}");
    }
}

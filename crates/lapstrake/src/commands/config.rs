//! `config check` and `config show`: the configuration files, and what they lead to.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::env::Environment;
use crate::failure::Failure;
use crate::ui::table;
use crate::ui::text::PushFormat;
use lapstrake_engine::ops::{self, CheckedFile, Remark};
use std::path::Path;

const FORMAT: Flag = Flag::text("format", "Output format (\"text\", \"json\")")
    .default("text")
    .check(check_format);

fn check_format(value: &str) -> Result<(), String> {
    match value {
        "" | "text" | "json" => Ok(()),
        _ => Err("must be \"text\" or \"json\"".to_owned()),
    }
}

pub(super) static CHECK: Cmd = Cmd {
    usage: "[OPTIONS] [FILE]",
    about: "Check configuration files",
    long: "Check configuration files: daemon.json, config.json, and the mirrors and certificates of registries, or \
           one of them.\nThe exit status is 1 when something is wrong.",
    aliases: &[],
    flags: &[FORMAT],
    arity: Arity::AtMost(1),
    interspersed: true,
    run: check,
};

pub(super) static SHOW: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Show the settings in force, and where they come from",
    long: "",
    aliases: &[],
    flags: &[FORMAT],
    arity: Arity::None,
    interspersed: true,
    run: show,
};

fn check(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let file = invocation.matches.arg(0).map(Path::new);
    let file = file.map(Environment::absolute);
    let files = ops::check_configuration(invocation.engine, file.as_deref())?;
    let wrong = files
        .iter()
        .filter(|file| !file.problems.is_empty())
        .count();
    if invocation.matches.text("format") == Some("json") {
        let text =
            serde_json::to_string(&files).map_err(|error| Failure::new(error.to_string()))?;
        invocation.output.line(&text);
    } else {
        invocation.output.print(&report(&files, wrong));
    }
    Ok(u8::from(wrong > 0))
}

/// A line for each remark, `FILE:LINE: KEY: TEXT`, and a last one that sums up.
fn report(files: &[CheckedFile], wrong: usize) -> String {
    let mut text = String::new();
    for file in files {
        let mut tell = |word: &str, remark: &Remark| {
            let line = match remark.line {
                0 => String::new(),
                line => format!(":{line}"),
            };
            let key = if remark.key.is_empty() {
                String::new()
            } else {
                format!("{}: ", remark.key)
            };
            let path = file.path.display();
            text.push_fmt(format_args!(
                "{path}{line}: {word}: {key}{}\n",
                remark.message
            ));
        };
        for remark in &file.problems {
            tell("error", remark);
        }
        for remark in &file.notes {
            tell("note", remark);
        }
        if file.problems.is_empty() && file.notes.is_empty() {
            text.push_fmt(format_args!("{}: good\n", file.path.display()));
        }
    }
    let count = files.len();
    let files = if count == 1 { "file" } else { "files" };
    text.push_fmt(format_args!(
        "checked {count} {files}, {wrong} with errors\n"
    ));
    text
}

fn show(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let info = ops::info(invocation.engine)?;
    if invocation.matches.text("format") == Some("json") {
        let text = serde_json::to_string(&info.settings)
            .map_err(|error| Failure::new(error.to_string()))?;
        invocation.output.line(&text);
        return Ok(0);
    }
    let mut rows = "KEY\tSOURCE\tVALUE\n".to_owned();
    for one in &info.settings {
        rows.push_fmt(format_args!("{}\t{}\t{}\n", one.key, one.source, one.value));
    }
    invocation.output.print(&table::align(&rows));
    Ok(0)
}

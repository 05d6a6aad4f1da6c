//! `system check`: proves that the store is whole, and mends it.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops::{self, CheckRequest};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Check that the store is whole",
    long: "Check that the store is whole: every name, every digest, every layer.\nThe exit status is 1 \
           when something is wrong and was not repaired.",
    aliases: &[],
    flags: &[Flag::bool("repair", "Repair what can be repaired")],
    arity: Arity::None,
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let repair = invocation.matches.is("repair");
    let report = ops::check(invocation.engine, CheckRequest { repair })?;
    let output = invocation.output;
    for problem in &report.problems {
        let mended = if problem.repaired { " (repaired)" } else { "" };
        output.line(&format!("{}: {}{mended}", problem.subject, problem.text));
    }
    output.line(&format!(
        "checked {} images, {} blobs, {} layers: {}",
        report.images,
        report.blobs,
        report.layers,
        verdict(report.problems.len(), report.is_whole())
    ));
    if !report.garbage.is_empty() || report.partials > 0 {
        output.line(&format!(
            "{} that nothing refers to, {} that can be resumed",
            counted(report.garbage.len(), "path"),
            counted(report.partials, "download")
        ));
    }
    if report.is_whole() {
        return Ok(0);
    }
    let failure = Failure::silent(1);
    if repair {
        Err(failure)
    } else {
        Err(failure.with_hint(format!(
            "`{} system check --repair` mends it",
            invocation.program
        )))
    }
}

fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

fn verdict(problems: usize, is_whole: bool) -> String {
    match (problems, is_whole) {
        (0, _) => "the store is whole".to_owned(),
        (_, true) => "the store is whole again".to_owned(),
        (1, false) => "1 problem".to_owned(),
        (count, false) => format!("{count} problems"),
    }
}

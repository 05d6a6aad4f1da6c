//! Findings of the lint rules, as docker shows them after a build and for `--check`.

use crate::ui::text::PushFormat;
use lapstrake_engine::ops::Warning;

/// What follows a build that has findings: a line for each, in full when `expanded`.
pub(crate) fn summary(warnings: &[Warning], expanded: bool, program: &str) -> String {
    if !expanded {
        let lines: Vec<String> = warnings.iter().map(short).collect();
        return brief(&lines, program);
    }
    let mut out = String::new();
    for warning in warnings {
        if out.is_empty() {
            out = format!("\n {}:\n", found(warnings.len()));
        }
        out.push_fmt(format_args!(
            " - {}\n{}\n",
            short(warning),
            warning.description
        ));
        if !warning.url.is_empty() {
            out.push_fmt(format_args!("More info: {}\n", warning.url));
        }
        push_block(&mut out, &warning.excerpt);
        out.push('\n');
    }
    out
}

/// The same of findings that are known as lines only, as when the build failed.
pub(crate) fn brief(lines: &[String], program: &str) -> String {
    let mut out = String::new();
    for line in lines {
        if out.is_empty() {
            let count = found(lines.len());
            out = format!("\n {count} (use {program} --debug to expand):\n");
        }
        out.push_fmt(format_args!(" - {line}\n"));
    }
    out
}

fn found(count: usize) -> String {
    let noun = if count == 1 { "warning" } else { "warnings" };
    format!("{count} {noun} found")
}

/// `StageNameCasing: Stage name 'Base' should be lowercase (line 1)`
fn short(warning: &Warning) -> String {
    let Warning {
        rule, detail, line, ..
    } = warning;
    if *line == 0 {
        format!("{rule}: {detail}")
    } else {
        format!("{rule}: {detail} (line {line})")
    }
}

/// The answer to `--check`.
pub(super) fn check(warnings: &[Warning]) -> String {
    let mut out = match warnings.len() {
        0 => "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for warning in warnings {
        out.push_fmt(format_args!("\nWARNING: {}", warning.rule));
        if !warning.url.is_empty() {
            out.push_fmt(format_args!(" - {}", warning.url));
        }
        out.push_fmt(format_args!("\n{}\n", warning.detail));
        push_block(&mut out, &warning.excerpt);
    }
    out
}

fn push_block(out: &mut String, block: &str) {
    out.push_str(block);
    if !block.is_empty() && !block.ends_with('\n') {
        out.push('\n');
    }
}

//! Help texts in cobra's layout with docker's templates.

use super::flag::{Flag, Kind, go_quote};
use super::{Command, Group, Node, usage_line};
use crate::ui::text::PushFormat;

/// How help is laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HelpStyle {
    /// The width of the terminal; texts of flags are wrapped to it.
    pub columns: usize,
}

impl Default for HelpStyle {
    fn default() -> Self {
        Self { columns: 80 }
    }
}

/// The help of a command or a group. `path` is the whole command, `lap image ls`.
pub(crate) fn help<R>(program: &str, path: &str, node: Node<R>, style: HelpStyle) -> String {
    match node {
        Node::Leaf(command) => command_help(program, path, command, style),
        Node::Group(group) => group_help(path, group),
    }
}

fn command_help<R>(program: &str, path: &str, command: &Command<R>, style: HelpStyle) -> String {
    let text = if command.long.is_empty() {
        command.about
    } else {
        command.long
    };
    let mut out = format!("Usage:  {}\n\n{text}\n", usage_line(path, command.usage));
    if command.aliases.len() > 1 {
        let all: Vec<String> = command
            .aliases
            .iter()
            .map(|alias| format!("{program} {alias}"))
            .collect();
        out.push_fmt(format_args!("\nAliases:\n  {}\n", all.join(", ")));
    }
    let usages = flag_usages(command.flags, style);
    if !usages.is_empty() {
        out.push_fmt(format_args!("\nOptions:\n{usages}"));
    }
    out
}

fn group_help<R>(path: &str, group: &Group<R>) -> String {
    let mut out = format!("Usage:  {path} COMMAND\n\n{}\n\nCommands:\n", group.about);
    for entry in group.entries {
        out.push_str(&command_line(entry.name, entry.node.about()));
    }
    out.push_fmt(format_args!(
        "\nRun '{path} COMMAND --help' for more information on a command.\n"
    ));
    out
}

/// The help of the program itself. `common` names the commands that stand first, in order.
pub(crate) fn root_help<R>(
    program: &str,
    root: &Group<R>,
    common: &[&str],
    globals: &[Flag],
    style: HelpStyle,
) -> String {
    let mut out = format!("Usage:  {program} [OPTIONS] COMMAND\n\n{}\n", root.about);
    out.push_str("\nCommon Commands:\n");
    for name in common {
        if let Some(entry) = root.find(name) {
            out.push_str(&command_line(entry.name, entry.node.about()));
        }
    }
    out.push_str("\nManagement Commands:\n");
    for entry in root.entries {
        if matches!(entry.node, Node::Group(_)) {
            out.push_str(&command_line(entry.name, entry.node.about()));
        }
    }
    out.push_str("\nCommands:\n");
    for entry in root.entries {
        if matches!(entry.node, Node::Leaf(_)) && !common.contains(&entry.name) {
            out.push_str(&command_line(entry.name, entry.node.about()));
        }
    }
    out.push_fmt(format_args!(
        "\nGlobal Options:\n{}",
        flag_usages(globals, style)
    ));
    out.push_fmt(format_args!(
        "\nRun '{program} COMMAND --help' for more information on a command.\n"
    ));
    out
}

fn command_line(name: &str, about: &str) -> String {
    format!("  {name:<11} {about}\n")
}

/// The lines of `Options:`, aligned and wrapped as pflag does it.
fn flag_usages(flags: &[Flag], style: HelpStyle) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for flag in flags.iter().filter(|flag| !flag.hidden) {
        let mut left = match flag.short {
            Some(short) => format!("  -{short}, --{}", flag.long),
            None => format!("      --{}", flag.long),
        };
        if !flag.value_name.is_empty() {
            left.push(' ');
            left.push_str(flag.value_name);
        }
        lines.push((left, usage_text(flag)));
    }
    // pflag counts the separator it puts after the name.
    let widest = lines
        .iter()
        .map(|(left, _)| left.len() + 1)
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for (left, usage) in &lines {
        let spacing = " ".repeat(widest - left.len());
        let text = wrap(widest + 2, style.columns.saturating_sub(1), usage);
        out.push_fmt(format_args!("{left} {spacing} {text}\n"));
    }
    out.truncate(out.trim_end_matches([' ', '\t', '\n']).len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn usage_text(flag: &Flag) -> String {
    match shown_default(flag) {
        default if default.is_empty() => flag.help.to_owned(),
        default => format!("{} (default {default})", flag.help),
    }
}

/// The default as texts show it; nothing when it is the kind's own.
pub(crate) fn shown_default(flag: &Flag) -> String {
    match flag.default {
        "false" if flag.kind == Kind::Bool => String::new(),
        "" => String::new(),
        text if flag.kind == Kind::Text => go_quote(text),
        text => text.to_owned(),
    }
}

/// Words that would stand alone on a last line may pass the margin by this much.
const SLOP: usize = 5;

/// Wraps a text to `width` with the lines after the first indented; pflag's rules.
fn wrap(indent: usize, width: usize, text: &str) -> String {
    let mut indent = indent;
    let mut out = String::new();
    if width < indent + 24 {
        indent = 16;
        out.push('\n');
        out.push_str(&" ".repeat(indent));
    }
    if width < indent + 24 {
        return text.replace('\n', &out);
    }
    let margin = width - indent - SLOP;
    let padding = format!("\n{}", " ".repeat(indent));
    let (line, mut rest) = wrap_once(margin, text);
    out.push_str(&line.replace('\n', &padding));
    while !rest.is_empty() {
        let (line, next) = wrap_once(margin, rest);
        out.push_str(&padding);
        out.push_str(&line.replace('\n', &padding));
        rest = next;
    }
    out
}

fn wrap_once(margin: usize, text: &str) -> (&str, &str) {
    if margin + SLOP > text.len() {
        return (text, "");
    }
    let mut end = margin;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let head = &text[..end];
    let Some(space) = head.rfind([' ', '\t', '\n']).filter(|at| *at > 0) else {
        return (text, "");
    };
    let at = match head.rfind('\n') {
        Some(newline) if newline > 0 && newline < space => newline,
        _ => space,
    };
    (&text[..at], &text[at + 1..])
}

//! An instruction's arguments, by the instruction's own rules.

use super::{Flag, Node, flags};
use crate::Point;
use crate::error::ErrorKind;
use crate::quote::quote;

/// How deep `ONBUILD ONBUILD …` is followed; the second one is refused later anyway.
const TRIGGER_DEPTH_LIMIT: usize = 4;

/// What stands between words; Unicode's other blanks belong to words.
const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// What is wrong with arguments, and with which word.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) kind: ErrorKind,
    pub(super) point: Point,
}

fn wrong(text: impl Into<String>, word: &str) -> Wrong {
    Wrong {
        kind: ErrorKind::Syntax(text.into()),
        point: Point::Word(word.to_owned()),
    }
}

/// Reads a logical line. Name, flags, arguments and trigger are set, the rest is the caller's.
pub(super) fn node(line: &str, escape: char, depth: usize) -> Result<Node, Wrong> {
    let trimmed = line.trim();
    let lead = line.len().saturating_sub(line.trim_start().len());
    let (name, rest) = split_blank(trimmed).unwrap_or((trimmed, ""));
    let base = lead.saturating_add(trimmed.len().saturating_sub(rest.len()));
    let (flags, start) = flags::extract(rest, escape);
    let rest = rest.get(start..).unwrap_or_default().trim();
    let mut node = Node {
        name: name.to_owned(),
        flags: flags
            .into_iter()
            .map(|flag| Flag {
                offset: flag.offset.saturating_add(base),
                ..flag
            })
            .collect(),
        ..Node::default()
    };
    match name.to_ascii_lowercase().as_str() {
        "add" | "copy" | "volume" => list_or_json(&mut node, rest)?,
        "cmd" | "entrypoint" | "run" | "shell" => text_or_json(&mut node, rest)?,
        "arg" => node.arguments = words(rest, escape),
        "env" => node.arguments = pairs(rest, "ENV", escape)?,
        "label" => node.arguments = pairs(rest, "LABEL", escape)?,
        "expose" | "from" => node.arguments = list(rest),
        "maintainer" | "stopsignal" | "user" | "workdir" => node.arguments = text(rest),
        "healthcheck" => healthcheck(&mut node, rest)?,
        "onbuild" if !rest.is_empty() && depth < TRIGGER_DEPTH_LIMIT => {
            let trigger = self::node(rest, escape, depth.saturating_add(1))?;
            node.trigger = Some(Box::new(Node {
                text: rest.to_owned(),
                ..trigger
            }));
        }
        // An unknown instruction is an error of the next step, which knows all names.
        _ => {}
    }
    Ok(node)
}

/// What stands before and after the first run of blanks.
fn split_blank(text: &str) -> Option<(&str, &str)> {
    text.split_once(BLANKS)
        .map(|(word, rest)| (word, rest.trim_start_matches(BLANKS)))
}

fn text(rest: &str) -> Vec<String> {
    if rest.is_empty() {
        Vec::new()
    } else {
        vec![rest.to_owned()]
    }
}

fn list(rest: &str) -> Vec<String> {
    rest.split(BLANKS)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn text_or_json(node: &mut Node, rest: &str) -> Result<(), Wrong> {
    let json = json(rest)?;
    node.json = json.is_some();
    node.arguments = json.unwrap_or_else(|| text(rest));
    Ok(())
}

fn list_or_json(node: &mut Node, rest: &str) -> Result<(), Wrong> {
    let json = json(rest)?;
    node.json = json.is_some();
    node.arguments = json.unwrap_or_else(|| list(rest));
    Ok(())
}

/// The type, then a command.
fn healthcheck(node: &mut Node, rest: &str) -> Result<(), Wrong> {
    if rest.is_empty() {
        return Ok(());
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    text_or_json(node, command.trim_start())?;
    node.arguments.insert(0, kind.to_owned());
    Ok(())
}

/// A JSON array of strings. What only looks like JSON is text to docker; an array of other things
/// is an error.
fn json(rest: &str) -> Result<Option<Vec<String>>, Wrong> {
    let rest = rest.trim_start();
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else {
        return Ok(None);
    };
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        let serde_json::Value::String(text) = value else {
            let text = "when using JSON array syntax, arrays must be comprised of strings only";
            return Err(wrong(text, rest.trim_end()));
        };
        texts.push(text);
    }
    Ok(Some(texts))
}

/// `name=value …`, or `name value` in the old form: which one it is, the first word decides.
fn pairs(rest: &str, name: &str, escape: char) -> Result<Vec<String>, Wrong> {
    let words = words(rest, escape);
    let Some(first) = words.first() else {
        return Ok(Vec::new());
    };
    if !first.contains('=') {
        let Some((key, value)) = split_blank(rest) else {
            return Err(wrong(format!("{name} must have two arguments"), first));
        };
        return Ok(vec![key.to_owned(), value.to_owned(), String::new()]);
    }
    let mut all = Vec::with_capacity(words.len().saturating_mul(3));
    for word in &words {
        let Some((key, value)) = word.split_once('=') else {
            let text = format!(
                "Syntax error - can't find = in {}. Must be of the form: name=value",
                quote(word)
            );
            return Err(wrong(text, word));
        };
        all.extend([key, value, "="].map(str::to_owned));
    }
    Ok(all)
}

/// Words between blanks; quotes hold words together and stay, and so do escapes.
fn words(rest: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        if c == escape && quote != Some('\'') {
            // An escape character at the end is dropped.
            if let Some(next) = chars.next() {
                word.extend([c, next]);
            }
            continue;
        }
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

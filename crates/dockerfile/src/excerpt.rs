//! The lines around an error.

use std::fmt::Write as _;

use crate::Span;

/// Columns of a line that are shown.
const COLUMNS: usize = 200;
const RULE: &str = "--------------------\n";

/// The lines that `spans` cover with some around them, the covered ones marked with `>>>`, in the
/// form that docker's clients print: the file with the first covered line, a rule, the lines with
/// their numbers, a rule. Nothing if the spans lie outside the source.
pub fn excerpt(file_name: &str, source: &[u8], spans: &[Span]) -> Option<String> {
    let first = spans.iter().map(|span| span.start.line).min()?;
    let last = spans
        .iter()
        .map(|span| span.end.line.max(span.start.line))
        .max()?;
    let count = source.split(|byte| *byte == b'\n').count();
    if first < 1 || first > count {
        return None;
    }
    let (from, to) = padded(first, last.min(count), count);
    let mut out = format!("{file_name}:{first}\n{RULE}");
    let lines = source.split(|byte| *byte == b'\n').enumerate();
    for (index, line) in lines
        .skip(from.saturating_sub(1))
        .take_while(|(index, _)| *index < to)
    {
        let number = index.saturating_add(1);
        let marked = spans.iter().any(|span| span.holds_line(number));
        let mark = if marked { ">>>" } else { "   " };
        let line = shown(line);
        // Writing to a string cannot fail.
        let _infallible = writeln!(out, " {number:3} | {mark} {line}");
    }
    out.push_str(RULE);
    Some(out)
}

/// A line for a terminal: what does not fit is cut off, and control characters, which could do anything to a terminal, are
/// escaped.
fn shown(line: &[u8]) -> String {
    // No character is longer than four bytes: enough for the columns and one more.
    let most = COLUMNS.saturating_mul(4).saturating_add(4);
    let start = line.get(..line.len().min(most)).unwrap_or(line);
    let text = String::from_utf8_lossy(start);
    let text = text.strip_suffix('\r').unwrap_or(&text);
    let mut out = String::new();
    for (column, character) in text.chars().enumerate() {
        if column == COLUMNS {
            out.push('…');
            break;
        }
        if character.is_control() && character != '\t' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Docker adds lines above and below in turns, more of them around a single line.
fn padded(mut from: usize, mut to: usize, count: usize) -> (usize, usize) {
    let wanted = if from == to { 4 } else { 2 };
    let mut added = 0_usize;
    while added < wanted {
        if from > 1 {
            from = from.saturating_sub(1);
            added = added.saturating_add(1);
        }
        if to < count {
            to = to.saturating_add(1);
            added = added.saturating_add(1);
        }
        added = added.saturating_add(1);
    }
    (from, to)
}

#[cfg(test)]
mod tests;

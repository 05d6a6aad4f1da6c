//! The lines around an error.

use std::fmt::Write as _;

use crate::parse::BYTE_ORDER_MARK;
use crate::{Position, Span};

/// Columns of a line that are shown.
const COLUMNS: usize = 200;
const RULE: &str = "--------------------\n";

/// A source by lines, for as many excerpts as are wanted.
#[derive(Debug)]
pub struct Excerpts<'a> {
    file_name: &'a str,
    lines: Vec<&'a [u8]>,
}

impl<'a> Excerpts<'a> {
    /// Finds the lines of a source.
    pub fn new(file_name: &'a str, source: &'a [u8]) -> Self {
        let source = source.strip_prefix(BYTE_ORDER_MARK).unwrap_or(source);
        Self {
            file_name,
            lines: source.split(|byte| *byte == b'\n').collect(),
        }
    }

    /// The lines that `spans` cover with some around them, the covered ones marked with `>>>`, in
    /// the form that docker's clients print: the file with the first covered line, a rule, the
    /// lines with their numbers, a rule. Nothing if the spans lie outside the source.
    ///
    /// Docker names the line only. With a point, the first line names that and its column, and a
    /// caret stands below it.
    pub fn lines(&self, spans: &[Span], point: Option<Position>) -> Option<String> {
        let first = spans.iter().map(|span| span.start.line).min()?;
        let last = spans
            .iter()
            .map(|span| span.end.line.max(span.start.line))
            .max()?;
        let count = self.lines.len();
        if first < 1 || first > count {
            return None;
        }
        let (from, to) = padded(first, last.min(count), count);
        let point = point.filter(|point| (from..=to).contains(&point.line) && point.column > 0);
        let head = match point {
            Some(at) => format!("{}:{}", at.line, self.column(at)),
            None => first.to_string(),
        };
        let mut out = format!("{}:{head}\n{RULE}", self.file_name);
        let shown_lines = self.lines.iter().enumerate().take(to);
        for (index, line) in shown_lines.skip(from.saturating_sub(1)) {
            let number = index.saturating_add(1);
            let marked = spans.iter().any(|span| span.holds_line(number));
            let mark = if marked { ">>>" } else { "   " };
            // Writing to a string cannot fail.
            let _infallible = writeln!(out, " {number:3} | {mark} {}", shown(line));
            if let Some(at) = point.filter(|point| point.line == number) {
                caret(&mut out, number, &self.before(at));
            }
        }
        out.push_str(RULE);
        Some(out)
    }

    /// The column of a point in characters, from 1.
    fn column(&self, point: Position) -> usize {
        self.before(point).chars().count().saturating_add(1)
    }

    /// What stands before a point in its line. Columns count bytes of the text, in which bytes that
    /// are no UTF-8 are replaced.
    fn before(&self, point: Position) -> String {
        let line = self.lines.get(point.line.saturating_sub(1));
        let text = String::from_utf8_lossy(line.copied().unwrap_or_default());
        let before = text.char_indices();
        let before = before.take_while(|(at, _)| at.saturating_add(1) < point.column);
        before.map(|(_, character)| character).collect()
    }
}

/// A line with `^` below the character that comes after `before`; none below what is cut off.
fn caret(out: &mut String, number: usize, before: &str) {
    if before.chars().count() >= COLUMNS {
        return;
    }
    let width = number.to_string().len().max(3);
    let _infallible = write!(out, " {:width$} |     ", "");
    for character in before.chars() {
        match character {
            '\t' => out.push('\t'),
            character if character.is_control() => {
                out.extend(character.escape_default().map(|_| ' '));
            }
            character => out.extend(std::iter::repeat_n(' ', cells(character))),
        }
    }
    out.push_str("^\n");
}

/// How many cells of a terminal a character takes: East Asian wide ones and pictures two,
/// combining ones none.
fn cells(character: char) -> usize {
    match u32::from(character) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
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

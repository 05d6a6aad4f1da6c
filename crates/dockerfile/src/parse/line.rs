//! Physical lines.

use super::LINE_LIMIT;

/// The lines of a text with their line ends, up to the first one that is too long.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: std::str::SplitInclusive<'a, char>,
    /// The lines before the one that is too long.
    allowed: usize,
    /// The number of the line that came last, from 1.
    pub(super) number: usize,
    /// True once reading has stopped at a line that is too long.
    pub(super) too_long: bool,
}

impl<'a> Lines<'a> {
    /// `text` is `source` with replaced bytes; lengths count in `source`.
    pub(super) fn new(source: &[u8], text: &'a str) -> Self {
        let mut lines = source.split_inclusive(|byte| *byte == b'\n');
        Self {
            rest: text.split_inclusive('\n'),
            allowed: lines.position(is_too_long).unwrap_or(usize::MAX),
            number: 0,
            too_long: false,
        }
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        if self.number >= self.allowed {
            self.too_long = true;
            return None;
        }
        let line = self.rest.next()?;
        self.number = self.number.saturating_add(1);
        Some(line)
    }
}

fn is_too_long(line: &[u8]) -> bool {
    line.strip_suffix(b"\n").unwrap_or(line).len() > LINE_LIMIT
}

pub(super) fn trim_line_end(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

pub(super) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without its continuation character, and whether the instruction ends here. The
/// character may have blanks after it; two of them are none.
pub(super) fn strip_continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest, false),
        _ => (line, true),
    }
}

//! Where something stands in a source text.

/// A point in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 1; 0 when only the line is known.
    pub column: usize,
}

/// A stretch of a text, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Where it begins.
    pub start: Position,
    /// Where it ends; on the line of `start` or on a later one.
    pub end: Position,
}

impl Span {
    /// Whole lines, counted from 1, both included.
    pub fn lines(first: usize, last: usize) -> Self {
        Self {
            start: Position {
                line: first,
                column: 0,
            },
            end: Position {
                line: last.max(first),
                column: 0,
            },
        }
    }

    /// True if the line belongs to it.
    pub fn holds_line(&self, line: usize) -> bool {
        self.start.line <= line && line <= self.end.line.max(self.start.line)
    }
}

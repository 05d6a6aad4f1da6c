//! Columns: Go's tabwriter with blanks. Cells end with a tab; the text after the last tab of a line
//! belongs to no column and is not padded.

use super::text::width;

/// The narrowest column of listings.
pub(crate) const MIN_WIDTH: usize = 10;
/// The blanks after the widest cell of listings.
pub(crate) const PADDING: usize = 3;

/// Lays out lines with the widths of docker's listings.
pub(crate) fn align(text: &str) -> String {
    align_with(text, MIN_WIDTH, PADDING)
}

/// Lays out lines.
pub(crate) fn align_with(text: &str, min_width: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text
        .split('\n')
        .map(|line| line.split('\t').collect())
        .collect();
    let mut table = Table {
        lines,
        min_width,
        padding,
        out: String::with_capacity(text.len() * 2),
    };
    let count = table.lines.len();
    table.block(0, count, &mut Vec::new());
    // The split leaves an empty line after the last newline.
    table.out.pop();
    table.out
}

struct Table<'a> {
    lines: Vec<Vec<&'a str>>,
    min_width: usize,
    padding: usize,
    out: String,
}

impl Table<'_> {
    /// Lays out the lines `from..to`, whose columns to the left have the widths given.
    fn block(&mut self, from: usize, to: usize, widths: &mut Vec<usize>) {
        let column = widths.len();
        let mut done = from;
        let mut this = from;
        while this < to {
            if !self.has_column(this, column) {
                this += 1;
                continue;
            }
            self.write(done, this, widths);
            done = this;
            let mut widest = self.min_width;
            while this < to && self.has_column(this, column) {
                let cell = self.lines.get(this).and_then(|line| line.get(column));
                widest = widest.max(cell.map_or(0, |cell| width(cell)) + self.padding);
                this += 1;
            }
            widths.push(widest);
            self.block(done, this, widths);
            widths.pop();
            done = this;
        }
        self.write(done, to, widths);
    }

    fn has_column(&self, line: usize, column: usize) -> bool {
        self.lines
            .get(line)
            .is_some_and(|line| column + 1 < line.len())
    }

    fn write(&mut self, from: usize, to: usize, widths: &[usize]) {
        for line in self.lines.get(from..to).unwrap_or_default() {
            for (index, cell) in line.iter().enumerate() {
                self.out.push_str(cell);
                if index + 1 < line.len() {
                    let wanted = widths.get(index).copied().unwrap_or_default();
                    let blanks = wanted.saturating_sub(width(cell));
                    self.out.extend(std::iter::repeat_n(' ', blanks));
                }
            }
            self.out.push('\n');
        }
    }
}

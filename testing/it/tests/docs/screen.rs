//! A terminal as far as programs draw their progress on it: what stays on the screen in the end.

/// Lines without end and without width.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    pending: Vec<u8>,
    /// The text of the last operating system command: nobody else sends one.
    pub(crate) mark: String,
}

impl Screen {
    /// Draws what a program wrote.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let valid = match std::str::from_utf8(&self.pending) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = String::from_utf8_lossy(&self.pending[..valid]).into_owned();
        let drawn = self.draw(&text);
        self.pending.drain(..drawn);
    }

    /// The lines so far, without blanks at their ends and without empty ones at the end.
    pub(crate) fn lines(&self) -> Vec<String> {
        let row = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_owned();
        let mut lines: Vec<String> = self.rows.iter().map(row).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// The number and the text of the line that the cursor is in.
    pub(crate) fn current(&self) -> (usize, String) {
        let row = self.rows.get(self.row).map(Vec::as_slice);
        (self.row, row.unwrap_or_default().iter().collect())
    }

    /// Draws whole characters and sequences; how many bytes those were.
    fn draw(&mut self, text: &str) -> usize {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '\x1b' => match self.escape(rest) {
                    Some(length) => length,
                    None => break,
                },
                '\r' => {
                    self.column = 0;
                    1
                }
                '\n' => {
                    self.row += 1;
                    1
                }
                '\x08' => {
                    self.column = self.column.saturating_sub(1);
                    1
                }
                '\x07' => 1,
                '\t' => {
                    (0..8 - self.column % 8).for_each(|_| self.put(' '));
                    1
                }
                other => {
                    self.put(other);
                    other.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        text.len() - rest.len()
    }

    fn put(&mut self, character: char) {
        let column = self.column;
        let row = self.line();
        if row.len() <= column {
            row.resize(column + 1, ' ');
        }
        row[column] = character;
        self.column += 1;
    }

    fn line(&mut self) -> &mut Vec<char> {
        if self.rows.len() <= self.row {
            self.rows.resize(self.row + 1, Vec::new());
        }
        &mut self.rows[self.row]
    }

    /// An escape sequence at the start of the text; its length when it is whole.
    fn escape(&mut self, text: &str) -> Option<usize> {
        match text.as_bytes().get(1)? {
            b'[' => {
                let end = 2 + text.get(2..)?.find(|c: char| ('@'..='~').contains(&c))?;
                self.control(&text[2..end], text.as_bytes()[end]);
                Some(end + 1)
            }
            b']' => {
                let end = text.find('\x07')?;
                text[2..end].clone_into(&mut self.mark);
                Some(end + 1)
            }
            _ => Some(2),
        }
    }

    fn control(&mut self, parameters: &str, last: u8) {
        let number = parameters.parse::<usize>();
        let count = number.clone().unwrap_or(1).max(1);
        match last {
            b'A' => self.row = self.row.saturating_sub(count),
            b'B' => self.row += count,
            b'C' => self.column += count,
            b'D' => self.column = self.column.saturating_sub(count),
            b'G' => self.column = count - 1,
            b'K' => self.erase(number.unwrap_or(0)),
            b'J' => {
                self.erase(0);
                self.rows.truncate(self.row + 1);
            }
            _ => {}
        }
    }

    fn erase(&mut self, which: usize) {
        let column = self.column;
        let row = self.line();
        match which {
            0 => row.truncate(column),
            1 => row.iter_mut().take(column + 1).for_each(|cell| *cell = ' '),
            _ => row.clear(),
        }
    }
}

#[test]
fn progress_is_drawn_over() {
    let mut screen = Screen::default();
    screen.feed(b"one: 1%\r\ntwo: \xe2\x94");
    screen.feed(b"\x94\r\n\x1b[2A\x1b[2K\rone: done\x1b[2B\r\x1b[32mend\x1b[0m\x1b]7");
    screen.feed(b";1\x07\x1b[Kx\x08y");
    assert_eq!(screen.lines(), ["one: done", "two: \u{2514}", "endy"]);
    assert_eq!(screen.mark, "7;1");
    assert_eq!(screen.current(), (2, "endy".to_owned()));
}

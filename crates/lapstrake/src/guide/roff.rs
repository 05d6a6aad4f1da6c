//! Text for `man`, in the macros that every formatter knows.

use crate::ui::text::PushFormat;

/// Where lines of the source are broken; formatters do not care, people and linters do.
const COLUMNS: usize = 76;

/// A manual page being written.
#[derive(Debug, Default)]
pub(super) struct Roff {
    out: String,
}

impl Roff {
    /// The first line: name, section, date, source, manual.
    pub(super) fn title(&mut self, name: &str, date: &str, source: &str) {
        let name = escape(&name.to_ascii_uppercase());
        self.out.push_fmt(format_args!(
            ".TH \"{name}\" \"1\" \"{date}\" \"{source}\" \"User Commands\"\n"
        ));
    }

    pub(super) fn section(&mut self, name: &str) {
        self.out.push_fmt(format_args!(".SH {name}\n"));
    }

    /// `name \- about`, the one line that `whatis` reads.
    pub(super) fn name(&mut self, name: &str, about: &str) {
        self.words(&format!("{} \\- {}", escape(name), escape(about)));
    }

    /// One form of the command.
    pub(super) fn synopsis(&mut self, command: &str, rest: &str, first: bool) {
        if !first {
            self.out.push_str(".br\n");
        }
        let command = escape(command);
        self.out.push_fmt(format_args!("\\fB{command}\\fR"));
        if !rest.is_empty() {
            self.out.push_fmt(format_args!(" {}", escape(rest)));
        }
        self.out.push('\n');
    }

    /// Paragraphs; lines that begin with blanks stay as they are.
    pub(super) fn text(&mut self, text: &str) {
        for (index, paragraph) in text.split("\n\n").enumerate() {
            if index > 0 {
                self.out.push_str(".PP\n");
            }
            let mut is_literal = false;
            for line in paragraph.lines() {
                let indented = line.starts_with("  ");
                if indented != is_literal {
                    self.out.push_str(if indented { ".EX\n" } else { ".EE\n" });
                    is_literal = indented;
                }
                if indented {
                    self.literal(line);
                } else {
                    self.fill(line);
                }
            }
            if is_literal {
                self.out.push_str(".EE\n");
            }
        }
    }

    /// A term and what it means; the lines of the text stay lines.
    pub(super) fn item(&mut self, term: &str, text: &str) {
        self.out
            .push_fmt(format_args!(".TP\n\\fB{}\\fR", escape(term)));
        self.out.push('\n');
        for (index, line) in text.lines().enumerate() {
            if index > 0 {
                self.out.push_str(".br\n");
            }
            self.fill(line);
        }
    }

    /// What an example does, and its lines.
    pub(super) fn example(&mut self, about: &str, lines: &[String], first: bool) {
        if !first {
            self.out.push_str(".PP\n");
        }
        self.fill(about);
        self.out.push_str(".PP\n.RS 4\n.EX\n");
        for line in lines {
            self.literal(&format!("$ {line}"));
        }
        self.out.push_str(".EE\n.RE\n");
    }

    /// References to other pages.
    pub(super) fn references(&mut self, pages: &[String]) {
        for (index, page) in pages.iter().enumerate() {
            let comma = if index + 1 < pages.len() { "," } else { "" };
            self.out
                .push_fmt(format_args!("\\fB{}\\fR(1){comma}\n", escape(page)));
        }
    }

    pub(super) fn paragraph(&mut self) {
        self.out.push_str(".PP\n");
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn literal(&mut self, line: &str) {
        self.guard(line);
        self.out.push_str(&escape(line));
        self.out.push('\n');
    }

    /// A line of prose, broken between words; `what stands so` is bold.
    fn fill(&mut self, line: &str) {
        self.words(&bold(line));
    }

    /// Words of the source, broken where a line is full.
    fn words(&mut self, line: &str) {
        let mut column = 0;
        for word in line.split_ascii_whitespace() {
            if column > 0 && column + 1 + word.len() > COLUMNS {
                self.out.push('\n');
                column = 0;
            }
            if column == 0 {
                self.guard(word);
            } else {
                self.out.push(' ');
                column += 1;
            }
            self.out.push_str(word);
            column += word.len();
        }
        self.out.push('\n');
    }

    /// A line must not begin like a request.
    fn guard(&mut self, line: &str) {
        if line.starts_with(['.', '\'']) {
            self.out.push_str("\\&");
        }
    }
}

/// Characters that formatters would show as others, or take as commands.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '"' => out.push_str("\\(dq"),
            c => out.push(c),
        }
    }
    out
}

/// The text escaped, with what stands in backquotes bold.
fn bold(text: &str) -> String {
    if !text.matches('`').count().is_multiple_of(2) {
        return escape(text);
    }
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            out.push_fmt(format_args!("\\fB{}\\fR", escape(part)));
        } else {
            out.push_str(&escape(part));
        }
    }
    out
}

//! Text → items, with the rules and error texts of Go's template lexer.

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Keyword,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) line: usize,
    pub(super) text: String,
}

impl Item {
    /// How errors show it.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword | Kind::Dot => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let cut: String = self.text.chars().take(10).collect();
                format!("{}...", crate::args::go_quote(&cut))
            }
            _ => crate::args::go_quote(&self.text),
        }
    }
}

const KEYWORDS: [&str; 11] = [
    "block", "break", "continue", "define", "else", "end", "if", "range", "nil", "template", "with",
];

/// Splits a template into items. The last one is `Eof` or `Error`.
pub(super) fn lex(text: &str) -> Vec<Item> {
    let mut lexer = Lexer {
        text,
        at: 0,
        start: 0,
        line: 1,
        start_line: 1,
        depth: 0,
        items: Vec::new(),
    };
    lexer.run();
    lexer.items
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    line: usize,
    start_line: usize,
    depth: usize,
    items: Vec<Item>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn skip(&mut self, count: usize) {
        let end = self.at + count;
        while self.at < end && self.bump().is_some() {}
    }

    fn ignore(&mut self) {
        self.start = self.at;
        self.start_line = self.line;
    }

    fn emit(&mut self, kind: Kind) {
        let text = self
            .text
            .get(self.start..self.at)
            .unwrap_or_default()
            .to_owned();
        self.items.push(Item {
            kind,
            at: self.start,
            line: self.start_line,
            text,
        });
        self.ignore();
    }

    fn error(&mut self, message: String) -> bool {
        self.items.push(Item {
            kind: Kind::Error,
            at: self.start,
            line: self.start_line,
            text: message,
        });
        false
    }

    fn run(&mut self) {
        loop {
            let Some(found) = self.rest().find("{{") else {
                self.skip(self.rest().len());
                if self.at > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::Eof);
                return;
            };
            self.text_before(found);
            if !self.left_delim() {
                return;
            }
        }
    }

    /// The text before an action, cut when the action begins with a trim marker.
    fn text_before(&mut self, length: usize) {
        let trims = has_left_trim(self.rest().get(length + 2..).unwrap_or_default());
        let end = self.at + length;
        let kept = if trims {
            self.rest()
                .get(..length)
                .unwrap_or_default()
                .trim_end_matches(is_space)
                .len()
        } else {
            length
        };
        self.skip(kept);
        if self.at > self.start {
            self.emit(Kind::Text);
        }
        self.skip(end - self.at);
        self.ignore();
    }

    fn left_delim(&mut self) -> bool {
        let trims = has_left_trim(self.rest().get(2..).unwrap_or_default());
        let after = if trims { 4 } else { 2 };
        if self
            .rest()
            .get(after..)
            .unwrap_or_default()
            .starts_with("/*")
        {
            return self.comment(after);
        }
        self.skip(2);
        self.emit(Kind::LeftDelim);
        if trims {
            self.skip(2);
        }
        self.ignore();
        self.depth = 0;
        self.inside_action()
    }

    fn comment(&mut self, after: usize) -> bool {
        self.skip(after + 2);
        let Some(end) = self.rest().find("*/") else {
            return self.error("unclosed comment".to_owned());
        };
        self.skip(end + 2);
        let trims = self.rest().starts_with(" -}}")
            || self
                .rest()
                .strip_prefix(is_space)
                .is_some_and(|rest| rest.starts_with("-}}"));
        if !trims && !self.rest().starts_with("}}") {
            return self.error("comment ends before closing delimiter".to_owned());
        }
        self.skip(if trims { 4 } else { 2 });
        if trims {
            self.skip_spaces();
        }
        self.ignore();
        true
    }

    fn skip_spaces(&mut self) {
        let count = self.rest().len() - self.rest().trim_start_matches(is_space).len();
        self.skip(count);
    }

    /// Whether the action ends here, and whether with a trim marker.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if rest
            .strip_prefix(is_space)
            .is_some_and(|rest| rest.starts_with("-}}"))
        {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn inside_action(&mut self) -> bool {
        loop {
            if let Some(trims) = self.right_delim() {
                if self.depth > 0 {
                    return self.error("unclosed left paren".to_owned());
                }
                return self.end_action(trims);
            }
            let Some(c) = self.bump() else {
                return self.error("unclosed action".to_owned());
            };
            let goes_on = match c {
                c if is_space(c) => self.space(),
                '=' => self.single(Kind::Assign),
                ':' => self.declare(),
                '|' => self.single(Kind::Pipe),
                '"' => self.quoted(),
                '`' => self.raw_quoted(),
                '\'' => self.char_constant(),
                '$' => self.field_or_variable(Kind::Variable),
                // At the end of the text Go takes a dot for the start of a number.
                '.' if self.peek().is_some_and(|c| !c.is_ascii_digit()) => {
                    self.field_or_variable(Kind::Field)
                }
                '.' | '+' | '-' | '0'..='9' => self.number(),
                '(' => {
                    self.depth += 1;
                    self.single(Kind::LeftParen)
                }
                ')' if self.depth == 0 => self.error("unexpected right paren".to_owned()),
                ')' => {
                    self.depth -= 1;
                    self.single(Kind::RightParen)
                }
                c if is_alphanumeric(c) => self.identifier(),
                c if c.is_ascii_graphic() => self.single(Kind::Char),
                c => self.error(format!(
                    "unrecognized character in action: {}",
                    unicode_name(c)
                )),
            };
            if !goes_on {
                return false;
            }
        }
    }

    fn end_action(&mut self, trims: bool) -> bool {
        if trims {
            self.skip(2);
            self.ignore();
        }
        self.skip(2);
        self.emit(Kind::RightDelim);
        if trims {
            self.skip_spaces();
            self.ignore();
        }
        true
    }

    fn single(&mut self, kind: Kind) -> bool {
        self.emit(kind);
        true
    }

    fn space(&mut self) -> bool {
        while self.peek().is_some_and(is_space) && self.right_delim() != Some(true) {
            self.bump();
        }
        self.single(Kind::Space)
    }

    fn declare(&mut self) -> bool {
        if self.bump() != Some('=') {
            return self.error("expected :=".to_owned());
        }
        self.single(Kind::Declare)
    }

    fn quoted(&mut self) -> bool {
        loop {
            match self.bump() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.bump();
                }
                Some('"') => return self.single(Kind::String),
                None | Some('\n' | '\\') => {
                    return self.error("unterminated quoted string".to_owned());
                }
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> bool {
        loop {
            match self.bump() {
                Some('`') => return self.single(Kind::RawString),
                None => return self.error("unterminated raw quoted string".to_owned()),
                Some(_) => {}
            }
        }
    }

    fn char_constant(&mut self) -> bool {
        loop {
            match self.bump() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.bump();
                }
                Some('\'') => return self.single(Kind::CharConstant),
                None | Some('\n' | '\\') => {
                    return self.error("unterminated character constant".to_owned());
                }
                Some(_) => {}
            }
        }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if is_space(c) => true,
            Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with("}}"),
        }
    }

    fn field_or_variable(&mut self, kind: Kind) -> bool {
        if self.at_terminator() {
            return self.single(if kind == Kind::Variable {
                kind
            } else {
                Kind::Dot
            });
        }
        self.word(kind)
    }

    fn word(&mut self, kind: Kind) -> bool {
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        if self.at_terminator() {
            return self.single(kind);
        }
        let bad = self.peek().unwrap_or_default();
        self.error(format!("bad character {}", unicode_name(bad)))
    }

    fn identifier(&mut self) -> bool {
        if !self.word(Kind::Identifier) {
            return false;
        }
        if let Some(item) = self.items.last_mut() {
            if item.text == "true" || item.text == "false" {
                item.kind = Kind::Bool;
            } else if KEYWORDS.contains(&item.text.as_str()) {
                item.kind = Kind::Keyword;
            }
        }
        true
    }

    /// Digits in any base, a fraction, an exponent. A letter right behind them is an error, and the
    /// error's text ends with it.
    fn number(&mut self) -> bool {
        let so_far = self
            .text
            .get(self.start..)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let unsigned = so_far.trim_start_matches(['+', '-']);
        let is_hex = unsigned.starts_with("0x");
        if is_hex || unsigned.starts_with("0o") || unsigned.starts_with("0b") {
            self.run_of(|c| matches!(c, '+' | '-' | '0'));
            self.bump();
        }
        let is_digit = |c: char| {
            c == '_'
                || if is_hex {
                    c.is_ascii_hexdigit()
                } else {
                    c.is_ascii_digit()
                }
        };
        self.run_of(is_digit);
        let seen = self.text.get(self.start..self.at).unwrap_or_default();
        if self.peek() == Some('.') && !seen.contains('.') {
            self.bump();
            self.run_of(is_digit);
        }
        if !is_hex && matches!(self.peek(), Some('e' | 'E')) {
            self.bump();
            if matches!(self.peek(), Some('+' | '-')) {
                self.bump();
            }
            self.run_of(|c| c.is_ascii_digit());
        }
        let ends_well = !self.peek().is_some_and(is_alphanumeric);
        if !ends_well {
            self.bump();
        }
        let text = self.text.get(self.start..self.at).unwrap_or_default();
        if !ends_well || parse_number(text).is_none() {
            let kind = if ends_well { "illegal" } else { "bad" };
            let text = crate::args::go_quote(text);
            return self.error(format!("{kind} number syntax: {text}"));
        }
        self.single(Kind::Number)
    }

    fn run_of(&mut self, accepts: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&accepts) {
            self.bump();
        }
    }
}

/// A number as Go writes one: whole numbers in any base, else a float.
pub(super) fn parse_number(text: &str) -> Option<super::Value> {
    if let Ok(number) = crate::args::parse_int(text) {
        return Some(super::Value::Int(number));
    }
    let plain = text.replace('_', "");
    if plain
        .chars()
        .any(|c| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E'))
    {
        return None;
    }
    plain.parse().ok().map(super::Value::Float)
}

fn has_left_trim(after_delim: &str) -> bool {
    after_delim
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(is_space))
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Go's `%#U`: `U+007B '{'`.
fn unicode_name(c: char) -> String {
    if c.is_control() {
        format!("U+{:04X}", u32::from(c))
    } else {
        format!("U+{:04X} '{c}'", u32::from(c))
    }
}

//! One pass over a text.

use std::collections::BTreeSet;
use std::str::Chars;

use super::pattern::{Pattern, Work, expand_template};
use super::{DEPTH_LIMIT, Lookup, Options, PATTERN_WORK_LIMIT, RESULT_LIMIT};

/// Docker's words about what is wrong.
type Reason = String;

const MISSING_BRACE: &str = "syntax error: missing '}'";

/// The state of a pass. The words of the outermost level are collected beside the text.
pub(super) struct Lexer<'a> {
    rest: Chars<'a>,
    env: &'a dyn Lookup,
    options: Options,
    depth: usize,
    /// Bytes that results may still have, those of intermediate results included.
    budget: usize,
    work: Work,
    pub(super) words: Splitter,
    pub(super) used: BTreeSet<String>,
    pub(super) undefined: BTreeSet<String>,
}

/// What follows a name in `${…}`.
#[derive(Clone, Copy)]
struct Modifier {
    kind: char,
    /// With a colon: empty counts as unset.
    colon: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, env: &'a dyn Lookup, options: Options) -> Self {
        // Docker's scanner takes a byte order mark away.
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text).chars();
        Self {
            rest,
            env,
            options,
            depth: 0,
            // Each level copies what is inside it once.
            budget: text
                .len()
                .saturating_mul(DEPTH_LIMIT)
                .saturating_add(RESULT_LIMIT),
            work: Work(PATTERN_WORK_LIMIT),
            words: Splitter::default(),
            used: BTreeSet::new(),
            undefined: BTreeSet::new(),
        }
    }

    pub(super) fn whole(&mut self) -> Result<String, Reason> {
        self.until(None, self.options.raw_escapes)
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    /// Takes the next character if it is the wanted one.
    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest.next();
        }
        found
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Reason> {
        self.budget = self
            .budget
            .checked_sub(bytes)
            .ok_or_else(|| format!("result longer than {RESULT_LIMIT} bytes"))?;
        Ok(())
    }

    /// Everything up to the end, or up to and without `stop`.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<String, Reason> {
        let outer = std::mem::replace(&mut self.options.raw_escapes, raw_escapes);
        let result = self.until_inner(stop);
        self.options.raw_escapes = outer;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<String, Reason> {
        let mut out = String::new();
        while let Some(c) = self.peek() {
            if stop == Some(c) {
                self.rest.next();
                return Ok(out);
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    out.push_str(&value);
                    self.spend(value.len())?;
                    self.word(|words| words.push_split(&value));
                }
                '<' => self.raw_part(&mut out, Self::heredoc_word)?,
                '\'' if !self.options.skip_quotes => {
                    self.raw_part(&mut out, Self::single_quote)?;
                }
                '"' if !self.options.skip_quotes => {
                    self.raw_part(&mut out, Self::double_quote)?;
                }
                _ => self.plain(&mut out),
            }
        }
        match stop {
            Some(stop) => Err(format!(
                "unexpected end of statement while looking for matching {stop}"
            )),
            None => Ok(out),
        }
    }

    fn raw_part(
        &mut self,
        out: &mut String,
        read: fn(&mut Self) -> Result<String, Reason>,
    ) -> Result<(), Reason> {
        let part = read(self)?;
        out.push_str(&part);
        self.word(|words| words.push_raw(&part));
        Ok(())
    }

    /// A character without meaning, or an escaped one.
    fn plain(&mut self, out: &mut String) {
        let Some(c) = self.rest.next() else {
            return;
        };
        if c != self.options.escape {
            out.push(c);
            self.word(|words| words.push(c));
            return;
        }
        let kept = self.options.raw_escapes.then_some(c);
        let mut buffer = [0; 4];
        for c in kept.into_iter().chain(self.rest.next()) {
            out.push(c);
            self.word(|words| words.push_raw(c.encode_utf8(&mut buffer)));
        }
    }

    /// Words are split at the outermost level only.
    fn word(&mut self, add: impl FnOnce(&mut Splitter)) {
        if self.depth == 0 {
            add(&mut self.words);
        }
    }

    fn single_quote(&mut self) -> Result<String, Reason> {
        let mut out = String::new();
        out.extend(self.rest.next().filter(|_| self.options.raw_quotes));
        for c in self.rest.by_ref() {
            if c == '\'' {
                out.extend(self.options.raw_quotes.then_some(c));
                return Ok(out);
            }
            out.push(c);
        }
        Err("unexpected end of statement while looking for matching single-quote".to_owned())
    }

    fn double_quote(&mut self) -> Result<String, Reason> {
        let mut out = String::new();
        out.extend(self.rest.next().filter(|_| self.options.raw_quotes));
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    out.extend(self.rest.next().filter(|_| self.options.raw_quotes));
                    return Ok(out);
                }
                '$' => {
                    let value = self.dollar()?;
                    self.spend(value.len())?;
                    out.push_str(&value);
                }
                _ => self.double_quoted(&mut out),
            }
        }
        Err("unexpected end of statement while looking for matching double-quote".to_owned())
    }

    /// In double quotes the escape character escapes `"`, `$` and itself; elsewhere it stays.
    fn double_quoted(&mut self, out: &mut String) {
        let Some(c) = self.rest.next() else {
            return;
        };
        if c != self.options.escape {
            out.push(c);
            return;
        }
        out.extend(self.options.raw_escapes.then_some(c));
        match self.peek() {
            None => {}
            Some(next) if next == '"' || next == '$' || next == c => {
                out.push(next);
                self.rest.next();
            }
            Some(_) => out.push(c),
        }
    }

    /// `<<` keeps the blanks behind it, so that `<< NAME` is one word.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "one of the readers that `raw_part` calls"
    )]
    fn heredoc_word(&mut self) -> Result<String, Reason> {
        let mut out = String::from('<');
        self.rest.next();
        if self.take('<') {
            out.push('<');
            while let Some(blank) = self.peek().filter(|c| matches!(c, '\t' | '\r' | ' ')) {
                out.push(blank);
                self.rest.next();
            }
        }
        Ok(out)
    }

    fn dollar(&mut self) -> Result<String, Reason> {
        self.rest.next();
        if !self.take('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.look_up(&name) {
                None if self.options.keep_unset => format!("${name}"),
                value => value.unwrap_or_default().to_owned(),
            });
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEPTH_LIMIT {
            return Err(format!("substitutions nested deeper than {DEPTH_LIMIT}"));
        }
        let value = self.substitution();
        self.depth = self.depth.saturating_sub(1);
        value
    }

    /// What stands between `${` and `}`.
    fn substitution(&mut self) -> Result<String, Reason> {
        match self.peek() {
            None => return Err(MISSING_BRACE.to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        let kind = self.rest.next();
        match kind {
            Some('}') => Ok(match self.look_up(&name) {
                None if self.options.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default().to_owned(),
            }),
            Some('/') => self.replacement(&name),
            Some(':') => match self.rest.next() {
                None => Err(MISSING_BRACE.to_owned()),
                Some(kind @ ('#' | '%')) => Err(unsupported(&format!(":{kind}"))),
                Some(kind) => self.modified(&name, Modifier { kind, colon: true }),
            },
            Some(kind @ ('+' | '-' | '?' | '#' | '%')) => {
                self.modified(&name, Modifier { kind, colon: false })
            }
            other => Err(unsupported(
                &other.unwrap_or(char::REPLACEMENT_CHARACTER).to_string(),
            )),
        }
    }

    fn modified(&mut self, name: &str, modifier: Modifier) -> Result<String, Reason> {
        let is_pattern = matches!(modifier.kind, '#' | '%');
        let word = self
            .until(Some('}'), is_pattern)
            .map_err(|reason| self.at_end(reason, MISSING_BRACE))?;
        self.spend(word.len())?;
        let value = self.look_up(name);
        let Modifier { kind, colon } = modifier;
        if self.options.keep_unset && value.is_none() {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{kind}{word}}}"));
        }
        let present = value.filter(|value| !(colon && value.is_empty()));
        match kind {
            '-' => Ok(present.map_or(word, str::to_owned)),
            '+' => Ok(present.map(|_| word).unwrap_or_default()),
            '?' => present.map(str::to_owned).ok_or_else(|| {
                let state = if value.is_some() { "empty" } else { "unset" };
                let otherwise = format!("is not allowed to be {state}");
                format!(
                    "{name}: {}",
                    if word.is_empty() { &otherwise } else { &word }
                )
            }),
            '#' | '%' => self.trimmed(value.unwrap_or_default(), &word, kind),
            _ => Err(unsupported(&format!(":{kind}"))),
        }
    }

    /// `#` and `%` once: the shortest match goes; twice: the longest.
    fn trimmed(&mut self, value: &str, word: &str, kind: char) -> Result<String, Reason> {
        let (word, longest) = match word.strip_prefix(kind) {
            Some(rest) => (rest, true),
            None => (word, false),
        };
        let pattern = Pattern::parse(word)?;
        let kept = if kind == '#' {
            pattern.without_prefix(value, longest, &mut self.work)
        } else {
            pattern.without_suffix(value, longest, &mut self.work)
        };
        kept.map(str::to_owned)
    }

    fn replacement(&mut self, name: &str) -> Result<String, Reason> {
        let all = self.take('/');
        let pattern = self
            .until(Some('/'), true)
            .map_err(|reason| self.at_end(reason, "syntax error: missing '/' in ${}"))?;
        let with = self
            .until(Some('}'), true)
            .map_err(|reason| self.at_end(reason, MISSING_BRACE))?;
        self.spend(pattern.len().saturating_add(with.len()))?;
        let Some(value) = self.look_up(name) else {
            if self.options.keep_unset {
                return Ok(format!("${{{name}/{pattern}/{with}}}"));
            }
            return self.replaced("", &pattern, &with, all);
        };
        self.replaced(value, &pattern, &with, all)
    }

    fn replaced(
        &mut self,
        value: &str,
        pattern: &str,
        with: &str,
        all: bool,
    ) -> Result<String, Reason> {
        let pattern = Pattern::parse(pattern)?;
        let mut out = String::new();
        let mut copied = 0_usize;
        for (start, end) in pattern.matches(value, all, &mut self.work)? {
            let before = value.get(copied..start).unwrap_or_default();
            let found = value.get(start..end).unwrap_or_default();
            out.push_str(before);
            if all {
                expand_template(&mut out, with, found);
            } else {
                out.push_str(with);
            }
            self.spend(before.len().saturating_add(with.len()))?;
            copied = end;
        }
        out.push_str(value.get(copied..).unwrap_or_default());
        Ok(out)
    }

    /// Whatever went wrong, at the end of the text it is the end that is missing.
    fn at_end(&self, reason: Reason, missing: &str) -> Reason {
        if self.peek().is_none() {
            missing.to_owned()
        } else {
            reason
        }
    }

    /// A name, a number, or one of the special characters of a shell.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let Some(first) = self.peek() else {
            return name;
        };
        if matches!(first, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
            self.rest.next();
            return first.to_string();
        }
        let digits = first.is_numeric();
        while let Some(c) = self.peek() {
            let belongs = if digits {
                c.is_numeric()
            } else {
                c.is_alphanumeric() || c == '_'
            };
            if !belongs {
                break;
            }
            name.push(c);
            self.rest.next();
        }
        name
    }

    fn look_up(&mut self, name: &str) -> Option<&'a str> {
        let env: &'a dyn Lookup = self.env;
        let value = env.get(name);
        let names = if value.is_some() {
            &mut self.used
        } else {
            &mut self.undefined
        };
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
        value
    }
}

fn unsupported(modifier: &str) -> Reason {
    format!("unsupported modifier ({modifier}) in substitution")
}

/// Collects words: blanks end them unless they came from quotes or escapes.
#[derive(Default)]
pub(super) struct Splitter {
    words: Vec<String>,
    word: String,
}

impl Splitter {
    fn push(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn push_split(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(c));
    }

    fn push_raw(&mut self, text: &str) {
        self.word.push_str(text);
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

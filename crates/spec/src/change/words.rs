//! Words of an instruction: quotes, escapes and `$NAME`.

use std::iter::Peekable;
use std::str::Chars;

use super::{ChangeError, argument};

/// How deep `${A:-${B:-…}}` may go.
const DEPTH_LIMIT: usize = 32;

/// The longest word after expansion.
const EXPANSION_LIMIT: usize = 1 << 20;

/// Splits at blanks outside quotes. Quotes and escapes stay in the words.
pub(super) fn parse_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        // Nothing is escaped between single quotes.
        if c == '\\' && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Removes quotes and escapes and replaces variables; `value` looks one up.
pub(super) fn process_word(
    word: &str,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ChangeError> {
    Words {
        chars: word.chars().peekable(),
        value,
        depth: 0,
    }
    .until(None)
}

struct Words<'a> {
    chars: Peekable<Chars<'a>>,
    value: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
}

impl Words<'_> {
    /// Up to `stop`, which is consumed, or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<String, ChangeError> {
        let mut out = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                c if Some(c) == stop => return Ok(out),
                '\'' => self.single_quote(&mut out)?,
                '"' => self.double_quote(&mut out)?,
                '$' => out.push_str(&self.dollar()?),
                '\\' => out.extend(self.chars.next()),
                c => out.push(c),
            }
            if out.len() > EXPANSION_LIMIT {
                return Err(argument("expanded word is too long"));
            }
        }
        match stop {
            Some(stop) => Err(argument(format!(
                "unexpected end of statement while looking for matching {stop}"
            ))),
            None => Ok(out),
        }
    }

    fn single_quote(&mut self, out: &mut String) -> Result<(), ChangeError> {
        for c in self.chars.by_ref() {
            if c == '\'' {
                return Ok(());
            }
            out.push(c);
        }
        Err(argument(
            "unexpected end of statement while looking for matching single-quote",
        ))
    }

    fn double_quote(&mut self, out: &mut String) -> Result<(), ChangeError> {
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return Ok(()),
                '$' => out.push_str(&self.dollar()?),
                '\\' => match self.chars.next() {
                    Some(c @ ('"' | '$' | '\\')) => out.push(c),
                    other => {
                        out.push('\\');
                        out.extend(other);
                    }
                },
                c => out.push(c),
            }
        }
        Err(argument(
            "unexpected end of statement while looking for matching double-quote",
        ))
    }

    /// After a `$`.
    fn dollar(&mut self) -> Result<String, ChangeError> {
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(match name.as_str() {
                "" => "$".to_owned(),
                name => (self.value)(name).unwrap_or_default(),
            });
        }
        let name = self.name();
        if name.is_empty() {
            return Err(argument("bad substitution"));
        }
        let value = (self.value)(&name);
        match self.chars.next() {
            Some('}') => Ok(value.unwrap_or_default()),
            Some(':') => {
                let modifier = self.chars.next();
                self.modified(
                    &name,
                    value.filter(|value| !value.is_empty()),
                    modifier,
                    ":",
                )
            }
            modifier => self.modified(&name, value, modifier, ""),
        }
    }

    /// `${NAME-word}` and its relatives; `value` is nothing where the word counts.
    fn modified(
        &mut self,
        name: &str,
        value: Option<String>,
        modifier: Option<char>,
        colon: &str,
    ) -> Result<String, ChangeError> {
        let Some(modifier @ ('-' | '+' | '?')) = modifier else {
            let modifier = modifier.map(String::from).unwrap_or_default();
            return Err(argument(format!(
                "unsupported modifier ({colon}{modifier}) in substitution"
            )));
        };
        if self.depth >= DEPTH_LIMIT {
            return Err(argument("substitution is nested too deeply"));
        }
        self.depth = self.depth.saturating_add(1);
        let word = self.until(Some('}'))?;
        self.depth = self.depth.saturating_sub(1);
        match (modifier, value) {
            ('-' | '?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('?', None) if word.is_empty() => {
                Err(argument(format!("{name}: is not allowed to be unset")))
            }
            ('?', None) => Err(argument(format!("{name}: {word}"))),
            _ => Ok(String::new()),
        }
    }

    /// A variable's name, all digits of a position, or one special character.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.chars.next_if(char::is_ascii_digit) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.chars.next()),
            _ => {
                while let Some(c) = self
                    .chars
                    .next_if(|c| c.is_ascii_alphanumeric() || *c == '_')
                {
                    name.push(c);
                }
            }
        }
        name
    }
}

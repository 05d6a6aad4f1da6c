//! Variables, quotes and escapes of a word, as docker's frontend reads them.
//!
//! Known are `$x`, `${x}`, `${x:-w}`, `${x-w}`, `${x:+w}`, `${x+w}`, `${x:?w}`, `${x?w}`,
//! `${x#p}`, `${x##p}`, `${x%p}`, `${x%%p}`, `${x/p/r}` and `${x//p/r}`; the patterns know `*` and
//! `?`. Single quotes keep everything, double quotes keep all but `$` and escapes.

mod lexer;
mod pattern;

use std::collections::{BTreeMap, BTreeSet};

use crate::quote::quote;
use lexer::Lexer;

/// The deepest nesting of `${…}` in `${…}`.
pub const DEPTH_LIMIT: usize = 64;
/// By how many bytes a result may be longer than its text: variables that are made of variables
/// must not grow without bound. A longer value could not be handed to a program anyway.
pub const RESULT_LIMIT: usize = 1 << 20;
/// How many steps the patterns of one text may take, each one character against one place of a
/// pattern.
pub const PATTERN_WORK_LIMIT: usize = 1 << 24;

/// Where values come from.
pub trait Lookup {
    /// The value of a variable, nothing if it is not set.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Lookup for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name).map(String::as_str)
    }
}

/// `NAME=value` texts, the last one counts.
impl Lookup for [String] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .rev()
            .find_map(|pair| match pair.split_once('=') {
                Some((key, value)) => (key == name).then_some(value),
                None => (pair == name).then_some(""),
            })
    }
}

/// An expanded text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The result.
    pub text: String,
    /// Names that had a value.
    pub used: BTreeSet<String>,
    /// Names that had none.
    pub undefined: BTreeSet<String>,
}

/// A text and the words that it falls into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words; blanks in the values of variables split too.
    pub words: Vec<String>,
    /// Names that had a value.
    pub used: BTreeSet<String>,
    /// Names that had none.
    pub undefined: BTreeSet<String>,
}

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to process {}: {reason}", quote(.written))]
pub struct WordError {
    /// Docker's words.
    pub(crate) reason: String,
    /// The text as written.
    pub(crate) written: String,
}

impl WordError {
    /// The text that cannot be expanded, as it was given.
    pub fn written(&self) -> &str {
        &self.written
    }
}

/// How quotes, escapes and unset variables are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The escape character: `\` or a backtick.
    pub escape: char,
    /// Quotes stay in the result.
    pub raw_quotes: bool,
    /// Escape characters stay in the result.
    pub raw_escapes: bool,
    /// Quotes mean nothing.
    pub skip_quotes: bool,
    /// `$name` of an unset variable stays as it is.
    pub keep_unset: bool,
}

impl Options {
    /// The usual treatment: quotes and escapes go, unset is empty.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            skip_quotes: false,
            keep_unset: false,
        }
    }
}

/// Expands a text to a text.
pub fn expand(text: &str, env: &dyn Lookup, escape: char) -> Result<Expansion, WordError> {
    expand_with(text, env, Options::new(escape))
}

/// Expands the content of a here-document: quotes mean nothing and stay.
pub fn expand_raw(text: &str, env: &dyn Lookup, escape: char) -> Result<Expansion, WordError> {
    expand_with(
        text,
        env,
        Options {
            skip_quotes: true,
            ..Options::new(escape)
        },
    )
}

/// Expands a text to a text with options.
pub fn expand_with(text: &str, env: &dyn Lookup, options: Options) -> Result<Expansion, WordError> {
    let (result, lexer) = run(text, env, options)?;
    Ok(Expansion {
        text: result,
        used: lexer.used,
        undefined: lexer.undefined,
    })
}

/// Expands a text and splits it into words.
pub fn expand_words(text: &str, env: &dyn Lookup, escape: char) -> Result<Words, WordError> {
    split_with(text, env, Options::new(escape))
}

/// Expands a text and splits it into words, with options.
pub fn split_with(text: &str, env: &dyn Lookup, options: Options) -> Result<Words, WordError> {
    let (_, lexer) = run(text, env, options)?;
    Ok(Words {
        words: lexer.words.finish(),
        used: lexer.used,
        undefined: lexer.undefined,
    })
}

fn run<'a>(
    text: &'a str,
    env: &'a dyn Lookup,
    options: Options,
) -> Result<(String, Lexer<'a>), WordError> {
    let mut lexer = Lexer::new(text, env, options);
    match lexer.whole() {
        Ok(result) => Ok((result, lexer)),
        Err(reason) => Err(WordError {
            written: text.to_owned(),
            reason,
        }),
    }
}

#[cfg(test)]
mod tests;

//! `.dockerignore`: the file and its patterns, as docker matches them.
//!
//! A path is ignored when the last pattern that matches it, or a directory above it, is no
//! exception. `*` and `?` stop at slashes, `**` does not; a pattern of plain text, with `**` at
//! its end or at its beginning, is compared directly, every other one is read as docker reads it:
//! as a regular expression made from the pattern, oddities included ([`expression`]).

mod clean;
mod expression;
mod syntax;

use expression::Expression;

pub(crate) use clean::clean;

/// The longest pattern in bytes.
pub const PATTERN_LIMIT: usize = 4096;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Patterns in order; the last one that matches decides.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `!` without a pattern.
    #[error("illegal exclusion pattern: \"!\"")]
    BareExclusion,
    /// Brackets or escapes are wrong; the pattern is kept for whoever prints more than docker.
    #[error("syntax error in pattern")]
    Syntax(String),
    /// More than [`PATTERN_LIMIT`] bytes.
    #[error("pattern longer than {PATTERN_LIMIT} bytes")]
    TooLong,
}

/// What the patterns said about a directory, for its entries; see [`Matcher::matches_below`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchInfo {
    matched: Vec<bool>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    exception: bool,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The path is the text.
    Exact,
    /// The path begins with this.
    Prefix(String),
    /// The path ends with this, or is this without its slash.
    Suffix(String),
    Expression(Expression),
}

impl Matcher {
    /// Reads an ignore file: a line is a pattern; blanks around it, `#` at the very beginning, a
    /// byte order mark, a leading slash and superfluous slashes and dots go.
    pub fn parse(file: &[u8]) -> Result<Self, PatternError> {
        let file = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
        let text = String::from_utf8_lossy(file);
        let lines = text.split('\n').filter(|line| !line.starts_with('#'));
        Self::new(lines.filter_map(line_pattern))
    }

    /// Patterns as they are, without the rules of the file: for `--exclude`. Empty ones are left
    /// out.
    pub fn new<I, S>(patterns: I) -> Result<Self, PatternError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let mut all = Vec::new();
        for pattern in patterns {
            all.extend(Pattern::parse(pattern.as_ref())?);
        }
        Ok(Self { patterns: all })
    }

    /// True if there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// True if a pattern begins with `!`.
    pub fn has_exclusions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.exception)
    }

    /// True if a pattern stands for everything.
    pub(crate) fn hides_all(&self) -> bool {
        let all = |text: &str| matches!(text, "*" | "**" | "**/*");
        self.patterns
            .iter()
            .any(|pattern| !pattern.exception && all(&pattern.text))
    }

    /// True if the path is ignored: it or a directory above it matches. `path` is relative to the
    /// context's root, with slashes, clean. The root itself (`.` or nothing) is never ignored.
    pub fn matches(&self, path: &str) -> bool {
        self.matches_below(path, &MatchInfo::default()).0
    }

    /// As [`Matcher::matches`], for a walk: `above` is what this gave for the directory, or the
    /// default, and then the directories above are looked at as well; the answer's second part is
    /// for the entries of `path`.
    pub fn matches_below(&self, path: &str, above: &MatchInfo) -> (bool, MatchInfo) {
        if path.is_empty() || path == "." {
            return (false, MatchInfo::default());
        }
        let mut ignored = false;
        let mut info = MatchInfo {
            matched: vec![false; self.patterns.len()],
        };
        for (index, (pattern, matched)) in self.patterns.iter().zip(&mut info.matched).enumerate() {
            *matched = match above.matched.get(index) {
                Some(true) => true,
                // It could change nothing.
                _ if pattern.exception != ignored => continue,
                Some(false) => pattern.matches(path),
                None => pattern.matches(path) || pattern.matches_above(path),
            };
            if *matched {
                ignored = !pattern.exception;
            }
        }
        (ignored, info)
    }

    /// True if a walk may leave out a directory that is ignored: no `!` pattern can bring back
    /// something beneath it.
    pub fn may_skip_dir(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.patterns
            .iter()
            .all(|pattern| !pattern.exception || !pattern.reaches(&below))
    }
}

/// A line's pattern; nothing for an empty line.
fn line_pattern(line: &str) -> Option<String> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let (mark, text) = match line.strip_prefix('!') {
        Some(rest) => ("!", rest.trim()),
        None => ("", line),
    };
    if text.is_empty() {
        return Some(mark.to_owned());
    }
    let text = clean(text);
    let relative = text
        .strip_prefix('/')
        .filter(|rest| !rest.is_empty())
        .unwrap_or(&text);
    Some(format!("{mark}{relative}"))
}

impl Pattern {
    fn parse(text: &str) -> Result<Option<Self>, PatternError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > PATTERN_LIMIT {
            return Err(PatternError::TooLong);
        }
        // Docker cleans before it looks for the mark.
        let cleaned = clean(text);
        let (exception, text) = match cleaned.strip_prefix('!') {
            Some("") => return Err(PatternError::BareExclusion),
            Some(rest) => (true, rest),
            None => (false, cleaned.as_str()),
        };
        let syntax = || PatternError::Syntax(text.to_owned());
        if !syntax::is_valid(text) && !has_late_backslash(text) {
            return Err(syntax());
        }
        let kind = kind(text).ok_or_else(syntax)?;
        Ok(Some(Self {
            text: text.to_owned(),
            exception,
            kind,
        }))
    }

    fn matches(&self, path: &str) -> bool {
        match &self.kind {
            Kind::Exact => path == self.text,
            Kind::Prefix(prefix) => path.starts_with(prefix),
            Kind::Suffix(suffix) => {
                path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path)
            }
            Kind::Expression(expression) => expression.matches(path),
        }
    }

    fn matches_above(&self, path: &str) -> bool {
        path.match_indices('/')
            .any(|(at, _)| path.get(..at).is_some_and(|dir| self.matches(dir)))
    }

    /// True if it may match a path that begins with `below`.
    fn reaches(&self, below: &str) -> bool {
        match &self.kind {
            Kind::Exact => self.text.starts_with(below),
            Kind::Prefix(prefix) => prefix.starts_with(below) || below.starts_with(prefix),
            Kind::Suffix(_) => true,
            Kind::Expression(expression) => expression.reaches(below),
        }
    }
}

/// A backslash at the end that escapes nothing is wrong, but Go's matcher, asked with the path `.`, does
/// not see it behind a star once the text before that has failed.
fn has_late_backslash(text: &str) -> bool {
    let Some(rest) = text
        .strip_suffix('\\')
        .filter(|rest| syntax::is_valid(rest))
    else {
        return false;
    };
    let first = syntax::first_chunk(rest);
    let fails = Expression::parse(first).is_some_and(|first| !first.matches("."));
    first.len() < rest.trim_start_matches('*').len() && fails
}

/// How a pattern is compared; nothing if it makes no regular expression.
fn kind(text: &str) -> Option<Kind> {
    let plain = |text: &str| !text.contains(['*', '?', '\\', '[', ']']);
    if plain(text) {
        return Some(Kind::Exact);
    }
    match (text.strip_prefix("**"), text.strip_suffix("**")) {
        (Some(rest), _) if plain(rest) => Some(Kind::Suffix(rest.to_owned())),
        (_, Some(rest)) if plain(rest) => Some(Kind::Prefix(rest.to_owned())),
        _ => Expression::parse(text).map(Kind::Expression),
    }
}

#[cfg(test)]
mod tests;

//! What a registry says about how to prove who one is: `WWW-Authenticate` challenges and scopes.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(test)]
mod tests;

/// Challenges read from one reply; the rest is ignored.
const CHALLENGES_LIMIT: usize = 32;

/// One way to authenticate, as a `WWW-Authenticate` header offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme in lower case: `bearer`, `basic`.
    pub scheme: String,
    /// Its parameters; the names in lower case.
    pub parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// A parameter that is there and not empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Reads the challenges of one header line. What cannot be read is left out.
pub fn parse_challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut scanner = Scanner { rest: header };
    while challenges.len() < CHALLENGES_LIMIT {
        scanner.skip(|c| c == ',' || c.is_ascii_whitespace());
        let word = scanner.take(is_token);
        if word.is_empty() {
            if !scanner.skip_one() {
                break;
            }
            continue;
        }
        scanner.skip(|c| c == ' ' || c == '\t');
        if !scanner.eat('=') {
            let scheme = word.to_ascii_lowercase();
            challenges.push(Challenge {
                scheme,
                parameters: BTreeMap::new(),
            });
            continue;
        }
        scanner.skip(|c| c == ' ' || c == '\t');
        let value = scanner.value();
        if let Some(challenge) = challenges.last_mut() {
            challenge
                .parameters
                .entry(word.to_ascii_lowercase())
                .or_insert(value);
        }
    }
    challenges
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:@".contains(c)
}

/// A header line that is eaten from the left.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(wanted);
    }

    fn skip_one(&mut self) -> bool {
        let mut chars = self.rest.chars();
        let some = chars.next().is_some();
        self.rest = chars.as_str();
        some
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// A token, or a quoted string with its escapes undone. An open quote ends with the line.
    fn value(&mut self) -> String {
        if !self.eat('"') {
            return self
                .take(|c| c != ',' && !c.is_ascii_whitespace())
                .to_owned();
        }
        let mut value = String::new();
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => value.extend(chars.next()),
                other => value.push(other),
            }
        }
        self.rest = chars.as_str();
        value
    }
}

/// What a token is asked for: actions on one repository, or whatever a challenge named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(String);

impl Scope {
    /// Leave to read a repository.
    pub fn pull(repository: &str) -> Self {
        Self(format!("repository:{repository}:pull"))
    }

    /// Leave to read and write a repository.
    pub fn push(repository: &str) -> Self {
        Self(format!("repository:{repository}:pull,push"))
    }

    /// The scopes that a challenge names, separated by blanks.
    pub fn of_challenge(challenge: &Challenge) -> Vec<Self> {
        let text = challenge.parameter("scope").unwrap_or_default();
        text.split_ascii_whitespace()
            .map(|scope| Self(scope.to_owned()))
            .collect()
    }

    /// The text as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scope without its actions.
    fn resource(&self) -> &str {
        self.0
            .rsplit_once(':')
            .map_or(self.0.as_str(), |(resource, _actions)| resource)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The scopes that are wanted, and those of a challenge for resources that are not among them: a
/// mirror may know the repository under another name.
pub fn merge_scopes(wanted: &[Scope], challenged: &[Scope]) -> Vec<Scope> {
    let mut scopes = wanted.to_vec();
    for scope in challenged {
        if !scopes
            .iter()
            .any(|known| known.resource() == scope.resource())
        {
            scopes.push(scope.clone());
        }
    }
    scopes
}

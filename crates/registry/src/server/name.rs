//! Names that become paths: repositories, tags, uploads. Parsed once, safe to join afterwards.

use std::fmt;
use std::io;

use super::error::{ApiError, Code};

/// Longest repository name.
const NAME_LIMIT: usize = 255;
/// Longest tag.
const TAG_LIMIT: usize = 128;

/// A repository's name: components of lower-case letters and digits, joined by `/`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct RepositoryName(String);

impl RepositoryName {
    pub(super) fn parse(name: &str) -> Result<Self, ApiError> {
        if name.len() > NAME_LIMIT || !name.split('/').all(is_component) {
            return Err(Code::NameInvalid.into());
        }
        Ok(Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(word) || !text.ends_with(word) {
        return false;
    }
    text.split(word)
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn parse(tag: &str) -> Option<Self> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let valid = tag.len() <= TAG_LIMIT
            && tag.starts_with(word)
            && tag.chars().all(|c| word(c) || c == '.' || c == '-');
        valid.then(|| Self(tag.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of an upload: a random UUID, so that knowing it is the right to continue it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct UploadId(String);

impl UploadId {
    pub(super) fn random() -> io::Result<Self> {
        let mut hex = random_hex()?;
        for at in [20, 16, 12, 8] {
            hex.insert(at, '-');
        }
        Ok(Self(hex))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let shaped = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        shaped.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// 128 random bits as 32 hex digits.
pub(super) fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

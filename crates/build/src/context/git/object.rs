//! Objects and their names.

use super::Error;
use sha1::{Digest as _, Sha1};
use std::fmt;

/// Bytes of a name.
pub(super) const ID_BYTES: usize = 20;

/// The SHA-1 name of an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(super) [u8; ID_BYTES]);

impl ObjectId {
    /// Forty hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 2 * ID_BYTES || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; ID_BYTES];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            if digits.starts_with('+') {
                return None;
            }
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The name of an object of this kind and content.
    pub fn of(kind: Kind, content: &[u8]) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(header(kind, content.len()).as_bytes());
        hasher.update(content);
        Self(hasher.finalize().into())
    }
}

/// What is hashed, and stored in a loose object, before the content.
pub(super) fn header(kind: Kind, length: usize) -> String {
    format!("{} {length}\0", kind.word())
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A commit.
    Commit,
    /// A directory.
    Tree,
    /// A file, or a link's target.
    Blob,
    /// An annotated tag.
    Tag,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    pub(super) fn parse(word: &[u8]) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag]
            .into_iter()
            .find(|kind| kind.word().as_bytes() == word)
    }
}

/// An object in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its content.
    pub content: Vec<u8>,
}

/// A place that objects are read from.
pub trait Objects {
    /// An object; an error when it is not there.
    fn read(&self, id: &ObjectId) -> Result<Object, Error>;
}

/// The commit that an object is, or that a chain of tags leads to.
pub(super) fn peel(objects: &dyn Objects, id: &ObjectId) -> Result<(ObjectId, Object), Error> {
    /// Tags of tags.
    const DEPTH: usize = 16;
    let mut id = *id;
    for _ in 0..DEPTH {
        let object = objects.read(&id)?;
        match object.kind {
            Kind::Commit => return Ok((id, object)),
            Kind::Tag => id = field(&object.content, "object")?,
            _ => return Err(Error::invalid(format!("object {id} is not a commit"))),
        }
    }
    Err(Error::invalid("too many tags of tags"))
}

/// The name in a line `KEY NAME` of a commit or tag.
pub(super) fn field(content: &[u8], key: &str) -> Result<ObjectId, Error> {
    let lines = content.split(|&byte| byte == b'\n');
    let mut headers = lines.take_while(|line| !line.is_empty());
    headers
        .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b" "))
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(ObjectId::parse)
        .ok_or_else(|| Error::invalid(format!("object without {key}")))
}

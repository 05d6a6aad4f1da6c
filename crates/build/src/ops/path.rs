//! Paths in a layer.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A path below the root of a layer, without `.`, `..` and links in its parents. Empty is the root. The order is that of a layer's
/// tar: names sorted within their directory, a directory before what it holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct TreePath(
    /// Components, with a zero byte between: no name has one, and it sorts before every other.
    Vec<u8>,
);

impl TreePath {
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// The path as it is written, from the root on; `..` stops there.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut path = Self::root();
        for name in names(text) {
            if name == b".." {
                path.pop();
            } else {
                path.push(name);
            }
        }
        path
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends one name.
    pub(crate) fn push(&mut self, name: &[u8]) {
        if !self.0.is_empty() {
            self.0.push(0);
        }
        self.0.extend_from_slice(name);
    }

    /// Takes the last name away.
    pub(crate) fn pop(&mut self) {
        let end = self.0.iter().rposition(|byte| *byte == 0).unwrap_or(0);
        self.0.truncate(end);
    }

    pub(crate) fn join(&self, name: &[u8]) -> Self {
        let mut path = self.clone();
        path.push(name);
        path
    }

    /// Appends a relative path with slashes, as it is.
    pub(crate) fn join_all(&self, relative: &[u8]) -> Self {
        let mut path = self.clone();
        for name in names(relative) {
            path.push(name);
        }
        path
    }

    /// The directory that has it; none for the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let mut path = self.clone();
        path.pop();
        Some(path)
    }

    /// The last name; empty for the root.
    pub(crate) fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Its names, the first one first.
    pub(crate) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
    }

    /// Whether it is `other` or below it.
    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        match self.0.strip_prefix(other.0.as_slice()) {
            Some(rest) => other.is_root() || rest.first().is_none_or(|byte| *byte == 0),
            None => false,
        }
    }

    /// With slashes between, none at the start or end.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .map(|byte| if *byte == 0 { b'/' } else { *byte })
            .collect()
    }
}

impl fmt::Display for TreePath {
    /// Absolute, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The names of a path; `.` and empty ones left out.
pub(crate) fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
}

/// A path of a source as its components say: relative, `..` stopping at the root.
pub(crate) fn clean(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&TreePath::parse(path).to_bytes()))
}

/// The bytes of a path.
pub(crate) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

//! A layer's tar, unpacked as an overlay's lower directory.
//!
//! What a layer takes away from the layers below it becomes what overlayfs understands: `.wh.NAME` a character device
//! 0:0 called `NAME`, `.wh..wh..opq` an opaque mark on its directory. Whiteouts hide what is below and never what the same
//! layer brings: a directory that comes before or after its own whiteout is opaque.
//!
//! Parents are resolved one way only, in [`tree`]: by descriptor, beneath the root, not through symbolic links. Last
//! components are never followed. A regular file costs `openat`, `write`, `utimensat` and `close`; its owner, mode and
//! attributes are set only where the new file does not have them already, in the order that keeps set-id bits and
//! capabilities (a write or a change of owner clears them).

use std::io::Read;
use std::os::fd::BorrowedFd;

use crate::error::Error;
use crate::limits::Limits;
use crate::tar::Archive;

mod metadata;
mod path;
mod tree;
mod unpack;

use unpack::Unpacker;

/// Whether files get the owners that the layer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// As the layer says.
    #[default]
    Keep,
    /// Everything belongs to the process; device nodes that may not be made are left out.
    Ignore,
}

/// Under which names overlayfs keeps its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverlayMarks {
    /// `trusted.overlay.*`
    #[default]
    Trusted,
    /// `user.overlay.*`, for an overlay mounted in a user namespace with `userxattr`.
    User,
}

impl OverlayMarks {
    pub(crate) fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    pub(crate) fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }

    /// Whether an attribute belongs to some overlay: those of a layer could make an overlay show other files.
    pub(crate) fn is_mark(name: &[u8]) -> bool {
        name.starts_with(Self::Trusted.prefix()) || name.starts_with(Self::User.prefix())
    }
}

/// How [`apply`] unpacks.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// What the layer may ask for.
    pub limits: Limits,
    /// Whose the files are.
    pub ownership: Ownership,
    /// How opaque directories are marked.
    pub marks: OverlayMarks,
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// How many entries the archive had, whiteouts included.
    pub entries: u64,
    /// Sum of the sizes of regular files and of the targets of symbolic links: the layer's size as docker counts it.
    pub bytes: u64,
    /// Extended attributes and device nodes left out: this process or file system may not have them.
    pub skipped: u64,
}

/// Unpacks the plain tar `tar` into the directory `dest`, and reads it to its very end, so that a digest computed on the
/// way covers every byte.
///
/// After an error `dest` holds a part of the layer. Nothing is synced.
pub fn apply(
    tar: impl Read,
    dest: BorrowedFd<'_>,
    options: &ApplyOptions,
) -> Result<Applied, Error> {
    let mut archive = Archive::new(tar, &options.limits);
    let mut unpacker = Unpacker::new(dest, options)?;
    while archive.advance()? {
        let (entry, mut content) = archive.current();
        unpacker.entry(entry, &mut content)?;
    }
    archive.drain()?;
    let mut applied = unpacker.finish()?;
    applied.entries = archive.entries();
    Ok(applied)
}

#[cfg(test)]
mod tests;

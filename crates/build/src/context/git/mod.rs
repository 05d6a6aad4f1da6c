//! Git, as far as a build needs it: one commit's files, read only.
//!
//! A repository on disk is read where it lies ([`Repository`]). From a server the objects of one commit
//! come as a pack, by the protocol that every server speaks (version 0, `git-upload-pack`), shallow where
//! the server can; the pack is kept in a file and indexed in memory ([`Pack`]). [`checkout`] writes a
//! commit's tree below a directory handle: names are checked, and no link is followed.
//!
//! Absent: filters and attributes of a work tree (line ends, LFS), partial clones, repositories that use
//! SHA-256, dumb HTTP.

mod checkout;
mod client;
mod delta;
mod object;
mod pack;
mod pkt;
mod repository;
mod submodule;

pub use checkout::{CheckedOut, CheckoutOptions, checkout};
pub use client::{Duplex, Fetched, Http, Remote, fetch};
pub use object::{Kind, Object, ObjectId, Objects};
pub use pack::Pack;
pub use repository::Repository;
pub use submodule::{Submodule, submodules};

use std::io;

/// The largest object that is read into memory.
pub const OBJECT_LIMIT: u64 = 1 << 30;
/// The largest pack that is fetched.
pub const PACK_LIMIT: u64 = 16 << 30;
/// Objects in a pack.
pub const OBJECTS_LIMIT: u32 = 20_000_000;
/// References that a server may list.
pub const REFERENCES_LIMIT: usize = 1_000_000;
/// Deltas on deltas.
const DELTA_DEPTH_LIMIT: usize = 10_000;
/// Directories in directories of a tree.
const TREE_DEPTH_LIMIT: usize = 512;

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "read as git::Error wherever it is used"
)]
pub enum Error {
    /// The server does not speak as it should, or an object is damaged.
    #[error("{0}")]
    Invalid(String),
    /// A web server that knows nothing of git: it has files at most.
    #[error(
        "the server does not speak git's smart HTTP protocol, and its files cannot be read one by one"
    )]
    Dumb,
    /// The server's own words.
    #[error("remote: {0}")]
    Remote(String),
    /// No such branch, tag or commit.
    #[error("repository does not contain ref {0}")]
    NoReference(String),
    /// No such directory in the tree.
    #[error("subdir not found in git repository: {0}")]
    NoDirectory(String),
    /// An object that should be there is not.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// Something is too large.
    #[error("{0}")]
    TooLarge(&'static str),
    /// The system, or the connection.
    #[error("{action}")]
    Io {
        /// What was tried.
        action: String,
        /// The answer.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// For `map_err`: a failing read or write.
    pub fn io<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Io {
            action,
            source: source.into(),
        }
    }
}

//! Where the files of a build come from: directories, archives, git repositories.
//!
//! - [`LocalTree`] shows a directory as a [`SourceTree`](crate::source::SourceTree), with ignore rules;
//!   only what is asked for is read, and no path and no link leaves the directory.
//! - [`Scratch`] is a folder in the store's `ingest/` that goes away with its value, and after a crash
//!   with the next collection. [`unpack`] puts an archive of any compression there.
//! - [`Address`] tells the forms of contexts apart as docker does.
//! - [`git`] fetches one commit over smart HTTP, from a repository on disk or through a connection that
//!   the caller opened (the user's ssh), and checks it out.
//! - [`sent_size`] is the number of bytes that docker's classic client says it sends.
//!
//! What is absent: HTTP. Whoever has a client brings it as [`git::Http`].

mod address;
mod archive;
pub mod git;
mod local;
mod scratch;
mod size;

pub use address::{Address, GitAddress};
pub use archive::{looks_like_archive, unpack};
pub use local::LocalTree;
pub use scratch::Scratch;
pub use size::{SentFile, sent_size, sent_with_files, tar_size};

#[cfg(test)]
mod tests;

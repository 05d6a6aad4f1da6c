//! Layer chains as overlay file systems, and changes back to a layer.
//!
//! A [`Snapshot`] is a chain of read-only trees, owned by the store, below one writable directory, owned by
//! the caller. Nothing is mounted here: whoever runs a process on a snapshot mounts [`OverlaySpec`] in that
//! process's own mount namespace, so that nothing is left on the host however anything dies. Without a
//! mount, the merged tree can be read through a [`View`], and the writable layer becomes a tar by
//! [`Snapshot::diff_tar`].
//!
//! # On disk
//!
//! ```text
//! <dir>/upper/            the writable layer, an overlay upper directory
//! <dir>/work/             overlay's scratch
//! <root>/containers/.base/  empty mount points (`/proc`, `/etc/hosts`, …) below every image
//! ```
//!
//! The base tree lies under the lowest layer: an image that lacks a mount point gets it from there, and
//! making it does not show up as a change. It is built under another name and renamed into place.

mod base;
mod browse;
mod copy;
mod error;
mod snapshot;
mod view;

pub use base::{build_at as build_base_tree, ensure as base_tree};
pub use browse::{Directory, Item, Place};
pub use error::Error;
pub use snapshot::{Layer, MAX_LOWERS, OverlaySpec, Snapshot, writable_size};
pub use view::View;

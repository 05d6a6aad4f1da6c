//! Layer bytes to file tree and back: tar, compression, whiteouts, extended attributes.
//!
//! - [`apply`] streams a tar into a directory in the form that overlayfs takes as a lower layer.
//! - [`diff`] streams an overlay's upper directory back into a tar, the same bytes for the same tree.
//! - [`TarWriter`] writes a layer's tar entry by entry, as `diff` would.
//! - [`decompress`] recognises how a layer is compressed and undoes it; [`GzipWriter`] compresses.
//! - [`HashingReader`] and [`HashingWriter`] compute a digest of what passes through.
//!
//! Everything here is synchronous and streaming. Layers come from strangers: every number in them is checked, every path
//! is resolved beneath the directory that is given, and every size, depth and count has a limit in [`Limits`].
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::cast_possible_truncation,
        clippy::arithmetic_side_effects
    )
)]

mod apply;
mod compress;
mod decompress;
mod diff;
mod error;
mod hash;
mod limits;
mod tar;
#[cfg(test)]
mod testing;

pub use apply::{Applied, ApplyOptions, OverlayMarks, Ownership, apply};
pub use compress::{GzipWriter, compress_gzip, compress_zstd};
pub use decompress::{Compression, Decoder, decompress};
pub use diff::{DiffOptions, DiffStats, diff};
pub use error::{Error, Limited};
pub use hash::{HashingReader, HashingWriter};
pub use limits::Limits;
pub use tar::{Metadata as TarEntry, TarWriter, Time};

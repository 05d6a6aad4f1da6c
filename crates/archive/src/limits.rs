//! How much an archive may ask for.

/// Entries of a tar, of any kind. The largest archives have a few files per layer.
pub const ENTRIES: usize = 100_000;

/// Bytes of an extended header of one entry.
pub const EXTENSION_BYTES: u64 = 64 << 10;

/// Bytes of a path.
pub const PATH_BYTES: usize = 4096;

/// Bytes of `manifest.json`, `index.json` and `oci-layout`.
pub const TABLE_BYTES: u64 = 8 << 20;

/// Images in one archive.
pub const IMAGES: usize = 10_000;

/// Symbolic links that may lead to a file, one to the next.
pub const LINKS: usize = 8;

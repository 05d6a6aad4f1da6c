//! How much a layer may ask for.

/// Bounds on one layer. Exceeding one is an error that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries, of any kind.
    pub entries: u64,
    /// Sum of the sizes of regular files, holes included.
    pub total_bytes: u64,
    /// Bytes of an entry's name, and of a link's target.
    pub path_bytes: usize,
    /// Components of an entry's name.
    pub depth: usize,
    /// Sum of the names and values of one entry's extended attributes.
    pub xattr_bytes: usize,
    /// Bytes of the headers and sparse maps that come before one entry's content.
    pub extension_bytes: u64,
    /// Bytes after the archive's end. They belong to the layer's digest, so they are read, and thrown away.
    pub trailing_bytes: u64,
}

impl Limits {
    /// Default of [`entries`](Self::entries): ten times the largest layers seen.
    pub const ENTRIES: u64 = 10_000_000;
    /// Default of [`total_bytes`](Self::total_bytes): 1 TiB.
    pub const TOTAL_BYTES: u64 = 1 << 40;
    /// Default of [`path_bytes`](Self::path_bytes): what the kernel takes.
    pub const PATH_BYTES: usize = 4096;
    /// Default of [`depth`](Self::depth).
    pub const DEPTH: usize = 1024;
    /// Default of [`xattr_bytes`](Self::xattr_bytes): what the kernel takes for one attribute, with room for others.
    pub const XATTR_BYTES: usize = 128 << 10;
    /// Default of [`extension_bytes`](Self::extension_bytes).
    pub const EXTENSION_BYTES: u64 = 1 << 20;
    /// Default of [`trailing_bytes`](Self::trailing_bytes).
    pub const TRAILING_BYTES: u64 = 1 << 30;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: Self::ENTRIES,
            total_bytes: Self::TOTAL_BYTES,
            path_bytes: Self::PATH_BYTES,
            depth: Self::DEPTH,
            xattr_bytes: Self::XATTR_BYTES,
            extension_bytes: Self::EXTENSION_BYTES,
            trailing_bytes: Self::TRAILING_BYTES,
        }
    }
}

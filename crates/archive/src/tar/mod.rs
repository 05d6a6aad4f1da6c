//! Tars of few files: a table of where each is, and writing them one after the other.

mod header;
mod output;
mod scan;

pub use output::TarOutput;
pub(crate) use scan::{Table, scan};

/// Unit of everything in a tar.
pub(crate) const BLOCK: usize = 512;

/// How many bytes follow `size` bytes up to the next block.
pub(crate) fn padding_of(size: u64) -> u64 {
    size.wrapping_neg() & 511
}

#[cfg(test)]
mod tests;

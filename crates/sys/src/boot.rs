//! The identity of the running boot: what was only in the page cache is trusted by the boot that wrote it alone.

use std::fs;
use std::io;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's random identifier of this boot, 36 characters.
pub fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string(BOOT_ID)?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests;

//! Developer tasks: everything that CI checks, in one command.
//!
//! `cargo xtask ci` runs all checks in order and stops at the first that fails, with the command
//! that repeats it; `cargo xtask tidy` runs the structural ones alone, which need no build.
//!
//! The last step of `cargo xtask ci` is the acceptance suite that the variable `LAPSTRAKE_ACCEPTANCE`
//! names, see [`accept`]; it is left out, with a line that says so, where the variable is not set.

pub mod accept;
pub mod ci;
pub mod tidy;

use std::path::{Path, PathBuf};

/// The root of the workspace that this program was built in.
pub fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

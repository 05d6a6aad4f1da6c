//! Structural rules that no compiler checks.
//!
//! - Arrows between crates: the last column of the map in `ARCHITECTURE.md` is the law.
//! - Some dependencies belong to some crates only ([`arrows::OWNED`]).
//! - Every dependency takes its version from the workspace; every package takes its lints there.
//! - Production files have at most [`files::LINES_FAIL`] lines.
//! - `unsafe` stands in `crates/sys` alone.
//! - Each crate's root file starts with its documentation; integration tests live in `testing/it`.
//! - Nothing is left "to do" without a number, and nothing names a developer's machine.

pub mod arrows;
pub mod files;

use std::path::Path;

use anyhow::{Context as _, Result};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Broken rules.
    pub errors: Vec<String>,
    /// What will be a broken rule when it grows.
    pub warnings: Vec<String>,
}

/// Checks the workspace at `root`, of which `metadata` is what `cargo metadata` says.
pub fn check(root: &Path, metadata: &str) -> Result<Report> {
    let mut report = Report::default();
    let path = root.join("ARCHITECTURE.md");
    let architecture = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let packages = arrows::packages(root, metadata)?;
    arrows::check(&arrows::map(&architecture), &packages, &mut report);
    for file in files::collect(root)? {
        files::check(&file, &mut report);
    }
    Ok(report)
}

#[cfg(test)]
mod tests;

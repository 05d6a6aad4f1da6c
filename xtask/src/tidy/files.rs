//! Rules about single files.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Report;

/// Production files longer than this are mentioned.
pub const LINES_WARN: usize = 600;
/// Production files longer than this are refused.
pub const LINES_FAIL: usize = 1_000;

/// Folders that are not ours to check.
const SKIPPED_FOLDERS: &[&str] = &["target", ".git", "corpus"];

/// Kinds of files that people write. A name without an extension is a script or a text.
const EXTENSIONS: &[&str] = &[
    "rs", "toml", "md", "sh", "py", "yml", "yaml", "json", "html", "",
];

/// Words that only mean something on one machine, or to nobody. Each is written in two parts, so
/// that this file may be checked too.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a developer's folder"),
    (concat!("../sha", "red/"), "a developer's folder"),
    (concat!("/sha", "red/facts"), "a developer's folder"),
    (concat!("crates", ".io"), "the host of a package registry"),
    (
        concat!("registry.npm", "js.org"),
        "the host of a package registry",
    ),
    (concat!("pypi", ".org"), "the host of a package registry"),
    (
        concat!("proxy.golang", ".org"),
        "the host of a package registry",
    ),
    (
        concat!("deb.debian", ".org"),
        "the host of a package registry",
    ),
];

/// Marks of unfinished work; a number must follow.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

/// A text file.
#[derive(Debug)]
pub struct File {
    /// Path below the root, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// All text files below the root, sorted by path.
pub fn collect(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && is_checked(&name) {
            let bytes = fs::read(entry.path()).with_context(|| format!("{path} cannot be read"))?;
            files.extend(
                String::from_utf8(bytes)
                    .ok()
                    .map(|text| File { path, text }),
            );
        }
    }
    Ok(())
}

fn is_checked(name: &str) -> bool {
    EXTENSIONS.contains(&extension(name))
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Checks one file by the rules for its kind.
pub fn check(file: &File, report: &mut Report) {
    check_words(file, report);
    let name = file.path.rsplit('/').next().unwrap_or_default();
    // Programs that are built inside containers are no part of the workspace.
    let is_ours = !file.path.starts_with("testing/real-builds/");
    if name == "Cargo.toml" && file.path != name && is_ours {
        check_manifest(file, report);
    }
    if extension(name) == "rs" && is_ours {
        check_place(file, report);
        check_length(file, report);
        check_unsafe(file, report);
        let is_root = matches!(name, "lib.rs" | "main.rs") && file.path.contains("/src/");
        if is_root && !file.text.starts_with("//!") {
            report.errors.push(format!(
                "{} must start with the crate's //! documentation",
                file.path
            ));
        }
    }
}

/// Integration tests are one binary, in `testing/it`.
fn check_place(file: &File, report: &mut Report) {
    let is_integration_test = file.path.contains("/tests/") && !file.path.contains("/src/");
    if is_integration_test && !file.path.starts_with("testing/it/") {
        report.errors.push(format!(
            "{}: integration tests belong in testing/it",
            file.path
        ));
    }
}

fn check_length(file: &File, report: &mut Report) {
    if is_test(&file.path) {
        return;
    }
    let lines = file.text.lines().count();
    let path = &file.path;
    if lines > LINES_FAIL {
        report.errors.push(format!(
            "{path} has {lines} lines; {LINES_FAIL} are the limit"
        ));
    } else if lines > LINES_WARN {
        report.warnings.push(format!(
            "{path} has {lines} lines; split it before {LINES_FAIL}"
        ));
    }
}

/// The lint forbids `unsafe`; only `sys` may lift it.
fn check_unsafe(file: &File, report: &mut Report) {
    let lifted =
        ["expect(unsafe", "allow(unsafe", "warn(unsafe"].map(|lift| format!("{lift}_code"));
    let mentions = lifted.iter().any(|lift| file.text.contains(lift.as_str()));
    if mentions && !file.path.starts_with("crates/sys/") {
        report
            .errors
            .push(format!("{}: unsafe code belongs in crates/sys", file.path));
    }
}

fn is_test(path: &str) -> bool {
    path.starts_with("testing/") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn check_words(file: &File, report: &mut Report) {
    for (number, line) in (1..).zip(file.text.lines()) {
        for (word, why) in FORBIDDEN {
            if mentions(line, word) {
                report
                    .errors
                    .push(format!("{}:{number}: `{word}` is {why}", file.path));
            }
        }
        for mark in UNFINISHED {
            if line.split(mark).skip(1).any(|after| !has_number(after)) {
                report
                    .errors
                    .push(format!("{}:{number}: `{mark}` without a number", file.path));
            }
        }
    }
}

/// Whether the word is there; a path must be absolute, not the end of another.
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.split_at(at).0.chars().next_back();
        !word.starts_with('/')
            || before.is_none_or(|c| {
                c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '(' | '=' | ':')
            })
    })
}

/// `(#12)`, ` #12`, `(12)`.
fn has_number(after: &str) -> bool {
    after
        .trim_start_matches(['(', ' ', '#'])
        .starts_with(|c: char| c.is_ascii_digit())
}

/// Versions and lints come from the workspace.
fn check_manifest(file: &File, report: &mut Report) {
    let mut in_dependencies = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
            continue;
        }
        let is_entry = in_dependencies && line.contains('=') && !line.starts_with('#');
        let is_own_workspace = file.path.starts_with("fuzz/");
        if is_entry && !line.contains("workspace = true") && !is_own_workspace {
            report.errors.push(format!(
                "{}:{number}: versions belong in the workspace's Cargo.toml",
                file.path
            ));
        }
    }
    if !file.text.contains("[lints]\nworkspace = true") && !file.path.starts_with("fuzz/") {
        report
            .errors
            .push(format!("{} does not take the workspace's lints", file.path));
    }
}

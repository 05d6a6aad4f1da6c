//! Which crate may use which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Report;

/// Arrows that no map may allow.
pub const NEVER: &[(&str, &str)] = &[
    ("archive", "registry"),
    ("archive", "store"),
    ("registry", "archive"),
    ("registry", "store"),
    ("store", "archive"),
    ("store", "registry"),
    ("build", "runtime"),
    ("build", "net"),
    ("container", "build"),
    ("runtime", "image"),
    ("runtime", "store"),
];

/// Third-party crates that only these crates may use. Those under `testing` may use all.
pub const OWNED: &[(&str, &[&str])] = &[
    ("aws-lc-rs", &["engine"]),
    ("axum", &["registry", "api"]),
    ("hyper", &["registry", "api"]),
    ("hyper-util", &["registry", "api"]),
    ("reqwest", &["registry"]),
    ("rustls", &["registry"]),
    ("clap", &["lapstrake"]),
    ("indicatif", &["lapstrake"]),
    (
        "tokio",
        &[
            "archive",
            "image",
            "registry",
            "store",
            "engine",
            "api",
            "lapstrake",
        ],
    ),
    ("anyhow", &["xtask"]),
];

/// A package of the workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Its folder below the root: `crates/spec`.
    pub folder: String,
    /// Folders of the workspace's packages that its product code uses.
    pub uses: BTreeSet<String>,
    /// Other packages that its product code uses.
    pub third_party: BTreeSet<String>,
}

/// The map: each folder, and the folders that it may use. Nothing means any.
pub type Map = BTreeMap<String, Option<BTreeSet<String>>>;

/// Reads the map out of the table whose rows start with a folder's name.
pub fn map(architecture: &str) -> Map {
    let mut map = Map::new();
    let mut above = BTreeSet::new();
    for line in architecture.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", names, _, allowed, ""] = cells.as_slice() else {
            continue;
        };
        let folders: Vec<String> = quoted(names).map(folder_of).collect();
        let allowed = match *allowed {
            "all above" => Some(above.clone()),
            allowed if allowed.starts_with("any") => None,
            allowed => Some(
                allowed
                    .split(',')
                    .map(str::trim)
                    .filter(|name| *name != "–")
                    .map(folder_of)
                    .collect(),
            ),
        };
        above.extend(folders.iter().cloned());
        map.extend(folders.into_iter().map(|folder| (folder, allowed.clone())));
    }
    map
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The map names crates by the last part of their folder, and other packages whole.
fn folder_of(name: &str) -> String {
    if name.contains('/') || name == "xtask" {
        name.to_owned()
    } else {
        format!("crates/{name}")
    }
}

/// The packages of the workspace with what they use. Development dependencies do not count.
pub fn packages(root: &Path, metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata is not JSON")?;
    let list = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let mut packages = Vec::new();
    for package in list {
        let manifest = package["manifest_path"]
            .as_str()
            .context("a package without a manifest")?;
        let folder = Path::new(manifest)
            .parent()
            .and_then(|path| relative(root, path));
        let mut found = Package {
            folder: folder.with_context(|| format!("{manifest} is not below the root"))?,
            ..Package::default()
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let path = dependency["path"].as_str();
            match path.and_then(|path| relative(root, Path::new(path))) {
                Some(folder) => found.uses.insert(folder),
                None => found
                    .third_party
                    .insert(dependency["name"].as_str().unwrap_or_default().to_owned()),
            };
        }
        packages.push(found);
    }
    Ok(packages)
}

fn relative(root: &Path, path: &Path) -> Option<String> {
    Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())
}

/// Compares what is used with what may be used.
pub fn check(map: &Map, packages: &[Package], report: &mut Report) {
    for package in packages {
        let folder = &package.folder;
        match map.get(folder) {
            None => report
                .errors
                .push(format!("{folder} is missing in the map of ARCHITECTURE.md")),
            Some(None) => {}
            Some(Some(allowed)) => {
                for used in package.uses.difference(allowed) {
                    report
                        .errors
                        .push(format!("{folder} may not use {used}: see ARCHITECTURE.md"));
                }
            }
        }
        if !folder.starts_with("testing/") {
            check_product(package, report);
        }
    }
    for folder in map.keys() {
        if !packages.iter().any(|package| package.folder == *folder) {
            report.errors.push(format!(
                "{folder} is in the map of ARCHITECTURE.md, but nowhere else"
            ));
        }
    }
}

fn check_product(package: &Package, report: &mut Report) {
    let folder = &package.folder;
    let name = folder.rsplit('/').next().unwrap_or_default();
    for used in &package.uses {
        if used.starts_with("testing/") {
            report
                .errors
                .push(format!("{folder} uses {used}, which is for tests"));
        }
        let used = used.rsplit('/').next().unwrap_or_default();
        if NEVER.contains(&(name, used)) {
            report.errors.push(format!("{folder} may never use {used}"));
        }
    }
    for (third_party, owners) in OWNED {
        if package.third_party.contains(*third_party) && !owners.contains(&name) {
            let owners = owners.join(", ");
            report.errors.push(format!(
                "{folder} may not use {third_party}: it belongs to {owners}"
            ));
        }
    }
}

//! The images of failed steps: of each Dockerfile, the newest one stays until a build of it succeeds.
//!
//! An image that somebody has tagged, or that a container was made from, is not removed. The latter stays on
//! the list, and goes when the container has gone.
//!
//! The list is replaced as a whole. Of two builds of one Dockerfile that fail at the same moment, one image
//! may be forgotten; it is then an untagged image like any other.

use super::driver::Build;
use crate::ops::rmi::{RmiRequest, rmi};
use lapstrake_build::cache::Key;
use lapstrake_spec::Digest;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where the lists are, below the store.
const FOLDER: &str = "build/failed";
/// Images that are remembered while containers keep them.
const LIST_LIMIT: usize = 16;

/// Removes the images of earlier failures, and remembers the one of this. Whatever cannot be done here is no reason
/// for a build to fail: an image too many stays.
pub(super) fn replace(build: &Build<'_>, scope: &str, newest: Option<&Digest>) {
    let path = path(build, scope);
    let known = read(&path);
    if known.is_empty() && newest.is_none() {
        return;
    }
    let mut list: Vec<Digest> = newest.into_iter().cloned().collect();
    let old = known.into_iter().filter(|id| Some(id) != newest);
    list.extend(old.filter(|id| !remove(build, id)));
    list.truncate(LIST_LIMIT);
    write(&path, &list).ok();
}

fn path(build: &Build<'_>, scope: &str) -> PathBuf {
    let name = Key::of(scope.as_bytes()).to_string();
    build.store.root().join(FOLDER).join(name)
}

fn read(path: &Path) -> Vec<Digest> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().take(LIST_LIMIT);
    lines.filter_map(|line| Digest::parse(line).ok()).collect()
}

fn write(path: &Path, list: &[Digest]) -> io::Result<()> {
    if list.is_empty() {
        return fs::remove_file(path);
    }
    if let Some(folder) = path.parent() {
        let mut folders = fs::DirBuilder::new();
        folders.recursive(true).mode(0o700).create(folder)?;
    }
    let lines: Vec<String> = list.iter().map(|id| format!("{id}\n")).collect();
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, lines.concat())?;
    fs::rename(&temporary, path)
}

/// Whether nothing is left to be done about an image: it is gone, or it has become somebody's.
fn remove(build: &Build<'_>, id: &Digest) -> bool {
    let Ok(images) = build.store.images() else {
        return false;
    };
    let is_named = !images.tags_of(id).is_empty() || !images.digests_of(id).is_empty();
    if is_named || images.by_id(id).is_none() {
        return true;
    }
    let request = RmiRequest {
        image: id.to_string(),
        force: false,
        prune: false,
        dry_run: false,
        platforms: Vec::new(),
    };
    rmi(build.engine, &request).is_ok()
}

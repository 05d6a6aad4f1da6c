//! The files that tell scripts what a build made: `--iidfile` and `--metadata-file`.

use super::{Exported, failed};
use crate::error::Error;
use lapstrake_spec::{Digest, Reference};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// The members of the metadata document, under buildx's keys. `build_ref` is buildx's reference of the
/// build: `builder/node/id`.
pub fn build_metadata(exported: &[Exported], build_ref: &str) -> Map<String, Value> {
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| {
        document.insert(key.to_owned(), value);
    };
    if !build_ref.is_empty() {
        put("buildx.build.ref", build_ref.into());
    }
    // With several outputs the last one that made an image speaks, as in buildx.
    for exported in exported {
        if let Some(id) = &exported.id {
            put("containerimage.config.digest", id.as_str().into());
        }
        if let Some(manifest) = &exported.manifest {
            let descriptor = serde_json::to_value(manifest).unwrap_or_default();
            put("containerimage.descriptor", descriptor);
            put("containerimage.digest", manifest.digest.as_str().into());
        }
        if !exported.names.is_empty() {
            let names = exported.names.iter().map(Reference::canonical);
            put("image.name", names.collect::<Vec<_>>().join(",").into());
        }
    }
    document.sort_keys();
    document
}

/// Writes the metadata document as buildx does: indented by two blanks, no line end.
pub fn write_metadata(path: &Path, document: &Map<String, Value>) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(document).map_err(Error::internal)?;
    write(path, &text)
}

/// Writes the image id, without a line end.
pub fn write_iidfile(path: &Path, id: &Digest) -> Result<(), Error> {
    write(path, id.as_str())
}

/// Replaces a file: whoever waits for it never reads half of it. A device is written to.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let failed = |action| failed(format!("{action} {}", path.display()));
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, text).map_err(failed("write"));
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(
        ".{}.tmp",
        rustix::process::getpid().as_raw_nonzero()
    ));
    let temporary = PathBuf::from(temporary);
    let written = fs::write(&temporary, text).map_err(failed("open"));
    let renamed = written.and_then(|()| fs::rename(&temporary, path).map_err(failed("rename")));
    if renamed.is_err() {
        fs::remove_file(&temporary).ok();
    }
    renamed
}

//! Names on disk, and the making of an empty store.

use crate::disk::{Disk, PRIVATE_DIR, PUBLIC_DIR, text};
use crate::{Error, OpenOptions};
use lapstrake_spec::{Algorithm, Digest};
use lapstrake_sys::lock::Lock;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The version of the format that this program writes.
const VERSION: &str = "1";

pub(crate) const LOCK: &str = "lock";
pub(crate) const IMAGE: &str = "image";
pub(crate) const INDEX: &str = "index.json";
pub(crate) const BLOBS: &str = "image/blobs";
pub(crate) const LAYERS: &str = "layers";
pub(crate) const CONTAINERS: &str = "containers";
pub(crate) const INGEST: &str = "ingest";
pub(crate) const TRASH: &str = "trash";
pub(crate) const LEASES: &str = "leases";
pub(crate) const VOLUMES: &str = "volumes";
/// The folder of a layer that is the tree.
pub(crate) const TREE: &str = "fs";
/// The record beside the tree.
pub(crate) const LAYER_RECORD: &str = "layer.json";
/// The end of the name of a blob on its way in.
pub(crate) const PARTIAL: &str = ".partial";

pub(crate) const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const EMPTY_INDEX: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// What may be in the root before there is a `VERSION`.
const KNOWN: [&str; 9] = [
    LOCK, IMAGE, LAYERS, CONTAINERS, INGEST, TRASH, LEASES, VOLUMES, "build",
];

pub(crate) fn blob(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm(), digest.hex())
}

pub(crate) fn partial(digest: &Digest) -> String {
    format!("{INGEST}/{}-{}{PARTIAL}", digest.algorithm(), digest.hex())
}

pub(crate) fn layer(diff_id: &Digest) -> String {
    format!("{LAYERS}/{}", diff_id.hex())
}

/// The diff id of a folder in `layers/`: the number of digits tells the algorithm.
pub(crate) fn diff_id_of(name: &str) -> Option<Digest> {
    [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512]
        .into_iter()
        .find(|algorithm| algorithm.hex_len() == name.len())
        .and_then(|algorithm| Digest::parse(&format!("{algorithm}:{name}")).ok())
}

/// The blob that a file in `ingest/` is becoming.
pub(crate) fn digest_of_partial(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_suffix(PARTIAL)?.split_once('-')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// Opens the root; makes the store when there is none and that is wanted.
pub(crate) fn open(root: &Path, options: &OpenOptions, create: bool) -> Result<Disk, Error> {
    let action = format!("open {}", root.display());
    let disk = match Disk::open(root, options.faults.clone()) {
        Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
            make_root(root)?;
            Disk::open(root, options.faults.as_ref().map(Arc::clone)).map_err(Error::io(action))?
        }
        other => other.map_err(Error::io(action))?,
    };
    match version(&disk)? {
        Some(found) => check_version(found)?,
        None if create => initialise(&disk)?,
        None => {
            return Err(Error::NotAStore {
                path: root.to_owned(),
            });
        }
    }
    Ok(disk)
}

fn make_root(root: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(parent) = root.parent() {
        std::fs::create_dir_all(parent)
            .map_err(Error::io(format!("mkdir {}", parent.display())))?;
    }
    match std::fs::DirBuilder::new().mode(0o710).create(root) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(Error::io(format!("mkdir {}", root.display()))),
    }
}

fn version(disk: &Disk) -> Result<Option<String>, Error> {
    match disk.read("VERSION", 64) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_version(found: String) -> Result<(), Error> {
    if found == VERSION {
        return Ok(());
    }
    match found.parse::<u64>() {
        Ok(_) => Err(Error::NewerVersion { found }),
        Err(_) => Err(Error::damaged("VERSION", "not a number")),
    }
}

/// Makes folders and empty files, under the lock, `VERSION` last.
fn initialise(disk: &Disk) -> Result<(), Error> {
    let entries = disk.entries(".")?;
    if entries.iter().any(|entry| {
        let name = text(&entry.name);
        !KNOWN.contains(&name) && !name.starts_with(".VERSION.") && name != "lost+found"
    }) && version(disk)?.is_none()
    {
        return Err(Error::NotAStore {
            path: disk.root().to_owned(),
        });
    }
    let lock = Lock::exclusive(disk.open_lock_file(LOCK)?).map_err(disk.failed("lock", LOCK))?;
    if version(disk)?.is_some() {
        return Ok(());
    }
    for (path, mode) in [
        (IMAGE, PUBLIC_DIR),
        (BLOBS, PUBLIC_DIR),
        ("image/blobs/sha256", PUBLIC_DIR),
        (LAYERS, PRIVATE_DIR),
        (CONTAINERS, PRIVATE_DIR),
        (INGEST, PRIVATE_DIR),
        (TRASH, PRIVATE_DIR),
        (LEASES, PRIVATE_DIR),
    ] {
        disk.ensure_dir(path, mode)?;
    }
    // The other folders' names become durable with the files below.
    disk.sync_dir(BLOBS)?;
    for (name, bytes) in [("oci-layout", OCI_LAYOUT), (INDEX, EMPTY_INDEX)] {
        if !disk.exists(&format!("{IMAGE}/{name}"))? {
            disk.write_atomic(IMAGE, name, bytes)?;
        }
    }
    disk.write_atomic("", "VERSION", format!("{VERSION}\n").as_bytes())?;
    drop(lock);
    Ok(())
}

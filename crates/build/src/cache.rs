//! The build cache: what each step was made from, and the layer that it made.
//!
//! # On disk
//!
//! ```text
//! <root>/build/records/<key>     JSON, see Record: one finished step; a root of the store's collection
//! <root>/build/steps/<name>      the key of the newest record of a step; a name is a hash of the step's place
//!                                (to explain), or of what is known before files are read (a short cut)
//! <root>/build/files/<digest>    the list of files behind a record, to explain
//! <root>/build/digests/<name>    digests of the files of one context directory
//! <root>/build/remote/<address>   what a server said of a file, and what the file was, see RemoteRecord
//! <root>/build/mounts/<hash>/    cache mounts, see the module `mounts`
//! ```
//!
//! A key is the BLAKE3 hash of everything that the layer depends on. What a step stands on goes into it as content
//! (the diff ids below), not as history: a step that is run again and makes the same layer hides nothing from
//! the steps after it.
//!
//! # Who locks
//!
//! Nobody. Files are written whole under another name and renamed; two builds that make the same record write
//! the same key, and the later one stays.
//!
//! # What a crash leaves
//!
//! The blob of a layer is durable before it has its name, and it has its name before a record refers to it. A
//! record whose blob is not there is not believed, a record that is torn is not read. So after kill -9 or a
//! loss of power there are fewer records, never wrong ones, and temporary names that [`Cache::prune`] takes.

mod digests;
mod explain;
mod key;
mod mounts;
mod prune;
mod record;
mod remote;

pub use explain::Explanation;
pub use key::{ContentHasher, Key};
pub use prune::{CacheEntry, EntryKind, PruneOptions, Pruned};
pub use record::{FileDigest, FileList, Inputs, Record};
pub use remote::RemoteRecord;

pub(crate) use digests::Digests;
pub(crate) use explain::explain;
pub(crate) use key::KeyHasher;
pub(crate) use mounts::{CacheMount, Wanted, claim};
pub(crate) use record::{VERSION, push_file};

use crate::cancel::CancelToken;
use crate::source::{SourceError, Time};
use lapstrake_store::Store;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest record or list that is read.
const FILE_LIMIT: u64 = 256 << 20;

/// The cache of one store. Opening it touches nothing.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// Records that other places have, with layers that are fetched one by one.
pub trait Imports: Sync {
    /// Brings the layers of a record here and enters it in the cache; false when there is none, or when
    /// it cannot be had, which is no reason for a build to fail.
    fn fetch(&self, key: &Key, cancel: &CancelToken) -> Result<bool, SourceError>;
}

/// What could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action}")]
pub struct CacheError {
    action: String,
    #[source]
    source: io::Error,
}

impl CacheError {
    pub(crate) fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let action = format!("{what} {}", path.display());
        move |source| Self { action, source }
    }

    /// The system's answer, as when the disk is full.
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

impl Cache {
    /// The cache beside this store's layers.
    pub fn of(store: &Store) -> Self {
        Self {
            folder: store.root().join("build"),
        }
    }

    /// The record of a key; none when there is none that can be read. Whether its layer is still there
    /// is not looked at.
    pub fn record(&self, key: &Key) -> Option<Record> {
        let raw = read(&self.record_path(key))?;
        let record: Record = serde_json::from_slice(&raw).ok()?;
        (record.version == VERSION && record.key == *key).then_some(record)
    }

    /// Enters a record that another store has made. Its layer must be in the store, and protected.
    pub fn put(&self, record: &Record) -> Result<(), CacheError> {
        self.enter(record)?;
        if record.inputs.files.is_none() {
            return Ok(());
        }
        // Without a name for what is known before files are read nobody would look for it.
        let mut before = record.inputs.clone();
        before.files = None;
        self.point(&shortcut(&before, None), &record.key)
    }

    /// Enters a record of this store's own.
    pub(crate) fn enter(&self, record: &Record) -> Result<(), CacheError> {
        let path = self.record_path(&record.key);
        let raw = serde_json::to_vec(record)
            .map_err(|error| CacheError::at("encode", &path)(error.into()))?;
        write(&path, &raw)
    }

    /// Removes a record. Its layer goes with the next collection.
    pub fn remove(&self, key: &Key) -> Result<(), CacheError> {
        remove(&self.record_path(key))
    }

    /// Notes that a record was used, for whoever prunes.
    pub(crate) fn touch(&self, key: &Key, now: Time) {
        // A record that is gone, or a disk that cannot be written, is found out elsewhere.
        touch(&self.record_path(key), now).ok();
    }

    /// The key behind a name.
    pub(crate) fn pointed(&self, name: &Key) -> Option<Key> {
        Key::parse(std::str::from_utf8(&read(&self.step_path(name))?).ok()?)
    }

    /// Lets a name stand for a key.
    pub(crate) fn point(&self, name: &Key, key: &Key) -> Result<(), CacheError> {
        if self.pointed(name).as_ref() == Some(key) {
            return Ok(());
        }
        write(&self.step_path(name), key.to_string().as_bytes())
    }

    /// Free text behind a name, as the classic builder's images are kept.
    pub(crate) fn note(&self, name: &Key) -> Option<String> {
        String::from_utf8(read(&self.step_path(name))?).ok()
    }

    /// Keeps a text behind a name.
    pub(crate) fn put_note(&self, name: &Key, text: &str) -> Result<(), CacheError> {
        write(&self.step_path(name), text.as_bytes())
    }

    /// The files behind a record.
    pub fn files(&self, list: &FileList) -> Option<Vec<FileDigest>> {
        let raw = read(&self.folder.join("files").join(&list.digest))?;
        record::parse_files(&raw)
    }

    pub(crate) fn put_files(&self, list: &FileList, text: &[u8]) -> Result<(), CacheError> {
        let path = self.folder.join("files").join(&list.digest);
        if path.exists() {
            return Ok(());
        }
        write(&path, text)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn record_path(&self, key: &Key) -> PathBuf {
        self.folder.join("records").join(key.to_string())
    }

    fn step_path(&self, name: &Key) -> PathBuf {
        self.folder.join("steps").join(name.to_string())
    }
}

/// The name of what is known of a `COPY` before files are read. `source` is the content of the node that they come from.
pub(crate) fn shortcut(inputs: &Inputs, source: Option<Key>) -> Key {
    let mut hasher = KeyHasher::new("shortcut");
    hasher.field(inputs.key().as_bytes());
    if let Some(source) = source {
        hasher.field(source.as_bytes());
    }
    hasher.finish()
}

/// The bytes of a file; none when it is missing, unreadable or absurdly large: everything here can be made anew.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path).ok()?.take(FILE_LIMIT);
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Replaces a file: readers see the old bytes or the new ones. Not durable, see the module.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let process = rustix::process::getpid().as_raw_nonzero();
    let folder = path.parent().unwrap_or(path);
    let temporary = folder.join(format!(".{process}-{count}.tmp"));
    let mut file = match fs::File::create(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(folder)?;
            fs::File::create(&temporary)
        }
        other => other,
    }
    .map_err(CacheError::at("create", &temporary))?;
    let written = file
        .write_all(bytes)
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        fs::remove_file(&temporary).ok();
    }
    written.map_err(CacheError::at("write", path))
}

/// Makes a folder that nobody else may enter, and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), CacheError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(CacheError::at("mkdir", path))
}

fn remove(path: &Path) -> Result<(), CacheError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CacheError::at("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Sets the times of a file.
pub(crate) fn touch(path: &Path, now: Time) -> io::Result<()> {
    let at = rustix::fs::Timespec {
        tv_sec: now.seconds,
        tv_nsec: now.nanoseconds.into(),
    };
    let times = rustix::fs::Timestamps {
        last_access: at,
        last_modification: at,
    };
    Ok(rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        rustix::fs::AtFlags::empty(),
    )?)
}

#[cfg(test)]
mod tests;

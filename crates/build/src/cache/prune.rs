//! What the cache holds, and how it gets smaller.

use super::{Cache, CacheError, Key, Record, mounts, read};
use crate::source::Time;
use lapstrake_spec::Digest;
use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of one block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;
/// Lists, short cuts and digests are removed when nothing points to them any more, or after this many seconds unused.
const SIDE_SECONDS: i64 = 30 * 24 * 3600;

/// One thing that the cache keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its name: a key in print, for a cache mount the name of its directory.
    pub id: String,
    /// What it is.
    pub kind: EntryKind,
    /// The step, or the id of the cache mount.
    pub description: String,
    /// Bytes: of a layer's files, or what a cache mount takes on disk.
    pub size: u64,
    /// When it was made, RFC 3339; empty when that is not known.
    pub created: String,
    /// When a build last used it.
    pub last_used: Time,
    /// Whether an image has the same layer, so that removing the entry frees nothing.
    pub shared: bool,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A finished step.
    Step,
    /// A directory of `RUN --mount=type=cache`.
    Mount,
}

/// What to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Also what images have anyway.
    pub all: bool,
    /// Only what was not used since.
    pub unused_since: Option<Time>,
    /// Only as much as it takes to come down to so many bytes, the longest unused first.
    pub keep_bytes: Option<u64>,
    /// Only these kinds; empty is every kind.
    pub kinds: Vec<EntryKind>,
    /// Now.
    pub now: Time,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The entries.
    pub entries: Vec<CacheEntry>,
    /// Bytes on disk of what the cache alone has: records and cache mounts. Layers are the store's to count.
    pub bytes: u64,
}

impl Cache {
    /// Everything that the cache keeps, the last used first. `images` are the layers of images.
    pub fn entries(&self, images: &BTreeSet<Digest>) -> Result<Vec<CacheEntry>, CacheError> {
        let mut found = Vec::new();
        for entry in folder(&self.folder().join("records"))? {
            found.extend(step(&entry, images));
        }
        for entry in folder(&self.folder().join("mounts"))? {
            found.extend(mount(&entry));
        }
        found.sort_by(|a, b| (b.last_used, &a.id).cmp(&(a.last_used, &b.id)));
        Ok(found)
    }

    /// Removes what the options say, and what a crash has left. The space of layers is free after the
    /// store's next collection.
    pub fn prune(
        &self,
        options: &PruneOptions,
        images: &BTreeSet<Digest>,
    ) -> Result<Pruned, CacheError> {
        let before = self.side_bytes();
        let mut pruned = self.select(options, images, |entry| self.remove_entry(entry))?;
        self.sweep(options.now)?;
        pruned.bytes = before
            .saturating_sub(self.side_bytes())
            .saturating_add(mount_bytes(&pruned.entries));
        Ok(pruned)
    }

    /// What [`prune`](Self::prune) would remove.
    pub fn prunable(
        &self,
        options: &PruneOptions,
        images: &BTreeSet<Digest>,
    ) -> Result<Pruned, CacheError> {
        let mut pruned = self.select(options, images, |_entry| Ok(true))?;
        let steps = pruned.entries.iter();
        let steps = steps.filter(|entry| entry.kind == EntryKind::Step);
        let gone: BTreeSet<&str> = steps.map(|entry| entry.id.as_str()).collect();
        let records = gone.iter().map(|id| self.folder().join("records").join(id));
        let litter = self.litter(options.now, &gone)?;
        let mounts = self.folder().join("mounts");
        let litter = litter.into_iter().filter(|path| !path.starts_with(&mounts));
        pruned.bytes = records
            .chain(litter)
            .map(bytes_on_disk)
            .sum::<u64>()
            .saturating_add(mount_bytes(&pruned.entries));
        Ok(pruned)
    }

    /// What everything but layers and cache mounts takes on disk.
    fn side_bytes(&self) -> u64 {
        let folders = ["records", "steps", "files", "digests", "remote"].into_iter();
        folders
            .map(|name| bytes_on_disk(self.folder().join(name)))
            .sum()
    }

    fn select(
        &self,
        options: &PruneOptions,
        images: &BTreeSet<Digest>,
        mut take: impl FnMut(&CacheEntry) -> Result<bool, CacheError>,
    ) -> Result<Pruned, CacheError> {
        let entries = self.entries(images)?;
        let mut kept: u64 = entries.iter().map(|entry| entry.size).sum();
        let mut pruned = Pruned::default();
        for entry in entries.into_iter().rev() {
            let young = options
                .unused_since
                .is_some_and(|since| entry.last_used > since);
            let enough = options.keep_bytes.is_some_and(|keep| kept <= keep);
            let other = !options.kinds.is_empty() && !options.kinds.contains(&entry.kind);
            if young || enough || other || (entry.shared && !options.all) {
                continue;
            }
            if take(&entry)? {
                kept = kept.saturating_sub(entry.size);
                pruned.entries.push(entry);
            }
        }
        Ok(pruned)
    }

    fn remove_entry(&self, entry: &CacheEntry) -> Result<bool, CacheError> {
        match entry.kind {
            EntryKind::Mount => mounts::remove(&self.folder().join("mounts").join(&entry.id)),
            EntryKind::Step => {
                if let Some(key) = Key::parse(&entry.id) {
                    self.remove(&key)?;
                }
                Ok(true)
            }
        }
    }

    /// Removes temporary names of the dead, pointers to records that are gone, and what nobody has
    /// written for long.
    fn sweep(&self, now: Time) -> Result<(), CacheError> {
        for path in self.litter(now, &BTreeSet::new())? {
            remove_any(&path);
        }
        for entry in folder(&self.folder().join("mounts"))? {
            let path = entry.path();
            if !is_temporary(&entry) && !mounts::is_whole(&path) && path.is_dir() {
                mounts::remove(&path)?;
            }
        }
        Ok(())
    }

    /// What nobody needs besides broken mounts, when the records `gone` are removed.
    fn litter(&self, now: Time, gone: &BTreeSet<&str>) -> Result<Vec<PathBuf>, CacheError> {
        let mut litter = Vec::new();
        for name in ["records", "steps", "files", "digests", "remote", "mounts"] {
            for entry in folder(&self.folder().join(name))? {
                let old = entry
                    .metadata()
                    .is_ok_and(|metadata| metadata.mtime() < now.seconds - SIDE_SECONDS);
                let stale = match name {
                    "steps" => self.is_stale_pointer(&entry.path(), gone),
                    "files" | "digests" | "remote" => old,
                    _ => false,
                };
                if stale || (is_temporary(&entry) && !is_of_living(&entry)) {
                    litter.push(entry.path());
                }
            }
        }
        Ok(litter)
    }

    fn is_stale_pointer(&self, path: &Path, gone: &BTreeSet<&str>) -> bool {
        let target = read(path)
            .and_then(|raw| String::from_utf8(raw).ok())
            .and_then(|text| Key::parse(&text));
        target.is_some_and(|key| {
            let id = key.to_string();
            gone.contains(id.as_str()) || !self.folder().join("records").join(&id).exists()
        })
    }
}

fn mount_bytes(entries: &[CacheEntry]) -> u64 {
    let mounts = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Mount);
    mounts.map(|entry| entry.size).sum()
}

fn step(entry: &DirEntry, images: &BTreeSet<Digest>) -> Option<CacheEntry> {
    let record: Record = serde_json::from_slice(&read(&entry.path())?).ok()?;
    Some(CacheEntry {
        id: record.key.to_string(),
        kind: EntryKind::Step,
        description: record.name,
        size: record.size,
        created: record.created,
        last_used: modified(&entry.path()),
        shared: record.layers.iter().all(|layer| images.contains(layer)),
    })
}

fn mount(entry: &DirEntry) -> Option<CacheEntry> {
    let home = entry.path();
    if is_temporary(entry) || !mounts::is_whole(&home) {
        return None;
    }
    Some(CacheEntry {
        id: entry.file_name().to_string_lossy().into_owned(),
        kind: EntryKind::Mount,
        description: String::from_utf8_lossy(&read(&home.join("id"))?).into_owned(),
        size: bytes_on_disk(home.join("data")),
        created: String::new(),
        last_used: modified(&home.join("lock")),
        shared: false,
    })
}

fn folder(path: &Path) -> Result<Vec<DirEntry>, CacheError> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other
            .and_then(Iterator::collect)
            .map_err(CacheError::at("read", path)),
    }
}

fn modified(path: &Path) -> Time {
    fs::metadata(path).map_or(Time::default(), |metadata| Time {
        seconds: metadata.mtime(),
        nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
    })
}

fn is_temporary(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().ends_with(".tmp")
}

/// Whether the process whose number is in a temporary name is there. One of the same number may be
/// another: then the name stays for the next time.
fn is_of_living(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    let Some(number) = name
        .rsplit('.')
        .nth(1)
        .and_then(|part| part.split('-').next())
    else {
        return false;
    };
    number.parse::<u32>().is_ok() && Path::new("/proc").join(number).exists()
}

fn remove_any(path: &Path) {
    // What cannot be removed now is tried again the next time.
    if path.is_dir() {
        mounts::discard(path);
    } else {
        fs::remove_file(path).ok();
    }
}

/// The blocks of a tree. What vanishes meanwhile is not counted.
fn bytes_on_disk(top: PathBuf) -> u64 {
    let mut bytes = 0;
    let mut queue = vec![top];
    while let Some(path) = queue.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        bytes += metadata.blocks() * BLOCK_BYTES;
        if metadata.is_dir()
            && let Ok(entries) = fs::read_dir(&path)
        {
            queue.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        }
    }
    bytes
}

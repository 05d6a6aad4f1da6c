//! What the store takes on disk.

use crate::disk::text;
use crate::layout::{CONTAINERS, INGEST, TRASH, VOLUMES};
use crate::{Error, Store};
use lapstrake_spec::Digest;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Bytes of one block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// What the parts of a store take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Images, each counted once whatever its names.
    pub images: usize,
    /// Blobs.
    pub blobs: usize,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Unpacked layers.
    pub layers: usize,
    /// Bytes of their files, as recorded.
    pub layer_bytes: u64,
    /// Containers.
    pub containers: usize,
    /// What their folders take on disk.
    pub container_bytes: u64,
    /// Volumes.
    pub volumes: usize,
    /// What they take on disk.
    pub volume_bytes: u64,
    /// What unfinished downloads and removed things still take on disk.
    pub pending_bytes: u64,
}

impl Store {
    /// Adds up what the store takes. Reads every folder of containers and volumes.
    pub fn usage(&self) -> Result<Usage, Error> {
        let images = self.images()?;
        let ids: BTreeSet<&Digest> = images.entries().iter().map(|entry| &entry.id).collect();
        let mut usage = Usage {
            images: ids.len(),
            ..Usage::default()
        };
        for (_, path) in self.all_blobs()? {
            usage.blobs += 1;
            usage.blob_bytes += self.file_size(&path)?;
        }
        for diff_id in self.unpacked()? {
            usage.layers += 1;
            usage.layer_bytes += self.layer_size(&diff_id)?;
        }
        (usage.containers, usage.container_bytes) = self.folders(CONTAINERS)?;
        (usage.volumes, usage.volume_bytes) = self.folders(VOLUMES)?;
        usage.pending_bytes = self.folders(INGEST)?.1 + self.folders(TRASH)?.1;
        Ok(usage)
    }

    /// What a container's folder takes on disk.
    pub fn container_bytes(&self, id: &str) -> u64 {
        bytes_on_disk(self.disk().path(&format!("{CONTAINERS}/{id}")))
    }

    /// What a volume takes on disk.
    pub fn volume_bytes(&self, name: &str) -> u64 {
        bytes_on_disk(self.disk().path(&format!("{VOLUMES}/{name}")))
    }

    /// How many things are in a folder, hidden ones apart, and what all of them take.
    fn folders(&self, path: &str) -> Result<(usize, u64), Error> {
        let mut found = (0, 0);
        for entry in self.disk().entries(path)? {
            let name = text(&entry.name);
            if !name.starts_with('.') {
                found.0 += 1;
                found.1 += bytes_on_disk(self.disk().path(&format!("{path}/{name}")));
            }
        }
        Ok(found)
    }
}

/// The blocks of a tree, files with several names once. What vanishes or cannot be read meanwhile is not
/// counted.
pub(crate) fn bytes_on_disk(top: PathBuf) -> u64 {
    let mut bytes = 0;
    let mut queue = vec![top];
    let mut linked = BTreeSet::new();
    while let Some(path) = queue.pop() {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        let is_new = metadata.is_dir()
            || metadata.nlink() < 2
            || linked.insert((metadata.dev(), metadata.ino()));
        if is_new {
            bytes += metadata.blocks() * BLOCK_BYTES;
        }
        if metadata.is_dir()
            && let Ok(entries) = std::fs::read_dir(&path)
        {
            queue.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        }
    }
    bytes
}

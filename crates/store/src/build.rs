//! What builds need: layers whose tree is there before their digest is known, and the records of the build
//! cache as roots of the collection.
//!
//! `<root>/build/records/` holds one JSON file for each cached step. Of these only `Layers` (diff ids) and
//! `LayerBlobs` (descriptors) are read here; a file that cannot be read as such is no root, because a lost
//! cache record costs time and nothing else. Everything else below `build/` belongs to the build crate.

use crate::disk::{PRIVATE_DIR, text};
use crate::gc::{Live, Without};
use crate::ingest::{NewFile, NewTree};
use crate::layers::{LayerRecord, Unpacked};
use crate::layout::{self, TREE};
use crate::produce::BlobWriter;
use crate::{Error, Lease, Store};
use lapstrake_spec::{Descriptor, Digest, MediaType};
use serde::Deserialize;
use std::io::{self, Write};
use std::path::PathBuf;

/// The records of the build cache.
pub(crate) const RECORDS: &str = "build/records";

/// The largest record that is read as a root.
const RECORD_LIMIT: u64 = 1 << 20;

/// Overlay's scratch directory, beside a tree that is being made.
const WORK: &str = "work";

/// The members of a cache record that concern the store.
#[derive(Debug, Deserialize)]
struct BuildRoots {
    #[serde(rename = "Layers", default)]
    layers: Vec<Digest>,
    #[serde(rename = "LayerBlobs", default)]
    layer_blobs: Vec<Descriptor>,
}

/// A tree that is being made and may become a layer. It belongs to this process: after its death the next
/// sweep takes it. Dropped before it became a layer, it goes to the trash.
#[derive(Debug)]
pub struct LayerTree {
    store: Store,
    tree: NewTree,
}

impl Store {
    /// An empty tree.
    pub fn new_layer_tree(&self) -> Result<LayerTree, Error> {
        Ok(LayerTree {
            store: self.clone(),
            tree: NewTree::create(self)?,
        })
    }

    /// A blob that is being written.
    pub fn new_blob(&self) -> Result<NewBlob, Error> {
        let new = NewFile::create(self)?;
        let out = BlobWriter::new(self, &new, None)?;
        Ok(NewBlob {
            store: self.clone(),
            new: Some(new),
            out: Some(out),
        })
    }

    /// Marks what the build cache stands on.
    pub(crate) fn mark_builds(&self, live: &mut Live, without: &Without) -> Result<(), Error> {
        for entry in self.disk().entries(RECORDS)? {
            if without.records.contains(text(&entry.name)) {
                continue;
            }
            let path = format!("{RECORDS}/{}", text(&entry.name));
            let Ok(raw) = self.disk().read(&path, RECORD_LIMIT) else {
                continue;
            };
            if let Ok(roots) = serde_json::from_slice::<BuildRoots>(&raw) {
                live.layers.extend(roots.layers);
                live.blobs
                    .extend(roots.layer_blobs.into_iter().map(|blob| blob.digest));
            }
        }
        Ok(())
    }
}

impl LayerTree {
    /// The absolute path of the tree: an empty directory at first, mode 0755.
    pub fn path(&self) -> PathBuf {
        self.store
            .disk()
            .path(&format!("{}/{TREE}", self.tree.path()))
    }

    /// An empty directory beside the tree, for overlay's scratch; made by the first call.
    pub fn work(&self) -> Result<PathBuf, Error> {
        let path = format!("{}/{WORK}", self.tree.path());
        self.store.disk().ensure_dir(&path, PRIVATE_DIR)?;
        Ok(self.store.disk().path(&path))
    }

    /// Makes the tree the layer `diff_id`, whose tar is `blob`. A tree of this layer that is there already is
    /// left alone, and this one thrown away. Nobody may be using the path any more.
    pub fn adopt(
        mut self,
        diff_id: &Digest,
        blob: &Digest,
        (size, entries): (u64, u64),
    ) -> Result<(), Error> {
        if self.store.has_layer(diff_id)? {
            return Ok(());
        }
        let disk = self.store.disk();
        match disk.remove_tree(&format!("{}/{WORK}", self.tree.path())) {
            Err(error) if error.is_not_found() => {}
            other => other?,
        }
        let record = LayerRecord {
            size,
            entries,
            blob: blob.clone(),
            boot: self.store.boot_id()?.to_owned(),
        };
        Unpacked::name_tree(&self.store, &mut self.tree, diff_id, &record)
    }
}

/// A blob that is being written, its digest not known yet. Dropped before [`finish`](Self::finish), it is gone.
#[derive(Debug)]
pub struct NewBlob {
    store: Store,
    new: Option<NewFile>,
    out: Option<BlobWriter>,
}

impl NewBlob {
    /// Makes the bytes durable and gives them their name. Does neither when the same blob is here already.
    /// The lease keeps it.
    pub fn finish(mut self, media_type: MediaType, lease: &Lease) -> Result<Descriptor, Error> {
        let (Some(new), Some(out)) = (self.new.take(), self.out.take()) else {
            return Err(Error::damaged(layout::INGEST, "finished twice"));
        };
        let known = out.digest_so_far();
        lease.protect(std::slice::from_ref(&known))?;
        if self.store.has_blob(&known)? {
            let size = out.position();
            new.discard();
            return Ok(Descriptor::new(media_type, known, size));
        }
        let (digest, size) = match out.finish(&self.store, &new) {
            Ok(done) => done,
            Err(error) => {
                new.discard();
                return Err(error);
            }
        };
        new.become_blob(&digest)?;
        Ok(Descriptor::new(media_type, digest, size))
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Some(out) => out.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        if let Some(new) = self.new.take() {
            new.discard();
        }
    }
}

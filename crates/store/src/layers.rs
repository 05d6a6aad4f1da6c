//! Unpacked layers.

use crate::ingest::NewTree;
use crate::layout::{self, INGEST, LAYER_RECORD, LAYERS, TREE};
use crate::{Error, Store};
use lapstrake_layer::{Applied, Compression, HashingReader};
use lapstrake_spec::{Algorithm, Descriptor, Digest, Hasher};
use lapstrake_sys::dir::Dir;
use lapstrake_sys::lock::Lock;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// The boot in the record of a tree that is synced.
const SETTLED: &str = "settled";

const RECORD_LIMIT: u64 = 64 << 10;

/// Trees that are marked as synced together; each is an open folder meanwhile.
const SETTLED_TOGETHER: usize = 64;

/// One layer, as a lower of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerMount {
    /// A folder with the unpacked layer.
    Tree(PathBuf),
}

/// What is known of an unpacked layer: `layer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Sum of the sizes of its regular files.
    pub size: u64,
    /// Entries of its tar.
    pub entries: u64,
    /// The blob it was unpacked from.
    pub blob: Digest,
    /// The boot that wrote it, or `settled`.
    pub boot: String,
}

impl Store {
    /// What is known of an unpacked layer; none when it is not unpacked, or its record is damaged.
    pub fn layer_record(&self, diff_id: &Digest) -> Result<Option<LayerRecord>, Error> {
        let path = format!("{}/{LAYER_RECORD}", layout::layer(diff_id));
        match self.disk().read(&path, RECORD_LIMIT) {
            Ok(raw) => Ok(serde_json::from_slice(&raw).ok()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a layer's files; none are counted when it is not unpacked.
    pub fn layer_size(&self, diff_id: &Digest) -> Result<u64, Error> {
        Ok(self.layer_record(diff_id)?.map_or(0, |record| record.size))
    }

    /// Whether a layer is unpacked, and was so by this boot or durably.
    pub fn has_layer(&self, diff_id: &Digest) -> Result<bool, Error> {
        Ok(self.trusted_record(diff_id)?.is_some())
    }

    /// Whether a layer is unpacked and this blob is known to be it.
    pub(crate) fn has_layer_of(&self, diff_id: &Digest, blob: &Digest) -> Result<bool, Error> {
        let known = |record: LayerRecord| record.blob == *blob || blob == diff_id;
        Ok(self.trusted_record(diff_id)?.is_some_and(known))
    }

    fn trusted_record(&self, diff_id: &Digest) -> Result<Option<LayerRecord>, Error> {
        match self.layer_record(diff_id)? {
            Some(record) if record.boot == SETTLED || record.boot == self.boot_id()? => {
                Ok(Some(record))
            }
            _ => Ok(None),
        }
    }

    /// These layers as lowers of an overlay, in the same order: bottom first. All must be unpacked,
    /// see [`Store::ensure_layer`].
    pub fn lowers(&self, diff_ids: &[Digest]) -> Result<Vec<LayerMount>, Error> {
        let lower = |diff_id: &Digest| {
            if !self.has_layer(diff_id)? {
                return Err(Error::NoLayer {
                    diff_id: diff_id.clone(),
                });
            }
            let path = format!("{}/{TREE}", layout::layer(diff_id));
            Ok(LayerMount::Tree(self.disk().path(&path)))
        };
        diff_ids.iter().map(lower).collect()
    }

    /// Sees to it that a layer is unpacked, out of its blob when it is not.
    pub fn ensure_layer(&self, diff_id: &Digest, blob: &Descriptor) -> Result<(), Error> {
        self.ensure_layer_with(diff_id, blob, |_done| true)
    }

    /// The same, telling how many bytes of the blob are unpacked, as long as the answer is to go on.
    pub(crate) fn ensure_layer_with(
        &self,
        diff_id: &Digest,
        blob: &Descriptor,
        progress: impl FnMut(u64) -> bool + Send,
    ) -> Result<(), Error> {
        if self.has_layer(diff_id)? {
            return Ok(());
        }
        let turn = self.turn(diff_id)?;
        if !self.has_layer(diff_id)? {
            let file = self.blob_file(&blob.digest)?;
            let counted = Counted {
                inner: file,
                done: 0,
                progress,
            };
            let unpacked = self.unpack(counted, is_sha256(&blob.digest))?;
            unpacked.publish(self, diff_id, &blob.digest)?;
        }
        // While it is locked: whoever waits finds that the name is gone, and asks for it anew.
        self.disk().remove_file(&turn_path(diff_id))?;
        drop(turn);
        Ok(())
    }

    /// Waits until nobody else unpacks this layer out of its blob.
    fn turn(&self, diff_id: &Digest) -> Result<Lock, Error> {
        let path = turn_path(diff_id);
        loop {
            let file = self.disk().open_lock_file(&path)?;
            let lock = Lock::exclusive(file).map_err(self.disk().failed("lock", &path))?;
            if self.disk().is_at(&lock, &path)? {
                return Ok(lock);
            }
        }
    }

    /// Unpacks compressed bytes, to their very end, into a new tree. `hashed` tells that the SHA-256 of
    /// these bytes is computed elsewhere: it is the diff id when they turn out not to be compressed.
    pub(crate) fn unpack(
        &self,
        compressed: impl Read + Send,
        hashed: bool,
    ) -> Result<Unpacked, Error> {
        let tree = NewTree::create(self)?;
        self.disk().step("unpack", tree.path())?;
        let dir = tree.dir()?;
        let mut decoder = lapstrake_layer::decompress(compressed).map_err(Error::Layer)?;
        let options = &self.inner.options.apply;
        let (applied, diff_id) = if hashed && decoder.compression() == Compression::None {
            let applied =
                lapstrake_layer::apply(&mut decoder, dir.as_fd(), options).map_err(Error::Layer)?;
            drain(&mut decoder)?;
            (applied, None)
        } else {
            let mut hashing = HashingReader::new(decoder, Hasher::sha256());
            let applied =
                lapstrake_layer::apply(&mut hashing, dir.as_fd(), options).map_err(Error::Layer)?;
            drain(&mut hashing)?;
            (applied, Some(hashing.finish().1))
        };
        Ok(Unpacked {
            tree: Some(tree),
            applied,
            diff_id,
        })
    }

    /// Like [`unpack`](Self::unpack), of a layer whose tree is here: only finds out the diff id. What is
    /// longer than any layer may be is not read to its end, so that it comes out wrong.
    pub(crate) fn unpack_nothing(
        &self,
        compressed: impl Read + Send,
        hashed: bool,
    ) -> Result<Unpacked, Error> {
        let mut decoder = lapstrake_layer::decompress(compressed).map_err(Error::Layer)?;
        let diff_id = if hashed && decoder.compression() == Compression::None {
            drain(&mut decoder)?;
            None
        } else {
            let limit = self.inner.options.apply.limits.total_bytes;
            let mut hashing = HashingReader::new(decoder.take(limit), Hasher::sha256());
            drain(&mut hashing)?;
            Some(hashing.finish().1)
        };
        Ok(Unpacked {
            tree: None,
            applied: Applied::default(),
            diff_id,
        })
    }

    /// Makes sure that a blob which is here is this layer, whose tree is here.
    pub(crate) fn check_layer_of(
        &self,
        diff_id: &Digest,
        blob: &Digest,
        progress: impl FnMut(u64) -> bool + Send,
    ) -> Result<(), Error> {
        if self.has_layer_of(diff_id, blob)? {
            return Ok(());
        }
        let counted = Counted {
            inner: self.blob_file(blob)?,
            done: 0,
            progress,
        };
        self.unpack_nothing(counted, is_sha256(blob))?
            .publish(self, diff_id, blob)
    }

    /// Notes that a blob is known to be a layer, whose tree is here.
    fn note_blob(&self, diff_id: &Digest, blob: &Digest) -> Result<(), Error> {
        match self.layer_record(diff_id)? {
            Some(record) if record.blob != *blob && blob != diff_id => {
                let blob = blob.clone();
                self.write_record(&layout::layer(diff_id), &LayerRecord { blob, ..record })
            }
            _ => Ok(()),
        }
    }

    /// Syncs all trees and marks them as trusted by every later boot. Does nothing when all are.
    pub fn settle(&self) -> Result<(), Error> {
        let boot = self.boot_id()?.to_owned();
        let mut unsettled = Vec::new();
        for diff_id in self.unpacked()? {
            let record = self.layer_record(&diff_id)?;
            if record.is_some_and(|record| record.boot == boot) {
                unsettled.push(diff_id);
            }
        }
        let mut batches = unsettled.chunks(SETTLED_TOGETHER);
        batches.try_for_each(|diff_ids| self.settle_some(diff_ids))
    }

    /// The folders are held open: one that is made anew meanwhile is another one, which is not synced.
    fn settle_some(&self, diff_ids: &[Digest]) -> Result<(), Error> {
        let mut folders = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids {
            let path = layout::layer(diff_id);
            match self.disk().child(&path) {
                // Collected meanwhile.
                Err(error) if error.is_not_found() => {}
                dir => folders.push((dir?, path)),
            }
        }
        self.disk().sync_filesystem()?;
        for (dir, path) in folders {
            let raw = dir.read(LAYER_RECORD, RECORD_LIMIT).unwrap_or_default();
            let Ok(mut record) = serde_json::from_slice::<LayerRecord>(&raw) else {
                continue;
            };
            SETTLED.clone_into(&mut record.boot);
            match self.write_record_in((&dir, &path), &record) {
                // Collected and removed meanwhile.
                Err(error) if error.is_not_found() => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The diff ids in `layers/`.
    pub(crate) fn unpacked(&self) -> Result<Vec<Digest>, Error> {
        let entries = self.disk().entries(LAYERS)?;
        let diff_id = |name: &std::ffi::OsStr| layout::diff_id_of(crate::disk::text(name));
        Ok(entries
            .iter()
            .filter_map(|entry| diff_id(&entry.name))
            .collect())
    }

    /// Replaces a record, not durably: a lost or torn one only costs an unpacking.
    fn write_record(&self, folder: &str, record: &LayerRecord) -> Result<(), Error> {
        self.write_record_in((&self.disk().child(folder)?, folder), record)
    }

    fn write_record_in(&self, folder: (&Dir, &str), record: &LayerRecord) -> Result<(), Error> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| Error::damaged(format!("{}/{LAYER_RECORD}", folder.1), error))?;
        self.disk().replace_in(folder, LAYER_RECORD, &bytes)
    }

    /// Throws a tree away that cannot be trusted.
    fn drop_untrusted(&self, diff_id: &Digest) -> Result<(), Error> {
        let lock = self.lock_exclusive()?;
        // Another process may have replaced it before we had the lock.
        if !self.has_layer(diff_id)? {
            match self.to_trash(&layout::layer(diff_id)) {
                Err(error) if error.is_not_found() => {}
                other => other?,
            }
        }
        drop(lock);
        Ok(())
    }
}

/// Whether a blob's digest can stand for a diff id.
pub(crate) fn is_sha256(digest: &Digest) -> bool {
    digest.algorithm() == Algorithm::Sha256
}

fn turn_path(diff_id: &Digest) -> String {
    format!("{INGEST}/turn-{}", diff_id.hex())
}

fn drain(reader: &mut impl Read) -> Result<(), Error> {
    io::copy(reader, &mut io::sink()).map_err(Error::reader)?;
    Ok(())
}

/// A tree that is complete and not yet a layer.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// None when only the diff id was wanted.
    tree: Option<NewTree>,
    pub(crate) applied: Applied,
    /// The diff id; none when the blob was not compressed.
    pub(crate) diff_id: Option<Digest>,
}

impl Unpacked {
    /// Makes the tree the layer `diff_id`, which it must be.
    pub(crate) fn publish(
        mut self,
        store: &Store,
        diff_id: &Digest,
        blob: &Digest,
    ) -> Result<(), Error> {
        let found = self.diff_id.as_ref().unwrap_or(blob);
        if found != diff_id {
            return Err(Error::DiffIdMismatch {
                expected: diff_id.clone(),
                found: found.clone(),
            });
        }
        let Some(mut tree) = self.tree.take() else {
            return store.note_blob(diff_id, blob);
        };
        let record = LayerRecord {
            size: self.applied.bytes,
            entries: self.applied.entries,
            blob: blob.clone(),
            boot: store.boot_id()?.to_owned(),
        };
        Self::name_tree(store, &mut tree, diff_id, &record)
    }

    /// Gives a tree that is complete its record and its name. One of this layer that is there already
    /// and can be trusted stays, and this one is thrown away.
    pub(crate) fn name_tree(
        store: &Store,
        tree: &mut NewTree,
        diff_id: &Digest,
        record: &LayerRecord,
    ) -> Result<(), Error> {
        store.write_record(tree.path(), record)?;
        while !tree.become_layer(diff_id)? {
            if store.has_layer(diff_id)? {
                return Ok(());
            }
            store.drop_untrusted(diff_id)?;
        }
        Ok(())
    }
}

/// Tells how much was read, and fails when told to stop.
struct Counted<R, F> {
    inner: R,
    done: u64,
    progress: F,
}

impl<R: Read, F: FnMut(u64) -> bool> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done = self.done.saturating_add(count as u64);
        if !(self.progress)(self.done) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "transfer cancelled",
            ));
        }
        Ok(count)
    }
}

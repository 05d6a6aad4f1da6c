//! Collection: what nothing refers to any more goes.

use crate::disk::text;
use crate::images::Images;
use crate::layout::{self, BLOBS, CONTAINERS, IMAGE, INGEST, TRASH};
use crate::links::LinkCache;
use crate::usage::bytes_on_disk;
use crate::{Error, Store};
use lapstrake_spec::{Descriptor, Digest, Document, MANIFEST_LIMIT};
use lapstrake_sys::durable::TEMPORARY_SUFFIX;
use lapstrake_sys::lock::Lock;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;

/// The largest record of a container that is read.
const RECORD_LIMIT: u64 = 16 << 20;

/// How deep indexes of other tools are followed.
const INDEX_DEPTH: usize = 8;

/// What a collection took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Unpacked layers, by diff id.
    pub layers: Vec<Digest>,
    /// Bytes of the blobs, and of the files of the trees.
    pub bytes: u64,
}

/// Containers and cached build steps that are thought away: for an answer to what would be garbage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Without {
    /// Ids of containers.
    pub containers: BTreeSet<String>,
    /// Names of records of the build cache.
    pub records: BTreeSet<String>,
}

/// How the bytes of what a collection takes are found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// As files and records tell: fast.
    Recorded,
    /// In blocks of the disk: walks every tree.
    Blocks,
}

impl Measure {
    fn blob(self, store: &Store, path: &str) -> Result<u64, Error> {
        match self {
            Self::Recorded => store.file_size(path),
            Self::Blocks => Ok(bytes_on_disk(store.disk().path(path))),
        }
    }

    fn layer(self, store: &Store, diff_id: &Digest) -> Result<u64, Error> {
        match self {
            Self::Recorded => store.layer_size(diff_id),
            Self::Blocks => Ok(bytes_on_disk(store.disk().path(&layout::layer(diff_id)))),
        }
    }
}

/// What is in use.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) blobs: BTreeSet<Digest>,
    pub(crate) layers: BTreeSet<Digest>,
}

/// The members of a container's record that concern the store.
#[derive(Debug, Deserialize)]
struct ContainerRoots {
    #[serde(rename = "ImageID")]
    image_id: Option<Digest>,
    #[serde(rename = "Layers", default)]
    layers: Vec<Digest>,
    #[serde(rename = "LayerBlobs", default)]
    layer_blobs: Vec<BlobRoot>,
}

#[derive(Debug, Deserialize)]
struct BlobRoot {
    digest: Digest,
}

impl Store {
    /// Takes what neither the index nor a container, a cached build step, a living lease or `extra_roots` refers to, out of
    /// reach. The space is free when it is reaped, see [`Store::reap_trash`].
    pub fn collect(&self, extra_roots: &[Digest]) -> Result<Reclaimed, Error> {
        self.collect_by(extra_roots, Measure::Recorded)
    }

    /// Like [`collect`](Self::collect), and `bytes` are what the disk gets back: blocks, as `du` counts them.
    pub fn collect_measured(&self) -> Result<Reclaimed, Error> {
        self.collect_by(&[], Measure::Blocks)
    }

    /// Like [`collect`](Self::collect), of these blobs and layers alone.
    pub(crate) fn collect_among(&self, digests: &BTreeSet<Digest>) -> Result<Reclaimed, Error> {
        if digests.is_empty() {
            return Ok(Reclaimed::default());
        }
        let lock = self.lock_exclusive()?;
        let live = self.live(&self.images()?)?;
        let mut reclaimed = Reclaimed::default();
        for digest in digests {
            let blob = layout::blob(digest);
            if !live.blobs.contains(digest) && self.disk().exists(&blob)? {
                reclaimed.bytes = reclaimed.bytes.saturating_add(self.file_size(&blob)?);
                reclaimed.blobs.push(digest.clone());
            }
            if !live.layers.contains(digest) && self.disk().exists(&layout::layer(digest))? {
                let bytes = self.layer_size(digest)?;
                reclaimed.bytes = reclaimed.bytes.saturating_add(bytes);
                reclaimed.layers.push(digest.clone());
            }
        }
        self.throw_away(&reclaimed)?;
        drop(lock);
        Ok(reclaimed)
    }

    fn throw_away(&self, reclaimed: &Reclaimed) -> Result<(), Error> {
        for digest in &reclaimed.blobs {
            self.to_trash(&layout::blob(digest))?;
        }
        for diff_id in &reclaimed.layers {
            self.to_trash(&layout::layer(diff_id))?;
        }
        Ok(())
    }

    fn collect_by(&self, extra_roots: &[Digest], measure: Measure) -> Result<Reclaimed, Error> {
        let lock = self.lock_exclusive()?;
        let images = self.images()?;
        let mut live = self.live(&images)?;
        for digests in [&mut live.blobs, &mut live.layers] {
            digests.extend(extra_roots.iter().cloned());
        }
        let reclaimed = self.garbage(&live, measure)?;
        self.throw_away(&reclaimed)?;
        for path in self.temporaries()? {
            self.disk().remove_file(&path)?;
        }
        drop(lock);
        Ok(reclaimed)
    }

    /// What [`collect_measured`](Self::collect_measured) would take if the index were `images` and nothing of
    /// `without` were there.
    pub fn collectable(&self, images: &Images, without: &Without) -> Result<Reclaimed, Error> {
        let lock = self.lock_exclusive()?;
        let live = self.live_without(images, without)?;
        let garbage = self.garbage(&live, Measure::Blocks)?;
        drop(lock);
        Ok(garbage)
    }

    /// Everything in use. To be called under the exclusive lock.
    pub(crate) fn live(&self, images: &Images) -> Result<Live, Error> {
        self.live_without(images, &Without::default())
    }

    fn live_without(&self, images: &Images, without: &Without) -> Result<Live, Error> {
        let mut live = Live::default();
        let mut cache = LinkCache::load(self);
        let mut manifests = BTreeSet::new();
        for entry in &images.entries {
            let digests = entry
                .repo_digests
                .iter()
                .filter_map(|known| known.digest().cloned());
            live.blobs.extend(digests);
            live.blobs.extend(
                images
                    .twins
                    .get(&entry.manifest.digest)
                    .map(|t| t.digest.clone()),
            );
            live.blobs.insert(entry.id.clone());
            if manifests.insert(entry.manifest.digest.as_str()) {
                self.mark_image(&entry.manifest, &mut cache, &mut live)?;
            }
        }
        cache.save(self, |manifest| manifests.contains(manifest))?;
        for desc in &images.others {
            self.mark_stranger(desc, 0, &mut live)?;
        }
        self.mark_containers(&mut live, without)?;
        self.mark_builds(&mut live, without)?;
        for digest in self.leased()? {
            live.layers.insert(digest.clone());
            live.blobs.insert(digest);
        }
        Ok(live)
    }

    /// Marks an image. One that is damaged marks what can be read of it.
    fn mark_image(
        &self,
        manifest: &Descriptor,
        cache: &mut LinkCache,
        live: &mut Live,
    ) -> Result<(), Error> {
        live.blobs.insert(manifest.digest.clone());
        let links = match cache.of(self, manifest) {
            Err(Error::Io { action, source }) => return Err(Error::Io { action, source }),
            Err(_damaged) => {
                if let Ok(manifest) = self.manifest(manifest) {
                    live.blobs
                        .extend(manifest.layers.into_iter().map(|layer| layer.digest));
                }
                return Ok(());
            }
            Ok(links) => links,
        };
        live.blobs.extend(links.blobs);
        live.layers.extend(links.diff_ids);
        Ok(())
    }

    /// Marks what another tool's descriptor leads to, as far as it is here.
    fn mark_stranger(&self, desc: &Descriptor, depth: usize, live: &mut Live) -> Result<(), Error> {
        if !live.blobs.insert(desc.digest.clone()) || depth == INDEX_DEPTH {
            return Ok(());
        }
        let raw = match self.blob_bytes(&desc.digest, MANIFEST_LIMIT) {
            Err(Error::Io { action, source }) => return Err(Error::Io { action, source }),
            Err(_absent) => return Ok(()),
            Ok(raw) => raw,
        };
        match Document::parse(Some(&desc.media_type), &raw) {
            Ok(Document::Manifest(manifest)) => {
                if let Ok((config, _raw)) = self.image_config(&manifest.config.digest) {
                    live.layers.extend(config.rootfs.diff_ids);
                }
                live.blobs.insert(manifest.config.digest);
                live.blobs
                    .extend(manifest.layers.into_iter().map(|layer| layer.digest));
            }
            Ok(Document::Index(index)) => {
                for desc in &index.manifests {
                    self.mark_stranger(desc, depth + 1, live)?;
                }
            }
            Err(_no_document) => {}
        }
        Ok(())
    }

    /// Marks what containers stand on.
    fn mark_containers(&self, live: &mut Live, without: &Without) -> Result<(), Error> {
        for entry in self.disk().entries(CONTAINERS)? {
            if without.containers.contains(text(&entry.name)) {
                continue;
            }
            let path = format!("{CONTAINERS}/{}/config.json", text(&entry.name));
            let raw = match self.disk().read(&path, RECORD_LIMIT) {
                // Not a container, or not yet, or not any more.
                Err(error) if error.is_not_found() || error.is_no_folder() => continue,
                other => other?,
            };
            let roots: ContainerRoots = match serde_json::from_slice(&raw) {
                // Being written, by someone with a lease; or never finished, and no container then.
                Err(error) if error.is_eof() => continue,
                other => other.map_err(|error| Error::damaged(&path, error))?,
            };
            live.blobs.extend(roots.image_id);
            for diff_id in roots.layers {
                if roots.layer_blobs.is_empty() {
                    let record = self.layer_record(&diff_id)?;
                    live.blobs.extend(record.map(|record| record.blob));
                }
                live.layers.insert(diff_id);
            }
            live.blobs
                .extend(roots.layer_blobs.into_iter().map(|blob| blob.digest));
        }
        Ok(())
    }

    /// Blobs and trees that are not in use.
    fn garbage(&self, live: &Live, measure: Measure) -> Result<Reclaimed, Error> {
        let mut garbage = Reclaimed::default();
        for (digest, path) in self.all_blobs()? {
            if !live.blobs.contains(&digest) {
                garbage.bytes = garbage.bytes.saturating_add(measure.blob(self, &path)?);
                garbage.blobs.push(digest);
            }
        }
        for diff_id in self.unpacked()? {
            if !live.layers.contains(&diff_id) {
                garbage.bytes = garbage.bytes.saturating_add(measure.layer(self, &diff_id)?);
                garbage.layers.push(diff_id);
            }
        }
        Ok(garbage)
    }

    /// What is left of files that are only replaced under the exclusive lock.
    pub(crate) fn temporaries(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for folder in [".", IMAGE] {
            for entry in self.disk().entries(folder)? {
                let name = text(&entry.name);
                if name.starts_with('.') && name.ends_with(TEMPORARY_SUFFIX) {
                    found.push(format!("{folder}/{name}"));
                }
            }
        }
        Ok(found)
    }

    /// Every blob and its path. Names that are no digests are not ours and not listed.
    pub(crate) fn all_blobs(&self) -> Result<Vec<(Digest, String)>, Error> {
        let mut blobs = Vec::new();
        for folder in self.disk().entries(BLOBS)? {
            let algorithm = text(&folder.name);
            for entry in self.disk().entries(&format!("{BLOBS}/{algorithm}"))? {
                let hex = text(&entry.name);
                if let Ok(digest) = Digest::parse(&format!("{algorithm}:{hex}")) {
                    blobs.push((digest, format!("{BLOBS}/{algorithm}/{hex}")));
                }
            }
        }
        Ok(blobs)
    }

    pub(crate) fn file_size(&self, path: &str) -> Result<u64, Error> {
        let file = self.disk().open_file(path)?;
        Ok(file
            .metadata()
            .map_err(self.disk().failed("stat", path))?
            .len())
    }

    /// The diff ids of every image, bottom first, one list for each image; none of a damaged one.
    pub fn layer_chains(&self) -> Result<Vec<Vec<Digest>>, Error> {
        self.layer_chains_of(&self.images()?)
    }

    /// The same of these images.
    pub fn layer_chains_of(&self, images: &Images) -> Result<Vec<Vec<Digest>>, Error> {
        let mut cache = LinkCache::load(self);
        let mut seen = BTreeSet::new();
        let mut chains = Vec::new();
        for entry in images.entries.iter().filter(|entry| seen.insert(&entry.id)) {
            match cache.of(self, &entry.manifest) {
                // Removed since the index was read, or damaged: nothing stands on it.
                Err(Error::NoBlob { .. }) => {}
                links => chains.push(links?.diff_ids),
            }
        }
        Ok(chains)
    }

    /// Whether something waits in the trash.
    pub fn has_trash(&self) -> Result<bool, Error> {
        let entries = self.disk().entries(TRASH)?;
        if entries.iter().any(|entry| entry.name != ".lock") {
            return Ok(true);
        }
        for path in self.spent()? {
            if self.claim(&path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes what is in the trash and what the dead left in `ingest/`, and marks synced trees. Meant
    /// for the background: does nothing when another process is at it.
    pub fn reap_trash(&self) -> Result<(), Error> {
        let path = format!("{TRASH}/.lock");
        let file = self.disk().open_lock_file(&path)?;
        let Ok(lock) = Lock::try_exclusive(file).map_err(self.disk().failed("lock", &path))? else {
            return Ok(());
        };
        self.sweep_ingest()?;
        for entry in self.disk().entries(TRASH)? {
            if entry.name != ".lock" {
                self.disk()
                    .remove_tree(&format!("{TRASH}/{}", text(&entry.name)))?;
            }
        }
        drop(lock);
        self.settle()
    }

    /// Moves what has no owner into the trash. Downloads are kept to be resumed, unless the blob is here.
    fn sweep_ingest(&self) -> Result<(), Error> {
        for path in self.spent()? {
            // Held until it is moved: whoever waits for it then sees that the name is gone.
            let Some(lock) = self.claim(&path)? else {
                continue;
            };
            match self.to_trash(&path) {
                Err(error) if error.is_not_found() => {}
                other => other?,
            }
            drop(lock);
        }
        Ok(())
    }

    /// What in `ingest/` is of no use once it has no owner: all but the downloads of missing blobs.
    pub(crate) fn spent(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for entry in self.disk().entries(INGEST)? {
            let name = text(&entry.name);
            let wanted = match layout::digest_of_partial(name) {
                Some(digest) => !self.has_blob(&digest)?,
                None => false,
            };
            if !wanted {
                found.push(format!("{INGEST}/{name}"));
            }
        }
        Ok(found)
    }

    /// The lock of a file or folder; none when it has an owner, or is gone.
    pub(crate) fn claim(&self, path: &str) -> Result<Option<Lock>, Error> {
        let disk = self.disk();
        let opened = match disk.open_file(path) {
            Err(error) if error.is_folder() => {
                disk.child(path).map(|dir| File::from(OwnedFd::from(dir)))
            }
            other => other,
        };
        let file = match opened {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        Ok(Lock::try_exclusive(file)
            .map_err(disk.failed("lock", path))?
            .ok())
    }

    /// Throws away what is left of downloads that nobody is at; the bytes that the disk gets back.
    pub fn drop_partials(&self) -> Result<u64, Error> {
        self.partials(|path| self.disk().remove_file(path))
    }

    /// The bytes on disk of what is left of downloads that nobody is at.
    pub fn partial_bytes(&self) -> Result<u64, Error> {
        self.partials(|_path| Ok(()))
    }

    fn partials(&self, act: impl Fn(&str) -> Result<(), Error>) -> Result<u64, Error> {
        let mut bytes = 0u64;
        for entry in self.disk().entries(INGEST)? {
            let path = format!("{INGEST}/{}", text(&entry.name));
            if layout::digest_of_partial(text(&entry.name)).is_none() {
                continue;
            }
            let Some(lock) = self.claim(&path)? else {
                continue;
            };
            bytes = bytes.saturating_add(bytes_on_disk(self.disk().path(&path)));
            act(&path)?;
            drop(lock);
        }
        Ok(bytes)
    }
}

//! Proof that the store is whole, and mending of what can be mended.

use crate::disk::text;
use crate::images::{Entry, Images};
use crate::layout::{self, IMAGE, INGEST, LEASES, TRASH, TREE};
use crate::{Error, Store};
use lapstrake_image::ErrorKind;
use lapstrake_spec::{Descriptor, Digest, Hasher};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;

const BUFFER_BYTES: usize = 256 << 10;

/// Something that should not be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it concerns: an image, a blob, a layer, a file.
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// Whether it was mended.
    pub repaired: bool,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Names, and images without one, that were looked at.
    pub images: usize,
    /// Blobs whose digest was computed.
    pub blobs: usize,
    /// Unpacked layers that were looked at.
    pub layers: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Paths of what nothing refers to: no fault, the next collection takes it.
    pub garbage: Vec<String>,
    /// Downloads that can be resumed.
    pub partials: usize,
}

impl CheckReport {
    /// Whether nothing is wrong, or nothing any more.
    pub fn is_whole(&self) -> bool {
        self.problems.iter().all(|problem| problem.repaired)
    }
}

impl Store {
    /// Whether every blob of an image is here with the size that its descriptor has. Digests are not computed, but
    /// for a blob of another size: one that is damaged is thrown away, so that it can come again.
    pub fn is_complete(&self, manifest: &Descriptor) -> Result<bool, Error> {
        if !self.is_usable(manifest)? {
            return Ok(false);
        }
        let Ok(parsed) = self.manifest(manifest) else {
            return Ok(false);
        };
        let mut complete = true;
        for blob in std::iter::once(&parsed.config).chain(&parsed.layers) {
            complete &= self.is_usable(blob)?;
        }
        Ok(complete)
    }

    /// Whether a blob is here with the size that is expected. One of another size is thrown away when its digest is
    /// another one, too.
    pub(crate) fn is_usable(&self, desc: &Descriptor) -> Result<bool, Error> {
        match self.blob_size(&desc.digest)? {
            Some(size) if size == desc.size => return Ok(true),
            None => return Ok(false),
            Some(_) => {}
        }
        let examined = self.examine(desc)?;
        if !examined.is_good {
            self.discard(&desc.digest, &examined)?;
        }
        Ok(false)
    }

    /// Checks the layout, every image down to the digests of its blobs, every layer and container, and
    /// lists what is garbage. Mends and collects when that is wanted.
    pub fn check(&self, repair: bool) -> Result<CheckReport, Error> {
        let mut check = Check {
            store: self,
            repair,
            report: CheckReport::default(),
            verdicts: BTreeMap::new(),
        };
        check.layout()?;
        // What is looked at must not be collected meanwhile.
        let lease = self.lease()?;
        let live = {
            let _lock = self.lock_exclusive()?;
            self.live(&self.images()?)?
        };
        let held: Vec<Digest> = live.blobs.iter().chain(&live.layers).cloned().collect();
        lease.protect(&held)?;
        let images = self.images()?;
        check.images(&images, &live.blobs)?;
        check.layers(&live.layers)?;
        drop(lease);
        check.garbage()?;
        if repair {
            self.collect(&[])?;
            self.reap_trash()?;
        }
        Ok(check.report)
    }
}

struct Check<'a> {
    store: &'a Store,
    repair: bool,
    report: CheckReport,
    /// What is wrong with a blob, for all that were looked at.
    verdicts: BTreeMap<Digest, Option<String>>,
}

impl Check<'_> {
    fn problem(&mut self, subject: impl Into<String>, text: impl Into<String>, repaired: bool) {
        self.report.problems.push(Problem {
            subject: subject.into(),
            text: text.into(),
            repaired,
        });
    }

    fn layout(&mut self) -> Result<(), Error> {
        let sound = match self.store.disk().read("image/oci-layout", 4096) {
            Ok(raw) => serde_json::from_slice::<serde_json::Value>(&raw)
                .is_ok_and(|value| value.get("imageLayoutVersion").is_some()),
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error),
        };
        if !sound {
            if self.repair {
                self.store
                    .disk()
                    .write_atomic(IMAGE, "oci-layout", layout::OCI_LAYOUT)?;
            }
            self.problem("image/oci-layout", "is missing or damaged", self.repair);
        }
        Ok(())
    }

    fn images(&mut self, images: &Images, held: &BTreeSet<Digest>) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for entry in images.entries() {
            if let Some(name) = &entry.name
                && !names.insert(name)
            {
                self.problem(name.canonical(), "is the name of two images", false);
            }
            // Came into the index after the lease was made: not ours to judge.
            if !held.contains(&entry.manifest.digest) {
                continue;
            }
            self.report.images += 1;
            if let Some(twin) = images.twins.get(&entry.manifest.digest) {
                self.blob(twin)?;
            }
            self.entry(entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let subject = entry.name.as_ref().map_or_else(
            || entry.id.to_string(),
            lapstrake_spec::Reference::canonical,
        );
        if !self.blob(&entry.manifest)? {
            return self.lost(entry, &subject, "has no manifest");
        }
        let manifest = match self.store.manifest(&entry.manifest) {
            Ok(manifest) => manifest,
            Err(error) => return self.lost(entry, &subject, &error.to_string()),
        };
        if manifest.config.digest != entry.id {
            self.problem(
                subject.as_str(),
                "is listed with another image id than its manifest's",
                false,
            );
        }
        if !self.blob(&manifest.config)? {
            return self.lost(entry, &subject, "has no configuration");
        }
        match self.store.image_config(&manifest.config.digest) {
            Ok((config, _)) if config.rootfs.diff_ids.len() == manifest.layers.len() => {}
            Ok(_) => self.problem(
                subject.as_str(),
                "has another number of layers than its configuration",
                false,
            ),
            Err(error) => return self.lost(entry, &subject, &error.to_string()),
        }
        for layer in &manifest.layers {
            if !self.blob(layer)? {
                let text = format!("lacks layer {}; pull it again", layer.digest);
                self.problem(subject.as_str(), text, false);
            }
        }
        Ok(())
    }

    /// An image that cannot even be looked at goes, when that is wanted.
    fn lost(&mut self, entry: &Entry, subject: &str, text: &str) -> Result<(), Error> {
        if self.repair {
            self.store.update(|images| {
                images
                    .entries
                    .retain(|other| other.manifest.digest != entry.manifest.digest);
                Ok::<_, Error>(())
            })?;
        }
        self.problem(subject, text, self.repair);
        Ok(())
    }

    /// Whether a blob is whole. One that is not is thrown away when that is wanted, so that it can be
    /// fetched again.
    fn blob(&mut self, desc: &Descriptor) -> Result<bool, Error> {
        if let Some(verdict) = self.verdicts.get(&desc.digest) {
            return Ok(verdict.is_none());
        }
        self.report.blobs += 1;
        let examined = self.store.examine(desc)?;
        if let Some(text) = &examined.fault {
            // A wrong size alone is the descriptor's fault.
            if !examined.is_good && self.repair {
                self.store.discard(&desc.digest, &examined)?;
            }
            // That it can be fetched again is no mending yet.
            self.problem(format!("blob {}", desc.digest), text.clone(), false);
        }
        let whole = examined.fault.is_none();
        self.verdicts.insert(desc.digest.clone(), examined.fault);
        Ok(whole)
    }

    fn layers(&mut self, live: &BTreeSet<Digest>) -> Result<(), Error> {
        for diff_id in self.store.unpacked()? {
            if !live.contains(&diff_id) {
                continue;
            }
            self.report.layers += 1;
            let folder = layout::layer(&diff_id);
            // A tree of an earlier boot that was not synced is made again when it is needed. Asked first:
            // a tree that is trusted is not replaced any more.
            let trusted = self.store.has_layer(&diff_id)?;
            let tree = self.store.disk().exists(&format!("{folder}/{TREE}"))?;
            if trusted && !tree {
                if self.repair {
                    self.store.to_trash(&folder)?;
                }
                self.problem(format!("layer {diff_id}"), "has no tree", self.repair);
            }
        }
        Ok(())
    }

    /// Lists what a collection would take.
    fn garbage(&mut self) -> Result<(), Error> {
        let store = self.store;
        let lock = store.lock_exclusive()?;
        let live = store.live(&store.images()?)?;
        let mut garbage = Vec::new();
        for (digest, path) in store.all_blobs()? {
            if !live.blobs.contains(&digest) {
                garbage.push(path);
            }
        }
        for diff_id in store.unpacked()? {
            if !live.layers.contains(&diff_id) {
                garbage.push(layout::layer(&diff_id));
            }
        }
        for path in store.spent()? {
            if store.claim(&path)?.is_some() {
                garbage.push(path);
            }
        }
        let list = |folder: &str| -> Result<Vec<String>, Error> {
            let entries = store.disk().entries(folder)?;
            Ok(entries
                .iter()
                .map(|entry| format!("{folder}/{}", text(&entry.name)))
                .collect())
        };
        garbage.extend(
            list(TRASH)?
                .into_iter()
                .filter(|path| !path.ends_with("/.lock")),
        );
        garbage.extend(store.temporaries()?);
        for path in list(LEASES)? {
            if store.claim(&path)?.is_some() {
                garbage.push(path);
            }
        }
        self.report.partials = list(INGEST)?
            .iter()
            .filter(|path| !garbage.contains(path) && path.ends_with(layout::PARTIAL))
            .count();
        self.report.garbage = garbage;
        drop(lock);
        Ok(())
    }
}

/// A blob whose digest was computed.
struct Examined {
    /// What is wrong with it.
    fault: Option<String>,
    /// Whether its bytes are right all the same.
    is_good: bool,
    /// The file that was read: its device and inode. None when there was none.
    file: Option<(u64, u64)>,
}

impl Store {
    /// Throws a damaged blob away, unless another process has replaced or removed it since it was examined.
    fn discard(&self, digest: &Digest, examined: &Examined) -> Result<(), Error> {
        let path = layout::blob(digest);
        self.disk().step("discard", &path)?;
        // Whoever else would throw it away waits.
        let lock = self.lock_exclusive()?;
        let now = match self.disk().open_file(&path) {
            Err(error) if error.is_not_found() => return Ok(()),
            other => self.identity(&other?, &path)?,
        };
        if examined.file == Some(now) {
            self.to_trash(&path)?;
        }
        drop(lock);
        Ok(())
    }

    fn identity(&self, file: &File, path: &str) -> Result<(u64, u64), Error> {
        let metadata = file.metadata().map_err(self.disk().failed("stat", path))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Computes the digest of a blob.
    fn examine(&self, desc: &Descriptor) -> Result<Examined, Error> {
        let wrong = |fault: &str, file| Examined {
            fault: Some(fault.to_owned()),
            is_good: false,
            file,
        };
        let mut file = match self.blob_file(&desc.digest) {
            Err(Error::NoBlob { .. }) => return Ok(wrong("is missing", None)),
            other => other?,
        };
        let path = layout::blob(&desc.digest);
        let identity = Some(self.identity(&file, &path)?);
        let mut hasher = Hasher::for_digest(&desc.digest);
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut size = 0u64;
        loop {
            let count = match file
                .read(&mut buffer)
                .map_err(self.disk().failed("read", &path))
            {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Io => {
                    return Ok(wrong(&format!("cannot be read: {error}"), identity));
                }
                Err(error) => return Err(error),
            };
            hasher.update(&buffer[..count]);
            size += count as u64;
        }
        let is_good = hasher.finish() == desc.digest;
        let fault = match (size == desc.size, is_good) {
            (true, true) => None,
            (_, false) => Some("has another digest".to_owned()),
            (false, true) => Some(format!("has {size} bytes, not {}", desc.size)),
        };
        Ok(Examined {
            fault,
            is_good,
            file: identity,
        })
    }
}

//! The open store, and changes of its index.

use crate::disk::{Disk, text};
use crate::images::{self, Images};
use crate::layout::{self, BLOBS, IMAGE, INDEX, LOCK};
use crate::{Error, Faults, twin};
use lapstrake_spec::Digest;
use lapstrake_sys::boot;
use lapstrake_sys::lock::Lock;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The largest `index.json` that is read: room for a hundred thousand images.
const INDEX_LIMIT: u64 = 64 << 20;

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// How layers are unpacked.
    pub apply: lapstrake_layer::ApplyOptions,
    /// The identity of this boot, when it is not to be asked from the kernel.
    pub boot_id: Option<String>,
    /// Where to imagine crashes.
    pub faults: Option<Arc<dyn Faults>>,
    /// Is told of locks that others hold.
    pub trace: lapstrake_image::Trace,
}

/// A store on disk. Cheap to clone; any number may be open at once, in any number of processes.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) disk: Disk,
    pub(crate) options: OpenOptions,
    boot_id: OnceLock<String>,
}

impl Store {
    /// Opens the store at `root`, and makes it when there is none.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self, Error> {
        Self::open_with(root, options, true)
    }

    /// Opens the store at `root`, which must be there.
    pub fn open_existing(root: &Path, options: &OpenOptions) -> Result<Self, Error> {
        Self::open_with(root, options, false)
    }

    fn open_with(root: &Path, options: &OpenOptions, create: bool) -> Result<Self, Error> {
        let disk = layout::open(root, options, create)?;
        let options = options.clone();
        Ok(Self {
            inner: Arc::new(Inner {
                disk,
                options,
                boot_id: OnceLock::new(),
            }),
        })
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        self.disk().root()
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.inner.disk
    }

    /// The identity of this boot.
    pub(crate) fn boot_id(&self) -> Result<&str, Error> {
        if let Some(id) = self
            .inner
            .options
            .boot_id
            .as_deref()
            .or(self.known_boot_id())
        {
            return Ok(id);
        }
        let id = boot::boot_id().map_err(Error::io("read boot_id"))?;
        Ok(self.inner.boot_id.get_or_init(|| id))
    }

    fn known_boot_id(&self) -> Option<&str> {
        self.inner.boot_id.get().map(String::as_str)
    }

    /// The images, as they are now.
    pub fn images(&self) -> Result<Images, Error> {
        Ok(self.read_index()?.0)
    }

    /// The index and the bytes it was read from.
    fn read_index(&self) -> Result<(Images, Vec<u8>), Error> {
        let path = format!("{IMAGE}/{INDEX}");
        let raw = self.disk().read(&path, INDEX_LIMIT)?;
        let mut images = images::parse(&raw).map_err(|error| Error::damaged(&path, error))?;
        self.adopt(&mut images);
        Ok((images, raw))
    }

    /// Changes the index: the commit point of every operation. What the closure sees is current, and
    /// nobody else changes the index meanwhile. When it fails, nothing is changed. The closure must not
    /// change the index in another way, collect, or enter anything in a lease: it would wait for itself.
    pub fn update<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Images) -> Result<T, E>,
    ) -> Result<T, E> {
        let lock = self.lock_exclusive()?;
        let (mut images, raw) = self.read_index()?;
        let known: BTreeSet<Digest> = images
            .entries
            .iter()
            .map(|entry| entry.manifest.digest.clone())
            .collect();
        let result = change(&mut images)?;
        self.write_index(&mut images, &raw, &known)?;
        drop(lock);
        Ok(result)
    }

    /// `known` are the manifests that the old index refers to.
    fn write_index(
        &self,
        images: &mut Images,
        old: &[u8],
        known: &BTreeSet<Digest>,
    ) -> Result<(), Error> {
        twin::complete(self, images)?;
        let path = format!("{IMAGE}/{INDEX}");
        let new = images::to_bytes(images).map_err(|error| Error::damaged(&path, error))?;
        if new == old {
            return Ok(());
        }
        // The names of blobs must be durable before an index that refers to them is.
        if images
            .entries
            .iter()
            .any(|entry| !known.contains(&entry.manifest.digest))
        {
            for folder in self.disk().entries(BLOBS)? {
                self.disk()
                    .sync_dir(&format!("{BLOBS}/{}", text(&folder.name)))?;
            }
        }
        self.disk().write_atomic(IMAGE, INDEX, &new)
    }

    /// The lock of the index, alone.
    pub(crate) fn lock_exclusive(&self) -> Result<Lock, Error> {
        self.lock(Lock::try_exclusive, Lock::exclusive)
    }

    /// The lock of the index, with others who only enter leases.
    pub(crate) fn lock_shared(&self) -> Result<Lock, Error> {
        self.lock(Lock::try_shared, Lock::shared)
    }

    fn lock(
        &self,
        attempt: fn(File) -> io::Result<Result<Lock, File>>,
        wait: fn(File) -> io::Result<Lock>,
    ) -> Result<Lock, Error> {
        let trace = &self.inner.options.trace;
        let file = self.disk().open_lock_file(LOCK)?;
        let taken = attempt(file).and_then(|taken| match taken {
            Ok(lock) => Ok(lock),
            Err(file) => {
                trace.say(|| {
                    format!(
                        "waiting for the lock of the store {}",
                        self.root().display()
                    )
                });
                let lock = wait(file);
                trace.say(|| "the lock of the store is free".to_owned());
                lock
            }
        });
        taken.map_err(self.disk().failed("lock", LOCK))
    }
}

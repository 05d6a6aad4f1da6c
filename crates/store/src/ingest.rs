//! What is being made: files and trees that have an owner as long as they are locked.

use crate::disk::{PRIVATE_DIR, PUBLIC_DIR, random};
use crate::layout::{self, INGEST, TRASH, TREE};
use crate::{Error, Store};
use lapstrake_spec::Digest;
use lapstrake_sys::dir::Dir;
use lapstrake_sys::lock::Lock;
use std::fs::File;
use std::os::fd::OwnedFd;

/// How often something is made anew that was swept away between its making and its locking.
const ATTEMPTS: usize = 16;

/// A file in `ingest/` that becomes a blob when its digest is known.
#[derive(Debug)]
pub(crate) struct NewFile {
    store: Store,
    path: String,
    lock: Lock,
}

impl NewFile {
    pub(crate) fn create(store: &Store) -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            let path = format!("{INGEST}/new-{}", random()?);
            let file = store.disk().create_file(&path)?;
            let lock = Lock::exclusive(file).map_err(store.disk().failed("lock", &path))?;
            if store.disk().is_at(&lock, &path)? {
                return Ok(Self {
                    store: store.clone(),
                    path,
                    lock,
                });
            }
        }
        Err(Error::damaged(INGEST, "new files vanish"))
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        self.lock.file()
    }

    /// Gives the durable bytes their name.
    pub(crate) fn become_blob(self, digest: &Digest) -> Result<(), Error> {
        let named = self.store.name_blob(&self.path, digest);
        if named.is_err() {
            self.discard();
        }
        named
    }

    pub(crate) fn discard(self) {
        // What cannot be removed now is garbage without an owner, which the next sweep takes.
        self.store.disk().remove_file(&self.path).ok();
    }
}

impl Store {
    /// Renames a durable file in `ingest/` to a blob.
    pub(crate) fn name_blob(&self, path: &str, digest: &Digest) -> Result<(), Error> {
        let blob = layout::blob(digest);
        match self.disk().rename(path, &blob) {
            Err(error) if error.is_not_found() => {
                let folder = format!("{}/{}", layout::BLOBS, digest.algorithm());
                self.disk().ensure_dir(&folder, PUBLIC_DIR)?;
                self.disk().sync_dir(layout::BLOBS)?;
                self.disk().rename(path, &blob)
            }
            other => other,
        }
    }

    /// Moves something to where it is removed later.
    pub(crate) fn to_trash(&self, path: &str) -> Result<(), Error> {
        self.disk().rename(path, &format!("{TRASH}/{}", random()?))
    }
}

/// A folder in `ingest/` that becomes the folder of a layer.
#[derive(Debug)]
pub(crate) struct NewTree {
    store: Store,
    path: String,
    /// Keeps the sweep away.
    _lock: Lock,
    done: bool,
}

impl NewTree {
    pub(crate) fn create(store: &Store) -> Result<Self, Error> {
        let disk = store.disk();
        for _ in 0..ATTEMPTS {
            let path = format!("{INGEST}/tree-{}", random()?);
            disk.create_dir(&path, PRIVATE_DIR)?;
            let dir = match disk.child(&path) {
                Err(error) if error.is_not_found() => continue,
                other => File::from(OwnedFd::from(other?)),
            };
            let lock = Lock::exclusive(dir).map_err(disk.failed("lock", &path))?;
            if disk.is_at(&lock, &path)? {
                let new = Self {
                    store: store.clone(),
                    path,
                    _lock: lock,
                    done: false,
                };
                disk.create_dir(&new.tree(), PUBLIC_DIR)?;
                return Ok(new);
            }
        }
        Err(Error::damaged(INGEST, "new folders vanish"))
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    fn tree(&self) -> String {
        format!("{}/{TREE}", self.path)
    }

    /// The folder that the layer is unpacked into.
    pub(crate) fn dir(&self) -> Result<Dir, Error> {
        self.store.disk().child(&self.tree())
    }

    /// Renames the folder; false when the name is taken.
    pub(crate) fn become_layer(&mut self, diff_id: &Digest) -> Result<bool, Error> {
        match self
            .store
            .disk()
            .rename_new(&self.path, &layout::layer(diff_id))
        {
            Ok(()) => {
                self.done = true;
                Ok(true)
            }
            Err(error) if error.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for NewTree {
    fn drop(&mut self) {
        if !self.done {
            // What cannot be moved now is garbage without an owner, which the next sweep takes.
            self.store.to_trash(&self.path).ok();
        }
    }
}

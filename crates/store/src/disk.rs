//! The root folder, and every change to it. Paths are relative to the root, and ours: only digests and
//! random numbers vary in them.

use crate::Error;
use crate::faults::Faults;
use lapstrake_sys::dir::{Dir, Entry};
use lapstrake_sys::lock::{self, Lock};
use lapstrake_sys::{direct::DirectWriter, durable};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Mode of folders that hold what images brought: nobody else may reach a set-user-id program there.
pub(crate) const PRIVATE_DIR: u32 = 0o700;
/// Mode of other folders.
pub(crate) const PUBLIC_DIR: u32 = 0o755;

#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    dir: Dir,
    faults: Option<Arc<dyn Faults>>,
}

impl Disk {
    pub(crate) fn open(root: &Path, faults: Option<Arc<dyn Faults>>) -> io::Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            dir: Dir::open(root)?,
            faults,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The absolute path, for messages and mounts.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        self.dir
            .read(path, limit)
            .map_err(self.failed("read", path))
    }

    pub(crate) fn open_file(&self, path: &str) -> Result<File, Error> {
        self.dir.open_file(path).map_err(self.failed("open", path))
    }

    pub(crate) fn exists(&self, path: &str) -> Result<bool, Error> {
        self.dir.exists(path).map_err(self.failed("stat", path))
    }

    pub(crate) fn child(&self, path: &str) -> Result<Dir, Error> {
        self.dir.child(path).map_err(self.failed("open", path))
    }

    /// The entries of a folder, sorted; none when there is no such folder.
    pub(crate) fn entries(&self, path: &str) -> Result<Vec<Entry>, Error> {
        let dir = match self.dir.child(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(self.failed("open", path))?,
        };
        dir.entries().map_err(self.failed("read", path))
    }

    pub(crate) fn create_dir(&self, path: &str, mode: u32) -> Result<(), Error> {
        self.step("mkdir", path)?;
        self.dir
            .create_dir(path, mode)
            .map_err(self.failed("mkdir", path))
    }

    /// Makes a folder unless it is there.
    pub(crate) fn ensure_dir(&self, path: &str, mode: u32) -> Result<(), Error> {
        match self.create_dir(path, mode) {
            Err(error) if error.is_already_exists() => Ok(()),
            other => other,
        }
    }

    /// Opens a file to be written, making it when it is missing.
    pub(crate) fn open_or_create(&self, path: &str) -> Result<File, Error> {
        self.step("open", path)?;
        self.dir
            .open_or_create_file(path, durable::MODE_PUBLIC)
            .map_err(self.failed("open", path))
    }

    /// Creates a file that must not be there.
    pub(crate) fn create_file(&self, path: &str) -> Result<File, Error> {
        self.step("create", path)?;
        self.dir
            .create_file(path, durable::MODE_PUBLIC)
            .map_err(self.failed("create", path))
    }

    pub(crate) fn open_lock_file(&self, path: &str) -> Result<File, Error> {
        lock::open_lock_file(&self.dir, path).map_err(self.failed("open", path))
    }

    /// Whether a lock is on the file that the name stands for now.
    pub(crate) fn is_at(&self, lock: &Lock, path: &str) -> Result<bool, Error> {
        lock.is_at(&self.dir, path)
            .map_err(self.failed("stat", path))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        self.step("rename", to)?;
        self.dir
            .rename(from, &self.dir, to)
            .map_err(self.failed("rename", to))
    }

    /// Renames to a name that must be free.
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> Result<(), Error> {
        self.step("rename", to)?;
        self.dir
            .rename_new(from, &self.dir, to)
            .map_err(self.failed("rename", to))
    }

    pub(crate) fn remove_file(&self, path: &str) -> Result<(), Error> {
        self.step("remove", path)?;
        match self.dir.remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(self.failed("remove", path)),
        }
    }

    pub(crate) fn remove_tree(&self, path: &str) -> Result<(), Error> {
        self.step("remove", path)?;
        self.dir
            .remove_tree(path)
            .map_err(self.failed("remove", path))
    }

    /// Replaces a file durably: temporary file, fsync, rename, fsync of the folder.
    pub(crate) fn write_atomic(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        self.step("write", &path)?;
        let result = if folder.is_empty() {
            durable::write_atomic(&self.dir, name, bytes)
        } else {
            let dir = self.child(folder)?;
            durable::write_atomic(&dir, name, bytes)
        };
        result.map_err(self.failed("write", &path))
    }

    /// Replaces a file so that a living reader sees the old bytes or the new ones; a crash may lose both.
    pub(crate) fn replace(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if folder.is_empty() {
            return self.replace_in((&self.dir, folder), name, bytes);
        }
        self.replace_in((&self.child(folder)?, folder), name, bytes)
    }

    /// The same in an open folder, wherever it is by now.
    pub(crate) fn replace_in(
        &self,
        (dir, folder): (&Dir, &str),
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let path = if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        let temporary = format!(".{name}.{}{}", random()?, durable::TEMPORARY_SUFFIX);
        self.step("write", &path)?;
        let mut file = dir
            .create_file(&temporary, durable::MODE_PUBLIC)
            .map_err(self.failed("create", &path))?;
        let result =
            io::Write::write_all(&mut file, bytes).and_then(|()| dir.rename(&temporary, dir, name));
        if result.is_err() {
            // The first error is the one to report.
            dir.remove_file(&temporary).ok();
        }
        result.map_err(self.failed("write", &path))
    }

    pub(crate) fn sync_dir(&self, path: &str) -> Result<(), Error> {
        self.step("sync", path)?;
        self.child(path)?.sync().map_err(self.failed("sync", path))
    }

    pub(crate) fn sync_filesystem(&self) -> Result<(), Error> {
        self.step("sync", "")?;
        durable::sync_filesystem(&self.dir).map_err(self.failed("sync", ""))
    }

    /// Makes the rest of a file and its bytes durable.
    pub(crate) fn finish_durable(&self, writer: DirectWriter, path: &str) -> Result<File, Error> {
        self.step("sync", path)?;
        writer.finish_durable().map_err(self.failed("write", path))
    }

    /// Asks whether a step may be done.
    pub(crate) fn step(&self, what: &str, path: &str) -> Result<(), Error> {
        let Some(faults) = &self.faults else {
            return Ok(());
        };
        faults
            .step(&format!("{what} {path}"))
            .map_err(self.failed(what, path))
    }

    /// An error with the words `what /absolute/path`.
    pub(crate) fn failed(&self, what: &str, path: &str) -> impl FnOnce(io::Error) -> Error {
        let action = format!("{what} {}", self.root.join(path).display());
        move |source| Error::Io { action, source }
    }
}

/// A name as text. The store makes no others; a stranger's is not taken for one of ours.
pub(crate) fn text(name: &OsStr) -> &str {
    name.to_str().unwrap_or("")
}

/// A suffix that no one else uses.
pub(crate) fn random() -> Result<String, Error> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io {
        action: "getrandom".to_owned(),
        source: error.into(),
    })?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

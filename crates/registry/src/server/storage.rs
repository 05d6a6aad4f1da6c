//! The directory: where everything lies, and how it is changed. All of it blocks.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lapstrake_spec::Digest;

use super::name::{RepositoryName, Tag, UploadId, random_hex};

/// Longest content of a small file: a content type, a digest.
const SMALL_LIMIT: u64 = 4096;

/// Why a registry's directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves it.
    #[error("registry directory `{}` is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It cannot be read or made.
    #[error("cannot open registry directory `{}`", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The directory of a registry.
#[derive(Debug)]
pub(super) struct Storage {
    root: PathBuf,
    durable: bool,
    references: Mutex<()>,
    _lock: File,
}

impl Storage {
    /// Makes what is missing, takes the lock, removes what a crash left.
    pub(super) fn open(
        root: &Path,
        durable: bool,
        stale_before: Option<SystemTime>,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io {
            path: root.to_path_buf(),
            source,
        };
        fs::create_dir_all(root).map_err(failed)?;
        let lock = File::create(root.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(root.to_path_buf())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let storage = Self {
            root: root.to_path_buf(),
            durable,
            references: Mutex::new(()),
            _lock: lock,
        };
        storage.prepare(stale_before).map_err(failed)?;
        Ok(storage)
    }

    fn prepare(&self, stale_before: Option<SystemTime>) -> io::Result<()> {
        for directory in ["blobs", "repositories", "uploads", "tmp"] {
            self.make_directory(&self.root.join(directory))?;
        }
        for entry in fs::read_dir(self.root.join("tmp"))? {
            fs::remove_file(entry?.path())?;
        }
        let Some(stale_before) = stale_before else {
            return Ok(());
        };
        for entry in fs::read_dir(self.root.join("uploads"))? {
            let entry = entry?;
            if entry.metadata()?.modified()? < stale_before {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Held by whoever changes which references exist.
    pub(super) fn change(&self) -> MutexGuard<'_, ()> {
        self.references
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    // ---- content

    /// Opens a blob that `name` has.
    pub(super) fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> io::Result<Option<(File, u64)>> {
        if !self.has_blob(name, digest)? {
            return Ok(None);
        }
        self.open_content(digest)
    }

    /// Opens content whoever has it.
    pub(super) fn open_content(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        match File::open(self.content_path(digest)) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Size of a blob that `name` has.
    pub(super) fn blob_size(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> io::Result<Option<u64>> {
        if !self.has_blob(name, digest)? {
            return Ok(None);
        }
        match fs::metadata(self.content_path(digest)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn has_blob(&self, name: &RepositoryName, digest: &Digest) -> io::Result<bool> {
        self.own_path(name, "_blobs", digest).try_exists()
    }

    /// Moves a finished, verified upload to its place and gives it to `name`.
    pub(super) fn adopt_upload(
        &self,
        id: &UploadId,
        file: &File,
        name: &RepositoryName,
        digest: &Digest,
    ) -> io::Result<()> {
        let target = self.content_path(digest);
        if target.try_exists()? {
            self.remove_upload(id)?;
        } else {
            if self.durable {
                file.sync_data()?;
            }
            self.rename(&self.upload_path(id), &target)?;
        }
        self.link_blob(name, digest)
    }

    /// Gives `name` a blob whose content is there.
    pub(super) fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> io::Result<()> {
        let link = self.own_path(name, "_blobs", digest);
        if link.try_exists()? {
            return Ok(());
        }
        // Empty, so there is no half of it: made in place.
        let directory = self.parent(&link)?;
        File::create(&link)?;
        self.sync_directory(directory)
    }

    /// Takes a blob away from `name`; says whether it had it.
    pub(super) fn unlink_blob(&self, name: &RepositoryName, digest: &Digest) -> io::Result<bool> {
        self.remove(&self.own_path(name, "_blobs", digest))
    }

    // ---- manifests and tags

    /// Writes a manifest's content and its entry in `name`.
    pub(super) fn put_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        content_type: &str,
        raw: &[u8],
    ) -> io::Result<()> {
        let content = self.content_path(digest);
        if !content.try_exists()? {
            self.write(&content, raw)?;
        }
        self.write(
            &self.own_path(name, "_manifests", digest),
            content_type.as_bytes(),
        )
    }

    /// A manifest's content type, when `name` has it.
    pub(super) fn manifest_type(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> io::Result<Option<String>> {
        read_small(&self.own_path(name, "_manifests", digest))
    }

    pub(super) fn remove_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> io::Result<bool> {
        self.remove(&self.own_path(name, "_manifests", digest))
    }

    pub(super) fn put_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> io::Result<()> {
        self.write(&self.tag_path(name, tag), digest.to_string().as_bytes())
    }

    /// What a tag points at.
    pub(super) fn tag(&self, name: &RepositoryName, tag: &Tag) -> io::Result<Option<Digest>> {
        let Some(text) = read_small(&self.tag_path(name, tag))? else {
            return Ok(None);
        };
        Digest::parse(&text).map(Some).map_err(io::Error::other)
    }

    pub(super) fn remove_tag(&self, name: &RepositoryName, tag: &Tag) -> io::Result<bool> {
        self.remove(&self.tag_path(name, tag))
    }

    // ---- referrers

    /// Notes that the manifest `digest`, described by `descriptor`, has the subject `subject`.
    pub(super) fn put_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
        descriptor: &[u8],
    ) -> io::Result<()> {
        self.write(&self.referrer_path(name, subject, digest), descriptor)
    }

    pub(super) fn remove_referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> io::Result<bool> {
        self.remove(&self.referrer_path(name, subject, digest))
    }

    // ---- paths

    pub(super) fn repository_path(&self, name: &RepositoryName) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    pub(super) fn repositories_path(&self) -> PathBuf {
        self.root.join("repositories")
    }

    pub(super) fn tags_path(&self, name: &RepositoryName) -> PathBuf {
        self.repository_path(name).join("_tags")
    }

    pub(super) fn referrers_path(&self, name: &RepositoryName, subject: &Digest) -> PathBuf {
        self.own_path(name, "_referrers", subject)
    }

    pub(super) fn upload_path(&self, id: &UploadId) -> PathBuf {
        self.root.join("uploads").join(id.as_str())
    }

    pub(super) fn remove_upload(&self, id: &UploadId) -> io::Result<bool> {
        self.remove(&self.upload_path(id))
    }

    fn content_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let prefix = hex.get(..2).unwrap_or(hex);
        self.root
            .join("blobs")
            .join(digest.algorithm().to_string())
            .join(prefix)
            .join(hex)
    }

    fn own_path(&self, name: &RepositoryName, kind: &str, digest: &Digest) -> PathBuf {
        let directory = self.repository_path(name).join(kind);
        directory
            .join(digest.algorithm().to_string())
            .join(digest.hex())
    }

    fn tag_path(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tags_path(name).join(tag.as_str())
    }

    fn referrer_path(&self, name: &RepositoryName, subject: &Digest, digest: &Digest) -> PathBuf {
        self.referrers_path(name, subject)
            .join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }

    // ---- durable changes

    /// Writes a file whole or not at all.
    fn write(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let name = random_hex()?;
        let temporary = self.root.join("tmp").join(name);
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        if self.durable {
            file.sync_data()?;
        }
        self.rename(&temporary, target)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let directory = self.parent(to)?;
        fs::rename(from, to)?;
        self.sync_directory(directory)
    }

    /// Removes a file; says whether it was there.
    fn remove(&self, path: &Path) -> io::Result<bool> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        if let Some(directory) = path.parent() {
            self.sync_directory(directory)?;
        }
        Ok(true)
    }

    /// The directory of `path`, made when missing.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<&'a Path> {
        let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        self.make_directory(directory)?;
        Ok(directory)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.parent(path)?;
                match fs::create_dir(path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Err(error) => return Err(error),
        }
        path.parent()
            .map_or(Ok(()), |parent| self.sync_directory(parent))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        if self.durable {
            File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    }
}

/// Reads a file of a line or so; `None` when it is not there.
fn read_small(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    io::read_to_string(io::Read::take(file, SMALL_LIMIT)).map(Some)
}

//! Writing an OCI layout into a folder.

use super::{Receiver, Taking, check_document, is_worth_again, joined, pour};
use crate::ArchiveError;
use crate::index::{self, INDEX_FILE, LAYOUT, LAYOUT_FILE};
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_image::{
    ContentSink, ContentSource, Error as TransferError, Observer, Plan, Put, RetryPolicy,
};
use lapstrake_spec::{Descriptor, Digest, Document, Index, MANIFEST_LIMIT, MediaType, Reference};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::task::spawn_blocking;

/// Tells temporary names of one process apart.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// An OCI layout in a folder, open for writing. Images that are there stay; a name moves to the image
/// that is written under it. Any number of processes may write to one folder at once.
#[derive(Debug)]
pub struct LayoutSink {
    root: PathBuf,
    taking: Taking,
    built: Option<Descriptor>,
    /// The image that is being written.
    top: Mutex<Option<Digest>>,
    /// By the digest of a manifest in Docker's words, the one that is listed.
    listed: Mutex<BTreeMap<Digest, Descriptor>>,
}

impl LayoutSink {
    /// Opens a layout, made when it is missing.
    pub fn create(root: &Path) -> Result<Self, ArchiveError> {
        let blobs = root.join("blobs").join("sha256");
        std::fs::create_dir_all(&blobs)
            .map_err(ArchiveError::io(format!("mkdir {}", blobs.display())))?;
        let sink = Self {
            root: root.to_owned(),
            taking: Taking::default(),
            built: None,
            top: Mutex::new(None),
            listed: Mutex::default(),
        };
        if !root.join(LAYOUT_FILE).exists() {
            sink.write_new(LAYOUT_FILE, LAYOUT)?;
        }
        sink.change_index(|_entries| {})?;
        Ok(sink)
    }

    /// The same sink with another patience for broken streams.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.taking.retry = retry;
        self
    }

    /// The same sink that copies files of its source unread: for a source that has checked them when
    /// they came in, as the image store does.
    pub fn trusting(mut self) -> Self {
        self.taking.trusting = true;
        self
    }

    /// The same sink for the result of a build: its documents are written as they are and not in OCI's form
    /// besides, and this is what is listed.
    pub fn listing(mut self, built: Descriptor) -> Self {
        self.built = Some(built);
        self
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join(index::blob_path(digest))
    }

    fn has_blob(&self, desc: &Descriptor) -> bool {
        std::fs::metadata(self.blob(&desc.digest))
            .is_ok_and(|found| found.is_file() && found.len() == desc.size)
    }

    fn new_blob(&self, digest: &Digest) -> Result<NewFile, ArchiveError> {
        NewFile::create(&self.blob(digest))
    }

    /// Writes a file under another name and renames it.
    fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut new = NewFile::create(&self.root.join(name))?;
        new.put(bytes)?;
        new.rename()
    }

    /// Changes the list of images, alone among all processes.
    fn change_index(&self, change: impl FnOnce(&mut Vec<Descriptor>)) -> Result<(), ArchiveError> {
        let path = self.root.join(INDEX_FILE);
        let action = |verb: &str| format!("{verb} {}", path.display());
        let folder = File::open(&self.root).map_err(ArchiveError::io(action("lock")))?;
        folder.lock().map_err(ArchiveError::io(action("lock")))?;
        let mut index = match File::open(&path) {
            Ok(file) => {
                let mut raw = Vec::new();
                file.take((MANIFEST_LIMIT as u64).saturating_add(1))
                    .read_to_end(&mut raw)
                    .map_err(ArchiveError::io(action("read")))?;
                index::parse(&raw)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Index::new(MediaType::OCI_INDEX, Vec::new())
            }
            Err(error) => return Err(ArchiveError::io(action("open"))(error)),
        };
        let before = index.manifests.clone();
        change(&mut index.manifests);
        if index.manifests == before && path.exists() {
            return Ok(());
        }
        self.write_new(INDEX_FILE, &index.to_bytes())
    }

    /// The descriptor that the index is to have for a document.
    fn listed(&self, desc: &Descriptor) -> (Descriptor, bool) {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        match listed.get(&desc.digest) {
            Some(form) => (form.clone(), true),
            None => (desc.clone(), false),
        }
    }

    /// Lists an image that was written under a word, as other tools write it: `oci:DIR:v1`. The word
    /// moves here from wherever it was.
    pub fn label(&self, word: &str, desc: &Descriptor) -> Result<(), ArchiveError> {
        let bare = Descriptor::new(desc.media_type.clone(), desc.digest.clone(), desc.size);
        let (listed, other) = self.listed(&bare);
        let entry = index::labelled(&listed, other.then_some(&bare), word);
        self.change_index(|entries| index::merge(entries, entry))
    }

    fn list(&self, desc: &Descriptor, name: Option<&Reference>) -> Result<(), ArchiveError> {
        let bare = Descriptor::new(desc.media_type.clone(), desc.digest.clone(), desc.size);
        let (listed, other) = match &self.built {
            Some(built) if built.digest == desc.digest => (built.clone(), false),
            _ => self.listed(&bare),
        };
        let entry = index::entry(&listed, other.then_some(&bare), name);
        self.change_index(|entries| index::merge(entries, entry))
    }

    fn put_document(&self, desc: &Descriptor, raw: &[u8]) -> Result<(), ArchiveError> {
        let mut new = self.new_blob(&desc.digest)?;
        new.put(raw)?;
        new.rename()
    }
}

#[async_trait]
impl ContentSink for LayoutSink {
    async fn begin(&self, plan: &Plan) -> Result<(), TransferError> {
        let mut top = self.top.lock().unwrap_or_else(PoisonError::into_inner);
        *top = Some(plan.top.digest.clone());
        Ok(())
    }

    async fn has(
        &self,
        desc: &Descriptor,
        _diff_id: Option<&Digest>,
    ) -> Result<bool, TransferError> {
        Ok(self.has_blob(desc))
    }

    async fn put_blob(
        &self,
        desc: &Descriptor,
        _diff_id: Option<&Digest>,
        from: &dyn ContentSource,
        progress: &dyn Observer,
    ) -> Result<Put, TransferError> {
        if self.has_blob(desc) {
            return Ok(Put::AlreadyExists);
        }
        let mut pass = 0_usize;
        loop {
            pass = pass.saturating_add(1);
            let new = self.new_blob(&desc.digest)?;
            match pour(new, desc, from, progress, self.taking).await {
                Ok(new) => {
                    joined(spawn_blocking(move || new.rename()).await)?;
                    return Ok(Put::Stored);
                }
                Err(error) if is_worth_again(&error, pass, desc, from) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn put_manifest(&self, desc: &Descriptor, raw: Bytes) -> Result<(), TransferError> {
        check_document(desc, &raw)?;
        self.put_document(desc, &raw)?;
        if self.built.is_none()
            && let Ok(Document::Manifest(manifest)) = Document::parse(Some(&desc.media_type), &raw)
            && let Some(form) = index::oci_form(&manifest)
        {
            let raw = form.to_bytes();
            let form = Descriptor::of(MediaType::OCI_MANIFEST, &raw);
            self.put_document(&form, &raw)?;
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            listed.insert(desc.digest.clone(), form);
        }
        let is_top = {
            let top = self.top.lock().unwrap_or_else(PoisonError::into_inner);
            top.as_ref() == Some(&desc.digest)
        };
        if is_top {
            self.list(desc, None)?;
        }
        Ok(())
    }

    async fn tag(&self, name: &Reference, desc: &Descriptor) -> Result<(), TransferError> {
        let name = name.without_digest().or_latest();
        Ok(self.list(desc, Some(&name))?)
    }
}

/// A file that is being written under another name beside its own. Removed when it is dropped before.
struct NewFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    renamed: bool,
}

impl NewFile {
    fn create(target: &Path) -> Result<Self, ArchiveError> {
        let parent = target.parent().unwrap_or(Path::new("."));
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = parent.join(format!(".new-{}-{number}", std::process::id()));
        let open = || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).open(&temporary)
        };
        let opened = match open() {
            // A digest of another kind than before, or a leftover of a process of the same number.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(parent).and_then(|()| open())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_file(&temporary).and_then(|()| open())
            }
            other => other,
        };
        let file = opened.map_err(ArchiveError::io(format!("open {}", temporary.display())))?;
        Ok(Self {
            file,
            temporary,
            target: target.to_owned(),
            renamed: false,
        })
    }

    fn rename(mut self) -> Result<(), ArchiveError> {
        std::fs::rename(&self.temporary, &self.target).map_err(ArchiveError::io(format!(
            "rename {}",
            self.target.display()
        )))?;
        self.renamed = true;
        Ok(())
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> ArchiveError + use<> {
        ArchiveError::io(format!("write {}", self.target.display()))
    }
}

impl Receiver for NewFile {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.file.write_all(bytes).map_err(self.failed())
    }

    fn put_file(&mut self, file: &mut File, size: u64) -> Result<(), ArchiveError> {
        let copied = io::copy(&mut file.take(size), &mut self.file).map_err(self.failed())?;
        if copied < size {
            return Err(ArchiveError::UnexpectedEof);
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.renamed {
            // Best effort: the error that matters is on its way.
            std::fs::remove_file(&self.temporary).ok();
        }
    }
}

//! Uploads that are not finished: hashed while they are written, continued after any break.
//!
//! The file is the truth; the running hash is kept in memory and made again from the file when it
//! is gone (a restart, a failed write, too many uploads at once). A request that wants to write to
//! an upload takes it over from one that still does: after a network break the old request is the
//! one whose sender is gone.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use lapstrake_spec::{Digest, Hasher};
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::error::{ApiError, Code};
use super::name::{RepositoryName, UploadId};
use super::storage::Storage;

/// Bytes gathered before they are hashed and written; twice this is in memory.
const BATCH_BYTES: usize = 512 * 1024;
/// Uploads whose hash is kept in memory.
const SESSIONS_LIMIT: usize = 1024;
/// How long a sender may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How long a question for the length waits for a writer to finish.
const STATUS_PATIENCE: Duration = Duration::from_millis(250);

/// All uploads of a registry.
#[derive(Debug)]
pub(super) struct Uploads {
    storage: Arc<Storage>,
    slots: Mutex<BTreeMap<UploadId, Arc<Slot>>>,
}

/// The place of one upload, which one request at a time holds.
#[derive(Debug)]
struct Slot {
    session: Arc<AsyncMutex<Session>>,
    waiting: AtomicUsize,
    wake: Notify,
}

/// What the holder of an upload has.
#[derive(Debug, Default)]
struct Session {
    progress: Option<Progress>,
    gone: bool,
}

/// The bytes so far.
#[derive(Debug)]
struct Progress {
    file: File,
    length: u64,
    hasher: Hasher,
}

/// An upload that the request at hand holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: UploadId,
    slot: Arc<Slot>,
    session: OwnedMutexGuard<Session>,
}

impl Uploads {
    pub(super) fn new(storage: Arc<Storage>) -> Self {
        Self {
            storage,
            slots: Mutex::default(),
        }
    }

    /// Starts an upload.
    pub(super) async fn create(&self) -> Result<Held, ApiError> {
        let id = UploadId::random()?;
        let path = self.storage.upload_path(&id);
        let progress = blocking(move || {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)?;
            Ok(Progress {
                file,
                length: 0,
                hasher: Hasher::sha256(),
            })
        })
        .await?;
        let mut held = self.hold(&id).await;
        held.session.progress = Some(progress);
        Ok(held)
    }

    /// Takes an upload, also from a request that still writes to it.
    pub(super) async fn take(&self, id: &UploadId) -> Result<Held, ApiError> {
        let mut held = self.hold(id).await;
        if held.session.progress.is_none() && !held.session.gone {
            held.session.progress = self.load(id).await?;
        }
        if held.session.progress.is_none() {
            held.session.gone = true;
            self.forget(id);
            return Err(Code::BlobUploadUnknown.into());
        }
        Ok(held)
    }

    /// The length so far, without disturbing a writer. One whose sender has just gone is about to
    /// finish, so it gets a moment: the client that asks wants to go on from there.
    pub(super) async fn length(&self, id: &UploadId) -> Result<u64, ApiError> {
        let slot = self.slot(id);
        let free = timeout(STATUS_PATIENCE, slot.session.lock()).await;
        let path = self.storage.upload_path(id);
        let metadata = blocking(move || std::fs::metadata(path)).await;
        drop(free);
        match metadata {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(id);
                Err(Code::BlobUploadUnknown.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends an upload as the blob `digest` of `name`.
    pub(super) async fn finish(
        &self,
        mut held: Held,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), ApiError> {
        let progress = held
            .session
            .progress
            .take()
            .ok_or(Code::BlobUploadUnknown)?;
        let (storage, id) = (Arc::clone(&self.storage), held.id.clone());
        let (name, digest) = (name.clone(), digest.clone());
        let stored = blocking(move || {
            let matches = progress.matches(&digest)?;
            if matches {
                storage.adopt_upload(&id, &progress.file, &name, &digest)?;
            } else {
                storage.remove_upload(&id)?;
            }
            Ok(matches)
        })
        .await?;
        held.session.gone = true;
        self.forget(&held.id);
        if stored {
            Ok(())
        } else {
            Err(Code::DigestInvalid.into())
        }
    }

    /// Gives an upload up.
    pub(super) async fn cancel(&self, mut held: Held) -> Result<(), ApiError> {
        let (storage, id) = (Arc::clone(&self.storage), held.id.clone());
        blocking(move || storage.remove_upload(&id)).await?;
        held.session.progress = None;
        held.session.gone = true;
        self.forget(&held.id);
        Ok(())
    }

    async fn hold(&self, id: &UploadId) -> Held {
        let slot = self.slot(id);
        let waiting = Waiting::new(&slot);
        let session = Arc::clone(&slot.session).lock_owned().await;
        drop(waiting);
        Held {
            id: id.clone(),
            slot,
            session,
        }
    }

    fn slot(&self, id: &UploadId) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= SESSIONS_LIMIT && !slots.contains_key(id) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let slot = slots.entry(id.clone()).or_insert_with(|| {
            Arc::new(Slot {
                session: Arc::default(),
                waiting: AtomicUsize::new(0),
                wake: Notify::new(),
            })
        });
        Arc::clone(slot)
    }

    fn forget(&self, id: &UploadId) {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }

    /// Opens an upload that only its file knows of, and hashes what is there.
    async fn load(&self, id: &UploadId) -> Result<Option<Progress>, ApiError> {
        let path = self.storage.upload_path(id);
        let loaded = blocking(move || {
            let file = match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut hasher = Hasher::sha256();
            let length = hash_file(&file, &mut hasher)?;
            Ok(Some(Progress {
                file,
                length,
                hasher,
            }))
        })
        .await?;
        Ok(loaded)
    }
}

impl Held {
    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.session
            .progress
            .as_ref()
            .map_or(0, |progress| progress.length)
    }

    /// Writes `body` behind the bytes so far. What arrives is kept also when the rest does not.
    ///
    /// Runs to its end whatever happens to the caller, which is dropped when the client goes.
    pub(super) async fn append(self, body: Body, declared: Option<u64>) -> Result<Self, ApiError> {
        let writing = tokio::spawn(async move {
            let mut held = self;
            let received = held.receive(body, declared).await;
            received.map(|()| held)
        });
        writing.await.map_err(io::Error::other)?
    }

    async fn receive(&mut self, body: Body, declared: Option<u64>) -> Result<(), ApiError> {
        let progress = self
            .session
            .progress
            .take()
            .ok_or(Code::BlobUploadUnknown)?;
        let mut writer = Writer::new(progress);
        let received = gather(&self.slot, body, declared, &mut writer).await;
        // Lost only when a write failed; then the file is hashed again by the next request.
        let progress = writer.finish().await;
        match progress {
            Ok(progress) => self.session.progress = Some(progress),
            Err(error) => return Err(error.into()),
        }
        received
    }
}

/// Reads `body` into `writer` until its end, an error, or another request's wish to take over.
async fn gather(
    slot: &Slot,
    body: Body,
    declared: Option<u64>,
    writer: &mut Writer,
) -> Result<(), ApiError> {
    let mut chunks = body.into_data_stream();
    let mut total = 0_u64;
    loop {
        let wake = slot.wake.notified();
        if slot.waiting.load(Ordering::Acquire) > 0 {
            writer.discard();
            return Err(interrupted());
        }
        let chunk = tokio::select! {
            chunk = timeout(SILENCE_LIMIT, chunks.next()) => chunk,
            () = wake => continue,
        };
        let chunk = match chunk {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(cut(&error.to_string())),
            Err(_) => return Err(cut("the sender is silent")),
        };
        total = total.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if declared.is_some_and(|declared| total > declared) {
            return Err(Code::SizeInvalid.into());
        }
        writer.push(chunk).await?;
    }
    match declared {
        Some(declared) if total < declared => Err(Code::SizeInvalid.into()),
        Some(_) | None => Ok(()),
    }
}

fn interrupted() -> ApiError {
    ApiError::new(Code::BlobUploadInvalid).message("another request continues this upload")
}

fn cut(why: &str) -> ApiError {
    ApiError::new(Code::BlobUploadInvalid).message(format!("upload cut short: {why}"))
}

/// Counts a request that waits for an upload, and tells the holder.
struct Waiting<'a>(&'a Slot);

impl<'a> Waiting<'a> {
    fn new(slot: &'a Slot) -> Self {
        slot.waiting.fetch_add(1, Ordering::AcqRel);
        slot.wake.notify_waiters();
        Self(slot)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Hashes and writes one batch while the next one is gathered.
struct Writer {
    batch: Vec<Bytes>,
    batch_bytes: usize,
    state: State,
}

enum State {
    Idle(Progress),
    Busy(JoinHandle<io::Result<Progress>>),
    Failed,
}

impl Writer {
    fn new(progress: Progress) -> Self {
        Self {
            batch: Vec::new(),
            batch_bytes: 0,
            state: State::Idle(progress),
        }
    }

    async fn push(&mut self, chunk: Bytes) -> io::Result<()> {
        self.batch_bytes = self.batch_bytes.saturating_add(chunk.len());
        self.batch.push(chunk);
        if self.batch_bytes < BATCH_BYTES {
            Ok(())
        } else {
            self.write().await
        }
    }

    fn discard(&mut self) {
        self.batch.clear();
        self.batch_bytes = 0;
    }

    async fn write(&mut self) -> io::Result<()> {
        let mut progress = self.settle().await?;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.state = State::Busy(spawn_blocking(move || {
            for chunk in batch {
                progress.write(&chunk)?;
            }
            Ok(progress)
        }));
        Ok(())
    }

    async fn settle(&mut self) -> io::Result<Progress> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(progress) => Ok(progress),
            State::Busy(running) => running.await.map_err(io::Error::other)?,
            State::Failed => Err(io::Error::other("an earlier write failed")),
        }
    }

    async fn finish(mut self) -> io::Result<Progress> {
        if !self.batch.is_empty() {
            self.write().await?;
        }
        self.settle().await
    }
}

impl Progress {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.hasher.update(chunk);
        self.file.write_all_at(chunk, self.length)?;
        self.length = self
            .length
            .saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Whether the bytes are those of `digest`; another algorithm than the running one reads them.
    fn matches(&self, digest: &Digest) -> io::Result<bool> {
        let running = self.hasher.clone().finish();
        if running.algorithm() == digest.algorithm() {
            return Ok(running == *digest);
        }
        let mut hasher = Hasher::for_digest(digest);
        hash_file(&self.file, &mut hasher)?;
        Ok(hasher.finish() == *digest)
    }
}

fn hash_file(file: &File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0_u8; BATCH_BYTES];
    let mut offset = 0_u64;
    loop {
        let count = match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(offset),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

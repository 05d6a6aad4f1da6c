//! A layer blob on its way in: one pass from the network to a durable file and an unpacked tree.
//!
//! ```text
//! future: source ──batches──▶ writer thread: digest, partial file ──same bytes──▶ unpacker thread:
//!                             (direct, then fdatasync)                  inflate, diff id, tree
//! ```
//!
//! Both channels are bounded, so memory stays small. The unpacker does not hold the download up: when
//! it is behind, the writer tells it where in the partial file the bytes are, in place of the bytes.
//!
//! What has come should survive a kill, and be fetched once: the writer writes what it has as soon as
//! it has to wait for more, and nothing is asked for before it is ready to write. So little is lost:
//! what is in the sockets, and a few tens of kilobytes of each blob.
//!
//! A dropped future closes the first channel without an end mark: the writer flushes what it has, the
//! unpacker throws its tree away, and both threads end.
//!
//! The blob gets its name last, after the tree: who finds the blob need not unpack it a second time.
//! The lock of the partial file is held until then.

use crate::feed::{self, Feed, FeedReader, Feeder};
use crate::layers::{Unpacked, is_sha256};
use crate::{Error, Store, layout};
use bytes::Bytes;
use lapstrake_image::{
    BlobReader, ContentSource, LayerEvent, LayerState, Observer, Put, RetryPolicy,
};
use lapstrake_spec::{Descriptor, Digest, Hasher};
use lapstrake_sys::direct::{BLOCK_BYTES, DirectWriter};
use lapstrake_sys::durable;
use lapstrake_sys::lock::Lock;
use std::fs::File;
use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Bytes that travel through a channel together.
const BATCH_BYTES: usize = 64 << 10;
/// A batch this large does not wait for a source that has nothing more at the moment.
const EARLY_BATCH_BYTES: usize = 32 << 10;
/// Bytes that are written at once when there is nothing else to do.
const EARLY_WRITE_BYTES: usize = 64 << 10;
/// Batches between the future and the writer. What is in the queue is lost when the process is killed.
const WRITER_QUEUE: usize = 2;
/// Longer chunks are cut, so that a queue of them is bounded in bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// How many times the bytes of one blob may turn out wrong.
const PASSES: usize = 4;
/// How often a stage tells how far it is, at most.
const REPORTS: u64 = 100;

const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// One blob to be fetched.
pub(crate) struct Fetch<'a> {
    pub(crate) store: &'a Store,
    pub(crate) desc: &'a Descriptor,
    /// The layer that the blob has to be; unpacked unless its tree is here. None when the blob is all
    /// that is wanted.
    pub(crate) unpack: Option<&'a Digest>,
    pub(crate) from: &'a dyn ContentSource,
    pub(crate) progress: &'a dyn Observer,
    pub(crate) retry: RetryPolicy,
}

/// From the future to the writer.
enum Batch {
    Data(Vec<Bytes>),
    End,
}

impl Fetch<'_> {
    pub(crate) async fn run(&self) -> Result<Put, Error> {
        let mut pass = 0;
        loop {
            pass += 1;
            let Some(partial) = self.partial().await? else {
                self.unpack_stored().await?;
                return Ok(Put::AlreadyExists);
            };
            let resumed = self.resumable(&partial)? > 0;
            match self.pass(partial).await {
                Ok(()) => return Ok(Put::Stored),
                Err(error) => {
                    let mismatch = matches!(error, Error::Mismatch { .. });
                    let again = mismatch && (resumed || self.from.reject_blob(self.desc));
                    if !again || pass == PASSES {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The locked partial file; none when the blob is here, perhaps brought by someone waited for.
    async fn partial(&self) -> Result<Option<File>, Error> {
        let disk = self.store.disk();
        let path = layout::partial(&self.desc.digest);
        let mut wait = FIRST_WAIT;
        loop {
            if self.store.has_blob(&self.desc.digest)? {
                return Ok(None);
            }
            let file = disk.open_or_create(&path)?;
            match Lock::try_exclusive(file).map_err(disk.failed("lock", &path))? {
                Ok(lock) => {
                    // Its former owner may have made it a blob, or the sweep may have taken it.
                    if disk.is_at(&lock, &path)? {
                        return Ok(Some(lock.into_file()));
                    }
                }
                // Not a blocking wait, so that dropping the future ends it.
                Err(_held) => {
                    if wait == FIRST_WAIT {
                        self.tell(LayerState::Waiting);
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// How many bytes of a partial file can be kept.
    fn resumable(&self, partial: &File) -> Result<u64, Error> {
        let path = layout::partial(&self.desc.digest);
        let length = partial
            .metadata()
            .map_err(self.store.disk().failed("stat", &path))?
            .len();
        if length > self.desc.size {
            return Ok(0);
        }
        Ok(length - length % BLOCK_BYTES as u64)
    }

    /// Fetches what is missing of the partial file, and unpacks it all.
    async fn pass(&self, partial: File) -> Result<(), Error> {
        let path = layout::partial(&self.desc.digest);
        let offset = self.resumable(&partial)?;
        self.store.disk().step("truncate", &path)?;
        let output = DirectWriter::resume_cached(partial, offset)
            .map_err(self.store.disk().failed("write", &path))?;
        let (batches, received) = mpsc::channel(WRITER_QUEUE);
        let (unpacker, feed) = self.start_unpacker()?;
        let mut writer = Writer {
            stored: Arc::new(self.store.disk().open_file(&path)?),
            store: self.store.clone(),
            desc: self.desc.clone(),
            output,
            hasher: Hasher::for_digest(&self.desc.digest),
            feed,
            behind: None,
            path,
        };
        let ready = spawn_blocking(move || writer.prefix(offset).map(|()| writer));
        let writer = joined(ready.await)?;
        let written = spawn_blocking(move || writer.run(received));

        let sent = self.send(offset, batches).await;
        if sent.is_ok() {
            self.tell(LayerState::Verifying);
        }
        let written = joined(written.await);
        if matches!(&written, Ok(Some(_))) {
            self.tell(LayerState::Downloaded);
        }
        let unpacked = match unpacker {
            Some(unpacker) => Some(self.follow(unpacker).await),
            None => None,
        };
        // A stream that failed, or bytes that are wrong, explain whatever the unpacker says.
        let partial = match (sent, written) {
            (_, Err(error)) => return Err(error),
            (Err(error), Ok(_)) => return Err(error.into()),
            (Ok(()), Ok(partial)) => partial,
        };
        self.publish(unpacked, partial).await
    }

    /// Sends the bytes of the source to the writer.
    async fn send(
        &self,
        offset: u64,
        batches: mpsc::Sender<Batch>,
    ) -> Result<(), lapstrake_image::Error> {
        let total = self.desc.size;
        let step = (total / REPORTS).max(BATCH_BYTES as u64);
        let mut reported = offset;
        let mut reader = BlobReader::new(self.from, self.desc, offset, self.retry, self.progress);
        let mut batch = Vec::new();
        let mut length = 0;
        self.tell(LayerState::Downloading {
            done: offset,
            total,
        });
        loop {
            let next = {
                let mut next = pin!(reader.next());
                let at_once = std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
                match at_once {
                    Poll::Ready(next) => next,
                    Poll::Pending => {
                        if length >= EARLY_BATCH_BYTES {
                            length = 0;
                            let batch = Batch::Data(std::mem::take(&mut batch));
                            // A writer that has ended says why when it is joined.
                            batches.send(batch).await.ok();
                        }
                        next.await
                    }
                }
            };
            let Some(chunk) = next? else { break };
            length += chunk.len();
            batch.push(chunk);
            if length >= BATCH_BYTES {
                length = 0;
                if batches
                    .send(Batch::Data(std::mem::take(&mut batch)))
                    .await
                    .is_err()
                {
                    // The writer has ended, and says why when it is joined.
                    return Ok(());
                }
            }
            if reader.position() - reported >= step {
                reported = reader.position();
                self.tell(LayerState::Downloading {
                    done: reported,
                    total,
                });
            }
        }
        if reported != total {
            self.tell(LayerState::Downloading { done: total, total });
        }
        for last in [Batch::Data(batch), Batch::End] {
            if batches.send(last).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn start_unpacker(&self) -> Result<(Option<Unpacker>, Option<Feeder>), Error> {
        let Some(diff_id) = self.unpack else {
            return Ok((None, None));
        };
        let is_here = self.store.has_layer(diff_id)?;
        let (feeder, receiver) = feed::channel();
        let (report, reports) = watch::channel(0);
        let (store, total) = (self.store.clone(), self.desc.size);
        let hashed = is_sha256(&self.desc.digest);
        let task = spawn_blocking(move || {
            let step = (total / REPORTS).max(1 << 20);
            let reader = FeedReader::new(receiver, move |done| {
                report.send_if_modified(|last| {
                    let due = done.saturating_sub(*last) >= step || done == total;
                    if due {
                        *last = done;
                    }
                    due
                });
            });
            if is_here {
                store.unpack_nothing(reader, hashed)
            } else {
                store.unpack(reader, hashed)
            }
        });
        Ok((Some(Unpacker { task, reports }), Some(feeder)))
    }

    /// Tells how far the unpacker is until it ends.
    async fn follow(&self, mut unpacker: Unpacker) -> Result<Unpacked, Error> {
        let total = self.desc.size;
        while unpacker.reports.changed().await.is_ok() {
            let done = *unpacker.reports.borrow_and_update();
            self.tell(LayerState::Extracting { done, total });
        }
        joined(unpacker.task.await)
    }

    /// Gives the tree and then the blob their names.
    async fn publish(
        &self,
        unpacked: Option<Result<Unpacked, Error>>,
        partial: Option<File>,
    ) -> Result<(), Error> {
        let store = self.store.clone();
        let (diff_id, digest) = (self.unpack.cloned(), self.desc.digest.clone());
        let publish = move || {
            let path = layout::partial(&digest);
            let named = match (unpacked, diff_id) {
                (Some(Ok(unpacked)), Some(diff_id)) => unpacked.publish(&store, &diff_id, &digest),
                (Some(Err(error)), _) => Err(error),
                _ => Ok(()),
            };
            let named = match named {
                Ok(()) => store.name_blob(&path, &digest),
                // The right bytes of a bad layer: nobody will want them.
                Err(error) => store.disk().remove_file(&path).and(Err(error)),
            };
            drop(partial);
            named
        };
        joined(spawn_blocking(publish).await)
    }

    /// The blob is here: unpacks it if its tree is wanted and missing, and else makes sure that it is this
    /// layer.
    async fn unpack_stored(&self) -> Result<(), Error> {
        let Some(diff_id) = self.unpack.cloned() else {
            return Ok(());
        };
        let (store, desc, total) = (self.store.clone(), self.desc.clone(), self.desc.size);
        let (report, mut reports) = watch::channel(0);
        let task = spawn_blocking(move || {
            let step = (total / REPORTS).max(1 << 20);
            let progress = |done: u64| {
                report.send_if_modified(|last| {
                    let due = done.saturating_sub(*last) >= step;
                    if due {
                        *last = done;
                    }
                    due
                });
                // Nobody listens any more when the future was dropped.
                !report.is_closed()
            };
            store.ensure_layer_with(&diff_id, &desc, progress)?;
            store.check_layer_of(&diff_id, &desc.digest, progress)
        });
        while reports.changed().await.is_ok() {
            let done = *reports.borrow_and_update();
            self.tell(LayerState::Extracting { done, total });
        }
        joined(task.await)
    }

    fn tell(&self, state: LayerState) {
        self.progress.layer(LayerEvent {
            digest: self.desc.digest.clone(),
            state,
        });
    }
}

/// The unpacker thread and its reports.
struct Unpacker {
    task: JoinHandle<Result<Unpacked, Error>>,
    reports: watch::Receiver<u64>,
}

pub(crate) fn joined<T>(result: Result<Result<T, Error>, JoinError>) -> Result<T, Error> {
    match result {
        Ok(result) => result,
        Err(error) => Err(Error::Io {
            action: "join".to_owned(),
            source: io::Error::other(error),
        }),
    }
}

/// The writer thread.
struct Writer {
    store: Store,
    desc: Descriptor,
    output: DirectWriter,
    hasher: Hasher,
    feed: Option<Feeder>,
    /// Where the bytes begin that the unpacker has not been told of; none when it knows of all.
    behind: Option<u64>,
    /// The partial file, to be read.
    stored: Arc<File>,
    path: String,
}

impl Writer {
    /// Writes until the end mark. Gives the file, still locked, when it is whole and durable; nothing
    /// when the other end went away.
    fn run(mut self, mut received: mpsc::Receiver<Batch>) -> Result<Option<File>, Error> {
        let (store, path) = (self.store.clone(), self.path.clone());
        let result = match self.batches(&mut received) {
            Ok(true) => self.finish().map(Some),
            Ok(false) => self
                .output
                .finish()
                .map(|_| None)
                .map_err(store.disk().failed("write", &path)),
            Err(error) => Err(error),
        };
        match result {
            Err(error) if error.kind() == lapstrake_image::ErrorKind::NoSpace => {
                store.disk().remove_file(&path).and(Err(error))
            }
            other => other,
        }
    }

    /// Takes what an earlier process wrote.
    fn prefix(&mut self, offset: u64) -> Result<(), Error> {
        if offset == 0 {
            return Ok(());
        }
        self.behind = Some(0);
        self.catch_up();
        let mut rest = (&*self.stored).take(offset);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = rest
                .read(&mut chunk)
                .map_err(self.store.disk().failed("read", &self.path))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&chunk[..count]);
        }
    }

    /// True when the end mark came.
    fn batches(&mut self, received: &mut mpsc::Receiver<Batch>) -> Result<bool, Error> {
        while let Some(batch) = self.next_batch(received)? {
            let Batch::Data(chunks) = batch else {
                return Ok(true);
            };
            self.store.disk().step("write", &self.path)?;
            for chunk in chunks {
                self.hasher.update(&chunk);
                self.output
                    .write_all(&chunk)
                    .map_err(self.store.disk().failed("write", &self.path))?;
                self.pass_on(chunk);
            }
        }
        Ok(false)
    }

    /// The next batch. Uses the time when there is none yet.
    fn next_batch(&mut self, received: &mut mpsc::Receiver<Batch>) -> Result<Option<Batch>, Error> {
        if let Ok(batch) = received.try_recv() {
            return Ok(Some(batch));
        }
        if self.output.buffered().len() >= EARLY_WRITE_BYTES {
            self.output
                .write_blocks()
                .map_err(self.store.disk().failed("write", &self.path))?;
        }
        self.catch_up();
        Ok(received.blocking_recv())
    }

    /// Gives the unpacker what was just written, or notes that it is behind.
    fn pass_on(&mut self, mut chunk: Bytes) {
        if self.behind.is_some() {
            return self.catch_up();
        }
        while !chunk.is_empty() {
            let left = chunk.len() as u64;
            let part = chunk.split_to(chunk.len().min(CHUNK_BYTES));
            if !self.offer(Feed::Data(part)) {
                self.behind = Some(self.output.position().saturating_sub(left));
                return;
            }
        }
    }

    /// Tells an unpacker that was behind of all that it does not know of, if it has room for that.
    fn catch_up(&mut self) {
        let Some(start) = self.behind else { return };
        let written = self.output.written();
        if written > start && !self.offer(Feed::Stored(Arc::clone(&self.stored), start..written)) {
            return;
        }
        let start = start.max(written);
        let told = usize::try_from(start - written).unwrap_or(usize::MAX);
        let rest = self.output.buffered().get(told..).unwrap_or_default();
        // More than a chunk is not worth a copy: it is in the file soon.
        let rest = (rest.len() <= CHUNK_BYTES).then(|| Bytes::copy_from_slice(rest));
        let all = rest.is_some_and(|rest| rest.is_empty() || self.offer(Feed::Data(rest)));
        self.behind = (!all).then_some(start);
    }

    /// False when the unpacker has no room. One that has failed takes everything: it says so when it is
    /// joined, and the blob may still be good.
    fn offer(&self, feed: Feed) -> bool {
        self.feed.as_ref().is_none_or(|feeder| feeder.offer(feed))
    }

    fn finish(mut self) -> Result<File, Error> {
        if self.hasher.finish() != self.desc.digest {
            self.store.disk().remove_file(&self.path)?;
            return Err(Error::Mismatch {
                digest: self.desc.digest,
            });
        }
        let disk = self.store.disk();
        disk.step("sync", &self.path)?;
        let size = self.output.position();
        let file = self
            .output
            .finish()
            .map_err(disk.failed("write", &self.path))?;
        if let Some(feeder) = self.feed.take() {
            let rest = self.behind.map(|start| start..size);
            feeder.end(rest.map(|range| Feed::Stored(self.stored, range)));
        }
        durable::sync_data(&file).map_err(disk.failed("write", &self.path))?;
        Ok(file)
    }
}

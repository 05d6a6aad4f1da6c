//! A layer blob on its way in: one pass from the network to a durable file and an unpacked tree.
//!
//! ```text
//! future: source ──batches──▶ writer thread: digest, partial file ──same bytes──▶ unpacker thread:
//!                             (direct, then fdatasync)                  inflate, diff id, tree
//! ```
//!
//! Both channels are bounded, so the slowest stage sets the pace and memory stays small. A dropped
//! future closes the first channel without an end mark: the writer flushes what it has, so that the
//! partial file can be resumed, the unpacker throws its tree away, and both threads end.
//!
//! The blob gets its name last, after the tree: who finds the blob need not unpack it a second time.
//! The lock of the partial file is held until then.

use crate::layers::{Unpacked, is_sha256};
use crate::{Error, Store, layout};
use bytes::{Buf, Bytes};
use lapstrake_image::{
    BlobReader, ContentSource, LayerEvent, LayerState, Observer, Put, RetryPolicy,
};
use lapstrake_spec::{Descriptor, Digest, Hasher};
use lapstrake_sys::direct::{BLOCK_BYTES, DirectWriter};
use lapstrake_sys::lock::Lock;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::mpsc as sync_mpsc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Bytes that travel through a channel together.
const BATCH_BYTES: usize = 128 << 10;
/// Batches between the future and the writer. What is in the queue is lost when the process is killed.
const WRITER_QUEUE: usize = 4;
/// Chunks between the writer and the unpacker.
pub(crate) const UNPACKER_QUEUE: usize = 64;
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
    /// The layer to unpack; none when the blob is all that is wanted.
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

/// From the writer to the unpacker.
pub(crate) enum Feed {
    Data(Bytes),
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
        let output = DirectWriter::resume(partial, offset)
            .map_err(self.store.disk().failed("write", &path))?;
        let (batches, received) = mpsc::channel(WRITER_QUEUE);
        let (unpacker, feed) = self.start_unpacker();
        let writer = Writer {
            store: self.store.clone(),
            desc: self.desc.clone(),
            output,
            hasher: Hasher::for_digest(&self.desc.digest),
            feed,
            path,
        };
        let written = spawn_blocking(move || writer.run(offset, received));

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
        while let Some(chunk) = reader.next().await? {
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

    fn start_unpacker(&self) -> (Option<Unpacker>, Option<sync_mpsc::SyncSender<Feed>>) {
        if self.unpack.is_none() {
            return (None, None);
        }
        let (sender, receiver) = sync_mpsc::sync_channel(UNPACKER_QUEUE);
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
            store.unpack(reader, hashed)
        });
        (Some(Unpacker { task, reports }), Some(sender))
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

    /// The blob is here: unpacks it, if its tree is wanted and missing.
    async fn unpack_stored(&self) -> Result<(), Error> {
        let Some(diff_id) = self.unpack.cloned() else {
            return Ok(());
        };
        let (store, desc, total) = (self.store.clone(), self.desc.clone(), self.desc.size);
        let (report, mut reports) = watch::channel(0);
        let task = spawn_blocking(move || {
            let step = (total / REPORTS).max(1 << 20);
            store.ensure_layer_with(&diff_id, &desc, |done| {
                report.send_if_modified(|last| {
                    let due = done.saturating_sub(*last) >= step;
                    if due {
                        *last = done;
                    }
                    due
                });
                // Nobody listens any more when the future was dropped.
                !report.is_closed()
            })
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
    feed: Option<sync_mpsc::SyncSender<Feed>>,
    path: String,
}

impl Writer {
    /// Writes until the end mark. Gives the file, still locked, when it is whole and durable; nothing
    /// when the other end went away.
    fn run(
        mut self,
        offset: u64,
        mut received: mpsc::Receiver<Batch>,
    ) -> Result<Option<File>, Error> {
        let (store, path) = (self.store.clone(), self.path.clone());
        let result = match self
            .prefix(offset)
            .and_then(|()| self.batches(&mut received))
        {
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
        let mut rest = self.store.disk().open_file(&self.path)?.take(offset);
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let count = rest
                .read(&mut chunk)
                .map_err(self.store.disk().failed("read", &self.path))?;
            if count == 0 {
                return Ok(());
            }
            chunk.truncate(count);
            let chunk = Bytes::from(chunk);
            self.hasher.update(&chunk);
            self.pass_on(chunk);
        }
    }

    /// True when the end mark came.
    fn batches(&mut self, received: &mut mpsc::Receiver<Batch>) -> Result<bool, Error> {
        while let Some(batch) = received.blocking_recv() {
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

    /// An unpacker that has failed says so when it is joined; the blob may still be good.
    fn pass_on(&mut self, mut chunk: Bytes) {
        while !chunk.is_empty() {
            let part = chunk.split_to(chunk.len().min(CHUNK_BYTES));
            let Some(feed) = &self.feed else { return };
            if feed.send(Feed::Data(part)).is_err() {
                self.feed = None;
            }
        }
    }

    fn finish(mut self) -> Result<File, Error> {
        if self.hasher.finish() != self.desc.digest {
            self.store.disk().remove_file(&self.path)?;
            return Err(Error::Mismatch {
                digest: self.desc.digest,
            });
        }
        if let Some(feed) = self.feed.take() {
            // It may have failed; see above.
            feed.send(Feed::End).ok();
        }
        self.store.disk().finish_durable(self.output, &self.path)
    }
}

/// The unpacker's end of a channel. A channel that closes before the end mark is an error.
pub(crate) struct FeedReader<F> {
    receiver: sync_mpsc::Receiver<Feed>,
    current: Bytes,
    done: u64,
    ended: bool,
    report: F,
}

impl<F: FnMut(u64)> FeedReader<F> {
    pub(crate) fn new(receiver: sync_mpsc::Receiver<Feed>, report: F) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
            done: 0,
            ended: false,
            report,
        }
    }
}

impl<F: FnMut(u64)> Read for FeedReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.receiver.recv() {
                Ok(Feed::Data(bytes)) => self.current = bytes,
                Ok(Feed::End) => self.ended = true,
                Err(_closed) => {
                    let cancelled = io::ErrorKind::ConnectionAborted;
                    return Err(io::Error::new(cancelled, "transfer cancelled"));
                }
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        self.done = self.done.saturating_add(count as u64);
        (self.report)(self.done);
        Ok(count)
    }
}

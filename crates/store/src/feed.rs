//! What the unpacker reads: a channel of chunks, or of places in a file where they are.

use bytes::{Buf, Bytes};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Chunks between the writer and the unpacker.
const QUEUE: usize = 64;

/// From the writer to the unpacker.
pub(crate) enum Feed {
    /// The next bytes.
    Data(Bytes),
    /// The next bytes are these of the file.
    Stored(Arc<File>, Range<u64>),
    /// That was all.
    End,
}

/// A bounded channel to an unpacker.
pub(crate) fn channel() -> (Feeder, Received) {
    let (sender, feed) = sync_channel(QUEUE);
    let cancelled = Arc::<AtomicBool>::default();
    let received = Received {
        feed,
        cancelled: Arc::clone(&cancelled),
    };
    let feeder = Feeder {
        sender,
        ended: false,
        cancelled,
    };
    (feeder, received)
}

/// The writer's end. When it is dropped without an end mark, the unpacker stops.
#[derive(Debug)]
pub(crate) struct Feeder {
    sender: SyncSender<Feed>,
    ended: bool,
    /// Tells the unpacker not to read to the end of what it knows of.
    cancelled: Arc<AtomicBool>,
}

impl Feeder {
    /// False when the unpacker has no room. One that has failed takes everything: it says so when it
    /// is joined.
    pub(crate) fn offer(&self, feed: Feed) -> bool {
        !matches!(self.sender.try_send(feed), Err(TrySendError::Full(_)))
    }

    /// Waits until the unpacker has room. False when it has failed.
    pub(crate) fn send(&self, feed: Feed) -> bool {
        self.sender.send(feed).is_ok()
    }

    /// The end mark, after what is left. An unpacker that has failed says so when it is joined.
    pub(crate) fn end(mut self, rest: Option<Feed>) {
        self.ended = rest.is_none_or(|rest| self.send(rest)) && self.send(Feed::End);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        if !self.ended {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }
}

/// The unpacker's end of a channel.
pub(crate) struct Received {
    feed: Receiver<Feed>,
    cancelled: Arc<AtomicBool>,
}

/// The bytes of a channel, in order. A channel that closes before the end mark is an error.
pub(crate) struct FeedReader<F> {
    receiver: Received,
    current: Bytes,
    stored: Option<(Arc<File>, Range<u64>)>,
    done: u64,
    ended: bool,
    report: F,
}

impl<F: FnMut(u64)> FeedReader<F> {
    pub(crate) fn new(receiver: Received, report: F) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
            stored: None,
            done: 0,
            ended: false,
            report,
        }
    }

    fn count(&mut self, count: usize) -> usize {
        self.done = self.done.saturating_add(count as u64);
        (self.report)(self.done);
        count
    }

    /// Bytes that the writer has put into the file; none when there are no more of these.
    fn read_stored(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((file, range)) = &mut self.stored else {
            return Ok(0);
        };
        let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        if left == 0 {
            self.stored = None;
            return Ok(0);
        }
        let length = buffer.len().min(left);
        let count = file.read_at(&mut buffer[..length], range.start)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        range.start += count as u64;
        Ok(count)
    }
}

fn cancelled() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "transfer cancelled")
}

impl<F: FnMut(u64)> Read for FeedReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            if self.receiver.cancelled.load(Ordering::Relaxed) {
                return Err(cancelled());
            }
            let stored = self.read_stored(buffer)?;
            if stored > 0 {
                return Ok(self.count(stored));
            }
            if self.ended || buffer.is_empty() {
                return Ok(0);
            }
            match self.receiver.feed.recv() {
                Ok(Feed::Data(bytes)) => self.current = bytes,
                Ok(Feed::Stored(file, range)) => self.stored = Some((file, range)),
                Ok(Feed::End) => self.ended = true,
                Err(_closed) => return Err(cancelled()),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(self.count(count))
    }
}

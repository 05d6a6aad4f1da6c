//! Reading a blob to its end in spite of broken streams.

use crate::{BlobStream, ContentSource, Error, ErrorKind, LayerEvent, LayerState, Observer};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use lapstrake_spec::{Descriptor, Hasher};
use std::time::Duration;

/// A stream that brought at least this much before it broke has made progress: attempts are counted anew.
const PROGRESS_BYTES: u64 = 1 << 20;

/// The longest pause between two attempts.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);

/// How often a broken stream is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Streams that may be opened without progress between them, the first one included.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles from there.
    pub pause: Duration,
}

impl RetryPolicy {
    /// Five attempts without a pause between them.
    pub const fn immediate() -> Self {
        Self {
            attempts: 5,
            pause: Duration::ZERO,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            pause: Duration::from_secs(1),
        }
    }
}

/// The bytes of a blob from an offset on. A stream that breaks, or ends early, is opened again where
/// it ended; the size is enforced, the digest is not: that is the consumer's part.
pub struct BlobReader<'a> {
    source: &'a dyn ContentSource,
    desc: &'a Descriptor,
    observer: &'a dyn Observer,
    policy: RetryPolicy,
    stream: Option<BlobStream>,
    position: u64,
    failures: u32,
    opened_at: u64,
}

impl<'a> BlobReader<'a> {
    /// A reader that will begin at `offset`. Nothing is asked for yet.
    pub fn new(
        source: &'a dyn ContentSource,
        desc: &'a Descriptor,
        offset: u64,
        policy: RetryPolicy,
        observer: &'a dyn Observer,
    ) -> Self {
        Self {
            source,
            desc,
            observer,
            policy,
            stream: None,
            position: offset,
            failures: 0,
            opened_at: offset,
        }
    }

    /// The offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next bytes, never none; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.stream.is_none() && self.position == self.desc.size {
                return Ok(None);
            }
            match self.attempt().await {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => return self.accept(chunk).map(Some),
                Ok(None) if self.position == self.desc.size => return Ok(None),
                Ok(None) => self.pause(unexpected_eof(self.desc)).await?,
                Err(error) if error.is_transient() => self.pause(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self) -> Result<Option<Bytes>, Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                self.opened_at = self.position;
                self.stream
                    .insert(self.source.blob(self.desc, self.position).await?)
            }
        };
        stream.next().await.transpose()
    }

    fn accept(&mut self, chunk: Bytes) -> Result<Bytes, Error> {
        let position = self.position.saturating_add(chunk.len() as u64);
        if position > self.desc.size {
            return Err(Error::new(
                ErrorKind::InvalidContent,
                format!(
                    "blob {} is longer than the {} bytes of its descriptor",
                    self.desc.digest, self.desc.size
                ),
            ));
        }
        self.position = position;
        Ok(chunk)
    }

    /// Waits before the next attempt, or gives the error back when there is none.
    async fn pause(&mut self, error: Error) -> Result<(), Error> {
        self.stream = None;
        if self.position.saturating_sub(self.opened_at) >= PROGRESS_BYTES {
            self.failures = 0;
        }
        self.failures += 1;
        if self.failures >= self.policy.attempts {
            return Err(error);
        }
        let doublings = (self.failures - 1).min(16);
        let pause = self
            .policy
            .pause
            .saturating_mul(1 << doublings)
            .min(PAUSE_LIMIT);
        self.observer.layer(LayerEvent {
            digest: self.desc.digest.clone(),
            state: LayerState::Retrying {
                after_s: pause.as_secs(),
            },
        });
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

impl std::fmt::Debug for BlobReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobReader")
            .field("digest", &self.desc.digest)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

fn unexpected_eof(desc: &Descriptor) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("unexpected EOF in blob {}", desc.digest),
    )
}

/// How many times the bytes of one small blob may turn out wrong.
const PASSES: usize = 4;

/// A whole small blob, verified; asked for again where the source has another place to take it from.
/// Blobs whose descriptor says more than `limit` are refused unread.
pub async fn read_blob(
    source: &dyn ContentSource,
    desc: &Descriptor,
    limit: usize,
    policy: RetryPolicy,
    observer: &dyn Observer,
) -> Result<Bytes, Error> {
    let size = usize::try_from(desc.size).unwrap_or(usize::MAX);
    if size > limit {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!(
                "blob {} of {} bytes is larger than {limit} bytes",
                desc.digest, desc.size
            ),
        ));
    }
    for _ in 0..PASSES {
        let mut reader = BlobReader::new(source, desc, 0, policy, observer);
        let mut bytes = BytesMut::with_capacity(size);
        while let Some(chunk) = reader.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        let mut hasher = Hasher::for_digest(&desc.digest);
        hasher.update(&bytes);
        if hasher.finish() == desc.digest {
            return Ok(bytes.freeze());
        }
        if !source.reject_blob(desc) {
            break;
        }
    }
    Err(Error::new(
        ErrorKind::DigestMismatch,
        format!("blob verification failed for digest {}", desc.digest),
    ))
}

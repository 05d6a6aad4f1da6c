//! Writing archives.

use crate::ArchiveError;
use bytes::Bytes;
use lapstrake_image::{
    BlobReader, ContentSource, Error as TransferError, ErrorKind, LayerEvent, LayerState, Observer,
    RetryPolicy,
};
use lapstrake_spec::{Descriptor, Digest, Hasher};
use std::fs::File;
use tokio::task::{JoinError, spawn_blocking};

mod folder;
mod tarball;

pub use folder::LayoutSink;
pub use tarball::{TarFormat, TarSink};

/// Bytes that are gathered before they are handed to the thread that writes.
const BATCH_BYTES: usize = 1 << 20;
/// How many times a blob may turn out wrong while the source has other places to take it from.
const PASSES: usize = 4;
/// How often a transfer tells how far it is.
const REPORTS: u64 = 100;

/// How blobs are taken from a source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taking {
    pub(crate) retry: RetryPolicy,
    /// Files of the source are copied unread: it has checked them when they came in.
    pub(crate) trusting: bool,
}

/// Something that takes the bytes of one blob. It is moved to the thread that writes, and back.
pub(crate) trait Receiver: Send + 'static {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError>;
    fn put_file(&mut self, file: &mut File, size: u64) -> Result<(), ArchiveError>;
}

/// Writes a blob into a receiver, and checks it unless it is a file of a trusted source. A receiver that
/// got wrong bytes is dropped.
pub(crate) async fn pour<R: Receiver>(
    mut receiver: R,
    desc: &Descriptor,
    from: &dyn ContentSource,
    progress: &dyn Observer,
    taking: Taking,
) -> Result<R, TransferError> {
    if taking.trusting
        && let Some(mut file) = from.local_blob(desc)
    {
        let desc = desc.clone();
        let copied = spawn_blocking(move || {
            check_size(&file, &desc)?;
            receiver.put_file(&mut file, desc.size)?;
            Ok::<_, TransferError>(receiver)
        });
        return copied.await.map_err(panicked)?;
    }
    let mut hasher = Hasher::for_digest(&desc.digest);
    let mut reader = BlobReader::new(from, desc, 0, taking.retry, progress);
    let step = desc.size.checked_div(REPORTS).unwrap_or_default();
    let step = step.max(BATCH_BYTES as u64);
    let mut reported = 0_u64;
    let mut batch: Vec<Bytes> = Vec::new();
    let mut gathered = 0_usize;
    loop {
        let chunk = reader.next().await?;
        let ended = chunk.is_none();
        if let Some(chunk) = chunk {
            gathered = gathered.saturating_add(chunk.len());
            batch.push(chunk);
        }
        if !ended && gathered < BATCH_BYTES {
            continue;
        }
        let bytes = std::mem::take(&mut batch);
        gathered = 0;
        let written = spawn_blocking(move || {
            for bytes in &bytes {
                hasher.update(bytes);
                receiver.put(bytes)?;
            }
            Ok::<_, ArchiveError>((receiver, hasher))
        });
        (receiver, hasher) = joined(written.await)?;
        if ended {
            break;
        }
        if reader.position().saturating_sub(reported) >= step {
            reported = reader.position();
            tell(progress, desc, reported);
        }
    }
    if hasher.finish() != desc.digest {
        return Err(TransferError::layer_mismatch(&desc.digest));
    }
    Ok(receiver)
}

fn tell(progress: &dyn Observer, desc: &Descriptor, done: u64) {
    let total = desc.size;
    progress.layer(LayerEvent {
        digest: desc.digest.clone(),
        state: LayerState::Pushing { done, total },
    });
}

fn check_size(file: &File, desc: &Descriptor) -> Result<(), TransferError> {
    let metadata = file.metadata().map_err(ArchiveError::io("stat blob"))?;
    if metadata.len() == desc.size {
        return Ok(());
    }
    Err(TransferError::new(
        ErrorKind::InvalidContent,
        format!(
            "blob {} has {} bytes, and {} by its descriptor",
            desc.digest,
            metadata.len(),
            desc.size
        ),
    ))
}

/// Whether the same blob is to be asked for once more.
pub(crate) fn is_worth_again(
    error: &TransferError,
    pass: usize,
    desc: &Descriptor,
    from: &dyn ContentSource,
) -> bool {
    error.kind() == ErrorKind::DigestMismatch && pass < PASSES && from.reject_blob(desc)
}

/// Refuses a document with another digest.
pub(crate) fn check_document(desc: &Descriptor, raw: &[u8]) -> Result<(), TransferError> {
    let mut hasher = Hasher::for_digest(&desc.digest);
    hasher.update(raw);
    let found: Digest = hasher.finish();
    if found == desc.digest {
        Ok(())
    } else {
        Err(TransferError::manifest_mismatch(&desc.digest))
    }
}

/// What a thread gave back.
pub(crate) fn joined<T>(
    result: Result<Result<T, ArchiveError>, JoinError>,
) -> Result<T, TransferError> {
    Ok(result.map_err(panicked)??)
}

fn panicked(error: JoinError) -> TransferError {
    TransferError::new(ErrorKind::Io, "a thread of the transfer ended early").with_source(error)
}

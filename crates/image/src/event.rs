//! What a transfer tells about its layers while it works.

use lapstrake_spec::Digest;

/// Takes the events of a transfer. Called from any thread, never blocked on for long.
pub trait Observer: Send + Sync {
    /// A layer moved on.
    fn layer(&self, event: LayerEvent);
}

/// Takes no notice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn layer(&self, _event: LayerEvent) {}
}

/// One step of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEvent {
    /// The layer: the digest of its blob in a pull, its diff id in a push, as docker shows them.
    pub digest: Digest,
    /// How far it is.
    pub state: LayerState,
}

/// How far a layer is. [`copy`](crate::copy()) itself emits the first and last state of each layer;
/// sinks emit those between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerState {
    /// The layer will be looked at (`Pulling fs layer`, `Preparing`). Emitted by `copy`.
    Queued,
    /// The layer waits for its turn, or for another process that is at it. Emitted by `copy`, and by
    /// sinks that find out while they work.
    Waiting,
    /// The layer is there already. Emitted by `copy`.
    AlreadyExists,
    /// Bytes arrive.
    Downloading {
        /// Bytes of the blob so far, those of an earlier attempt included.
        done: u64,
        /// Bytes of the blob.
        total: u64,
    },
    /// The digest is being checked.
    Verifying,
    /// The blob is stored.
    Downloaded,
    /// The layer is being unpacked.
    Extracting {
        /// Compressed bytes unpacked so far.
        done: u64,
        /// Compressed bytes in all.
        total: u64,
    },
    /// Everything about the layer is done. Emitted by `copy`.
    PullComplete,
    /// The transfer broke; the next attempt begins after a pause.
    Retrying {
        /// Seconds until then.
        after_s: u64,
    },
    /// Bytes leave.
    Pushing {
        /// Bytes of the blob so far.
        done: u64,
        /// Bytes of the blob.
        total: u64,
    },
    /// The layer has arrived at the other end. Emitted by `copy`.
    Pushed,
    /// The other end had the layer in another repository. Emitted by `copy`.
    Mounted {
        /// That repository.
        from: String,
    },
}

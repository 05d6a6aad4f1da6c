//! The two traits that every medium implements.

use crate::{Error, Observer};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use lapstrake_spec::{Descriptor, Digest, ImageConfig, Manifest, Reference};
use std::fs::File;
use std::pin::Pin;

/// The bytes of a blob, in chunks of any size. Not verified: the consumer does that.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// Something images can be read from.
#[async_trait]
pub trait ContentSource: Send + Sync {
    /// The manifest or index that a name stands for now. A name with a digest must resolve to it.
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, Error>;

    /// The raw bytes of a manifest or index, verified against the digest.
    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, Error>;

    /// The bytes of a blob from `offset` on. A stream that breaks ends in an error of kind
    /// [`Unavailable`](crate::ErrorKind::Unavailable); the consumer may then ask again with a
    /// larger offset.
    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, Error>;

    /// The blob as an open file at its start, when it is one. It may be sent without streaming.
    fn local_blob(&self, _desc: &Descriptor) -> Option<File> {
        None
    }

    /// Told by a consumer that the bytes of this blob did not have its digest. True when the source
    /// will serve the blob from another place, so that asking again makes sense.
    fn reject_blob(&self, _desc: &Descriptor) -> bool {
        false
    }
}

/// Something images can be written to.
///
/// The order of calls is: `begin`, then `has` and `put_blob` for the configuration and the layers in
/// any order and several at once, then `put_manifest` (the image's, then the index's if the image was
/// found through one), then perhaps `tag`.
#[async_trait]
pub trait ContentSink: Send + Sync {
    /// Announces what will be written, so that the sink can refuse it or protect what it has of it.
    async fn begin(&self, plan: &Plan) -> Result<(), Error>;

    /// Whether a blob, and for a layer all that the sink makes of it, is there. Only asked when that
    /// is cheap to answer ([`Direction::Pull`](crate::Direction::Pull)).
    async fn has(&self, desc: &Descriptor, diff_id: Option<&Digest>) -> Result<bool, Error>;

    /// Fetches a blob out of `from`, verifies it and keeps it. Checks first whether that is needed.
    /// `diff_id` is set for the layers of an image. On a broken stream the sink asks `from` again.
    ///
    /// Emits only the states between the first and the last (see [`LayerState`](crate::LayerState)),
    /// under the digest of the blob.
    async fn put_blob(
        &self,
        desc: &Descriptor,
        diff_id: Option<&Digest>,
        from: &dyn ContentSource,
        progress: &dyn Observer,
    ) -> Result<Put, Error>;

    /// Keeps a manifest or index. Everything the image needs is there by now; the other images of an
    /// index may never come.
    async fn put_manifest(&self, desc: &Descriptor, raw: Bytes) -> Result<(), Error>;

    /// Makes a name stand for a manifest or index.
    async fn tag(&self, name: &Reference, desc: &Descriptor) -> Result<(), Error>;
}

/// How a blob came to be in a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Its bytes were transferred.
    Stored,
    /// It was there already.
    AlreadyExists,
    /// The sink took it from a place of its own.
    Mounted {
        /// The repository it was in.
        from: String,
    },
}

/// What a copy is going to write.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the name resolved to: a manifest, or the index that led to it.
    pub top: Descriptor,
    /// The image's manifest.
    pub manifest: Descriptor,
    /// The manifest, parsed.
    pub parsed: Manifest,
    /// The raw bytes of the configuration, verified.
    pub config: Bytes,
    /// The configuration, parsed. None for an artifact that is not a container image.
    pub image: Option<ImageConfig>,
    /// The layers in the manifest's order, the lowest first.
    pub layers: Vec<LayerPlan>,
}

/// One layer of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPlan {
    /// The blob.
    pub desc: Descriptor,
    /// The digest of the uncompressed tar. None in an artifact.
    pub diff_id: Option<Digest>,
    /// The place in the manifest.
    pub index: usize,
}

//! An endpoint in memory, with images made in one call and faults on demand. For tests.

use crate::{BlobStream, ContentSink, ContentSource, Error, ErrorKind, Observer, Plan, Put};
use crate::{RetryPolicy, read_blob};
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_spec::{
    Descriptor, Digest, ImageConfig, Index, Manifest, MediaType, Platform, Reference,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What goes wrong with one request for a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The stream breaks after so many bytes.
    BreakAfter(usize),
    /// The stream ends without an error after so many bytes.
    EndAfter(usize),
    /// One bit of the first byte is wrong.
    Corrupt,
    /// The request fails.
    Unavailable,
    /// So many bytes come, then nothing ever again.
    StallAfter(usize),
}

/// One layer of an image to be made.
#[derive(Debug, Clone)]
pub struct MemoryLayer {
    /// What the blob is.
    pub media_type: MediaType,
    /// The blob.
    pub bytes: Bytes,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
}

impl MemoryLayer {
    /// A layer that is a plain tar.
    pub fn plain(tar: impl Into<Bytes>) -> Self {
        let bytes = tar.into();
        let diff_id = Digest::sha256(&bytes);
        Self {
            media_type: MediaType::OCI_LAYER_TAR,
            bytes,
            diff_id,
        }
    }
}

/// Manifests, blobs and names in memory.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    chunk: usize,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<Digest, Bytes>,
    manifests: BTreeMap<Digest, (MediaType, Bytes)>,
    names: BTreeMap<String, Descriptor>,
    faults: BTreeMap<Digest, VecDeque<Fault>>,
    served: BTreeMap<Digest, u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            chunk: 64 << 10,
        }
    }
}

impl Memory {
    /// An empty endpoint.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same endpoint with streams of chunks of this many bytes.
    pub fn with_chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes.max(1);
        self
    }

    /// Adds an image for the host's platform and names it.
    pub fn add_image(&self, name: &Reference, layers: &[MemoryLayer]) -> Descriptor {
        let config = ImageConfig {
            architecture: Platform::host().architecture,
            os: "linux".to_owned(),
            created: Some("2020-01-02T03:04:05Z".to_owned()),
            rootfs: lapstrake_spec::RootFs {
                diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect(),
                ..lapstrake_spec::RootFs::default()
            },
            ..ImageConfig::default()
        };
        self.add_image_with(name, layers, &config)
    }

    /// Adds an image with this configuration and names it.
    pub fn add_image_with(
        &self,
        name: &Reference,
        layers: &[MemoryLayer],
        config: &ImageConfig,
    ) -> Descriptor {
        let config = self.add_blob(MediaType::OCI_CONFIG, config.to_bytes());
        let layers = layers
            .iter()
            .map(|layer| self.add_blob(layer.media_type.clone(), layer.bytes.clone()))
            .collect();
        let manifest = Manifest::new(MediaType::OCI_MANIFEST, config, layers);
        let desc = self.add_manifest(MediaType::OCI_MANIFEST, manifest.to_bytes());
        self.name(name, &desc);
        desc
    }

    /// Adds an index of these manifests and names it.
    pub fn add_index(&self, name: &Reference, manifests: Vec<Descriptor>) -> Descriptor {
        let index = Index::new(MediaType::OCI_INDEX, manifests);
        let desc = self.add_manifest(MediaType::OCI_INDEX, index.to_bytes());
        self.name(name, &desc);
        desc
    }

    /// Adds a blob.
    pub fn add_blob(&self, media_type: MediaType, bytes: impl Into<Bytes>) -> Descriptor {
        let bytes = bytes.into();
        let desc = Descriptor::of(media_type, &bytes);
        self.state().blobs.insert(desc.digest.clone(), bytes);
        desc
    }

    /// Adds the bytes of a manifest or index, sound or not.
    pub fn add_manifest(&self, media_type: MediaType, raw: impl Into<Bytes>) -> Descriptor {
        let raw = raw.into();
        let desc = Descriptor::of(media_type.clone(), &raw);
        self.state()
            .manifests
            .insert(desc.digest.clone(), (media_type, raw));
        desc
    }

    /// Makes a name stand for a manifest or index.
    pub fn name(&self, name: &Reference, desc: &Descriptor) {
        self.state().names.insert(name.canonical(), desc.clone());
    }

    /// Lets the next requests for a blob go wrong, one fault each.
    pub fn fault(&self, digest: &Digest, faults: impl IntoIterator<Item = Fault>) {
        self.state()
            .faults
            .entry(digest.clone())
            .or_default()
            .extend(faults);
    }

    /// How many bytes of all blobs were handed out.
    pub fn served(&self) -> u64 {
        self.state().served.values().sum()
    }

    /// How many bytes of one blob were handed out.
    pub fn served_of(&self, digest: &Digest) -> u64 {
        self.state().served.get(digest).copied().unwrap_or(0)
    }

    /// A blob's bytes.
    pub fn blob_bytes(&self, digest: &Digest) -> Option<Bytes> {
        self.state().blobs.get(digest).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next chunk of a stream, counted.
    fn take(&self, digest: &Digest, rest: &mut Bytes) -> Option<Bytes> {
        if rest.is_empty() {
            return None;
        }
        let chunk = rest.split_to(self.chunk.min(rest.len()));
        *self.state().served.entry(digest.clone()).or_default() += chunk.len() as u64;
        Some(chunk)
    }
}

#[async_trait]
impl ContentSource for Memory {
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, Error> {
        let state = self.state();
        if let Some(digest) = name.digest() {
            let (media_type, raw) = state.manifests.get(digest).ok_or_else(|| unknown(name))?;
            return Ok(Descriptor::new(
                media_type.clone(),
                digest.clone(),
                raw.len() as u64,
            ));
        }
        let name = name.or_latest();
        state
            .names
            .get(&name.canonical())
            .cloned()
            .ok_or_else(|| unknown(&name))
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, Error> {
        let found = self
            .state()
            .manifests
            .get(&desc.digest)
            .map(|(_, raw)| raw.clone());
        found.ok_or_else(|| Error::blob_not_found(&desc.digest))
    }

    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        let (mut rest, fault) = {
            let mut state = self.state();
            let bytes = state.blobs.get(&desc.digest).cloned();
            let bytes = bytes.ok_or_else(|| Error::blob_not_found(&desc.digest))?;
            let offset = usize::try_from(offset)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let fault = state
                .faults
                .get_mut(&desc.digest)
                .and_then(VecDeque::pop_front);
            (bytes.slice(offset..), fault)
        };
        let end = match fault {
            Some(Fault::BreakAfter(count)) => Some((count, End::Break)),
            Some(Fault::EndAfter(count)) => Some((count, End::Eof)),
            Some(Fault::StallAfter(count)) => Some((count, End::Stall)),
            Some(Fault::Unavailable) => return Err(broken()),
            Some(Fault::Corrupt) => {
                let mut bytes = rest.to_vec();
                if let Some(first) = bytes.first_mut() {
                    *first ^= 1;
                }
                rest = bytes.into();
                None
            }
            None => None,
        };
        if let Some((count, _)) = end {
            rest.truncate(count);
        }
        let mut chunks = Vec::new();
        while let Some(chunk) = self.take(&desc.digest, &mut rest) {
            chunks.push(Ok(chunk));
        }
        if let Some((_, End::Break)) = end {
            chunks.push(Err(broken()));
        }
        let stream = futures_util::stream::iter(chunks);
        if let Some((_, End::Stall)) = end {
            use futures_util::StreamExt;
            return Ok(Box::pin(stream.chain(futures_util::stream::pending())));
        }
        Ok(Box::pin(stream))
    }
}

/// How a faulty stream ends.
#[derive(Clone, Copy)]
enum End {
    Break,
    Eof,
    Stall,
}

fn broken() -> Error {
    Error::new(ErrorKind::Unavailable, "connection reset by peer")
}

fn unknown(name: &Reference) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("manifest for {name} not found"),
    )
}

#[async_trait]
impl ContentSink for Memory {
    async fn begin(&self, _plan: &Plan) -> Result<(), Error> {
        Ok(())
    }

    async fn has(&self, desc: &Descriptor, _diff_id: Option<&Digest>) -> Result<bool, Error> {
        Ok(self.state().blobs.contains_key(&desc.digest))
    }

    async fn put_blob(
        &self,
        desc: &Descriptor,
        _diff_id: Option<&Digest>,
        from: &dyn ContentSource,
        progress: &dyn Observer,
    ) -> Result<Put, Error> {
        if self.has(desc, None).await? {
            return Ok(Put::AlreadyExists);
        }
        let bytes = read_blob(from, desc, usize::MAX, RetryPolicy::immediate(), progress)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::DigestMismatch => Error::layer_mismatch(&desc.digest),
                _ => error,
            })?;
        self.state().blobs.insert(desc.digest.clone(), bytes);
        Ok(Put::Stored)
    }

    async fn put_manifest(&self, desc: &Descriptor, raw: Bytes) -> Result<(), Error> {
        if Digest::sha256(&raw) != desc.digest {
            return Err(Error::manifest_mismatch(&desc.digest));
        }
        self.state()
            .manifests
            .insert(desc.digest.clone(), (desc.media_type.clone(), raw));
        Ok(())
    }

    async fn tag(&self, name: &Reference, desc: &Descriptor) -> Result<(), Error> {
        self.name(name, desc);
        Ok(())
    }
}

/// A tar of one small file, enough to be told from others. For tests.
pub fn tiny_tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        for (slot, byte) in header.iter_mut().skip(at).zip(bytes) {
            *slot = *byte;
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    for (slot, byte) in header
        .iter_mut()
        .skip(148)
        .zip(format!("{sum:06o}\0 ").bytes())
    {
        *slot = byte;
    }
    let mut tar = header.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

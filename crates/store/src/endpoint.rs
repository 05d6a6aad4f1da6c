//! The store as a source and a sink of images.

use crate::pipeline::{Fetch, joined};
use crate::{Entry, Error, Lease, Reclaimed, Store, layout};
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_image::{
    BlobStream, ContentSink, ContentSource, Error as TransferError, ErrorKind, Observer, Plan, Put,
    RetryPolicy, read_blob,
};
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, Document, Hasher, MANIFEST_LIMIT, Reference,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tokio::task::spawn_blocking;

/// Bytes of one chunk of a blob that is read.
const CHUNK_BYTES: usize = 256 << 10;

/// When layers are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unpack {
    /// While they arrive.
    #[default]
    Now,
    /// When they are first needed.
    Later,
}

/// One end of one transfer. What comes in through it is kept from collection until it is dropped:
/// the caller commits the image's entry with [`Store::update`] before that.
#[derive(Debug)]
pub struct StoreEndpoint {
    store: Store,
    unpack: Unpack,
    retry: RetryPolicy,
    lease: Arc<Lease>,
    plan: Mutex<Option<Plan>>,
    /// Blobs and diff ids that were not here when this transfer began with them.
    brought: Mutex<BTreeSet<Digest>>,
    /// Nothing is ever sent: a write that goes on when its future is dropped holds a sender until it has ended.
    writing: (mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>),
    disk_full: AtomicBool,
}

impl Store {
    /// This store as one end of a transfer. Only root can unpack while layers arrive.
    pub fn endpoint(&self, unpack: Unpack) -> StoreEndpoint {
        let privileged = rustix::process::geteuid().is_root();
        let (sender, receiver) = mpsc::channel();
        StoreEndpoint {
            store: self.clone(),
            unpack: if privileged { unpack } else { Unpack::Later },
            retry: RetryPolicy::default(),
            lease: Arc::new(self.new_lease()),
            plan: Mutex::new(None),
            brought: Mutex::default(),
            writing: (sender, Mutex::new(receiver)),
            disk_full: AtomicBool::new(false),
        }
    }
}

impl StoreEndpoint {
    /// The same endpoint with another patience for broken streams.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The lease on what comes in.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Ends a transfer that is worth nothing in parts: what it has brought goes, unless something else needs it by now.
    /// What was here before stays, needed or not.
    pub fn abandon(mut self) -> Result<Reclaimed, Error> {
        let brought = std::mem::take(&mut self.brought);
        let brought = brought.into_inner().unwrap_or_else(PoisonError::into_inner);
        let store = self.store.clone();
        let (sender, receiver) = mpsc::channel();
        let (own, all) = std::mem::replace(&mut self.writing, (sender, Mutex::new(receiver)));
        drop(own);
        // Ends when the last write has ended, whether anybody waits for it or not.
        let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.recv().ok();
        // Its lease ends here.
        drop(self);
        store.collect_among(&brought)
    }

    /// Enters in the lease what is about to come, and remembers what of it is not here yet.
    fn expect(&self, blobs: &[Digest], layers: &[Digest]) -> Result<(), Error> {
        self.lease.protect(&[blobs, layers].concat())?;
        let mut absent = Vec::new();
        for digest in blobs {
            if !self.store.has_blob(digest)? {
                absent.push(digest.clone());
            }
        }
        for diff_id in layers {
            if !self.store.disk().exists(&layout::layer(diff_id))? {
                absent.push(diff_id.clone());
            }
        }
        let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        brought.extend(absent);
        Ok(())
    }

    /// Remembers that the disk is full: what this transfer brought must not keep it so.
    fn noted<T>(&self, result: Result<T, Error>) -> Result<T, TransferError> {
        result.map_err(|error| {
            if error.kind() == ErrorKind::NoSpace {
                self.disk_full.store(true, Ordering::Relaxed);
            }
            error.into()
        })
    }

    fn has_all(&self, desc: &Descriptor, diff_id: Option<&Digest>) -> Result<bool, Error> {
        let Some(size) = self.store.blob_size(&desc.digest)? else {
            return Ok(false);
        };
        if size != desc.size && !self.store.is_usable(desc)? {
            if self.store.has_blob(&desc.digest)? {
                return Err(wrong_size(desc, size).into());
            }
            // It was damaged, and is gone now: it comes again.
            return Ok(false);
        }
        match (self.unpack, diff_id) {
            (Unpack::Now, Some(diff_id)) => self.store.has_layer_of(diff_id, &desc.digest),
            _ => Ok(true),
        }
    }

    /// The entry of the image that was planned.
    fn entry(&self, name: &Reference, desc: &Descriptor) -> Result<Entry, Error> {
        let guard = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = guard.as_ref().filter(|plan| plan.top.digest == desc.digest);
        let plan = plan.ok_or_else(|| Error::NoBlob {
            digest: desc.digest.clone(),
        })?;
        let mut size = 0u64;
        for diff_id in plan
            .layers
            .iter()
            .filter_map(|layer| layer.diff_id.as_ref())
        {
            size = size.saturating_add(self.store.layer_size(diff_id)?);
        }
        Ok(Entry {
            manifest: plan.manifest.clone(),
            id: plan.parsed.config.digest.clone(),
            name: name.digest().is_none().then(|| name.or_latest()),
            repo_digests: vec![name.or_latest().with_digest(desc.digest.clone())],
            created: plan.image.as_ref().and_then(|image| image.created.clone()),
            size,
            parent: None,
            platform: plan
                .image
                .as_ref()
                .map(lapstrake_spec::ImageConfig::platform),
            tagged_at: None,
        })
    }

    fn describe(&self, digest: &Digest) -> Result<Descriptor, Error> {
        let raw = self.store.blob_bytes(digest, MANIFEST_LIMIT)?;
        let media_type = Document::parse(None, &raw)?.media_type();
        Ok(Descriptor::new(
            media_type,
            digest.clone(),
            raw.len() as u64,
        ))
    }
}

fn wrong_size(desc: &Descriptor, size: u64) -> TransferError {
    let text = format!(
        "blob {} has {size} bytes in the store, and {} by its descriptor",
        desc.digest, desc.size
    );
    TransferError::new(ErrorKind::InvalidContent, text)
        .with_hint("`lap system check` tells whether the blob in the store is damaged")
}

impl Drop for StoreEndpoint {
    fn drop(&mut self) {
        if *self.disk_full.get_mut() {
            // Best effort: the error that matters is the one that was returned.
            drop(std::mem::replace(
                &mut self.lease,
                Arc::new(self.store.new_lease()),
            ));
            self.store.collect(&[]).ok();
            self.store.reap_trash().ok();
        }
    }
}

#[async_trait]
impl ContentSource for StoreEndpoint {
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, TransferError> {
        let images = self.store.images()?;
        let unknown = || {
            TransferError::new(
                ErrorKind::NotFound,
                format!("No such image: {}", name.familiar()),
            )
        };
        let Some(digest) = name.digest() else {
            let entry = images.by_name(&name.or_latest()).ok_or_else(unknown)?;
            return Ok(entry.manifest.clone());
        };
        let known = images.entries().iter().any(|entry| {
            entry.manifest.digest == *digest
                || entry
                    .repo_digests
                    .iter()
                    .any(|known| known.digest() == Some(digest))
        });
        if known {
            Ok(self.describe(digest)?)
        } else {
            Err(unknown())
        }
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, TransferError> {
        let raw = self.store.blob_bytes(&desc.digest, MANIFEST_LIMIT)?;
        let mut hasher = Hasher::for_digest(&desc.digest);
        hasher.update(&raw);
        if hasher.finish() != desc.digest {
            return Err(TransferError::manifest_mismatch(&desc.digest));
        }
        Ok(raw.into())
    }

    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, TransferError> {
        let mut file = self.store.blob_file(&desc.digest)?;
        let path = layout::blob(&desc.digest);
        file.seek(SeekFrom::Start(offset))
            .map_err(self.store.disk().failed("seek", &path))?;
        let store = self.store.clone();
        Ok(Box::pin(futures_util::stream::try_unfold(
            file,
            move |file| {
                let (store, path) = (store.clone(), path.clone());
                async move {
                    let read = spawn_blocking(move || {
                        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                        (&file)
                            .take(CHUNK_BYTES as u64)
                            .read_to_end(&mut chunk)
                            .map_err(store.disk().failed("read", &path))?;
                        Ok((chunk, file))
                    });
                    let (chunk, file) = joined(read.await)?;
                    Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), file)))
                }
            },
        )))
    }

    fn local_blob(&self, desc: &Descriptor) -> Option<File> {
        self.store.blob_file(&desc.digest).ok()
    }
}

#[async_trait]
impl ContentSink for StoreEndpoint {
    async fn begin(&self, plan: &Plan) -> Result<(), TransferError> {
        let unsupported = |media_type: &lapstrake_spec::MediaType| {
            TransferError::new(
                ErrorKind::Unsupported,
                format!("unsupported media type {media_type}"),
            )
        };
        if plan.image.is_none() {
            return Err(unsupported(&plan.parsed.config.media_type));
        }
        if let Some(layer) = plan
            .layers
            .iter()
            .find(|layer| !layer.desc.media_type.is_layer())
        {
            return Err(unsupported(&layer.desc.media_type));
        }
        let mut blobs = vec![
            plan.top.digest.clone(),
            plan.manifest.digest.clone(),
            plan.parsed.config.digest.clone(),
        ];
        let layers = plan.layers.iter();
        blobs.extend(layers.clone().map(|layer| layer.desc.digest.clone()));
        let diff_ids: Vec<Digest> = layers.filter_map(|layer| layer.diff_id.clone()).collect();
        self.noted(self.expect(&blobs, &diff_ids))?;
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan.clone());
        Ok(())
    }

    async fn has(
        &self,
        desc: &Descriptor,
        diff_id: Option<&Digest>,
    ) -> Result<bool, TransferError> {
        Ok(self.has_all(desc, diff_id)?)
    }

    async fn put_blob(
        &self,
        desc: &Descriptor,
        diff_id: Option<&Digest>,
        from: &dyn ContentSource,
        progress: &dyn Observer,
    ) -> Result<Put, TransferError> {
        if self.has_all(desc, diff_id)? {
            return Ok(Put::AlreadyExists);
        }
        if diff_id.is_none() && desc.size <= CONFIG_LIMIT as u64 {
            let bytes = read_blob(from, desc, CONFIG_LIMIT, self.retry, progress).await?;
            let (store, digest) = (self.store.clone(), desc.digest.clone());
            let writing = self.writing.0.clone();
            let put = spawn_blocking(move || {
                let put = store.put_checked(&digest, &bytes);
                drop(writing);
                put
            });
            self.noted(joined(put.await))?;
            return Ok(Put::Stored);
        }
        let unpack = match diff_id {
            Some(diff_id) if self.unpack == Unpack::Now => Some(diff_id),
            _ => None,
        };
        let fetch = Fetch {
            store: &self.store,
            desc,
            unpack,
            from,
            progress,
            retry: self.retry,
        };
        self.noted(fetch.run().await)
    }

    async fn put_manifest(&self, desc: &Descriptor, raw: Bytes) -> Result<(), TransferError> {
        let mut hasher = Hasher::for_digest(&desc.digest);
        hasher.update(&raw);
        if hasher.finish() != desc.digest {
            return Err(TransferError::manifest_mismatch(&desc.digest));
        }
        self.noted(self.expect(std::slice::from_ref(&desc.digest), &[]))?;
        let (store, digest) = (self.store.clone(), desc.digest.clone());
        let writing = self.writing.0.clone();
        let put = spawn_blocking(move || {
            let put = store.put_checked(&digest, &raw);
            drop(writing);
            put
        });
        self.noted(joined(put.await))
    }

    async fn tag(&self, name: &Reference, desc: &Descriptor) -> Result<(), TransferError> {
        let entry = self.entry(name, desc)?;
        let store = self.store.clone();
        // When this future is dropped, the change is made all the same: it takes the lease along.
        let lease = Arc::clone(&self.lease);
        let update = spawn_blocking(move || {
            let updated = store.update(|images| {
                images.insert(entry);
                Ok::<_, Error>(())
            });
            drop(lease);
            updated
        });
        self.noted(joined(update.await))
    }
}

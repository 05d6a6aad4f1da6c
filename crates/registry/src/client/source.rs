//! A repository as a source of images.

use super::failure::Doing;
use super::registry::{Purpose, Registry};
use super::remote::Remote;
use super::{blob, manifest};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use lapstrake_image::{BlobStream, ContentSource, Error, ErrorKind};
use lapstrake_spec::{Descriptor, Digest, Reference};
use reqwest::Url;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Tries at a host while there are others: it may be slow to give up.
const ATTEMPTS_BEFORE_NEXT: u32 = 1;
/// Tries at opening a blob. Its consumer asks again by itself; this is for a pause that the registry
/// asks for.
const BLOB_ATTEMPTS: u32 = 2;
/// Times a mirror is asked for the same blob: one that breaks off again and again is passed over.
const OPENINGS_LIMIT: u32 = 2;
/// Addresses of a blob elsewhere that are tried.
const URLS_LIMIT: usize = 4;

/// A repository that is read. Made by [`Client::source`](super::Client::source).
#[derive(Debug)]
pub struct Source {
    registry: Arc<Registry>,
    name: Reference,
    /// The manifest that resolving brought along.
    manifest: Mutex<Option<(Digest, Bytes)>>,
    blobs: Mutex<BTreeMap<Digest, Served>>,
}

/// Who served a blob, and who served it wrong, by their place among the hosts.
#[derive(Debug, Default)]
struct Served {
    last: Option<usize>,
    rejected: BTreeSet<usize>,
    openings: BTreeMap<usize, u32>,
}

impl Source {
    pub(super) fn new(registry: Arc<Registry>, name: &Reference) -> Self {
        Self {
            registry,
            name: name.clone(),
            manifest: Mutex::default(),
            blobs: Mutex::default(),
        }
    }

    /// The name by which a manifest is missed.
    fn by_digest(&self, digest: &Digest) -> Reference {
        match self.name.digest() {
            Some(own) if own == digest => self.name.clone(),
            _ if self.name.tag().is_some() => self.name.clone(),
            _ => self.name.with_digest(digest.clone()),
        }
    }

    /// The hosts not to ask for a blob again. The last host is asked as often as it takes.
    fn passed_over(&self, digest: &Digest) -> BTreeSet<usize> {
        let last_host = self
            .registry
            .hosts()
            .map_or(0, <[Arc<Remote>]>::len)
            .saturating_sub(1);
        let blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(served) = blobs.get(digest) else {
            return BTreeSet::new();
        };
        let breaking = served
            .openings
            .iter()
            .filter(|(host, openings)| **openings >= OPENINGS_LIMIT && **host != last_host);
        served
            .rejected
            .iter()
            .chain(breaking.map(|(host, _)| host))
            .copied()
            .collect()
    }

    /// A layer that its descriptor says is to be had elsewhere.
    async fn foreign(&self, desc: &Descriptor, offset: u64) -> Option<BlobStream> {
        if !desc.media_type.is_foreign() {
            return None;
        }
        let remote = self.registry.hosts().ok()?.last()?;
        for url in desc
            .urls
            .iter()
            .take(URLS_LIMIT)
            .filter_map(|url| Url::parse(url).ok())
        {
            if !matches!(url.scheme(), "http" | "https") {
                continue;
            }
            match blob::open_url(remote, url, desc, offset).await {
                Ok(stream) => return Some(stream),
                Err(failure) => tracing::debug!(words = %failure.brief(), "foreign layer"),
            }
        }
        None
    }
}

#[async_trait]
impl ContentSource for Source {
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, Error> {
        let work = |remote: Arc<Remote>, is_last: bool| {
            let attempts = (!is_last).then_some(ATTEMPTS_BEFORE_NEXT);
            async move {
                let (tag, digest) = (name.tag(), name.digest());
                manifest::resolve(&remote, name.path(), tag, digest, attempts).await
            }
        };
        let doing = Doing::Pull(name);
        let (_, resolved) = self
            .registry
            .first(Purpose::Resolve, doing, |_| false, work)
            .await?;
        if let Some(raw) = resolved.raw {
            let digest = resolved.desc.digest.clone();
            *self.manifest.lock().unwrap_or_else(PoisonError::into_inner) = Some((digest, raw));
        }
        Ok(resolved.desc)
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, Error> {
        {
            let kept = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, raw)) = kept.as_ref().filter(|(digest, _)| *digest == desc.digest) {
                return Ok(raw.clone());
            }
        }
        let work = |remote: Arc<Remote>, is_last: bool| {
            let attempts = (!is_last).then_some(ATTEMPTS_BEFORE_NEXT);
            async move { manifest::fetch(&remote, self.name.path(), &desc.digest, attempts).await }
        };
        let name = self.by_digest(&desc.digest);
        let doing = Doing::Pull(&name);
        self.registry
            .first(Purpose::Pull, doing, |_| false, work)
            .await
            .map(|(_, raw)| raw)
    }

    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        if offset >= desc.size {
            return Ok(Box::pin(stream::empty()));
        }
        if let Some(stream) = self.foreign(desc, offset).await {
            return Ok(stream);
        }
        let passed_over = self.passed_over(&desc.digest);
        let work = |remote: Arc<Remote>, is_last: bool| {
            let attempts = if is_last {
                BLOB_ATTEMPTS
            } else {
                ATTEMPTS_BEFORE_NEXT
            };
            async move { blob::open(&remote, self.name.path(), desc, offset, Some(attempts)).await }
        };
        let skip = |index| passed_over.contains(&index);
        let (index, stream) = self
            .registry
            .first(Purpose::Pull, Doing::Other, skip, work)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    Error::new(ErrorKind::NotFound, format!("unknown blob {}", desc.digest))
                        .with_source(error)
                }
                _ => error,
            })?;
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let served = blobs.entry(desc.digest.clone()).or_default();
        served.last = Some(index);
        let openings = served.openings.entry(index).or_default();
        *openings = openings.saturating_add(1);
        Ok(stream)
    }

    fn reject_blob(&self, desc: &Descriptor) -> bool {
        let count = self.registry.hosts().map_or(0, <[Arc<Remote>]>::len);
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(served) = blobs.get_mut(&desc.digest) else {
            return false;
        };
        let Some(last) = served.last.take() else {
            return false;
        };
        served.rejected.insert(last);
        tracing::debug!(digest = %desc.digest, "bytes were wrong");
        served.rejected.len() < count
    }
}

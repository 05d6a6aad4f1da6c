//! A repository as a sink of images.

use super::call::Call;
use super::failure::{Doing, Failure};
use super::registry::Registry;
use super::remote::Remote;
use super::reply::header;
use super::upload::Upload;
use crate::auth::Scope;
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_image::{
    ContentSink, ContentSource, Error, ErrorKind, LayerEvent, LayerState, Observer, Plan, Put,
};
use lapstrake_spec::{Descriptor, Digest, MediaType, Reference};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Repositories that are tried as the place to mount a blob from.
const MOUNTS_LIMIT: usize = 3;
/// Manifests remembered for giving them more names.
const MANIFESTS_LIMIT: usize = 64;

/// A repository that is written. Made by [`Client::sink`](super::Client::sink).
///
/// Manifests are written last and by one request each, so an interrupted push leaves blobs that
/// nothing names, and never a tag that misses some.
#[derive(Debug)]
pub struct Sink {
    registry: Arc<Registry>,
    name: Reference,
    mounts: BTreeMap<Digest, Vec<String>>,
    /// The manifest that the name is to stand for.
    top: Mutex<Option<Digest>>,
    manifests: Mutex<BTreeMap<Digest, (MediaType, Bytes)>>,
}

impl Sink {
    pub(super) fn new(
        registry: Arc<Registry>,
        name: &Reference,
        mounts: BTreeMap<Digest, Vec<String>>,
    ) -> Self {
        Self {
            registry,
            name: name.clone(),
            mounts,
            top: Mutex::default(),
            manifests: Mutex::default(),
        }
    }

    fn scope(&self) -> Scope {
        Scope::push(self.name.path())
    }

    /// Whether the repository has a blob. A refusal counts as no: writing shows what is wrong.
    async fn has_blob(&self, remote: &Remote, digest: &Digest) -> Result<bool, Failure> {
        let path = format!("/{}/blobs/{digest}", self.name.path());
        let call = Call::new(Method::HEAD, path)
            .scope(self.scope())
            .replies_are_final();
        match remote.send(&call).await {
            Ok(_) => Ok(true),
            Err(Failure::Reply(reply)) if reply.kind() != ErrorKind::Unauthorized => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Has the registry take the blob from one of its other repositories. The upload that it may have
    /// begun instead is used.
    async fn mount(
        &self,
        remote: &Remote,
        digest: &Digest,
        upload: &mut Upload<'_>,
    ) -> Result<Option<String>, Failure> {
        let candidates = self
            .mounts
            .get(digest)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let others = candidates
            .iter()
            .filter(|from| from.as_str() != self.name.path());
        for from in others.take(MOUNTS_LIMIT) {
            upload.cancel().await;
            let target = format!(
                "/{}/blobs/uploads/?mount={}&from={}",
                self.name.path(),
                escaped(digest.as_str()),
                escaped(from)
            );
            let call = Call::new(Method::POST, target)
                .scope(self.scope())
                .scope(Scope::pull(from));
            match remote.send(&call).await {
                Ok(response) if response.status() == reqwest::StatusCode::CREATED => {
                    return Ok(Some(from.clone()));
                }
                Ok(response) => upload.begun(&response),
                // A refusal concerns the other repository, or comes again without it.
                Err(failure @ Failure::Transport(_)) => return Err(failure),
                Err(failure) => tracing::debug!(from, words = %failure.brief(), "not mounted"),
            }
        }
        Ok(None)
    }

    async fn put_at(
        &self,
        reference: &str,
        kind: &MediaType,
        raw: &Bytes,
        digest: &Digest,
    ) -> Result<(), Error> {
        let remote = self.registry.writable()?;
        let path = format!("/{}/manifests/{reference}", self.name.path());
        let call = Call::new(Method::PUT, path)
            .scope(self.scope())
            .header(CONTENT_TYPE, kind.as_str())
            .body(raw.clone());
        let response = self.retried(&remote, &call).await?;
        let told = header(response.headers(), "docker-content-digest")
            .and_then(|text| Digest::parse(text).ok());
        match told {
            Some(told) if told.algorithm() == digest.algorithm() && told != *digest => {
                Err(Error::new(
                    ErrorKind::DigestMismatch,
                    format!("the registry stored the manifest {digest} as {told}"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Writing the same manifest twice is writing it once, so it may be tried again.
    async fn retried(&self, remote: &Remote, call: &Call) -> Result<reqwest::Response, Error> {
        let mut attempt = 1;
        loop {
            let failure = match remote.send(call).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let Some(pause) = remote.policy(call).pause(attempt, &failure) else {
                let domain = &remote.host.credentials_key;
                return Err(failure.into_error(Doing::Push(domain)));
            };
            tokio::time::sleep(pause).await;
            attempt = attempt.saturating_add(1);
        }
    }

    fn keep(&self, desc: &Descriptor, raw: &Bytes) {
        let mut manifests = self
            .manifests
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if manifests.len() >= MANIFESTS_LIMIT {
            manifests.pop_first();
        }
        manifests.insert(desc.digest.clone(), (desc.media_type.clone(), raw.clone()));
    }

    fn is_top(&self, digest: &Digest) -> bool {
        let top = self.top.lock().unwrap_or_else(PoisonError::into_inner);
        top.as_ref() == Some(digest)
    }
}

#[async_trait]
impl ContentSink for Sink {
    async fn begin(&self, plan: &Plan) -> Result<(), Error> {
        self.registry.writable()?;
        let top = plan.top.digest.clone();
        *self.top.lock().unwrap_or_else(PoisonError::into_inner) = Some(top);
        Ok(())
    }

    async fn has(&self, desc: &Descriptor, _diff_id: Option<&Digest>) -> Result<bool, Error> {
        let remote = self.registry.writable()?;
        let has = self.has_blob(&remote, &desc.digest).await;
        has.map_err(|failure| failure.into_error(Doing::Push(&remote.host.credentials_key)))
    }

    async fn put_blob(
        &self,
        desc: &Descriptor,
        _diff_id: Option<&Digest>,
        from: &dyn ContentSource,
        progress: &dyn Observer,
    ) -> Result<Put, Error> {
        let remote = self.registry.writable()?;
        let domain = &remote.host.credentials_key;
        let worded = |failure: Failure| failure.into_error(Doing::Push(domain));
        if self.has_blob(&remote, &desc.digest).await.map_err(worded)? {
            return Ok(Put::AlreadyExists);
        }
        let mut upload = Upload::new(&remote, self.name.path(), desc);
        match self.mount(&remote, &desc.digest, &mut upload).await {
            Ok(Some(from)) => return Ok(Put::Mounted { from }),
            Ok(None) => {}
            Err(failure) => tracing::debug!(words = %failure.brief(), "not mounted"),
        }
        let tell = |state: LayerState| {
            progress.layer(LayerEvent {
                digest: desc.digest.clone(),
                state,
            });
        };
        Box::pin(upload.run(from, &tell)).await?;
        Ok(Put::Stored)
    }

    async fn put_manifest(&self, desc: &Descriptor, raw: Bytes) -> Result<(), Error> {
        let by_tag = self.name.tag().filter(|_| self.is_top(&desc.digest));
        let reference = by_tag.unwrap_or(desc.digest.as_str());
        self.put_at(reference, &desc.media_type, &raw, &desc.digest)
            .await?;
        self.keep(desc, &raw);
        Ok(())
    }

    async fn tag(&self, name: &Reference, desc: &Descriptor) -> Result<(), Error> {
        let Some(tag) = name.tag() else { return Ok(()) };
        if name.path() != self.name.path() {
            let text = format!(
                "{} is not in the repository {}",
                name.familiar(),
                self.name.path()
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        if self.name.tag() == Some(tag) && self.is_top(&desc.digest) {
            return Ok(());
        }
        let kept = {
            let manifests = self
                .manifests
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            manifests.get(&desc.digest).cloned()
        };
        let (kind, raw) = kept.ok_or_else(|| Error::blob_not_found(&desc.digest))?;
        self.put_at(tag, &kind, &raw, &desc.digest).await
    }
}

/// Text inside a query.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Where a reply says that an upload goes on.
pub(super) fn location(response: &reqwest::Response) -> Option<reqwest::Url> {
    let location = header(response.headers(), LOCATION.as_str())?;
    response.url().join(location).ok()
}

//! Names to digests, digests to manifests.

use super::call::Call;
use super::failure::Failure;
use super::remote::Remote;
use super::reply::header;
use crate::auth::Scope;
use bytes::Bytes;
use lapstrake_image::{Error, ErrorKind};
use lapstrake_spec::{Descriptor, Digest, Document, Hasher, MANIFEST_LIMIT, MediaType};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response};

/// The header with a manifest's digest.
const DIGEST_HEADER: &str = "docker-content-digest";

/// What a name turned out to be; the bytes if they came along.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) desc: Descriptor,
    pub(super) raw: Option<Bytes>,
}

/// A request for a manifest, by tag or digest.
fn call(method: Method, path: &str, reference: &str) -> Call {
    let mut accept: Vec<String> = MediaType::MANIFESTS
        .iter()
        .map(|kind| kind.as_str().to_owned())
        .collect();
    // Asked for last, so that an image that has nothing better is refused by its right name.
    accept.push(MediaType::DOCKER_SCHEMA1_SIGNED.as_str().to_owned());
    Call::new(method, format!("/{path}/manifests/{reference}"))
        .scope(Scope::pull(path))
        .header(ACCEPT, &accept.join(", "))
}

/// What a tag or digest stands for, by `HEAD`; by `GET` when that is refused or says too little, which
/// also brings the words of an error.
pub(super) async fn resolve(
    remote: &Remote,
    path: &str,
    tag: Option<&str>,
    digest: Option<&Digest>,
    attempts: Option<u32>,
) -> Result<Resolved, Failure> {
    let reference = digest.map(Digest::as_str).or(tag).unwrap_or("latest");
    let mut head = call(Method::HEAD, path, reference).replies_are_final();
    head.attempts = attempts;
    match remote.send(&head).await {
        Ok(response) => {
            if let Some(desc) = described(response.headers(), digest)? {
                return Ok(Resolved { desc, raw: None });
            }
        }
        Err(Failure::Reply(_)) => {}
        Err(other) => return Err(other),
    }
    let mut get = call(Method::GET, path, reference);
    get.attempts = attempts;
    let response = remote.send(&get).await?;
    let (desc, raw) = read(remote, response, digest).await?;
    Ok(Resolved {
        desc,
        raw: Some(raw),
    })
}

/// The bytes of a manifest, verified.
pub(super) async fn fetch(
    remote: &Remote,
    path: &str,
    digest: &Digest,
    attempts: Option<u32>,
) -> Result<Bytes, Failure> {
    let mut get = call(Method::GET, path, digest.as_str());
    get.attempts = attempts;
    let response = remote.send(&get).await?;
    read(remote, response, Some(digest))
        .await
        .map(|(_, raw)| raw)
}

/// A descriptor out of headers alone, if they say all that it takes.
fn described(headers: &HeaderMap, wanted: Option<&Digest>) -> Result<Option<Descriptor>, Failure> {
    let digest = header(headers, DIGEST_HEADER).and_then(|text| Digest::parse(text).ok());
    let kind = header(headers, CONTENT_TYPE.as_str()).map(MediaType::from_header);
    let size = header(headers, CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
    let (Some(digest), Some(kind), Some(size)) = (digest, kind, size) else {
        return Ok(None);
    };
    let is_known = kind.is_manifest() || kind.is_index() || kind.is_schema1();
    if !is_known || wanted.is_some_and(|wanted| *wanted != digest) {
        return Ok(None);
    }
    if size > MANIFEST_LIMIT as u64 {
        return Err(too_large(size).into());
    }
    Ok((size > 0).then(|| Descriptor::new(kind, digest, size)))
}

async fn read(
    remote: &Remote,
    response: Response,
    wanted: Option<&Digest>,
) -> Result<(Descriptor, Bytes), Failure> {
    let headers = response.headers().clone();
    if let Some(size) = response
        .content_length()
        .filter(|size| *size > MANIFEST_LIMIT as u64)
    {
        return Err(too_large(size).into());
    }
    let raw = remote
        .shared()
        .transport
        .body(response, MANIFEST_LIMIT)
        .await?;
    let told = header(&headers, DIGEST_HEADER).and_then(|text| Digest::parse(text).ok());
    let digest = match wanted.cloned().or(told) {
        Some(digest) => {
            if hash(&digest, &raw) != digest {
                return Err(Error::manifest_mismatch(&digest).into());
            }
            digest
        }
        None => Digest::sha256(&raw),
    };
    let told = header(&headers, CONTENT_TYPE.as_str()).map(MediaType::from_header);
    let kind = match told {
        Some(kind) if kind.is_manifest() || kind.is_index() || kind.is_schema1() => kind,
        told => match Document::parse(None, &raw) {
            Ok(document) => document.media_type(),
            Err(_) => told.unwrap_or(MediaType::OCI_MANIFEST),
        },
    };
    Ok((Descriptor::new(kind, digest, raw.len() as u64), raw))
}

/// The digest of bytes by the algorithm of another one.
pub(super) fn hash(like: &Digest, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::for_digest(like);
    hasher.update(bytes);
    hasher.finish()
}

fn too_large(size: u64) -> Error {
    let text = format!("manifest of {size} bytes is larger than the limit of {MANIFEST_LIMIT}");
    Error::new(ErrorKind::TooLarge, text)
}

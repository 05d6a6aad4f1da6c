//! Requests about manifests: read, write, take away, by tag or by digest.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, LOCATION,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use lapstrake_spec::{Digest, Hasher};
use serde::Deserialize;
use serde_json::json;

use super::error::{Answer, ApiError, Code};
use super::handle::{BodyError, DOCKER_CONTENT_DIGEST, header_value, read_body};
use super::name::{RepositoryName, Tag};
use super::route::Selector;
use super::storage::Storage;
use super::upload::blocking;
use super::{MANIFEST_LIMIT, Shared};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Longest content type that is kept.
const CONTENT_TYPE_LIMIT: usize = 255;

/// What the registry reads of a manifest or index; all else passes through.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Target>,
    #[serde(default)]
    layers: Vec<Target>,
    #[serde(default)]
    blobs: Vec<Target>,
    #[serde(default)]
    manifests: Vec<Target>,
    subject: Option<Target>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What a manifest refers to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default)]
    media_type: String,
    digest: String,
}

impl Target {
    /// Whether the content lies elsewhere by its nature: layers that may not be distributed.
    fn is_foreign(&self) -> bool {
        self.media_type.contains(".nondistributable.") || self.media_type.contains(".foreign.")
    }

    fn digest(&self) -> Result<Digest, ApiError> {
        Digest::parse(&self.digest).map_err(|error| invalid(error.to_string()))
    }
}

/// A manifest that passed all checks but those of what it refers to.
struct Accepted {
    digest: Digest,
    content_type: String,
    raw: Bytes,
    subject: Option<Digest>,
    descriptor: Option<String>,
    blobs: Vec<Digest>,
    manifests: Vec<Digest>,
}

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`
pub(super) async fn read(
    shared: &Shared,
    name: &RepositoryName,
    selector: &Selector,
    method: &Method,
    headers: &HeaderMap,
) -> Answer {
    let storage = Arc::clone(&shared.storage);
    let (repository, sought) = (name.clone(), Sought::new(selector));
    let found = blocking(move || find(&storage, &repository, &sought)).await?;
    let (digest, content_type, raw) = found.ok_or_else(|| unknown(name, selector))?;
    let tag = header_value(&format!("\"{digest}\""))?;
    if headers.get(IF_NONE_MATCH) == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let length = raw.len();
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(raw)
    };
    let mut response = Response::new(body);
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, header_value(&content_type)?);
    out.insert(CONTENT_LENGTH, length.into());
    out.insert(DOCKER_CONTENT_DIGEST, header_value(digest.as_str())?);
    out.insert(ETAG, tag);
    Ok(response)
}

/// `PUT /v2/<name>/manifests/<reference>`
pub(super) async fn write(
    shared: &Shared,
    name: &RepositoryName,
    selector: &Selector,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let (tag, expected) = match selector {
        Selector::Tag(tag) => (Some(tag.clone()), None),
        Selector::Digest(digest) => (None, Some(digest)),
        Selector::Malformed => {
            return Err(ApiError::new(Code::TagInvalid).message("invalid tag name"));
        }
    };
    let raw = read_body(body, MANIFEST_LIMIT)
        .await
        .map_err(|error| match error {
            BodyError::TooLong => {
                invalid(format!("manifest is larger than {MANIFEST_LIMIT} bytes"))
                    .status(StatusCode::PAYLOAD_TOO_LARGE)
            }
            BodyError::Cut(why) => invalid(why),
        })?;
    let accepted = accept(raw, &parts.headers, expected)?;
    let mut headers = vec![
        (
            LOCATION,
            header_value(&format!("/v2/{name}/manifests/{}", accepted.digest))?,
        ),
        (
            DOCKER_CONTENT_DIGEST,
            header_value(accepted.digest.as_str())?,
        ),
    ];
    if let Some(subject) = &accepted.subject {
        headers.push((OCI_SUBJECT, header_value(subject.as_str())?));
    }
    let storage = Arc::clone(&shared.storage);
    let repository = name.clone();
    let missing = blocking(move || store(&storage, &repository, &accepted, tag.as_ref())).await?;
    if let Some(missing) = missing {
        return Err(ApiError::new(Code::ManifestBlobUnknown)
            .detail(json!({ "digest": missing.to_string() })));
    }
    let mut response = StatusCode::CREATED.into_response();
    response.headers_mut().extend(headers);
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<reference>`
pub(super) async fn delete(shared: &Shared, name: &RepositoryName, selector: &Selector) -> Answer {
    let storage = Arc::clone(&shared.storage);
    let (repository, sought) = (name.clone(), Sought::new(selector));
    let removed = blocking(move || match &sought {
        Sought::Tag(tag) => {
            let _changing = storage.change();
            storage.remove_tag(&repository, tag)
        }
        Sought::Digest(digest) => remove(&storage, &repository, digest),
        Sought::Nothing => Ok(false),
    })
    .await?;
    if removed {
        Ok(StatusCode::ACCEPTED.into_response())
    } else {
        Err(unknown(name, selector))
    }
}

/// Checks a manifest by itself: its form, its type, its digest.
fn accept(
    raw: Bytes,
    headers: &HeaderMap,
    expected: Option<&Digest>,
) -> Result<Accepted, ApiError> {
    let view: View = serde_json::from_slice(&raw).map_err(|error| invalid(error.to_string()))?;
    if view.schema_version != 2 {
        return Err(invalid(format!(
            "unsupported schema version {}",
            view.schema_version
        )));
    }
    let content_type = content_type(headers, &view)?;
    let digest = match expected {
        None => Digest::sha256(&raw),
        Some(expected) => {
            let mut hasher = Hasher::for_digest(expected);
            hasher.update(&raw);
            let digest = hasher.finish();
            if digest != *expected {
                return Err(Code::DigestInvalid.into());
            }
            digest
        }
    };
    let subject = view.subject.as_ref().map(Target::digest).transpose()?;
    let descriptor = subject
        .as_ref()
        .map(|_| descriptor(&view, &content_type, &digest, raw.len()));
    let blobs = view.config.iter().chain(&view.layers).chain(&view.blobs);
    let blobs = blobs
        .filter(|target| !target.is_foreign())
        .map(Target::digest);
    let blobs = blobs.collect::<Result<_, _>>()?;
    let manifests = view
        .manifests
        .iter()
        .map(Target::digest)
        .collect::<Result<_, _>>()?;
    Ok(Accepted {
        digest,
        content_type,
        raw,
        subject,
        descriptor,
        blobs,
        manifests,
    })
}

/// The type that the request and the manifest agree on.
fn content_type(headers: &HeaderMap, view: &View) -> Result<String, ApiError> {
    let sent = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let sent = sent.map(|value| value.split(';').next().unwrap_or(value).trim());
    let kept = match (sent, view.media_type.as_deref()) {
        (None | Some("" | "application/json"), Some(own)) => own,
        (Some(sent), Some(own)) if sent != own => {
            return Err(invalid(format!(
                "content type {sent} of a manifest that says {own}"
            )));
        }
        (Some(sent), _) if !sent.is_empty() => sent,
        _ => return Err(invalid("content type missing".to_owned())),
    };
    let printable = kept.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable || kept.len() > CONTENT_TYPE_LIMIT {
        return Err(invalid("content type malformed".to_owned()));
    }
    Ok(kept.to_owned())
}

/// The entry in the list of those that refer to a subject.
fn descriptor(view: &View, content_type: &str, digest: &Digest, size: usize) -> String {
    let mut entry = json!({
        "mediaType": content_type,
        "digest": digest.to_string(),
        "size": size,
    });
    let config_type = view.config.as_ref().map(|config| &config.media_type);
    let artifact_type = view
        .artifact_type
        .as_ref()
        .filter(|own| !own.is_empty())
        .or(config_type);
    if let Some(members) = entry.as_object_mut() {
        if let Some(artifact_type) = artifact_type {
            members.insert("artifactType".to_owned(), artifact_type.as_str().into());
        }
        if !view.annotations.is_empty() {
            members.insert("annotations".to_owned(), json!(view.annotations));
        }
    }
    entry.to_string()
}

/// Writes a manifest, then its place among the referrers, then its tag. Returns what it refers to
/// and the repository does not have, in which case nothing is written.
fn store(
    storage: &Storage,
    name: &RepositoryName,
    accepted: &Accepted,
    tag: Option<&Tag>,
) -> io::Result<Option<Digest>> {
    let _changing = storage.change();
    for blob in &accepted.blobs {
        if !storage.has_blob(name, blob)? {
            return Ok(Some(blob.clone()));
        }
    }
    for manifest in &accepted.manifests {
        if storage.manifest_type(name, manifest)?.is_none() {
            return Ok(Some(manifest.clone()));
        }
    }
    let digest = &accepted.digest;
    storage.put_manifest(name, digest, &accepted.content_type, &accepted.raw)?;
    if let (Some(subject), Some(descriptor)) = (&accepted.subject, &accepted.descriptor) {
        storage.put_referrer(name, subject, digest, descriptor.as_bytes())?;
    }
    if let Some(tag) = tag {
        storage.put_tag(name, tag, digest)?;
    }
    Ok(None)
}

/// Takes a manifest away: its tags first, itself last.
fn remove(storage: &Storage, name: &RepositoryName, digest: &Digest) -> io::Result<bool> {
    let _changing = storage.change();
    if storage.manifest_type(name, digest)?.is_none() {
        return Ok(false);
    }
    let tags = match std::fs::read_dir(storage.tags_path(name)) {
        Ok(tags) => Some(tags),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    for entry in tags.into_iter().flatten() {
        let Some(tag) = entry?.file_name().to_str().and_then(Tag::parse) else {
            continue;
        };
        if storage.tag(name, &tag)?.as_ref() == Some(digest) {
            storage.remove_tag(name, &tag)?;
        }
    }
    if let Some(subject) = subject_of(storage, digest)? {
        storage.remove_referrer(name, &subject, digest)?;
    }
    storage.remove_manifest(name, digest)
}

fn subject_of(storage: &Storage, digest: &Digest) -> io::Result<Option<Digest>> {
    let raw = content(storage, digest)?.unwrap_or_default();
    let view: Option<View> = serde_json::from_slice(&raw).ok();
    Ok(view
        .and_then(|view| view.subject)
        .and_then(|subject| subject.digest().ok()))
}

/// A selector that is owned.
enum Sought {
    Tag(Tag),
    Digest(Digest),
    Nothing,
}

impl Sought {
    fn new(selector: &Selector) -> Self {
        match selector {
            Selector::Tag(tag) => Self::Tag(tag.clone()),
            Selector::Digest(digest) => Self::Digest(digest.clone()),
            Selector::Malformed => Self::Nothing,
        }
    }
}

fn find(
    storage: &Storage,
    name: &RepositoryName,
    sought: &Sought,
) -> io::Result<Option<(Digest, String, Bytes)>> {
    let digest = match sought {
        Sought::Tag(tag) => storage.tag(name, tag)?,
        Sought::Digest(digest) => Some(digest.clone()),
        Sought::Nothing => None,
    };
    let Some(digest) = digest else {
        return Ok(None);
    };
    let Some(content_type) = storage.manifest_type(name, &digest)? else {
        return Ok(None);
    };
    let raw = content(storage, &digest)?;
    Ok(raw.map(|raw| (digest, content_type, raw.into())))
}

fn content(storage: &Storage, digest: &Digest) -> io::Result<Option<Vec<u8>>> {
    let Some((file, size)) = storage.open_content(digest)? else {
        return Ok(None);
    };
    let limit = u64::try_from(MANIFEST_LIMIT).unwrap_or(u64::MAX);
    let mut raw = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or(0));
    file.take(limit).read_to_end(&mut raw)?;
    Ok(Some(raw))
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::ManifestInvalid)
        .detail(json!({ "reason": message }))
        .message(message)
}

fn unknown(name: &RepositoryName, selector: &Selector) -> ApiError {
    ApiError::new(Code::ManifestUnknown).detail(match selector {
        Selector::Tag(tag) => json!({ "Tag": tag.as_str() }),
        Selector::Digest(digest) => {
            json!({ "Name": name.as_str(), "Revision": digest.to_string() })
        }
        Selector::Malformed => json!({ "Name": name.as_str() }),
    })
}

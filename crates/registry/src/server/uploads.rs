//! Requests about uploads: start, mount, continue, finish, ask, give up.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE,
};
use axum::response::{IntoResponse, Response};
use lapstrake_spec::Digest;

use super::Shared;
use super::error::{Answer, ApiError, Code};
use super::handle::{DOCKER_CONTENT_DIGEST, header_value};
use super::name::{RepositoryName, UploadId};
use super::query::Query;
use super::range;
use super::route::parse_digest;
use super::upload::{Held, blocking};

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST /v2/<name>/blobs/uploads/`
pub(super) async fn start(shared: &Shared, name: &RepositoryName, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let query = Query::new(parts.uri.query().unwrap_or_default().as_bytes());
    if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
        && let Some(mounted) = mount(shared, name, &digest, &from, &parts.headers).await?
    {
        return Ok(mounted);
    }
    let Some(digest) = query.get("digest") else {
        let held = shared.uploads.create().await?;
        return accepted(name, &held.id, held.length());
    };
    let digest = parse_digest(&digest)?;
    let held = shared.uploads.create().await?;
    let id = held.id.clone();
    match held.append(body, None).await {
        Ok(held) => shared.uploads.finish(held, name, &digest).await?,
        Err(error) => {
            // Nobody was told its name: it cannot be continued.
            if let Ok(held) = shared.uploads.take(&id).await {
                shared.uploads.cancel(held).await?;
            }
            return Err(error);
        }
    }
    created(name, &digest)
}

/// Gives `name` a blob of the repository `from`. `None` when that has none, or may not be read.
async fn mount(
    shared: &Shared,
    name: &RepositoryName,
    digest: &str,
    from: &str,
    headers: &HeaderMap,
) -> Result<Option<Response>, ApiError> {
    let (digest, from) = (parse_digest(digest)?, RepositoryName::parse(from)?);
    if !shared.authority.may_pull(&from, headers) {
        return Ok(None);
    }
    let storage = Arc::clone(&shared.storage);
    let (target, wanted) = (name.clone(), digest.clone());
    let mounted = blocking(move || {
        let _changing = storage.change();
        let there = storage.blob_size(&from, &wanted)?.is_some();
        if there {
            storage.link_blob(&target, &wanted)?;
        }
        Ok(there)
    })
    .await?;
    mounted.then(|| created(name, &digest)).transpose()
}

/// `PATCH /v2/<name>/blobs/uploads/<uuid>`
pub(super) async fn continue_with(
    shared: &Shared,
    name: &RepositoryName,
    id: &UploadId,
    request: Request,
) -> Answer {
    let held = shared.uploads.take(id).await?;
    let held = append(held, name, request).await?;
    accepted(name, id, held.length())
}

/// `PUT /v2/<name>/blobs/uploads/<uuid>?digest=`
pub(super) async fn finish(
    shared: &Shared,
    name: &RepositoryName,
    id: &UploadId,
    request: Request,
) -> Answer {
    let query = Query::new(request.uri().query().unwrap_or_default().as_bytes());
    let digest = query
        .get("digest")
        .ok_or_else(|| ApiError::new(Code::DigestInvalid).message("digest missing"))?;
    let digest = parse_digest(&digest)?;
    let held = shared.uploads.take(id).await?;
    let held = append(held, name, request).await?;
    shared.uploads.finish(held, name, &digest).await?;
    created(name, &digest)
}

/// `GET /v2/<name>/blobs/uploads/<uuid>`
pub(super) async fn status(shared: &Shared, name: &RepositoryName, id: &UploadId) -> Answer {
    let length = shared.uploads.length(id).await?;
    let mut response = accepted(name, id, length)?;
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// `DELETE /v2/<name>/blobs/uploads/<uuid>`
pub(super) async fn cancel(shared: &Shared, id: &UploadId) -> Answer {
    let held = shared.uploads.take(id).await?;
    shared.uploads.cancel(held).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Checks where a chunk belongs, then writes it.
async fn append(held: Held, name: &RepositoryName, request: Request) -> Result<Held, ApiError> {
    let (parts, body) = request.into_parts();
    let declared = declared_length(&parts.headers, held.length())
        .map_err(|code| refused(code, name, &held))?;
    held.append(body, declared).await
}

/// The length that a chunk's `Content-Range` promises, when it fits the upload and its own length.
fn declared_length(headers: &HeaderMap, offset: u64) -> Result<Option<u64>, Code> {
    let Some(range) = headers.get(CONTENT_RANGE) else {
        return Ok(None);
    };
    let length = text(headers, &CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    let Some((start, declared)) = range.to_str().ok().and_then(range::chunk) else {
        // Clients send `0--1` or the like with an empty final chunk.
        return if length == Some(0) {
            Ok(None)
        } else {
            Err(Code::RangeInvalid)
        };
    };
    if length == Some(0) {
        return Ok(None);
    }
    if start != offset {
        return Err(Code::RangeInvalid);
    }
    if length.is_some_and(|length| length != declared) {
        return Err(Code::SizeInvalid);
    }
    Ok(Some(declared))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An error that says where the upload stands, so that the client can go on.
fn refused(code: Code, name: &RepositoryName, held: &Held) -> ApiError {
    let error = ApiError::new(code);
    match where_it_stands(name, &held.id, held.length()) {
        Ok(headers) => headers
            .into_iter()
            .fold(error, |error, (name, value)| error.header(name, value)),
        Err(worse) => worse,
    }
}

fn accepted(name: &RepositoryName, id: &UploadId, length: u64) -> Answer {
    Ok((
        StatusCode::ACCEPTED,
        where_it_stands(name, id, length)?,
        Body::empty(),
    )
        .into_response())
}

fn where_it_stands(
    name: &RepositoryName,
    id: &UploadId,
    length: u64,
) -> Result<[(HeaderName, HeaderValue); 3], ApiError> {
    let id = id.as_str();
    // An empty upload and one of a single byte look the same: the protocol has no empty range.
    let last = length.saturating_sub(1);
    Ok([
        (
            LOCATION,
            header_value(&format!("/v2/{name}/blobs/uploads/{id}"))?,
        ),
        (RANGE, header_value(&format!("0-{last}"))?),
        (DOCKER_UPLOAD_UUID, header_value(id)?),
    ])
}

fn created(name: &RepositoryName, digest: &Digest) -> Answer {
    let headers = [
        (
            LOCATION,
            header_value(&format!("/v2/{name}/blobs/{digest}"))?,
        ),
        (DOCKER_CONTENT_DIGEST, header_value(digest.as_str())?),
    ];
    Ok((StatusCode::CREATED, headers, Body::empty()).into_response())
}

//! Requests about blobs: read, in whole or in part, and take away.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use lapstrake_spec::Digest;
use tokio::task::{JoinHandle, spawn_blocking};

use super::Shared;
use super::error::{Answer, ApiError, Code};
use super::handle::{DOCKER_CONTENT_DIGEST, header_value};
use super::name::RepositoryName;
use super::range::{Wanted, wanted};
use super::upload::blocking;

/// Bytes read at a time; one such buffer is sent while the next is read.
const READ_BYTES: u64 = 512 * 1024;

/// `GET` and `HEAD /v2/<name>/blobs/<digest>`
pub(super) async fn read(
    shared: &Shared,
    name: &RepositoryName,
    digest: &Digest,
    method: &Method,
    headers: &HeaderMap,
) -> Answer {
    let storage = Arc::clone(&shared.storage);
    let (repository, sought) = (name.clone(), digest.clone());
    let (file, size) = blocking(move || storage.open_blob(&repository, &sought))
        .await?
        .ok_or_else(|| unknown(digest))?;
    let tag = format!("\"{digest}\"");
    if headers
        .get(IF_NONE_MATCH)
        .is_some_and(|sent| sent.as_bytes() == tag.as_bytes())
    {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, header_value(&tag)?)]).into_response());
    }
    let same = headers
        .get(IF_RANGE)
        .is_none_or(|sent| sent.as_bytes() == tag.as_bytes());
    let range = headers
        .get(RANGE)
        .filter(|_| same)
        .and_then(|range| range.to_str().ok());
    let (status, start, length) = match wanted(range, size) {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        Wanted::Unsatisfiable => {
            return Err(ApiError::new(Code::RangeInvalid)
                .header(CONTENT_RANGE, header_value(&format!("bytes */{size}"))?));
        }
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        file_body(file, start, length)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let out = response.headers_mut();
    out.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    out.insert(CONTENT_LENGTH, length.into());
    out.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    out.insert(ETAG, header_value(&tag)?);
    out.insert(DOCKER_CONTENT_DIGEST, header_value(digest.as_str())?);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = start.saturating_add(length).saturating_sub(1);
        out.insert(
            CONTENT_RANGE,
            header_value(&format!("bytes {start}-{last}/{size}"))?,
        );
    }
    Ok(response)
}

/// `DELETE /v2/<name>/blobs/<digest>`
pub(super) async fn delete(shared: &Shared, name: &RepositoryName, digest: &Digest) -> Answer {
    let storage = Arc::clone(&shared.storage);
    let (repository, sought) = (name.clone(), digest.clone());
    let removed = blocking(move || {
        let _changing = storage.change();
        storage.unlink_blob(&repository, &sought)
    })
    .await?;
    if removed {
        Ok(StatusCode::ACCEPTED.into_response())
    } else {
        Err(unknown(digest))
    }
}

fn unknown(digest: &Digest) -> ApiError {
    ApiError::new(Code::BlobUnknown).detail(serde_json::json!({ "digest": digest.to_string() }))
}

/// Some bytes of a file as a body.
fn file_body(file: File, start: u64, length: u64) -> Body {
    let reader = Reader {
        file: Arc::new(file),
        offset: start,
        remaining: length,
        ahead: None,
    };
    Body::from_stream(stream::try_unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Ok::<_, io::Error>(chunk.map(|chunk| (chunk, reader)))
    }))
}

/// Reads one buffer ahead of what is asked for.
struct Reader {
    file: Arc<File>,
    offset: u64,
    remaining: u64,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(running) = self.ahead.take().or_else(|| self.start()) else {
            return Ok(None);
        };
        let chunk = running.await.map_err(io::Error::other)??;
        self.ahead = self.start();
        Ok(Some(chunk))
    }

    fn start(&mut self) -> Option<JoinHandle<io::Result<Bytes>>> {
        let length = self.remaining.min(READ_BYTES);
        if length == 0 {
            return None;
        }
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        self.offset = self.offset.saturating_add(length);
        self.remaining = self.remaining.saturating_sub(length);
        Some(spawn_blocking(move || read_at(&file, offset, length)))
    }
}

fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut buffer = vec![0_u8; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut buffer, offset)?;
    Ok(buffer.into())
}

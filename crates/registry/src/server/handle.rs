//! From a request to its handler.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::error::{Answer, ApiError, Code};
use super::route::Route;
use super::{Shared, blobs, listing, manifests, uploads};

/// The digest of what an answer carries or made.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// All of the protocol as one service. Names hold slashes, so the paths are read by
/// [`Route::parse`] and not by the router's own patterns.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let mut response = match dispatch(&shared, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    response
        .headers_mut()
        .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

async fn dispatch(shared: &Shared, request: Request) -> Answer {
    let Some(route) = Route::parse(request.uri().path())? else {
        return Err(ApiError::new(Code::Unsupported)
            .status(StatusCode::NOT_FOUND)
            .message("no such path in the registry protocol"));
    };
    if route == Route::Token {
        return shared.authority.token(request).await;
    }
    shared
        .authority
        .check(&route, request.method(), request.headers())?;
    let method = request.method().clone();
    let reading = matches!(method, Method::GET | Method::HEAD);
    match (&method, &route) {
        (_, Route::Ping) if reading => Ok(json_answer("{}".into())),
        (_, Route::Catalog) if reading => listing::catalog(shared, request.uri()).await,
        (_, Route::Tags(name)) if reading => listing::tags(shared, name, request.uri()).await,
        (_, Route::Referrers(name, digest)) if reading => {
            listing::referrers(shared, name, digest, request.uri()).await
        }
        (_, Route::Manifest(name, selector)) if reading => {
            manifests::read(shared, name, selector, &method, request.headers()).await
        }
        (&Method::PUT, Route::Manifest(name, selector)) => {
            manifests::write(shared, name, selector, request).await
        }
        (&Method::DELETE, Route::Manifest(name, selector)) => {
            manifests::delete(shared, name, selector).await
        }
        (_, Route::Blob(name, digest)) if reading => {
            blobs::read(shared, name, digest, &method, request.headers()).await
        }
        (&Method::DELETE, Route::Blob(name, digest)) => blobs::delete(shared, name, digest).await,
        (&Method::POST, Route::Uploads(name)) => uploads::start(shared, name, request).await,
        (_, Route::Upload(name, id)) if reading => uploads::status(shared, name, id).await,
        (&Method::PATCH, Route::Upload(name, id)) => {
            uploads::continue_with(shared, name, id, request).await
        }
        (&Method::PUT, Route::Upload(name, id)) => uploads::finish(shared, name, id, request).await,
        (&Method::DELETE, Route::Upload(_, id)) => uploads::cancel(shared, id).await,
        _ => Err(Code::Unsupported.into()),
    }
}

/// A JSON document as an answer.
pub(super) fn json_answer(document: String) -> Response {
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        document,
    )
        .into_response()
}

/// Text of our own making as a header's value.
pub(super) fn header_value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text)
        .map_err(|error| ApiError::new(Code::Unknown).message(error.to_string()))
}

/// Why a body was not read.
pub(super) enum BodyError {
    /// It is longer than the limit.
    TooLong,
    /// It ended early.
    Cut(String),
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_body(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut whole = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| BodyError::Cut(error.to_string()))?;
        if whole.len().saturating_add(chunk.len()) > limit {
            return Err(BodyError::TooLong);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

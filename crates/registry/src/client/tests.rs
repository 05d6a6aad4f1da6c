//! The client against small servers that misbehave on purpose, and against our own registry.
#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that reads past an end should fail there"
)]

mod authorization;
mod hostile;
mod ours;
mod pull;
mod push;
mod search;
mod tls;
mod words;

use super::{Client, Options};
use crate::credentials::{Credential, Credentials, CredentialsError};
use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use lapstrake_image::{Error, ErrorKind};
use lapstrake_spec::{Descriptor, MediaType, Reference};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as a fake server saw it.
#[derive(Debug, Clone)]
struct Seen {
    method: Method,
    /// Path and query.
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn is(&self, method: &Method, target: &str) -> bool {
        self.method == *method && self.target == target
    }
}

/// A server whose answers a closure makes.
struct Fake {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    async fn start(answer: impl Fn(Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = Arc::clone(&log);
        let answer = Arc::new(answer);
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 30)
                    .await
                    .unwrap_or_default();
                let target = parts.uri.path_and_query().unwrap().to_string();
                let seen = Seen {
                    method: parts.method,
                    target,
                    headers: parts.headers,
                    body,
                };
                // The question which scheme is spoken is no part of any test.
                if !seen.is(&Method::GET, "/v2/") {
                    kept.lock().unwrap().push(seen.clone());
                }
                answer(seen)
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, log }
    }

    fn name(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).unwrap()
    }

    /// `METHOD target` of every request but the probe.
    fn lines(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .map(|seen| format!("{} {}", seen.method, seen.target))
            .collect()
    }

    fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }
}

/// A server that reads a request's head and sends these bytes, then hangs up.
async fn raw_server(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut head = [0u8; 4096];
                let read = stream.read(&mut head).await;
                if read.is_ok() {
                    stream.write_all(&answer).await.ok();
                    stream.shutdown().await.ok();
                }
            });
        }
    });
    address
}

fn answer(status: u16) -> axum::http::response::Builder {
    Response::builder().status(status)
}

fn empty(status: u16) -> Response<Body> {
    answer(status).body(Body::empty()).unwrap()
}

fn json(status: u16, text: &str) -> Response<Body> {
    let builder = answer(status).header("content-type", "application/json");
    builder.body(Body::from(text.to_owned())).unwrap()
}

fn api_error(status: u16, code: &str, message: &str) -> Response<Body> {
    json(
        status,
        &format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":{{"x":1}}}}]}}"#),
    )
}

fn bytes(body: &[u8]) -> Response<Body> {
    answer(200).body(Body::from(body.to_vec())).unwrap()
}

/// A manifest as a registry serves it, also to `HEAD`.
fn manifest_answer(raw: &[u8]) -> Response<Body> {
    let desc = manifest_desc(raw);
    answer(200)
        .header("content-type", desc.media_type.as_str())
        .header("docker-content-digest", desc.digest.as_str())
        .body(Body::from(raw.to_vec()))
        .unwrap()
}

fn manifest_desc(raw: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::OCI_MANIFEST, raw)
}

fn layer(content: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::OCI_LAYER_GZIP, content)
}

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;

/// Options without the patience of real life.
fn options() -> Options {
    Options {
        retry_delay: Duration::from_millis(1),
        upload_retry_delay: Duration::from_millis(1),
        idle_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

fn client() -> Client {
    Client::new(options()).unwrap()
}

fn client_of(credential: Credential) -> Client {
    let credentials = Arc::new(Always(credential));
    Client::new(Options {
        credentials,
        ..options()
    })
    .unwrap()
}

/// The same credentials for everybody.
#[derive(Debug)]
struct Always(Credential);

impl Credentials for Always {
    fn get(&self, _server: &str) -> Result<Option<Credential>, CredentialsError> {
        Ok(Some(self.0.clone()))
    }
}

/// Reads a stream to its end.
async fn read(mut stream: lapstrake_image::BlobStream) -> Result<Vec<u8>, Error> {
    use futures_util::StreamExt;
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk?);
    }
    Ok(all)
}

/// Kind, message and hint of an error.
fn parts<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorKind, String, String) {
    let error = result.unwrap_err();
    let hint = error.hint().unwrap_or_default().to_owned();
    (error.kind(), error.message().to_owned(), hint)
}

/// An address where nobody listens.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

//! Files and answers of ordinary web servers: remote sources of builds, git over HTTP.
//!
//! The same connections, certificates and proxies as for registries, and none of their credentials. A
//! name and a password in the address are shown to its own host alone.

use super::Client;
use super::failure::{Doing, Failure, LostKind};
use super::reply::clean;
use super::token::authority;
use super::transport::{SLOWEST_BYTES, broken, silent};
use crate::credentials::Credential;
use crate::hosts::Scheme;
use bytes::Bytes;
use lapstrake_image::{Error, ErrorKind};
use reqwest::header::{
    AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue,
    LAST_MODIFIED, LOCATION,
};
use reqwest::{Method, Request, Response, Url};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Redirects followed, as Go does.
const REDIRECTS_LIMIT: usize = 10;
/// Bytes of a body without an answer in it that are read for the words of an error.
const WORDS_LIMIT: usize = 4096;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct FetchRequest {
    /// `http` or `https`.
    pub url: String,
    /// Headers of one value each.
    pub headers: Vec<(String, String)>,
    /// What is sent; the request is a POST then, else a GET.
    pub body: Option<Vec<u8>>,
    /// Bytes of the answer at most.
    pub limit: u64,
}

/// The answer of a web server, whose body is still to come.
#[derive(Debug)]
pub struct Fetched {
    /// Where redirects led.
    pub url: String,
    /// `Last-Modified`, as sent.
    pub last_modified: Option<String>,
    /// `ETag`, as sent.
    pub etag: Option<String>,
    /// `Content-Disposition`, as sent.
    pub disposition: Option<String>,
    /// Bytes of the body, when that is told.
    pub length: Option<u64>,
    response: Response,
    limit: u64,
    left: u64,
    idle: Duration,
    /// The time in which [`SLOWEST_BYTES`] must come, and how many came.
    since: Instant,
    came: u64,
}

/// An answer of a web server that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The words that belong to the status, empty for a number without: `Not Found`.
    pub reason: String,
    /// The beginning of the body, without what a terminal would obey.
    pub body: String,
}

impl Refusal {
    /// What callers act on.
    pub fn kind(&self) -> ErrorKind {
        match self.status {
            404 | 410 => ErrorKind::NotFound,
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Denied,
            429 => ErrorKind::RateLimited,
            _ => ErrorKind::Unavailable,
        }
    }
}

impl Client {
    /// Asks a web server for something. An answer that is no success is an error with its status:
    /// `invalid response status 404`.
    pub async fn fetch(&self, request: &FetchRequest) -> Result<Fetched, Error> {
        self.ask(request).await?.map_err(|refusal| {
            let text = format!("invalid response status {}", refusal.status);
            Error::new(refusal.kind(), text)
        })
    }

    /// The same, with an answer that is no success as a value.
    pub async fn ask(&self, request: &FetchRequest) -> Result<Result<Fetched, Refusal>, Error> {
        let asked = parse(&request.url)?;
        let words = || format!("{} {:?}", verb(request), shown(&asked));
        let response = self
            .follow(request, &asked)
            .await
            .map_err(|failure| failure.of_request(words).into_error(Doing::Other))?;
        let status = response.status();
        if !status.is_success() {
            let body = self.shared.transport.some_body(response, WORDS_LIMIT).await;
            let body = String::from_utf8_lossy(&body);
            tracing::debug!(code = status.as_u16(), %body, "refused");
            return Ok(Err(Refusal {
                status: status.as_u16(),
                reason: status.canonical_reason().unwrap_or_default().to_owned(),
                body: harmless(body.trim()),
            }));
        }
        let idle = self.shared.transport.idle_timeout();
        Fetched::new(response, request.limit, idle).map(Ok)
    }

    async fn follow(&self, request: &FetchRequest, asked: &Url) -> Result<Response, Failure> {
        let mut url = asked.clone();
        for _ in 0..=REDIRECTS_LIMIT {
            let scheme = match url.scheme() {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                _ => {
                    return Err(Failure::lost(
                        LostKind::Garbage,
                        "unsupported protocol scheme",
                    ));
                }
            };
            let host = self.shared.settings.lone(scheme, &authority(&url));
            let made = make(request, &url, asked);
            let response = self.shared.transport.send(&host, scheme, made).await?;
            let follows = match response.status().as_u16() {
                301..=303 => request.body.is_none(),
                307 | 308 => true,
                _ => false,
            };
            let location = response.headers().get(LOCATION);
            let location = location.filter(|_| follows).and_then(|to| to.to_str().ok());
            match location.and_then(|location| url.join(location).ok()) {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        let text = format!("stopped after {REDIRECTS_LIMIT} redirects");
        Err(Error::new(ErrorKind::InvalidContent, text).into())
    }
}

fn parse(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| {
        Error::new(
            ErrorKind::InvalidContent,
            format!("parse {text:?}: {error}"),
        )
    })
}

/// The address without a password.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // It has a host, or there would be no password.
        url.set_password(Some("xxxxx")).unwrap_or_default();
    }
    url.to_string()
}

fn verb(request: &FetchRequest) -> &'static str {
    if request.body.is_some() {
        "Post"
    } else {
        "Get"
    }
}

fn make(request: &FetchRequest, url: &Url, asked: &Url) -> Request {
    let mut bare = url.clone();
    bare.set_username("").unwrap_or_default();
    bare.set_password(None).unwrap_or_default();
    let method = match request.body {
        Some(_) => Method::POST,
        None => Method::GET,
    };
    let mut made = Request::new(method, bare);
    for (name, value) in &request.headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            made.headers_mut().insert(name, value);
        }
    }
    let is_own = url.scheme() == asked.scheme() && authority(url) == authority(asked);
    if is_own && !asked.username().is_empty() {
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let password = decoded(asked.password().unwrap_or_default());
        let credential = Credential::password(&decoded(asked.username()), &password);
        if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {}", credential.basic())) {
            value.set_sensitive(true);
            made.headers_mut().insert(AUTHORIZATION, value);
        }
    }
    if let Some(body) = &request.body {
        *made.body_mut() = Some(body.clone().into());
    }
    made
}

impl Fetched {
    fn new(response: Response, limit: u64, idle: Duration) -> Result<Self, Error> {
        let text = |name: HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(clean(value))
        };
        let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Self {
            url: response.url().to_string(),
            last_modified: text(LAST_MODIFIED),
            etag: text(ETAG),
            disposition: text(CONTENT_DISPOSITION),
            length,
            response,
            limit,
            left: limit,
            idle,
            since: Instant::now(),
            came: 0,
        })
    }

    /// The next bytes of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let read = timeout(self.idle, self.response.chunk()).await;
        let chunk = read
            .map_err(|_elapsed| silent())
            .and_then(|read| read.map_err(|error| broken(&error)))
            .map_err(|failure| failure.into_error(Doing::Other))?;
        let Some(chunk) = chunk else {
            return Ok(None);
        };
        let length = chunk.len() as u64;
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| too_large(self.limit))?;
        self.came = self.came.saturating_add(length);
        if self.came >= SLOWEST_BYTES {
            self.came = 0;
            self.since = Instant::now();
        } else if self.since.elapsed() > self.idle {
            return Err(silent().into_error(Doing::Other));
        }
        Ok(Some(chunk))
    }
}

/// Text of several lines without what a terminal would obey.
fn harmless(text: &str) -> String {
    let is_harmful = |c: char| c.is_control() && c != '\n';
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| if is_harmful(c) { ' ' } else { c })
        .collect()
}

fn too_large(limit: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("answer larger than {limit} bytes"),
    )
}

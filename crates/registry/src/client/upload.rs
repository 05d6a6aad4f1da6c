//! Writing one blob: whole by default, in chunks where the registry wants that, going on where a
//! broken connection left it.
//!
//! A large blob is one `PATCH` and a closing `PUT`, as docker sends it; a small one is a single `PUT`.
//! When the connection breaks the registry is asked how much it has (`GET` on the upload), and the
//! rest follows with a `Content-Range`. A registry that has forgotten the upload gets a new one.

use super::call::Call;
use super::failure::{Doing, Failure, LostKind};
use super::remote::Remote;
use super::reply::header;
use super::sink::location;
use crate::auth::Scope;
use bytes::Bytes;
use futures_util::stream;
use lapstrake_image::{
    BlobReader, ContentSource, Error, ErrorKind, LayerState, RetryPolicy, Silent,
};
use lapstrake_spec::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Blobs up to this size are one `PUT`.
const SMALL: u64 = 256 << 10;
/// The chunks for a registry that finds a whole blob too much.
const CHUNK: u64 = 8 << 20;
/// The smallest chunk that is tried when even those are too much.
const SMALLEST_CHUNK: u64 = 512 << 10;
/// Chunks of the source that wait to be sent.
const CHUNKS_WAITING: usize = 2;
/// Pauses between tries, in steps of the first one.
const PAUSE_STEPS_LIMIT: u32 = 6;

/// One blob on its way.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    remote: &'a Remote,
    path: &'a str,
    desc: &'a Descriptor,
    /// Where the registry wants the bytes.
    url: Option<Url>,
    /// Bytes the registry has.
    offset: u64,
    chunk: Option<u64>,
}

/// The source, read from the upload's offset on, with what was read and not yet sent.
struct Reading<'r> {
    reader: BlobReader<'r>,
    rest: Bytes,
}

impl Reading<'_> {
    /// The next bytes, at most `limit` of them; None at the end.
    async fn next(&mut self, limit: u64) -> Result<Option<Bytes>, Error> {
        if self.rest.is_empty() {
            let Some(chunk) = self.reader.next().await? else {
                return Ok(None);
            };
            self.rest = chunk;
        }
        let limit = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(self.rest.len());
        Ok(Some(self.rest.split_to(limit)))
    }

    /// Where in the blob the next bytes are.
    fn position(&self) -> u64 {
        self.reader
            .position()
            .saturating_sub(self.rest.len() as u64)
    }
}

type Tell<'t> = dyn Fn(LayerState) + Send + Sync + 't;

impl<'a> Upload<'a> {
    pub(super) fn new(remote: &'a Remote, path: &'a str, desc: &'a Descriptor) -> Self {
        let chunk = remote.shared().options.upload_chunk;
        Self {
            remote,
            path,
            desc,
            url: None,
            offset: 0,
            chunk,
        }
    }

    /// Takes up an upload that a reply has begun.
    pub(super) fn begun(&mut self, response: &Response) {
        self.url = location(response);
        self.offset = 0;
        let least = header(response.headers(), "oci-chunk-min-length");
        let least: Option<u64> = least.and_then(|text| text.parse().ok());
        if let (Some(chunk), Some(least)) = (self.chunk.as_mut(), least) {
            *chunk = least.max(*chunk);
        }
    }

    /// Gives up an upload that was begun.
    pub(super) async fn cancel(&mut self) {
        if let Some(url) = self.url.take() {
            let call = Call::url(Method::DELETE, url)
                .scope(self.scope())
                .attempts(1);
            if let Err(failure) = self.remote.send(&call).await {
                tracing::debug!(words = %failure.brief(), "upload not cancelled");
            }
        }
        self.offset = 0;
    }

    /// Sends the blob, again and again where that may help.
    pub(super) async fn run(
        &mut self,
        from: &dyn ContentSource,
        tell: &Tell<'_>,
    ) -> Result<(), Error> {
        let attempts = self.remote.shared().options.max_attempts;
        let mut attempt = 1;
        loop {
            let failure = match self.send(from, tell).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if failure.status() == Some(413) && self.smaller_chunks() {
                self.cancel().await;
                continue;
            }
            if attempt >= attempts || !is_worth_another(&failure) {
                let domain = &self.remote.host.credentials_key;
                return Err(failure.into_error(Doing::Push(domain)));
            }
            tracing::debug!(words = %failure.brief(), attempt, "upload broke");
            self.pause(attempt, tell).await;
            if self.is_there().await {
                return Ok(());
            }
            self.recover().await;
            attempt = attempt.saturating_add(1);
        }
    }

    fn scope(&self) -> Scope {
        Scope::push(self.path)
    }

    /// One try, from wherever the registry is.
    async fn send(&mut self, from: &dyn ContentSource, tell: &Tell<'_>) -> Result<(), Failure> {
        if self.url.is_none() {
            let target = format!("/{}/blobs/uploads/", self.path);
            let call = Call::new(Method::POST, target).scope(self.scope());
            let response = self.remote.send(&call).await?;
            self.begun(&response);
        }
        let mut reading = self.reading(from);
        if self.chunk.is_none() && self.offset == 0 && self.desc.size <= SMALL {
            return self.finish(Some(&mut reading), tell).await;
        }
        while self.offset < self.desc.size {
            if reading.position() != self.offset {
                reading = self.reading(from);
            }
            self.patch(&mut reading, tell).await?;
        }
        self.finish(None, tell).await
    }

    /// The source from where the registry is.
    fn reading<'r>(&self, from: &'r dyn ContentSource) -> Reading<'r>
    where
        'a: 'r,
    {
        let options = &self.remote.shared().options;
        let policy = RetryPolicy {
            attempts: options.max_attempts,
            pause: options.retry_delay,
        };
        let reader = BlobReader::new(from, self.desc, self.offset, policy, &Silent);
        Reading {
            reader,
            rest: Bytes::new(),
        }
    }

    /// Sends the next chunk, or all that is left.
    async fn patch(&mut self, reading: &mut Reading<'_>, tell: &Tell<'_>) -> Result<(), Failure> {
        let left = self.desc.size.saturating_sub(self.offset);
        let length = self.chunk.map_or(left, |chunk| chunk.min(left));
        let end = self.offset.saturating_add(length);
        let mut call = self.data_call(Method::PATCH, self.target()?, length);
        if self.chunk.is_some() || self.offset > 0 {
            let range = format!("{}-{}", self.offset, end.saturating_sub(1));
            call = call.header(CONTENT_RANGE, &range);
        }
        let response = self.send_part(&call, reading, length, tell).await?;
        if let Some(url) = location(&response) {
            self.url = Some(url);
        }
        // A registry may have taken less than it was given.
        let taken = response_offset(&response).filter(|taken| *taken > self.offset && *taken < end);
        self.offset = taken.unwrap_or(end);
        Ok(())
    }

    /// The closing `PUT`, for a small blob with its bytes.
    async fn finish(
        &mut self,
        bytes_of: Option<&mut Reading<'_>>,
        tell: &Tell<'_>,
    ) -> Result<(), Failure> {
        let mut url = self.target()?;
        url.query_pairs_mut()
            .append_pair("digest", self.desc.digest.as_str());
        let response = match bytes_of {
            Some(reading) => {
                let call = self.data_call(Method::PUT, url, self.desc.size);
                self.send_part(&call, reading, self.desc.size, tell).await?
            }
            None => {
                self.remote
                    .send(&Call::url(Method::PUT, url).scope(self.scope()))
                    .await?
            }
        };
        let told = header(response.headers(), "docker-content-digest");
        if told.is_some_and(|told| told != self.desc.digest.as_str()) {
            let text = format!(
                "the registry stored the blob {} under another digest",
                self.desc.digest
            );
            return Err(Error::new(ErrorKind::DigestMismatch, text).into());
        }
        Ok(())
    }

    fn data_call(&self, method: Method, url: Url, length: u64) -> Call {
        Call::url(method, url)
            .scope(self.scope())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, &length.to_string())
    }

    /// Streams the next `length` bytes into a request. A source that breaks is asked again meanwhile.
    async fn send_part(
        &self,
        call: &Call,
        reading: &mut Reading<'_>,
        length: u64,
        tell: &Tell<'_>,
    ) -> Result<Response, Failure> {
        let (pipe, chunks) = mpsc::channel(CHUNKS_WAITING);
        let left = AtomicU64::new(0);
        let mut pumping = std::pin::pin!(pump(reading, length, pipe, &left));
        let (start, total) = (self.offset, self.desc.size);
        let mut told = None;
        let mut tick = || {
            let left = left.load(Ordering::Relaxed);
            if told != Some(left) {
                told = Some(left);
                tell(LayerState::Pushing {
                    done: start.saturating_add(left).min(total),
                    total,
                });
            }
            left
        };
        let body = reqwest::Body::wrap_stream(stream::unfold(chunks, |mut chunks| async {
            let chunk: Option<Result<Bytes, std::io::Error>> = chunks.recv().await;
            chunk.map(|chunk| (chunk, chunks))
        }));
        let mut sending = std::pin::pin!(self.remote.send_stream(call, body, &mut tick));
        let mut pumped = None;
        loop {
            tokio::select! {
                sent = &mut sending => {
                    return match (sent, pumped) {
                        (Err(_), Some(Err(problem))) => Err(Failure::from(problem)),
                        (sent, _) => sent,
                    };
                }
                done = &mut pumping, if pumped.is_none() => pumped = Some(done),
            }
        }
    }

    fn target(&self) -> Result<Url, Failure> {
        self.url.clone().ok_or_else(|| {
            let text = "the registry began an upload without saying where";
            Error::new(ErrorKind::InvalidContent, text).into()
        })
    }

    /// Halves the chunks. False when they are as small as they get.
    fn smaller_chunks(&mut self) -> bool {
        let next = match self.chunk {
            None => CHUNK,
            Some(chunk) => chunk / 2,
        };
        self.chunk = Some(next.max(SMALLEST_CHUNK));
        next >= SMALLEST_CHUNK
    }

    /// Waits, second by second where that is worth telling.
    async fn pause(&self, attempt: u32, tell: &Tell<'_>) {
        let step = self.remote.shared().options.upload_retry_delay;
        let mut left = step.saturating_mul(attempt.min(PAUSE_STEPS_LIMIT));
        while !left.is_zero() {
            tell(LayerState::Retrying {
                after_s: left
                    .as_millis()
                    .div_ceil(1000)
                    .try_into()
                    .unwrap_or(u64::MAX),
            });
            let beat = left.min(Duration::from_secs(1));
            tokio::time::sleep(beat).await;
            left = left.saturating_sub(beat);
        }
    }

    /// Whether the blob has arrived although the answer was lost.
    async fn is_there(&self) -> bool {
        let path = format!("/{}/blobs/{}", self.path, self.desc.digest);
        let call = Call::new(Method::HEAD, path)
            .scope(self.scope())
            .attempts(1);
        self.remote.send(&call).await.is_ok()
    }

    /// Finds out how much of the upload the registry has; it begins anew when that is not known.
    async fn recover(&mut self) {
        let Some(url) = self.url.take() else { return };
        self.offset = 0;
        let call = Call::url(Method::GET, url.clone())
            .scope(self.scope())
            .attempts(1);
        let Ok(response) = self.remote.send(&call).await else {
            return;
        };
        if response.status() != StatusCode::NO_CONTENT && response.status() != StatusCode::ACCEPTED
        {
            return;
        }
        let offset = response_offset(&response).unwrap_or(0);
        // `0-0` is also how an empty upload is told, so it goes for one; a registry that has a byte
        // then refuses, and the next try begins anew.
        if offset > 1 && offset <= self.desc.size {
            self.offset = offset;
            tracing::debug!(digest = %self.desc.digest, offset, "upload goes on");
        }
        self.url = Some(location(&response).unwrap_or(url));
    }
}

/// The bytes that a registry has of an upload: `0-99` is 100.
fn response_offset(response: &Response) -> Option<u64> {
    let range = header(response.headers(), RANGE.as_str())?;
    let range = range.trim().strip_prefix("bytes=").unwrap_or(range.trim());
    let (start, end) = range.split_once('-')?;
    let end: u64 = end.trim().parse().ok()?;
    (start.trim() == "0").then(|| end.saturating_add(1))
}

/// Whether docker would try again: not for what another try cannot change. A bare 403 is what some
/// registries answer when they are only busy.
fn is_worth_another(failure: &Failure) -> bool {
    match failure {
        Failure::Transport(lost) => {
            matches!(
                lost.kind,
                LostKind::Broken | LostKind::Silent | LostKind::Unreachable
            )
        }
        Failure::Plain(error) => error.is_transient(),
        Failure::Auth(refused) => refused.is_transient,
        Failure::Reply(reply) => match (reply.status.as_u16(), reply.code()) {
            (_, "UNAUTHORIZED" | "UNSUPPORTED" | "TOOMANYREQUESTS" | "NAME_UNKNOWN") => false,
            (403, _) => reply.is_bare(),
            (404 | 416, _)
            | (_, "BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID" | "RANGE_INVALID") => true,
            (408 | 425 | 500..=599, _) => true,
            _ => false,
        },
    }
}

/// Moves bytes from the source into a request's body. `left` counts those that have left.
async fn pump(
    reading: &mut Reading<'_>,
    length: u64,
    pipe: mpsc::Sender<Result<Bytes, std::io::Error>>,
    left: &AtomicU64,
) -> Result<(), Error> {
    let mut missing = length;
    while missing > 0 {
        let chunk = match reading.next(missing).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                // Nobody listens any more when the request has failed by itself.
                pipe.send(Err(std::io::Error::other(error.to_string())))
                    .await
                    .ok();
                return Err(error);
            }
        };
        let count = chunk.len() as u64;
        if pipe.send(Ok(chunk)).await.is_err() {
            break;
        }
        missing = missing.saturating_sub(count);
        left.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}

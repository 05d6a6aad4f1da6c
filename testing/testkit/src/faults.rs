//! What goes wrong with a registry's answers, and counts of what went through.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::Notify;

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection breaks after so many bytes of the answer's body.
    CutAnswer(u64),
    /// The connection breaks after so many bytes of the request's body, and nothing is answered.
    CutRequest(u64),
    /// The connection breaks before anything is answered.
    Disconnect,
    /// This status with this `Retry-After`, and rate-limit headers when it is 429.
    Status(u16, Option<&'static str>),
    /// One bit of the body's first byte is wrong; headers are right.
    WrongBytes,
    /// The answer comes after a while.
    Delay(Duration),
    /// So many bytes of the body come, then nothing, while the connection stays.
    Stall(u64),
    /// The body comes at so many bytes a second.
    Slow(u64),
}

/// Which requests a fault is for.
#[derive(Clone, Debug, Default)]
pub struct When {
    method: Option<&'static str>,
    path_part: String,
}

impl When {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Requests whose path contains this.
    pub fn path(part: impl Into<String>) -> Self {
        Self {
            method: None,
            path_part: part.into(),
        }
    }

    /// Of these, the ones with this method.
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    fn matches(&self, method: &str, path: &str) -> bool {
        self.method.is_none_or(|own| own == method) && path.contains(&self.path_part)
    }
}

/// One request as it came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The status that was answered; 0 when the connection was broken instead.
    pub status: u16,
}

/// The faults of a registry and its counts.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Seen>>,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Rule {
    when: When,
    fault: Fault,
    left: usize,
}

impl Faults {
    /// Lets the next `times` matching requests go wrong. Rules apply in the order they were added,
    /// one to a request.
    pub fn add(&self, when: When, fault: Fault, times: usize) {
        lock(&self.rules).push(Rule {
            when,
            fault,
            left: times,
        });
    }

    /// Forgets all rules.
    pub fn clear(&self) {
        lock(&self.rules).clear();
    }

    /// Bytes of bodies that were answered.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that were received.
    pub fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// How many requests with this method had this in their path.
    pub fn count(&self, method: &str, path_part: &str) -> usize {
        let seen = lock(&self.seen);
        seen.iter()
            .filter(|seen| seen.method == method && seen.path.contains(path_part))
            .count()
    }

    /// Sets counts and seen requests back.
    pub fn reset_counts(&self) {
        lock(&self.seen).clear();
        self.sent.store(0, Ordering::Relaxed);
        self.received.store(0, Ordering::Relaxed);
    }

    fn take(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = lock(&self.rules);
        let rule = rules
            .iter_mut()
            .find(|rule| rule.left > 0 && rule.when.matches(method, path))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    fn note(&self, request: &Request, status: u16) -> usize {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let range = request.headers().get(header::RANGE);
        let mut seen = lock(&self.seen);
        seen.push(Seen {
            method: request.method().to_string(),
            path: path.to_owned(),
            range: range
                .and_then(|range| range.to_str().ok())
                .map(str::to_owned),
            status,
        });
        seen.len() - 1
    }

    fn answered(&self, index: usize, status: StatusCode) {
        if let Some(seen) = lock(&self.seen).get_mut(index) {
            seen.status = status.as_u16();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The middleware.
pub(crate) async fn front(
    State(faults): State<Arc<Faults>>,
    request: Request,
    next: Next,
) -> Response {
    let index = faults.note(&request, 0);
    let fault = faults.take(request.method().as_str(), request.uri().path());
    let response = match &fault {
        None | Some(Fault::CutAnswer(_) | Fault::WrongBytes | Fault::Stall(_) | Fault::Slow(_)) => {
            let request = counted(request, &faults.received);
            next.run(request).await
        }
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(*time).await;
            next.run(counted(request, &faults.received)).await
        }
        Some(Fault::Status(status, retry_after)) => refusal(*status, *retry_after),
        Some(Fault::Disconnect) => break_connection(),
        Some(Fault::CutRequest(after)) => {
            let (request, reached) = limited(request, *after);
            let request = counted(request, &faults.received);
            tokio::select! {
                biased;
                () = reached.notified() => break_connection(),
                response = next.run(request) => response,
            }
        }
    };
    faults.answered(index, response.status());
    let response = match fault {
        Some(Fault::CutAnswer(after)) => with_body(response, |body| cut(body, after)),
        Some(Fault::Stall(after)) => with_body(response, |body| stalled(body, after)),
        Some(Fault::Slow(rate)) => with_body(response, |body| slow(body, rate)),
        Some(Fault::WrongBytes) => with_body(response, wrong),
        _ => response,
    };
    let sent = Arc::clone(&faults.sent);
    with_body(response, |body| count(body, sent))
}

/// Ends the connection's task, and with it the connection. The panic hook is not called.
fn break_connection() -> ! {
    std::panic::resume_unwind(Box::new("connection broken by a test"))
}

fn refusal(status: u16, retry_after: Option<&'static str>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let code = if status == StatusCode::TOO_MANY_REQUESTS {
        "TOOMANYREQUESTS"
    } else {
        "UNKNOWN"
    };
    let message = if status == StatusCode::TOO_MANY_REQUESTS {
        "You have reached your pull rate limit."
    } else {
        "unknown error"
    };
    let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(retry_after) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert("ratelimit-limit", HeaderValue::from_static("100;w=21600"));
        headers.insert("ratelimit-remaining", HeaderValue::from_static("0;w=21600"));
    }
    response
}

type Chunk = Result<Bytes, axum::Error>;

fn with_body<S>(
    response: Response,
    change: impl FnOnce(axum::body::BodyDataStream) -> S,
) -> Response
where
    S: Stream<Item = Chunk> + Send + 'static,
{
    // A stream has no length of its own: the header keeps what the client is promised.
    let (mut parts, body) = response.into_parts();
    if let Some(length) = http_body_length(&body)
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
    {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(parts, Body::from_stream(change(body.into_data_stream())))
}

fn http_body_length(body: &Body) -> Option<u64> {
    use axum::body::HttpBody;
    body.size_hint().exact()
}

fn counted(request: Request, counter: &Arc<AtomicU64>) -> Request {
    let counter = Arc::clone(counter);
    request.map(|body| {
        if http_body_length(&body) == Some(0) {
            return body;
        }
        Body::from_stream(count(body.into_data_stream(), counter))
    })
}

fn count(body: axum::body::BodyDataStream, counter: Arc<AtomicU64>) -> impl Stream<Item = Chunk> {
    body.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    })
}

/// The first `after` bytes of a body, in chunks.
fn first(body: axum::body::BodyDataStream, after: u64) -> impl Stream<Item = Chunk> + Send {
    stream::unfold((body, after), |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let chunk = body.next().await?;
        let chunk = chunk.map(|mut chunk| {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            chunk
        });
        let length = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Some((chunk, (body, left.saturating_sub(length))))
    })
}

fn cut(body: axum::body::BodyDataStream, after: u64) -> impl Stream<Item = Chunk> {
    // What was sent must reach the client before the connection breaks.
    let broken = stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(axum::Error::new("connection broken by a test"))
    });
    first(body, after).chain(broken)
}

fn stalled(body: axum::body::BodyDataStream, after: u64) -> impl Stream<Item = Chunk> {
    first(body, after).chain(stream::pending())
}

/// A body in small pieces, each as late as the rate wants.
fn slow(body: axum::body::BodyDataStream, rate: u64) -> impl Stream<Item = Chunk> {
    const PIECE: usize = 4 << 10;
    let start = tokio::time::Instant::now();
    let state = (body, Bytes::new(), 0u64);
    stream::unfold(state, move |(mut body, mut rest, sent)| async move {
        if rest.is_empty() {
            match body.next().await? {
                Ok(chunk) => rest = chunk,
                Err(error) => return Some((Err(error), (body, rest, sent))),
            }
        }
        let due = Duration::from_micros(sent.saturating_mul(1_000_000) / rate.max(1));
        tokio::time::sleep_until(start + due).await;
        let piece = rest.split_to(rest.len().min(PIECE));
        let sent = sent + piece.len() as u64;
        Some((Ok(piece), (body, rest, sent)))
    })
}

fn wrong(body: axum::body::BodyDataStream) -> impl Stream<Item = Chunk> {
    let mut done = false;
    body.map(move |chunk| {
        let mut bytes = chunk?.to_vec();
        if let (false, Some(first)) = (done, bytes.first_mut()) {
            *first ^= 1;
            done = true;
        }
        Ok(bytes.into())
    })
}

/// A request whose body stops after so many bytes, and word of when it did.
fn limited(request: Request, after: u64) -> (Request, Arc<Notify>) {
    let reached = Arc::new(Notify::new());
    let notify = Arc::clone(&reached);
    let request = request.map(|body| {
        let end = stream::once(async move {
            notify.notify_one();
            Err(axum::Error::new("connection broken by a test"))
        });
        Body::from_stream(first(body.into_data_stream(), after).chain(end))
    });
    (request, reached)
}

//! HTTP without any knowledge of registries: one connection pool per host configuration, an end to
//! every wait, and Go's words for what goes wrong on the wire.

use super::Options;
use super::failure::{Failure, LostKind};
use super::reply::clean;
use super::tls;
use super::token::authority;
use crate::hosts::certs::TlsFiles;
use crate::hosts::{Host, Scheme};
use bytes::Bytes;
use lapstrake_image::{Error, ErrorKind};
use reqwest::header::HeaderValue;
use reqwest::{Request, Response};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How much of a response may be under way, over HTTP/2, per stream and per connection. Bounds the
/// memory of several layers at once; smaller values make far registries slow.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 12 << 20;
/// Bytes of headers over HTTP/2. HTTP/1 has its own bound in the parser.
const HEADERS_LIMIT: u32 = 64 << 10;
/// Idle connections kept per host.
const IDLE_CONNECTIONS: usize = 16;
/// A body must bring this much in each idle timeout, or it counts as silent.
pub(super) const SLOWEST_BYTES: u64 = 1024;
/// A body read into memory must be complete after this many idle timeouts.
const WHOLE_BODY_TIMEOUTS: u32 = 2;

/// What makes one connection pool different from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PoolKey {
    tls: Option<(bool, TlsFiles)>,
    proxy: Option<String>,
}

/// The connection pools.
#[derive(Debug)]
pub(super) struct Transport {
    pools: Mutex<BTreeMap<PoolKey, reqwest::Client>>,
    user_agent: HeaderValue,
    options: Options,
}

impl Transport {
    pub(super) fn new(options: Options) -> Result<Self, Error> {
        let user_agent = HeaderValue::from_str(&options.user_agent).map_err(|error| {
            Error::new(ErrorKind::InvalidContent, "invalid user agent").with_source(error)
        })?;
        Ok(Self {
            pools: Mutex::default(),
            user_agent,
            options,
        })
    }

    /// Sends a request to a host and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        host: &Host,
        scheme: Scheme,
        request: Request,
    ) -> Result<Response, Failure> {
        let pool = self.pool(host, scheme)?;
        let story = self.begin(&request);
        let sent = timeout(self.options.idle_timeout, pool.execute(request)).await;
        let answer = match sent {
            Ok(answer) => answer.map_err(|error| self.explain(&error, host, scheme)),
            Err(_elapsed) => Err(silent()),
        };
        self.tell(story, &answer);
        answer
    }

    /// Sends a request with a long body. Calls `tick` now and then; it says how many bytes have left.
    pub(super) async fn send_long(
        &self,
        host: &Host,
        scheme: Scheme,
        request: Request,
        tick: &mut (dyn FnMut() -> u64 + Send),
    ) -> Result<Response, Failure> {
        let pool = self.pool(host, scheme)?;
        let story = self.begin(&request);
        let sending = watch(pool.execute(request), self.options.idle_timeout, tick);
        let answer = match sending.await {
            Some(answer) => answer.map_err(|error| self.explain(&error, host, scheme)),
            None => Err(silent()),
        };
        self.tell(story, &answer);
        answer
    }

    /// What a request is, and when it began; nothing when nobody listens.
    fn begin(&self, request: &Request) -> Option<(String, Instant)> {
        let is_on = self.options.trace.is_on();
        is_on.then(|| (shown(request), Instant::now()))
    }

    /// Tells what became of a request.
    fn tell(&self, story: Option<(String, Instant)>, answer: &Result<Response, Failure>) {
        let Some((request, begun)) = story else {
            return;
        };
        self.options.trace.say(|| {
            let time = begun.elapsed().as_millis();
            match answer {
                Ok(response) => format!("{request}: {} ({time} ms)", response.status()),
                Err(Failure::Transport(lost)) => format!("{request}: {} ({time} ms)", lost.message),
                Err(_) => format!("{request}: no answer ({time} ms)"),
            }
        });
    }

    /// How long the other end may be silent.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.options.idle_timeout
    }

    /// Reads a whole body of at most `limit` bytes.
    pub(super) async fn body(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<Bytes, Failure> {
        let end = self
            .options
            .idle_timeout
            .saturating_mul(WHOLE_BODY_TIMEOUTS);
        let read = async {
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
                if body.len().saturating_add(chunk.len()) > limit {
                    return Err(too_large(limit));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Bytes::from(body))
        };
        timeout(end, read)
            .await
            .unwrap_or_else(|_elapsed| Err(silent()))
    }

    /// As much of a body as comes and fits; for the words of an error.
    pub(super) async fn some_body(&self, mut response: Response, limit: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                body.extend(chunk.iter().take(limit.saturating_sub(body.len())));
                if body.len() >= limit {
                    break;
                }
            }
        };
        // What has come by then is what there is.
        drop(timeout(self.options.idle_timeout, read).await);
        body
    }

    fn pool(&self, host: &Host, scheme: Scheme) -> Result<reqwest::Client, Failure> {
        let https = scheme == Scheme::Https;
        let key = PoolKey {
            tls: https.then(|| (host.skip_verify, host.tls.clone())),
            proxy: self.options.proxies.for_host(https, &host.authority),
        };
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&key) {
            return Ok(pool.clone());
        }
        let pool = self.build(&key)?;
        pools.insert(key, pool.clone());
        Ok(pool)
    }

    /// Go's words for a request that got no answer.
    fn explain(&self, error: &reqwest::Error, host: &Host, scheme: Scheme) -> Failure {
        if let Some(tls) = find::<rustls::Error>(error) {
            return tls_failure(tls, host);
        }
        let https = scheme == Scheme::Https;
        let words = match self.options.proxies.for_host(https, &host.authority) {
            None => unreachable(error, &host.authority, if https { 443 } else { 80 }),
            Some(proxy) => {
                let url = reqwest::Url::parse(&proxy).ok();
                let authority = url.as_ref().map(authority).unwrap_or_default();
                let port = url
                    .and_then(|url| url.port_or_known_default())
                    .unwrap_or(80);
                unreachable(error, &authority, port)
                    .map(|words| format!("proxyconnect tcp: {words}"))
            }
        };
        words.map_or_else(
            || lost(error),
            |words| Failure::lost(LostKind::Unreachable, words),
        )
    }

    fn build(&self, key: &PoolKey) -> Result<reqwest::Client, Failure> {
        let tls = match &key.tls {
            None => tls::unused(),
            Some((skip_verify, files)) => tls::config(files, *skip_verify),
        };
        let tls = tls.map_err(|error| Failure::lost(LostKind::Tls, format!("tls: {error}")))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(self.user_agent.clone())
            .connect_timeout(self.options.connect_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(HEADERS_LIMIT);
        for (name, addresses) in super::etc_hosts::read() {
            builder = builder.resolve_to_addrs(&name, &addresses);
        }
        if let Some(proxy) = &key.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|error| {
                let text = clean(&error.to_string());
                Failure::lost(LostKind::Unreachable, format!("proxyconnect tcp: {text}"))
            })?;
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|error| Failure::lost(LostKind::Tls, chain_text(&error)))
    }
}

/// Method and address. A query can hold a signature, so it is left out.
fn shown(request: &Request) -> String {
    let url = request.url();
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}"));
    format!(
        "{} {}://{host}{}{}{}",
        request.method(),
        url.scheme(),
        port.unwrap_or_default(),
        url.path(),
        if url.query().is_some() { "?…" } else { "" }
    )
}

/// Runs `work` while bytes keep moving. None when they have stopped for `idle`.
async fn watch<T>(
    work: impl Future<Output = T>,
    idle: Duration,
    tick: &mut (dyn FnMut() -> u64 + Send),
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let beat = Duration::from_millis(100).min(idle);
    let mut seen = tick();
    let mut since = Instant::now();
    loop {
        if let Ok(done) = timeout(beat, &mut work).await {
            tick();
            return Some(done);
        }
        let moved = tick();
        if moved != seen {
            seen = moved;
            since = Instant::now();
        } else if since.elapsed() >= idle {
            return None;
        }
    }
}

/// No byte came for too long.
pub(super) fn silent() -> Failure {
    Failure::lost(LostKind::Silent, "net/http: timeout awaiting response")
}

fn too_large(limit: usize) -> Failure {
    let text = format!("response body is larger than {limit} bytes");
    Error::new(ErrorKind::TooLarge, text).into()
}

/// A body that broke.
pub(super) fn broken(error: &reqwest::Error) -> Failure {
    let (_, words) = io_words(error).unwrap_or((LostKind::Broken, "unexpected EOF".to_owned()));
    Failure::lost(LostKind::Broken, words)
}

/// Go's words for a connection that did not come about.
fn unreachable(error: &reqwest::Error, authority: &str, default_port: u16) -> Option<String> {
    let (name, port) = crate::hosts::split_port(authority);
    let port = port.unwrap_or(default_port);
    if error.is_dns() {
        let reason = if error.is_timeout() {
            "i/o timeout"
        } else {
            "no such host"
        };
        return Some(format!("dial tcp: lookup {name}: {reason}"));
    }
    if !error.is_connect() {
        return None;
    }
    let words = match io_words(error) {
        Some((_, words)) => words,
        None if error.is_timeout() => "i/o timeout".to_owned(),
        None => clean(&chain_text(error)),
    };
    Some(format!("dial tcp {name}:{port}: {words}"))
}

/// Go's words for an answer that was lost on a connection.
fn lost(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return silent();
    }
    if let Some(inner) = find::<hyper::Error>(error) {
        if inner.is_parse() || inner.is_parse_too_large() {
            let text = format!("malformed HTTP response: {}", clean(&inner.to_string()));
            return Failure::lost(LostKind::Garbage, text);
        }
        if inner.is_incomplete_message() {
            return Failure::lost(LostKind::Broken, "EOF");
        }
    }
    match io_words(error) {
        Some((kind, words)) => Failure::lost(kind, words),
        None => Failure::lost(LostKind::Broken, clean(&chain_text(error))),
    }
}

/// Go's words for the system error in a chain.
fn io_words(error: &reqwest::Error) -> Option<(LostKind, String)> {
    let io = find::<io::Error>(error)?;
    let (kind, words) = match io.kind() {
        io::ErrorKind::ConnectionRefused => (LostKind::Unreachable, "connect: connection refused"),
        io::ErrorKind::HostUnreachable => (LostKind::Unreachable, "connect: no route to host"),
        io::ErrorKind::NetworkUnreachable => {
            (LostKind::Unreachable, "connect: network is unreachable")
        }
        io::ErrorKind::TimedOut => (LostKind::Unreachable, "i/o timeout"),
        io::ErrorKind::ConnectionReset => (LostKind::Broken, "read: connection reset by peer"),
        io::ErrorKind::BrokenPipe => (LostKind::Broken, "write: broken pipe"),
        io::ErrorKind::UnexpectedEof => (LostKind::Broken, "unexpected EOF"),
        _ => return Some((LostKind::Broken, clean(&io.to_string()))),
    };
    Some((kind, words.to_owned()))
}

/// A handshake that failed, with what helps.
fn tls_failure(error: &rustls::Error, host: &Host) -> Failure {
    use rustls::CertificateError as Bad;
    let authority = &host.authority;
    let trust = || {
        format!(
            "put the registry's certificate authority into \
             `/etc/lapstrake/certs.d/{authority}/ca.crt`, or list the registry under \
             `insecure-registries`"
        )
    };
    let plain =
        || format!("if `{authority}` speaks plain HTTP, list it under `insecure-registries`");
    let unverified = |reason: &str| {
        let text = format!("tls: failed to verify certificate: x509: {reason}");
        Failure::lost(LostKind::Tls, text)
    };
    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            unverified("certificate signed by unknown authority").or_hint(trust)
        }
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            unverified("certificate has expired or is not yet valid")
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            unverified("certificate has expired or is not yet valid")
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForName) => {
            unverified(&format!("certificate is not valid for {authority}"))
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => {
            let name = |text: &String| text.split('"').nth(1).unwrap_or(text).to_owned();
            let names: Vec<String> = presented.iter().map(name).collect();
            let (asked, _port) = crate::hosts::split_port(authority);
            unverified(&format!(
                "certificate is valid for {}, not {asked}",
                clean(&names.join(", "))
            ))
        }
        rustls::Error::InvalidCertificate(other) => {
            unverified(&clean(&format!("{other:?}"))).or_hint(trust)
        }
        rustls::Error::InvalidMessage(_) => {
            let text = "http: server gave HTTP response to HTTPS client";
            Failure::lost(LostKind::NoTls, text).or_hint(plain)
        }
        other => Failure::lost(LostKind::Tls, format!("remote error: tls: {other}")),
    }
}

/// The first error of a type in a chain of causes, also inside of system errors that wrap one.
fn find<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            // A system error that only wraps another one says nothing itself.
            let is_wrapper = current
                .downcast_ref::<io::Error>()
                .is_some_and(|io| io.kind() == io::ErrorKind::Other && io.get_ref().is_some());
            if !is_wrapper {
                return Some(found);
            }
        }
        next = match current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}

fn chain_text(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(current) = next {
        parts.push(current.to_string());
        next = current.source();
    }
    if parts.is_empty() {
        error.to_string()
    } else {
        parts.join(": ")
    }
}

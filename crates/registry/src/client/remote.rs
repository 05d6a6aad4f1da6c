//! One host at work: which scheme it speaks, how it wants to be authenticated, and a request to it
//! with everything that takes.

use super::call::{Call, Target, method_word};
use super::failure::{Failure, LostKind};
use super::gate::Gate;
use super::registry::Shared;
use super::reply::{challenges, header};
use super::retry::Policy;
use super::token::{authority, refusal};
use crate::credentials::Credential;
use crate::hosts::{Host, Scheme};
use lapstrake_image::{Error, ErrorKind};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Request, Response, StatusCode, Url};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OnceCell;
use tokio::time::sleep;

/// Redirects that are followed for one request, as many as Go follows.
const REDIRECTS_LIMIT: usize = 10;
/// Bytes read of an answer that may say that the other end wants TLS.
const PROBE_BODY_LIMIT: usize = 1024;

/// One host.
#[derive(Debug)]
pub(super) struct Remote {
    shared: Arc<Shared>,
    pub(super) host: Host,
    scheme: OnceCell<Scheme>,
    known: AtomicBool,
    down: AtomicBool,
    gate: Gate,
}

impl Remote {
    pub(super) fn new(shared: Arc<Shared>, host: Host) -> Self {
        Self {
            shared,
            host,
            scheme: OnceCell::new(),
            known: AtomicBool::new(false),
            down: AtomicBool::new(false),
            gate: Gate::default(),
        }
    }

    /// A host that is shown these credentials and no others.
    pub(super) fn for_login(shared: Arc<Shared>, host: Host, credential: &Credential) -> Self {
        Self {
            gate: Gate::for_login(credential),
            ..Self::new(shared, host)
        }
    }

    /// The identity token that a login brought.
    pub(super) fn identity_token(&self) -> Option<String> {
        self.gate.identity_token()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Not to be asked again while there are others.
    pub(super) fn mark_down(&self) {
        self.down.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// How requests to this host are retried.
    pub(super) fn policy(&self, call: &Call) -> Policy {
        Policy {
            attempts: call.attempts.unwrap_or(self.shared.options.max_attempts),
            delay: self.shared.options.retry_delay,
            is_known: self.known.load(Ordering::Relaxed),
            on_replies: call.retry_replies,
        }
    }

    /// Sends a request, authorized, following redirects, again and again where that may help. The
    /// answer is a success.
    pub(super) async fn send(&self, call: &Call) -> Result<Response, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match Box::pin(self.send_once(call)).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let pause = self.policy(call).pause(attempt, &failure);
            let Some(pause) = pause.filter(|_| call.is_idempotent()) else {
                return Err(failure);
            };
            tracing::debug!(host = %self.host.authority, words = %failure.brief(), ?pause, "retrying");
            sleep(pause).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Response, Failure> {
        let scheme = self.scheme().await?;
        let url = self.url(scheme, &call.target)?;
        let words = || format!("{} \"{url}\"", method_word(&call.method));
        let is_own = self.is_own(scheme, &url);
        let mut scopes = call.scopes.clone();
        let mut is_second = false;
        loop {
            let authorization = if is_own {
                self.gate
                    .authorization(&self.shared, &self.host, scheme, &scopes)
                    .await
            } else {
                Ok(None)
            };
            let authorization = authorization.map_err(|failure| failure.of_request(words))?;
            let response = self
                .follow(scheme, call, &url, authorization.as_ref())
                .await
                .map_err(|failure| failure.of_request(|| self.first_words(scheme, words())))?;
            self.known.store(true, Ordering::Relaxed);
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let may_help = status == StatusCode::UNAUTHORIZED
                && !is_second
                && self.is_own(scheme, response.url());
            if may_help
                && let Some(merged) = self
                    .gate
                    .challenged(&response, &scopes, authorization.is_some())
                    .await
            {
                scopes = merged;
                is_second = true;
                continue;
            }
            return Err(refusal(&self.shared, response).await);
        }
    }

    /// Sends a request with a long body, once.
    pub(super) async fn send_stream(
        &self,
        call: &Call,
        body: reqwest::Body,
        tick: &mut (dyn FnMut() -> u64 + Send),
    ) -> Result<Response, Failure> {
        let scheme = self.scheme().await?;
        let url = self.url(scheme, &call.target)?;
        let words = format!("{} \"{url}\"", method_word(&call.method));
        let is_own = self.is_own(scheme, &url);
        let authorization = if is_own {
            self.gate
                .authorization(&self.shared, &self.host, scheme, &call.scopes)
                .await?
        } else {
            None
        };
        let mut request = self.request(call, url.clone(), is_own, authorization.as_ref());
        *request.body_mut() = Some(body);
        let transport = &self.shared.transport;
        let sent = if is_own {
            transport.send_long(&self.host, scheme, request, tick).await
        } else {
            let (host, scheme) = self.elsewhere(&url);
            transport.send_long(&host, scheme, request, tick).await
        };
        let response = sent.map_err(|failure| failure.of_request(|| words))?;
        if response.status().is_success() {
            return Ok(response);
        }
        if response.status() == StatusCode::UNAUTHORIZED && is_own {
            let scopes = &call.scopes;
            if self
                .gate
                .challenged(&response, scopes, authorization.is_some())
                .await
                .is_some()
            {
                return Err(Failure::lost(LostKind::Broken, "the token expired"));
            }
        }
        Err(refusal(&self.shared, response).await)
    }

    /// Sends one request and follows where it leads. Only this host sees its authorization and its
    /// configured headers.
    async fn follow(
        &self,
        scheme: Scheme,
        call: &Call,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS_LIMIT {
            let is_own = self.is_own(scheme, &url);
            let request = self.request(call, url.clone(), is_own, authorization);
            let response = if is_own {
                self.shared
                    .transport
                    .send(&self.host, scheme, request)
                    .await?
            } else {
                let (host, scheme) = self.elsewhere(&url);
                self.shared.transport.send(&host, scheme, request).await?
            };
            let location = match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 if call.is_idempotent() => {
                    header(response.headers(), LOCATION.as_str())
                }
                _ => return Ok(response),
            };
            let Some(next) = location.and_then(|location| url.join(location).ok()) else {
                return Ok(response);
            };
            if !matches!(next.scheme(), "http" | "https") {
                return Err(Failure::lost(
                    LostKind::Garbage,
                    "unsupported protocol scheme",
                ));
            }
            tracing::debug!(host = next.host_str(), "redirected");
            url = next;
        }
        let text = format!("stopped after {REDIRECTS_LIMIT} redirects");
        Err(Error::new(ErrorKind::InvalidContent, text).into())
    }

    fn request(
        &self,
        call: &Call,
        url: Url,
        is_own: bool,
        authorization: Option<&HeaderValue>,
    ) -> Request {
        let mut request = Request::new(call.method.clone(), url);
        let headers = request.headers_mut();
        if is_own {
            for (name, value) in &self.host.headers {
                if let (Ok(name), Ok(value)) = (
                    HeaderName::from_bytes(name.as_bytes()),
                    HeaderValue::from_str(value),
                ) {
                    headers.append(name, value);
                }
            }
            if let Some(authorization) = authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
        }
        for (name, value) in &call.headers {
            headers.append(name, value.clone());
        }
        if !call.body.is_empty() || call.method == Method::PUT || call.method == Method::POST {
            *request.body_mut() = Some(call.body.clone().into());
        }
        request
    }

    fn elsewhere(&self, url: &Url) -> (Host, Scheme) {
        let scheme = if url.scheme() == "http" {
            Scheme::Http
        } else {
            Scheme::Https
        };
        (self.shared.settings.lone(scheme, &authority(url)), scheme)
    }

    /// The address of a target.
    pub(super) fn url(&self, scheme: Scheme, target: &Target) -> Result<Url, Failure> {
        let path = match target {
            Target::Url(url) => return Ok(self.mended(scheme, url)),
            Target::Path(path) => path,
        };
        let text = format!("{}{path}", self.base(scheme));
        let mut url = Url::parse(&text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidContent,
                format!("parse {text:?}: {error}"),
            )
        })?;
        if let Some(namespace) = &self.host.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// An address that the registry gave. One behind a proxy may not know that it is reached over TLS.
    fn mended(&self, scheme: Scheme, url: &Url) -> Url {
        let mut url = url.clone();
        let is_same_host = authority(&url) == self.host.authority;
        if scheme == Scheme::Https && url.scheme() == "http" && is_same_host {
            // Between these two schemes it cannot fail.
            url.set_scheme("https").unwrap_or_default();
        }
        url
    }

    fn base(&self, scheme: Scheme) -> String {
        format!(
            "{}://{}{}",
            scheme.name(),
            self.host.authority,
            self.host.prefix
        )
    }

    fn is_own(&self, scheme: Scheme, url: &Url) -> bool {
        url.scheme() == scheme.name()
            && Url::parse(&self.base(scheme)).is_ok_and(|own| own.origin() == url.origin())
    }

    /// Docker asks for `/v2/` before anything else; a host that cannot be reached is reported so.
    fn first_words(&self, scheme: Scheme, words: String) -> String {
        if self.known.load(Ordering::Relaxed) {
            words
        } else {
            self.ping_words(scheme)
        }
    }

    fn ping_words(&self, scheme: Scheme) -> String {
        format!("Get \"{}/\"", self.base(scheme))
    }

    /// The scheme that this host speaks, found out when it may be either.
    pub(super) async fn scheme(&self) -> Result<Scheme, Failure> {
        if let [only] = self.host.schemes.as_slice() {
            return Ok(*only);
        }
        self.scheme
            .get_or_try_init(|| self.find_scheme())
            .await
            .copied()
    }

    async fn find_scheme(&self) -> Result<Scheme, Failure> {
        let mut failure: Option<(Scheme, Failure)> = None;
        for scheme in self.host.schemes.iter().copied() {
            match self.probe(scheme).await {
                Ok(true) => return Ok(scheme),
                Ok(false) => failure = None,
                Err(next) => {
                    let next = next.of_request(|| self.ping_words(scheme));
                    if next.lost_kind() == Some(LostKind::Tls) {
                        // It speaks TLS: what it said then is not to be had in clear instead.
                        return Err(next);
                    }
                    // Of two failures the one over plain HTTP is told, as docker does.
                    let keep = failure.take().filter(|(kept, _)| *kept == Scheme::Http);
                    failure = keep.or(Some((scheme, next)));
                }
            }
        }
        Err(failure.map_or_else(
            || Failure::lost(LostKind::Garbage, "the host speaks neither HTTP nor HTTPS"),
            |(_, failure)| failure,
        ))
    }

    /// Whether the host answers over a scheme. False when it says that it wants TLS.
    async fn probe(&self, scheme: Scheme) -> Result<bool, Failure> {
        let url = self.url(scheme, &Target::Path("/".to_owned()))?;
        let call = Call::new(Method::GET, "/");
        let request = self.request(&call, url, true, None);
        let response = self
            .shared
            .transport
            .send(&self.host, scheme, request)
            .await?;
        if scheme == Scheme::Http && response.status() == StatusCode::BAD_REQUEST {
            let body = self
                .shared
                .transport
                .some_body(response, PROBE_BODY_LIMIT)
                .await;
            return Ok(!String::from_utf8_lossy(&body).contains("HTTPS"));
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            self.gate.learn(challenges(response.headers()));
        }
        self.known.store(true, Ordering::Relaxed);
        tracing::debug!(host = %self.host.authority, scheme = scheme.name(), "found the scheme");
        Ok(true)
    }
}

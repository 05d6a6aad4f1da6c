//! One request to a registry, before it is known which host and token it goes with.

use crate::auth::Scope;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// One request. It can be sent more than once.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: HeaderMap,
    /// What a token must allow.
    pub(super) scopes: Vec<Scope>,
    pub(super) body: Bytes,
    /// Tries; None as often as the client does.
    pub(super) attempts: Option<u32>,
    /// Whether a refusal is worth another try, or only a lost answer.
    pub(super) retry_replies: bool,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// A path below the registry's prefix, with or without a query: `/library/x/tags/list`.
    Path(String),
    /// An address that the registry gave.
    Url(reqwest::Url),
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self::to(method, Target::Path(path.into()))
    }

    pub(super) fn url(method: Method, url: reqwest::Url) -> Self {
        Self::to(method, Target::Url(url))
    }

    fn to(method: Method, target: Target) -> Self {
        Self {
            method,
            target,
            headers: HeaderMap::new(),
            scopes: Vec::new(),
            body: Bytes::new(),
            attempts: None,
            retry_replies: true,
        }
    }

    pub(super) fn scope(mut self, scope: Scope) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Adds a header. A value that is none is left out; ours are all plain.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    pub(super) fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    pub(super) fn replies_are_final(mut self) -> Self {
        self.retry_replies = false;
        self
    }

    /// Whether sending it twice is the same as sending it once.
    pub(super) fn is_idempotent(&self) -> bool {
        self.method == Method::GET || self.method == Method::HEAD
    }
}

/// A method as Go shows it: `Get`, `Head`.
pub(super) fn method_word(method: &Method) -> String {
    let mut letters = method.as_str().chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first
        .into_iter()
        .chain(letters.map(|letter| letter.to_ascii_lowercase()))
        .collect()
}

//! What a registry answers when it refuses: the error document, the rate limits, and docker's words
//! for both.

use crate::auth::{Challenge, parse_challenges};
use lapstrake_image::ErrorKind;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Deserialize;
use std::time::Duration;

/// Bytes of an error's body that are read.
pub(super) const ERROR_BODY_LIMIT: usize = 64 << 10;
/// Characters of a registry's text that reach a message.
const TEXT_LIMIT: usize = 1000;
/// Errors of one document that reach a message.
const ERRORS_LIMIT: usize = 16;

/// A refusal.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) errors: Vec<ApiError>,
    /// Docker's words when the body is no error document.
    text: Option<String>,
    pub(super) retry_after: Option<Duration>,
    limits: Limits,
}

/// One error of an error document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    /// The code, in capitals.
    pub(super) code: String,
    message: String,
    /// Nothing was said beyond the code; docker then shows only that.
    is_bare: bool,
}

/// The headers that speak of rate limits.
#[derive(Debug, Clone, Default)]
struct Limits {
    limit: Option<String>,
    remaining: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    errors: Vec<Entry>,
    #[serde(default)]
    details: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<serde_json::Value>,
}

impl Reply {
    /// Reads a refusal out of its parts.
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let mut reply = Self {
            status,
            errors: Vec::new(),
            text: None,
            retry_after: retry_after(headers),
            limits: Limits::of(headers),
        };
        if let Some(error) = oauth_error(headers) {
            reply.errors.push(error);
            return reply;
        }
        if status.is_server_error() {
            reply.text = Some(format!(
                "received unexpected HTTP status: {}",
                words(status)
            ));
            return reply;
        }
        reply.read_body(headers, body);
        reply
    }

    fn read_body(&mut self, headers: &HeaderMap, body: &[u8]) {
        let json = header(headers, CONTENT_TYPE.as_str())
            .is_none_or(|kind| kind.contains("json") || body.starts_with(b"{"));
        let document: Option<Document> = if json {
            serde_json::from_slice(body).ok()
        } else {
            None
        };
        let Some(document) = document else {
            let text = clean(&String::from_utf8_lossy(body));
            let is_page = text.trim_start().starts_with('<');
            return self.say(if is_page { "" } else { &text });
        };
        if let Some(serde_json::Value::String(details)) = &document.details {
            return self.say(&clean(details));
        }
        self.errors = document
            .errors
            .into_iter()
            .take(ERRORS_LIMIT)
            .map(ApiError::of)
            .collect();
        if self.errors.is_empty() {
            self.say("");
        }
    }

    /// Words for a reply that has no error document.
    fn say(&mut self, text: &str) {
        let code = match self.status.as_u16() {
            401 => "UNAUTHORIZED",
            403 => "DENIED",
            429 => "TOOMANYREQUESTS",
            _ if text.is_empty() => {
                let words = words(self.status);
                self.text = Some(format!("received unexpected HTTP status: {words}"));
                return;
            }
            _ => "UNKNOWN",
        };
        let message = if text.is_empty() {
            default_message(code)
        } else {
            text
        };
        self.errors.push(ApiError {
            code: code.to_owned(),
            message: message.to_owned(),
            is_bare: false,
        });
    }

    /// The first error's code.
    pub(super) fn code(&self) -> &str {
        self.errors.first().map_or("", |error| error.code.as_str())
    }

    /// Whether the first error says nothing beyond its code.
    pub(super) fn is_bare(&self) -> bool {
        self.errors.first().is_none_or(|error| error.is_bare)
    }

    /// Docker's words.
    pub(super) fn message(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        match self.errors.as_slice() {
            [] => format!("received unexpected HTTP status: {}", words(self.status)),
            [one] => one.to_string(),
            several => several.iter().fold("errors:\n".to_owned(), |text, error| {
                format!("{text}{error}\n")
            }),
        }
    }

    /// What this is to a caller.
    pub(super) fn kind(&self) -> ErrorKind {
        match (self.status.as_u16(), self.code()) {
            (_, "DENIED") => ErrorKind::Denied,
            (_, "UNAUTHORIZED") | (401, _) => ErrorKind::Unauthorized,
            (_, "TOOMANYREQUESTS") | (429, _) => ErrorKind::RateLimited,
            (_, "DIGEST_INVALID") => ErrorKind::DigestMismatch,
            (_, "UNSUPPORTED") | (405 | 415 | 501, _) => ErrorKind::Unsupported,
            (403, _) => ErrorKind::Denied,
            (404 | 410, _) => ErrorKind::NotFound,
            (413, _) => ErrorKind::TooLarge,
            (408 | 425 | 500..=599, _) => ErrorKind::Unavailable,
            _ => ErrorKind::InvalidContent,
        }
    }

    /// What the user can do about a rate limit, with what the registry says about it.
    pub(super) fn rate_limit_hint(&self) -> String {
        let mut facts = Vec::new();
        if let Some(limit) = &self.limits.limit {
            facts.push(format!("limit {limit}"));
        }
        if let Some(remaining) = &self.limits.remaining {
            facts.push(format!("remaining {remaining}"));
        }
        if let Some(pause) = self.retry_after {
            facts.push(format!("retry after {} s", pause.as_secs()));
        }
        if let Some(source) = &self.limits.source {
            facts.push(format!("counted for {source}"));
        }
        let advice = "log in for a higher limit, or set a mirror (`registry-mirrors`)";
        if facts.is_empty() {
            advice.to_owned()
        } else {
            format!("{}; {advice}", facts.join(", "))
        }
    }
}

impl ApiError {
    fn of(entry: Entry) -> Self {
        let code = match entry.code {
            serde_json::Value::String(code) => clean(&code).to_ascii_uppercase(),
            _ => String::new(),
        };
        let code = if is_known(&code) {
            code
        } else {
            "UNKNOWN".to_owned()
        };
        let message = clean(&entry.message.unwrap_or_default());
        let has_detail = entry.detail.is_some_and(|detail| !detail.is_null());
        let is_bare = !has_detail && (message.is_empty() || message == default_message(&code));
        Self {
            code,
            message,
            is_bare,
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.to_ascii_lowercase().replace('_', " ");
        if self.is_bare {
            f.write_str(&code)
        } else {
            write!(f, "{code}: {}", self.message)
        }
    }
}

impl Limits {
    fn of(headers: &HeaderMap) -> Self {
        let read = |name| header(headers, name).map(clean);
        Self {
            limit: read("ratelimit-limit"),
            remaining: read("ratelimit-remaining"),
            source: read("docker-ratelimit-source"),
        }
    }
}

/// The challenges of a reply.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse_challenges)
        .collect()
}

/// The error that a Bearer challenge carries itself.
fn oauth_error(headers: &HeaderMap) -> Option<ApiError> {
    for challenge in challenges(headers) {
        let code = match (challenge.scheme.as_str(), challenge.parameter("error")) {
            ("bearer", Some("invalid_token")) => "UNAUTHORIZED",
            ("bearer", Some("insufficient_scope")) => "DENIED",
            _ => continue,
        };
        let message = challenge.parameter("error_description").map(clean);
        return Some(ApiError {
            code: code.to_owned(),
            message: message.unwrap_or_else(|| default_message(code).to_owned()),
            is_bare: false,
        });
    }
    None
}

/// A `Retry-After` in seconds. A date is not understood, as no registry sends one.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    header(headers, RETRY_AFTER.as_str())?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `500 Internal Server Error`.
pub(super) fn words(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// A registry's text without control characters, on one line, of bounded length.
pub(super) fn clean(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_LIMIT)
        .collect();
    line.trim().to_owned()
}

fn is_known(code: &str) -> bool {
    !default_message(code).is_empty()
}

/// What each code means, in the words of the reference implementation.
fn default_message(code: &str) -> &'static str {
    match code {
        "UNKNOWN" => "unknown error",
        "UNSUPPORTED" => "The operation is unsupported.",
        "UNAUTHORIZED" => "authentication required",
        "DENIED" => "requested access to the resource is denied",
        "UNAVAILABLE" => "service unavailable",
        "TOOMANYREQUESTS" => "too many requests",
        "DIGEST_INVALID" => "provided digest did not match uploaded content",
        "SIZE_INVALID" => "provided length did not match content length",
        "RANGE_INVALID" => "invalid content range",
        "NAME_INVALID" => "invalid repository name",
        "TAG_INVALID" => "manifest tag did not match URI",
        "NAME_UNKNOWN" => "repository name not known to registry",
        "MANIFEST_UNKNOWN" => "manifest unknown",
        "MANIFEST_INVALID" => "manifest invalid",
        "MANIFEST_UNVERIFIED" => "manifest failed signature verification",
        "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" => "blob unknown to registry",
        "BLOB_UPLOAD_UNKNOWN" => "blob upload unknown to registry",
        "BLOB_UPLOAD_INVALID" => "blob upload invalid",
        "PAGINATION_NUMBER_INVALID" => "invalid number of results requested",
        _ => "",
    }
}

//! Tokens: fetched from the server that a Bearer challenge names, kept until they expire.

use super::failure::{Failure, Refused};
use super::registry::Shared;
use super::reply::{ERROR_BODY_LIMIT, Reply};
use crate::auth::{Challenge, Scope};
use crate::credentials::Credential;
use crate::hosts::Scheme;
use bytes::Bytes;
use lapstrake_image::ErrorKind;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Request, Response, Url};
use serde::Deserialize;
use std::time::Duration;

/// Bytes of a token server's answer.
const TOKEN_BODY_LIMIT: usize = 1 << 20;
/// How long a token lasts whose server does not say, or says less.
const SHORTEST: Duration = Duration::from_secs(60);
/// How long a token is believed to last at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Who asks.
const CLIENT_ID: &str = "lapstrake";

/// What a token is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) challenge: &'a Challenge,
    pub(super) scopes: &'a [Scope],
    pub(super) credential: Option<&'a Credential>,
    /// Whether an identity token is wanted too.
    pub(super) offline: bool,
    /// Whether the registry was reached over TLS.
    pub(super) over_tls: bool,
}

/// A token.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) value: String,
    pub(super) lifetime: Duration,
    /// An identity token, if one was asked for and given.
    pub(super) refresh: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

/// Fetches a token.
pub(super) async fn fetch(shared: &Shared, wanted: &Wanted<'_>) -> Result<Token, Failure> {
    let realm = realm(shared, wanted)?;
    if let Some(token) = wanted.credential.and_then(Credential::as_identity_token) {
        match post(shared, &realm, wanted, token).await {
            // Some servers know only the older way; without a password it may still give a token.
            Err(failure) if matches!(failure.status(), Some(404 | 405)) => {}
            other => return other.map_err(refused),
        }
    }
    get(shared, &realm, wanted).await.map_err(refused)
}

/// The token server's address. A password that went to the registry over TLS does not leave in clear.
fn realm(shared: &Shared, wanted: &Wanted<'_>) -> Result<Url, Failure> {
    let text = wanted.challenge.parameter("realm").unwrap_or_default();
    let realm = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty()
    });
    let Some(realm) = realm else {
        return Err(plain_refusal(
            "no valid realm in the registry's authentication challenge",
        ));
    };
    let in_clear = realm.scheme() == "http" && wanted.over_tls && wanted.credential.is_some();
    if in_clear && !shared.settings.insecure.contains(&authority(&realm)) {
        return Err(plain_refusal(&format!(
            "refusing to send credentials over plain HTTP to the token server {realm}"
        )));
    }
    Ok(realm)
}

fn plain_refusal(message: &str) -> Failure {
    Failure::Auth(Box::new(Refused {
        kind: ErrorKind::Unauthorized,
        message: message.to_owned(),
        request: None,
        hint: None,
        is_transient: false,
    }))
}

/// A token by name and password, or for nobody in particular.
async fn get(shared: &Shared, realm: &Url, wanted: &Wanted<'_>) -> Result<Token, Failure> {
    let mut url = realm.clone();
    let password = wanted
        .credential
        .filter(|credential| credential.as_password().is_some());
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = wanted.challenge.parameter("service") {
            query.append_pair("service", service);
        }
        for scope in wanted.scopes {
            query.append_pair("scope", scope.as_str());
        }
        if wanted.offline {
            query.append_pair("offline_token", "true");
        }
        query.append_pair("client_id", CLIENT_ID);
        if let Some(credential) = password.filter(|credential| !credential.username().is_empty()) {
            query.append_pair("account", credential.username());
        }
    }
    let mut headers = HeaderMap::new();
    if let Some(credential) = password {
        headers.insert(AUTHORIZATION, basic_header(credential));
    }
    answer(shared, Method::GET, url, headers, Bytes::new()).await
}

/// A token by identity token.
async fn post(
    shared: &Shared,
    realm: &Url,
    wanted: &Wanted<'_>,
    identity_token: &str,
) -> Result<Token, Failure> {
    let scopes: Vec<&str> = wanted.scopes.iter().map(Scope::as_str).collect();
    let mut form = realm.clone();
    form.set_query(None);
    form.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair(
            "service",
            wanted.challenge.parameter("service").unwrap_or_default(),
        )
        .append_pair("client_id", CLIENT_ID)
        .append_pair("scope", &scopes.join(" "))
        .append_pair("refresh_token", identity_token);
    let body = Bytes::from(form.query().unwrap_or_default().to_owned());
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    answer(shared, Method::POST, realm.clone(), headers, body).await
}

async fn answer(
    shared: &Shared,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Token, Failure> {
    let scheme = if url.scheme() == "http" {
        Scheme::Http
    } else {
        Scheme::Https
    };
    let host = shared.settings.lone(scheme, &authority(&url));
    tracing::debug!(host = %host.authority, %method, "fetching a token");
    let mut request = Request::new(method, url);
    *request.headers_mut() = headers;
    if !body.is_empty() {
        *request.body_mut() = Some(body.into());
    }
    let response = shared.transport.send(&host, scheme, request).await?;
    if !response.status().is_success() {
        return Err(refusal(shared, response).await);
    }
    let body = shared.transport.body(response, TOKEN_BODY_LIMIT).await?;
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| plain_refusal(&format!("unable to decode token response: {error}")))?;
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    let value = present(answer.token).or_else(|| present(answer.access_token));
    let value = value
        .filter(|token| HeaderValue::from_str(token).is_ok())
        .ok_or_else(|| {
            plain_refusal("authorization server did not include a token in the response")
        })?;
    let seconds = answer
        .expires_in
        .unwrap_or(0.0)
        .clamp(0.0, LONGEST.as_secs_f64());
    let lifetime = Duration::try_from_secs_f64(seconds)
        .unwrap_or(SHORTEST)
        .max(SHORTEST);
    Ok(Token {
        value,
        lifetime,
        refresh: present(answer.refresh_token),
    })
}

/// A reply that is a refusal.
pub(super) async fn refusal(shared: &Shared, response: Response) -> Failure {
    let status = response.status();
    let headers = response.headers().clone();
    let body = shared.transport.some_body(response, ERROR_BODY_LIMIT).await;
    Failure::Reply(Box::new(Reply::new(status, &headers, &body)))
}

/// A token server's failure as one of authorization.
fn refused(failure: Failure) -> Failure {
    let (kind, is_transient) = match &failure {
        Failure::Reply(reply) => (reply.kind(), reply.status.is_server_error()),
        Failure::Auth(_) | Failure::Plain(_) => return failure,
        Failure::Transport(lost) => (
            ErrorKind::Unavailable,
            lost.kind == super::failure::LostKind::Broken,
        ),
    };
    let hint = match &failure {
        Failure::Reply(reply) if kind == ErrorKind::RateLimited => Some(reply.rate_limit_hint()),
        Failure::Transport(lost) => lost.hint.clone(),
        _ => None,
    };
    let message = failure.brief();
    Failure::Auth(Box::new(Refused {
        kind,
        message,
        request: None,
        hint,
        is_transient,
    }))
}

/// `Basic …`.
pub(super) fn basic_header(credential: &Credential) -> HeaderValue {
    secret(&format!("Basic {}", credential.basic()))
}

/// A header value that stays out of logs.
pub(super) fn secret(text: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(text).unwrap_or_else(|_invalid| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// `host[:port]` of an address.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

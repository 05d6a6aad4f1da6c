//! The search of index servers: `/v1/search?q=&n=`, Docker Hub's and that of any registry that has one.
//!
//! The endpoint belongs to the first registry protocol. It answers with one JSON document of names,
//! descriptions and stars, and has no pages that docker would ask for.

use super::call::{Call, method_word};
use super::failure::{Doing, Failure, LostKind};
use super::registry::Shared;
use super::remote::Remote;
use super::reply::clean;
use crate::hosts::{Host, Scheme};
use lapstrake_image::{Error, ErrorKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, Request, StatusCode, Url};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of one answer: a hundred entries take less than a twentieth of it.
const ANSWER_LIMIT: usize = 4 << 20;
/// How long a search may take in all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Tries of a request whose answer was lost.
const ATTEMPTS: u32 = 2;
/// The name of Docker Hub in references, and where its index answers.
const HUB: &str = "docker.io";
const HUB_INDEX: &str = "index.docker.io";
/// Where the endpoint lies.
const PREFIX: &str = "/v1";
/// What a query leaves as it is, as Go does.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One repository that an index found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SearchResult {
    /// The name, as the index has it.
    pub name: String,
    /// What it is, on one line.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// How many people like it.
    #[serde(default, deserialize_with = "or_default")]
    pub star_count: i64,
    /// Whether the index's owner vouches for it.
    #[serde(default, deserialize_with = "or_default")]
    pub is_official: bool,
    /// Whether it is built from sources by the index's owner.
    #[serde(default, deserialize_with = "or_default")]
    pub is_automated: bool,
}

/// `null` is what is absent.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "or_default")]
    results: Vec<SearchResult>,
}

/// Asks the index of a registry, named as in references, for at most `limit` repositories.
pub(super) async fn search(
    shared: &Arc<Shared>,
    domain: &str,
    term: &str,
    limit: usize,
) -> Result<Vec<SearchResult>, Error> {
    let term = utf8_percent_encode(term, QUERY).to_string();
    let path = format!("/search?q={}&n={limit}", term.replace("%20", "+"));
    let host = index_host(shared, domain)?;
    let shown = format!("{}{PREFIX}{path}", host.authority);
    match timeout(PATIENCE, asked(shared, host, domain, &path)).await {
        Ok(results) => Ok(results?.into_iter().take(limit).map(tidied).collect()),
        Err(_elapsed) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("Get \"{shown}\": net/http: timeout awaiting response"),
        )),
    }
}

/// The registry itself, never a mirror: a mirror has no index.
fn index_host(shared: &Shared, domain: &str) -> Result<Host, Error> {
    let mut host = if domain == HUB {
        shared.settings.lone(Scheme::Https, HUB_INDEX)
    } else {
        let hosts = shared.settings.hosts(domain).map_err(|error| {
            Error::new(ErrorKind::InvalidContent, error.to_string()).with_source(error)
        })?;
        hosts.into_iter().next_back().ok_or_else(|| {
            let text = format!("no host is known for {domain}");
            Error::new(ErrorKind::Unavailable, text)
        })?
    };
    PREFIX.clone_into(&mut host.prefix);
    domain.clone_into(&mut host.credentials_key);
    Ok(host)
}

async fn asked(
    shared: &Arc<Shared>,
    mut host: Host,
    domain: &str,
    path: &str,
) -> Result<Vec<SearchResult>, Error> {
    if host.schemes.len() > 1 {
        host.schemes = vec![spoken(shared, &host).await?];
    }
    let scheme = host.schemes.first().map_or("https", |scheme| scheme.name());
    let words = format!("Get \"{scheme}://{}{PREFIX}{path}\"", host.authority);
    let remote = Remote::new(Arc::clone(shared), host);
    let call = Call::new(Method::GET, path)
        .attempts(ATTEMPTS)
        .replies_are_final();
    let response = remote
        .send(&call)
        .await
        .map_err(|failure| refused(failure, domain, words))?;
    let body = shared.transport.body(response, ANSWER_LIMIT).await;
    let body = body.map_err(|failure| failure.into_error(Doing::Other))?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|error| {
        let text = format!("error decoding registry search results: {error}");
        Error::new(ErrorKind::InvalidContent, text)
    })?;
    Ok(answer.results)
}

/// The first scheme over which the host answers at all; docker's words, with both attempts, when none.
async fn spoken(shared: &Shared, host: &Host) -> Result<Scheme, Error> {
    let mut attempts = Vec::new();
    for scheme in host.schemes.iter().copied() {
        match ping(shared, host, scheme).await {
            Ok(()) => return Ok(scheme),
            Err(failure) => {
                attempts.push((
                    scheme,
                    failure.into_error(Doing::Other).message().to_owned(),
                ));
            }
        }
    }
    // Docker asks over TLS first and tells in that order, whichever was asked first here.
    attempts.sort_by_key(|(scheme, _)| std::cmp::Reverse(*scheme));
    let told = attempts.iter().map(|(scheme, words)| {
        let name = scheme.name().to_ascii_uppercase();
        format!("{name} attempt: {words}")
    });
    let told = told.collect::<Vec<_>>().join(". ");
    let text = format!(
        "invalid registry endpoint \"http://{}{PREFIX}/\". {told}",
        host.authority
    );
    Err(Error::new(ErrorKind::Unavailable, text))
}

async fn ping(shared: &Shared, host: &Host, scheme: Scheme) -> Result<(), Failure> {
    let address = format!("{}://{}{PREFIX}/_ping", scheme.name(), host.authority);
    let url = Url::parse(&address).map_err(|error| {
        Failure::from(Error::new(
            ErrorKind::InvalidContent,
            format!("parse {address:?}: {error}"),
        ))
    })?;
    let words = || format!("{} \"{address}\"", method_word(&Method::GET));
    let sent = shared
        .transport
        .send(host, scheme, Request::new(Method::GET, url));
    let response = sent.await.map_err(|failure| failure.of_request(words))?;
    // What Go's servers say to plain HTTP where they expect TLS.
    if scheme == Scheme::Http && response.status() == StatusCode::BAD_REQUEST {
        let text = "the server expects TLS";
        return Err(Failure::lost(LostKind::Garbage, text).of_request(words));
    }
    Ok(())
}

fn refused(mut failure: Failure, domain: &str, words: String) -> Error {
    if let Failure::Transport(lost) = &mut failure {
        // Of a lost answer docker names the search itself, not the question before it.
        lost.request = Some(words);
    }
    let Some(status) = failure.status() else {
        return failure.into_error(Doing::Other);
    };
    let error = failure.into_error(Doing::Other);
    let told = Error::new(error.kind(), format!("Unexpected status code {status}"));
    match (status, error.hint()) {
        (404 | 405, _) => told.with_hint(format!(
            "{domain} has no search endpoint; `lap search --tags {domain}/NAME` lists the tags of a \
             repository there"
        )),
        (_, Some(hint)) => told.with_hint(hint),
        (_, None) => told,
    }
}

/// Texts of an index reach terminals: without control characters, on one line, of bounded length.
fn tidied(mut result: SearchResult) -> SearchResult {
    for text in [&mut result.name, &mut result.description] {
        *text = clean(text);
    }
    result
}

//! The tags of a repository, page by page.

use super::call::{Call, Target};
use super::failure::{Doing, Failure};
use super::registry::{Purpose, Registry};
use super::remote::Remote;
use crate::auth::Scope;
use lapstrake_image::{Error, ErrorKind};
use lapstrake_spec::Reference;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Deserialize;
use std::sync::Arc;

/// Bytes of one page.
const PAGE_LIMIT: usize = 8 << 20;
/// Pages of one list.
const PAGES_LIMIT: usize = 10_000;
/// Tags of one repository.
const TAGS_LIMIT: usize = 1_000_000;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// All tags.
pub(super) async fn list(registry: &Registry, name: &Reference) -> Result<Vec<String>, Error> {
    let work = |remote: Arc<Remote>, is_last: bool| async move {
        list_at(&remote, name.path(), is_last).await
    };
    registry
        .first(Purpose::Resolve, Doing::Pull(name), |_| false, work)
        .await
        .map(|(_, tags)| tags)
}

async fn list_at(remote: &Remote, path: &str, is_last: bool) -> Result<Vec<String>, Failure> {
    let mut tags = Vec::new();
    let mut call = Call::new(Method::GET, format!("/{path}/tags/list")).scope(Scope::pull(path));
    if !is_last {
        call = call.attempts(1);
    }
    for _ in 0..PAGES_LIMIT {
        let response = remote.send(&call).await?;
        let next = next_page(response.url(), response.headers());
        let body = remote.shared().transport.body(response, PAGE_LIMIT).await?;
        let page: Page = serde_json::from_slice(&body).map_err(|error| {
            Error::new(
                ErrorKind::InvalidContent,
                format!("invalid list of tags: {error}"),
            )
        })?;
        tags.extend(page.tags.unwrap_or_default());
        if tags.len() > TAGS_LIMIT {
            let text = format!("repository has more than {TAGS_LIMIT} tags");
            return Err(Error::new(ErrorKind::TooLarge, text).into());
        }
        match next {
            None => return Ok(tags),
            Some(url) => call.target = Target::Url(url),
        }
    }
    Err(Error::new(ErrorKind::TooLarge, "list of tags does not end").into())
}

/// The address that a `Link` header gives as the next page; the same page again is none.
pub(super) fn next_page(current: &Url, headers: &HeaderMap) -> Option<Url> {
    for value in headers.get_all(LINK) {
        for link in value.to_str().ok()?.split(',') {
            let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_next = parameters
                .split(';')
                .any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next"));
            if is_next {
                return current.join(address).ok().filter(|next| next != current);
            }
        }
    }
    None
}

//! Lists: tags, repositories, referrers. Each in pages, each page bounded.

use std::collections::BTreeSet;
use std::fs::ReadDir;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use axum::http::Uri;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use lapstrake_spec::Digest;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::{Answer, ApiError, Code};
use super::handle::{header_value, json_answer};
use super::name::{RepositoryName, Tag};
use super::query::Query;
use super::storage::Storage;
use super::upload::blocking;
use super::{MANIFEST_LIMIT, Shared};

/// Names on a page, also when a client asks for no limit.
const PAGE_LIMIT: usize = 10_000;
/// Referrers looked at for a page.
const REFERRERS_LIMIT: usize = 1000;
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `GET /v2/<name>/tags/list`
pub(super) async fn tags(shared: &Shared, name: &RepositoryName, uri: &Uri) -> Answer {
    let query = Query::new(uri.query().unwrap_or_default().as_bytes());
    let limit = query.page_length(PAGE_LIMIT)?;
    let page = Page::new(limit, query.get("last").unwrap_or_default().into_owned());
    let storage = Arc::clone(&shared.storage);
    let repository = name.clone();
    let page = blocking(move || list_tags(&storage, &repository, page)).await?;
    let page = page
        .ok_or_else(|| ApiError::new(Code::NameUnknown).detail(json!({ "name": name.as_str() })))?;
    let (names, link) = page.finish(&format!("/v2/{name}/tags/list"));
    with_link(&json!({ "name": name.as_str(), "tags": names }), link)
}

/// `GET /v2/_catalog`
pub(super) async fn catalog(shared: &Shared, uri: &Uri) -> Answer {
    let query = Query::new(uri.query().unwrap_or_default().as_bytes());
    let limit = query.page_length(PAGE_LIMIT)?;
    let mut page = Page::new(limit, query.get("last").unwrap_or_default().into_owned());
    let storage = Arc::clone(&shared.storage);
    let page = blocking(move || {
        list_repositories(&storage.repositories_path(), "", &mut page)?;
        Ok(page)
    })
    .await?;
    let (names, link) = page.finish("/v2/_catalog");
    with_link(&json!({ "repositories": names }), link)
}

/// `GET /v2/<name>/referrers/<digest>`
pub(super) async fn referrers(
    shared: &Shared,
    name: &RepositoryName,
    subject: &Digest,
    uri: &Uri,
) -> Answer {
    let query = Query::new(uri.query().unwrap_or_default().as_bytes());
    let wanted = query.get("artifactType").map(std::borrow::Cow::into_owned);
    let page = Page::new(
        REFERRERS_LIMIT,
        query.get("last").unwrap_or_default().into_owned(),
    );
    let storage = Arc::clone(&shared.storage);
    let directory = storage.referrers_path(name, subject);
    let filter = wanted.clone();
    let (entries, last) =
        blocking(move || list_referrers(&directory, filter.as_deref(), page)).await?;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
    let link = last.map(|last| {
        let filter = wanted.as_deref().map(escape);
        let filter = filter
            .map(|filter| format!("&artifactType={filter}"))
            .unwrap_or_default();
        let last = escape(&last);
        format!("</v2/{name}/referrers/{subject}?last={last}{filter}>; rel=\"next\"")
    });
    let mut response = with_link(&index, link)?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if wanted.is_some() {
        headers.insert(
            OCI_FILTERS_APPLIED,
            HeaderValue::from_static("artifactType"),
        );
    }
    Ok(response)
}

fn with_link(document: &Value, link: Option<String>) -> Answer {
    let mut response = json_answer(document.to_string());
    if let Some(link) = link {
        response.headers_mut().insert(LINK, header_value(&link)?);
    }
    Ok(response)
}

/// The first names in order behind `after`, out of any number that are offered.
struct Page {
    limit: usize,
    after: String,
    names: BTreeSet<String>,
    more: bool,
}

impl Page {
    fn new(limit: usize, after: String) -> Self {
        Self {
            limit,
            after,
            names: BTreeSet::new(),
            more: false,
        }
    }

    fn offer(&mut self, name: &str) {
        if name <= self.after.as_str() || self.limit == 0 {
            return;
        }
        let full = self.names.len() >= self.limit;
        if full && self.names.last().is_some_and(|last| name > last.as_str()) {
            self.more = true;
            return;
        }
        self.names.insert(name.to_owned());
        if self.names.len() > self.limit {
            self.names.pop_last();
            self.more = true;
        }
    }

    /// The names, and the header that leads to the next page.
    fn finish(self, path: &str) -> (Vec<String>, Option<String>) {
        let link = self.names.last().filter(|_| self.more).map(|last| {
            format!(
                "<{path}?last={}&n={}>; rel=\"next\"",
                escape(last),
                self.limit
            )
        });
        (self.names.into_iter().collect(), link)
    }
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// `None` when there is no such repository.
fn list_tags(storage: &Storage, name: &RepositoryName, mut page: Page) -> io::Result<Option<Page>> {
    if !storage
        .repository_path(name)
        .join("_manifests")
        .try_exists()?
    {
        return Ok(None);
    }
    for entry in entries(&storage.tags_path(name))?.into_iter().flatten() {
        if let Some(tag) = entry?.file_name().to_str().and_then(Tag::parse) {
            page.offer(tag.as_str());
        }
    }
    Ok(Some(page))
}

/// Offers every repository below `directory`, whose own name is `name`. The depth is that of a
/// name, which its length bounds.
fn list_repositories(directory: &Path, name: &str, page: &mut Page) -> io::Result<()> {
    for entry in entries(directory)?.into_iter().flatten() {
        let entry = entry?;
        let component = entry.file_name();
        let Some(component) = component.to_str() else {
            continue;
        };
        if component == "_manifests" {
            page.offer(name);
        } else if !component.starts_with('_') {
            let inner = if name.is_empty() {
                component.to_owned()
            } else {
                format!("{name}/{component}")
            };
            if RepositoryName::parse(&inner).is_ok() {
                list_repositories(&entry.path(), &inner, page)?;
            }
        }
    }
    Ok(())
}

/// Descriptors of a page, and the last one looked at when there are more.
fn list_referrers(
    directory: &Path,
    artifact_type: Option<&str>,
    mut page: Page,
) -> io::Result<(Vec<Box<RawValue>>, Option<String>)> {
    for entry in entries(directory)?.into_iter().flatten() {
        if let Some(name) = entry?.file_name().to_str() {
            page.offer(name);
        }
    }
    let mut found = Vec::new();
    let mut bytes = 0_usize;
    let mut last = None;
    for name in &page.names {
        let mut text = String::new();
        std::fs::File::open(directory.join(name))?
            .take(u64::try_from(MANIFEST_LIMIT).unwrap_or(u64::MAX))
            .read_to_string(&mut text)?;
        bytes = bytes.saturating_add(text.len());
        if bytes > MANIFEST_LIMIT && last.is_some() {
            return Ok((found, last));
        }
        last = Some(name.clone());
        if artifact_type.is_none_or(|wanted| artifact_type_of(&text).as_deref() == Some(wanted)) {
            found.push(RawValue::from_string(text).map_err(io::Error::other)?);
        }
    }
    Ok((found, last.filter(|_| page.more)))
}

fn artifact_type_of(descriptor: &str) -> Option<String> {
    let value: Value = serde_json::from_str(descriptor).ok()?;
    value.get("artifactType")?.as_str().map(str::to_owned)
}

/// A directory's entries; none when it does not exist.
fn entries(directory: &Path) -> io::Result<Option<ReadDir>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => Ok(Some(entries)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

//! Which manifests name another one as their subject.

use super::call::{Call, Target};
use super::failure::{Doing, Failure};
use super::registry::{Purpose, Registry};
use super::remote::Remote;
use super::tags::next_page;
use crate::auth::Scope;
use lapstrake_image::{Error, ErrorKind};
use lapstrake_spec::{Descriptor, Digest, MANIFEST_LIMIT, MediaType, Reference};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use std::sync::Arc;

/// Pages of one list.
const PAGES_LIMIT: usize = 100;
/// Manifests that name one subject.
const REFERRERS_LIMIT: usize = 10_000;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// The referrers of a digest: those that the registry lists, else those under the tag that stands in
/// for the list. A mirror that knows of none may just not mirror them.
pub(super) async fn list(
    registry: &Registry,
    name: &Reference,
    digest: &Digest,
) -> Result<Vec<Descriptor>, Error> {
    let work = |remote: Arc<Remote>, is_last: bool| async move {
        let found = list_at(&remote, name.path(), digest).await?;
        if found.is_empty() && !is_last {
            return Err(Error::new(ErrorKind::NotFound, "no referrers").into());
        }
        Ok(found)
    };
    let found = registry
        .first(Purpose::Pull, Doing::Pull(name), |_| false, work)
        .await;
    found.map(|(_, manifests)| manifests)
}

async fn list_at(remote: &Remote, path: &str, digest: &Digest) -> Result<Vec<Descriptor>, Failure> {
    let listed = fetch(remote, path, format!("/{path}/referrers/{digest}")).await?;
    // An empty list may be that of a registry that has learnt to list after they were pushed.
    if let Some(manifests) = listed.filter(|manifests| !manifests.is_empty()) {
        return Ok(manifests);
    }
    let tag = format!("{}-{}", digest.algorithm().name(), digest.hex());
    let tagged = fetch(remote, path, format!("/{path}/manifests/{tag}")).await?;
    Ok(tagged.unwrap_or_default())
}

/// The manifests of an index, page by page. None when it is not there; where a later page is not
/// there, the list ends.
async fn fetch(
    remote: &Remote,
    path: &str,
    target: String,
) -> Result<Option<Vec<Descriptor>>, Failure> {
    let mut call = Call::new(Method::GET, target)
        .scope(Scope::pull(path))
        .header(ACCEPT, MediaType::OCI_INDEX.as_str());
    let mut all = Vec::new();
    for page in 0..PAGES_LIMIT {
        let response = match remote.send(&call).await {
            Err(failure) if failure.status() == Some(404) => {
                return Ok((page > 0).then_some(all));
            }
            other => other?,
        };
        let next = next_page(response.url(), response.headers());
        let transport = &remote.shared().transport;
        let body = transport.body(response, MANIFEST_LIMIT).await?;
        let index: Index = serde_json::from_slice(&body).map_err(|error| {
            let text = format!("invalid list of referrers: {error}");
            Error::new(ErrorKind::InvalidContent, text)
        })?;
        all.extend(index.manifests);
        match next {
            Some(url) if all.len() < REFERRERS_LIMIT => call.target = Target::Url(url),
            _ => return Ok(Some(all)),
        }
    }
    Ok(Some(all))
}

//! Which manifests name another one as their subject.

use super::call::Call;
use super::failure::{Doing, Failure};
use super::registry::{Purpose, Registry};
use super::remote::Remote;
use crate::auth::Scope;
use lapstrake_image::{Error, ErrorKind};
use lapstrake_spec::{Descriptor, Digest, MANIFEST_LIMIT, MediaType, Reference};
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// The referrers of a digest: those that the registry lists, else those under the tag that stands in
/// for the list.
pub(super) async fn list(
    registry: &Registry,
    name: &Reference,
    digest: &Digest,
) -> Result<Vec<Descriptor>, Error> {
    let work = |remote: Arc<Remote>, _is_last: bool| async move {
        list_at(&remote, name.path(), digest).await
    };
    let found = registry
        .first(Purpose::Pull, Doing::Pull(name), |_| false, work)
        .await;
    found.map(|(_, manifests)| manifests)
}

async fn list_at(remote: &Remote, path: &str, digest: &Digest) -> Result<Vec<Descriptor>, Failure> {
    let listed = fetch(remote, path, format!("/{path}/referrers/{digest}")).await?;
    if let Some(manifests) = listed {
        return Ok(manifests);
    }
    let tag = format!("{}-{}", digest.algorithm().name(), digest.hex());
    let tagged = fetch(remote, path, format!("/{path}/manifests/{tag}")).await?;
    Ok(tagged.unwrap_or_default())
}

/// The manifests of an index. None when it is not there.
async fn fetch(
    remote: &Remote,
    path: &str,
    target: String,
) -> Result<Option<Vec<Descriptor>>, Failure> {
    let call = Call::new(Method::GET, target)
        .scope(Scope::pull(path))
        .header(ACCEPT, MediaType::OCI_INDEX.as_str());
    let response = match remote.send(&call).await {
        Err(failure) if failure.status() == Some(404) => return Ok(None),
        other => other?,
    };
    let body = remote
        .shared()
        .transport
        .body(response, MANIFEST_LIMIT)
        .await?;
    let index: Index = serde_json::from_slice(&body).map_err(|error| {
        Error::new(
            ErrorKind::InvalidContent,
            format!("invalid list of referrers: {error}"),
        )
    })?;
    Ok(Some(index.manifests))
}

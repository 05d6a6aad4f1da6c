//! From a request's path to what it names.

use lapstrake_spec::Digest;
use percent_encoding::percent_decode_str;

use super::error::{ApiError, Code};
use super::name::{RepositoryName, Tag, UploadId};

/// What a path names.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// `/v2/`
    Ping,
    /// `/token`
    Token,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepositoryName, Selector),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<uuid>`
    Upload(RepositoryName, UploadId),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, Digest),
}

/// How a manifest is chosen.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Selector {
    Tag(Tag),
    Digest(Digest),
    /// Neither: no such manifest can exist, and none can be made.
    Malformed,
}

impl Route {
    /// Reads a path. `None` is a path outside the protocol.
    pub(super) fn parse(path: &str) -> Result<Option<Self>, ApiError> {
        let Ok(path) = percent_decode_str(path).decode_utf8() else {
            return Ok(None);
        };
        if path == "/token" {
            return Ok(Some(Self::Token));
        }
        let Some(rest) = path.strip_prefix("/v2") else {
            return Ok(None);
        };
        let Some(rest) = rest.strip_prefix('/') else {
            return Ok(rest.is_empty().then_some(Self::Ping));
        };
        let segments: Vec<&str> = rest.split('/').collect();
        let name = |segments: &[&str]| RepositoryName::parse(&segments.join("/"));
        Ok(Some(match segments.as_slice() {
            [""] => Self::Ping,
            ["_catalog"] => Self::Catalog,
            [repository @ .., "tags", "list"] => Self::Tags(name(repository)?),
            [repository @ .., "manifests", reference] => {
                Self::Manifest(name(repository)?, Selector::parse(reference)?)
            }
            [repository @ .., "blobs", "uploads"] | [repository @ .., "blobs", "uploads", ""] => {
                Self::Uploads(name(repository)?)
            }
            [repository @ .., "blobs", "uploads", id] => {
                let id = UploadId::parse(id).ok_or(Code::BlobUploadUnknown)?;
                Self::Upload(name(repository)?, id)
            }
            [repository @ .., "blobs", digest] => {
                Self::Blob(name(repository)?, parse_digest(digest)?)
            }
            [repository @ .., "referrers", digest] => {
                Self::Referrers(name(repository)?, parse_digest(digest)?)
            }
            _ => return Ok(None),
        }))
    }

    /// The repository that the path is in.
    pub(super) fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::Ping | Self::Token | Self::Catalog => None,
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => Some(name),
        }
    }
}

impl Selector {
    fn parse(text: &str) -> Result<Self, ApiError> {
        if text.contains(':') {
            return Ok(Self::Digest(parse_digest(text)?));
        }
        Ok(Tag::parse(text).map_or(Self::Malformed, Self::Tag))
    }
}

/// Reads a digest out of a path or query.
pub(super) fn parse_digest(text: &str) -> Result<Digest, ApiError> {
    Digest::parse(text).map_err(|error| {
        ApiError::new(Code::DigestInvalid)
            .message(error.to_string())
            .detail(serde_json::json!({ "digest": text }))
    })
}

//! Manifests and indexes, Docker's schema 2 and OCI's.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::lenient::null_default;
use crate::{Descriptor, MediaType, go_json};

/// The largest manifest or index that is read: what registries accept.
pub const MANIFEST_LIMIT: usize = 4 << 20;

/// The manifest of one image: its configuration and its layers, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    #[serde(default = "two")]
    pub schema_version: u32,
    /// What the document says that it is; OCI documents may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The kind of artifact, when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "null_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Remarks for tools.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Docker's manifest list or OCI's image index: manifests for several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    #[serde(default = "two")]
    pub schema_version: u32,
    /// What the document says that it is; OCI documents may leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The kind of artifact, when these are no images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "null_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Remarks for tools.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
}

/// Whichever of the two a name led to.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is alive; a box would only be in the way"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Images for several platforms.
    Index(Index),
}

/// Why bytes are not a usable manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MANIFEST_LIMIT`].
    #[error("manifest of {size} bytes is larger than the limit of {limit} bytes", limit = MANIFEST_LIMIT)]
    TooLarge {
        /// How long it is.
        size: u64,
    },
    /// Docker's schema 1. Say it with [`ManifestError::schema1_message`], which names the image.
    #[error("{}", schema1_notice(""))]
    Schema1,
    /// A media type that is no manifest.
    #[error("unsupported manifest media type: {0}")]
    Unsupported(MediaType),
    /// The document and its delivery disagree, or it could be read in two ways.
    #[error("media type mismatch: expected {expected} but found {found}")]
    Mismatch {
        /// What the delivery said.
        expected: MediaType,
        /// What the document is.
        found: String,
    },
    /// Not JSON, or not of the right shape.
    #[error("manifest is not valid")]
    Json(#[source] serde_json::Error),
}

impl ManifestError {
    /// Docker's words for a schema 1 image; `reference` is the image as its user knows it.
    pub fn schema1_message(reference: &str) -> String {
        schema1_notice(reference)
    }
}

fn schema1_notice(reference: &str) -> String {
    let author = if reference.is_empty() {
        "the image"
    } else {
        reference
    };
    format!(
        "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 \
         support is disabled by default and will be removed in an upcoming release. Suggest the \
         author of {author} to upgrade the image to the OCI Format or Docker Image manifest v2, \
         schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/"
    )
}

/// The members that tell what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    schema_version: Option<i64>,
    #[serde(default)]
    media_type: Option<MediaType>,
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
    #[serde(default)]
    manifests: Option<IgnoredAny>,
    #[serde(default)]
    fs_layers: Option<IgnoredAny>,
}

impl Probe {
    /// What the document is: as delivered, as it says itself, or as it looks.
    fn media_type(&self, content_type: Option<&MediaType>) -> Result<MediaType, ManifestError> {
        let own = self.media_type.as_ref().filter(|own| !own.is_empty());
        let delivered = content_type.filter(|delivered| is_known(delivered));
        if [own, delivered]
            .into_iter()
            .flatten()
            .any(MediaType::is_schema1)
            || self.schema_version == Some(1)
            || self.fs_layers.is_some()
        {
            return Err(ManifestError::Schema1);
        }
        match (delivered, own) {
            (Some(delivered), Some(own)) if delivered != own => Err(ManifestError::Mismatch {
                expected: delivered.clone(),
                found: own.to_string(),
            }),
            (Some(found), _) => Ok(found.clone()),
            (None, Some(own)) if is_known(own) => Ok(own.clone()),
            (None, Some(own)) => Err(ManifestError::Unsupported(own.clone())),
            (None, None) => self.media_type_by_shape(content_type),
        }
    }

    fn media_type_by_shape(
        &self,
        content_type: Option<&MediaType>,
    ) -> Result<MediaType, ManifestError> {
        match (&self.manifests, &self.config) {
            (Some(_), _) => Ok(MediaType::OCI_INDEX),
            (None, Some(_)) => Ok(MediaType::OCI_MANIFEST),
            (None, None) => Err(ManifestError::Unsupported(
                content_type.cloned().unwrap_or_default(),
            )),
        }
    }

    /// Refuses a document that one reader takes for an index and another for a manifest.
    fn check_shape(&self, media_type: &MediaType) -> Result<(), ManifestError> {
        let found = if media_type.is_index() {
            (self.config.is_some() || self.layers.is_some()).then_some("manifest")
        } else {
            self.manifests.is_some().then_some("index")
        };
        match found {
            Some(found) => Err(ManifestError::Mismatch {
                expected: media_type.clone(),
                found: found.to_owned(),
            }),
            None => Ok(()),
        }
    }
}

fn is_known(media_type: &MediaType) -> bool {
    media_type.is_manifest() || media_type.is_index() || media_type.is_schema1()
}

impl Document {
    /// Reads a manifest or index.
    ///
    /// `content_type` is what the bytes were delivered as (a registry's header, a descriptor);
    /// types that say nothing, such as `application/json`, leave the answer to the document.
    pub fn parse(content_type: Option<&MediaType>, raw: &[u8]) -> Result<Self, ManifestError> {
        if raw.len() > MANIFEST_LIMIT {
            return Err(ManifestError::TooLarge {
                size: raw.len() as u64,
            });
        }
        let probe: Probe = serde_json::from_slice(raw).map_err(ManifestError::Json)?;
        let media_type = probe.media_type(content_type)?;
        probe.check_shape(&media_type)?;
        let document = if media_type.is_index() {
            let mut index: Index = serde_json::from_slice(raw).map_err(ManifestError::Json)?;
            index.media_type = Some(media_type);
            Self::Index(index)
        } else {
            let mut manifest: Manifest =
                serde_json::from_slice(raw).map_err(ManifestError::Json)?;
            manifest.media_type = Some(media_type);
            Self::Manifest(manifest)
        };
        Ok(document)
    }

    /// What the document is. Always set by [`Document::parse`].
    pub fn media_type(&self) -> MediaType {
        match self {
            Self::Manifest(manifest) => manifest.kind(),
            Self::Index(index) => index.kind(),
        }
    }
}

impl Manifest {
    /// A new manifest of this type.
    pub fn new(media_type: MediaType, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The media type; OCI's when the document does not say.
    pub fn kind(&self) -> MediaType {
        self.media_type.clone().unwrap_or(MediaType::OCI_MANIFEST)
    }

    /// The bytes of a new document. A fetched one is stored and sent as it came.
    pub fn to_bytes(&self) -> Vec<u8> {
        go_json::to_bytes(self)
    }
}

impl Index {
    /// A new index of this type.
    pub fn new(media_type: MediaType, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(media_type),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The media type; OCI's when the document does not say.
    pub fn kind(&self) -> MediaType {
        self.media_type.clone().unwrap_or(MediaType::OCI_INDEX)
    }

    /// The bytes of a new document. A fetched one is stored and sent as it came.
    pub fn to_bytes(&self) -> Vec<u8> {
        go_json::to_bytes(self)
    }
}

fn two() -> u32 {
    2
}

#[cfg(test)]
mod tests;

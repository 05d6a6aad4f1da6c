//! Image configurations: Docker's superset of OCI's.

use serde::{Deserialize, Serialize};

use crate::lenient::null_default;
use crate::{ContainerConfig, Digest, Hasher, Platform, go_json};

/// The largest image configuration that is read.
pub const CONFIG_LIMIT: usize = 8 << 20;

/// The configuration of an image; its digest is the image's id.
///
/// Fields are declared in docker's order, which sorts the names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// Processor, in Go's words: `amd64`.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub architecture: String,
    /// Who made it.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Remark of whoever committed or imported it.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// How containers of it run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ContainerConfig>,
    /// Id of the container that it was committed from.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub container: String,
    /// Configuration of that container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<ContainerConfig>,
    /// When it was made, RFC 3339 as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Version of the engine that made it.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub docker_version: String,
    /// How it was made, oldest first.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
    /// Operating system.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os: String,
    /// Features of the operating system that it needs (Windows).
    #[serde(
        rename = "os.features",
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// Version of the operating system (Windows).
    #[serde(
        rename = "os.version",
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Its layers.
    pub rootfs: RootFs,
    /// Variant of the processor: `v7`.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
}

/// The layers of an image, by the digests of their uncompressed tars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default, deserialize_with = "null_default")]
    pub kind: String,
    /// Diff ids, lowest first.
    #[serde(
        default,
        deserialize_with = "null_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub diff_ids: Vec<Digest>,
}

impl RootFs {
    /// These layers, lowest first.
    pub fn layers(diff_ids: Vec<Digest>) -> Self {
        Self {
            diff_ids,
            ..Self::default()
        }
    }
}

impl Default for RootFs {
    fn default() -> Self {
        Self {
            kind: "layers".to_owned(),
            diff_ids: Vec::new(),
        }
    }
}

/// One step in the making of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339 as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    /// Who.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// Remark.
    #[serde(
        deserialize_with = "null_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// The step made no layer.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

/// Why bytes are not a usable image configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Longer than [`CONFIG_LIMIT`].
    #[error("image configuration of {size} bytes is larger than the limit of {limit} bytes", limit = CONFIG_LIMIT)]
    TooLarge {
        /// How long it is.
        size: u64,
    },
    /// Nothing says which layers the image has.
    #[error("invalid image JSON, no RootFS key")]
    NoRootFs,
    /// Not JSON, or not of the right shape.
    #[error("image configuration is not valid")]
    Json(#[source] serde_json::Error),
}

impl ImageConfig {
    /// Reads an image configuration.
    pub fn parse(raw: &[u8]) -> Result<Self, ConfigError> {
        /// Whether the member is there at all.
        #[derive(Deserialize)]
        struct Probe {
            rootfs: Option<serde::de::IgnoredAny>,
        }
        if raw.len() > CONFIG_LIMIT {
            return Err(ConfigError::TooLarge {
                size: raw.len() as u64,
            });
        }
        let probe: Probe = serde_json::from_slice(raw).map_err(ConfigError::Json)?;
        if probe.rootfs.is_none() {
            return Err(ConfigError::NoRootFs);
        }
        serde_json::from_slice(raw).map_err(ConfigError::Json)
    }

    /// The bytes of a new configuration, as docker writes them. A fetched one is kept as it came.
    pub fn to_bytes(&self) -> Vec<u8> {
        go_json::to_bytes(self)
    }

    /// What it runs on; Linux when it does not say.
    pub fn platform(&self) -> Platform {
        let non_empty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Platform {
            architecture: self.architecture.clone(),
            os: non_empty(&self.os).unwrap_or_else(|| "linux".to_owned()),
            os_version: non_empty(&self.os_version),
            os_features: self.os_features.clone(),
            variant: non_empty(&self.variant),
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The chain id of every prefix of these layers: names the tree that they make together.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(parent) => {
                let mut hasher = Hasher::sha256();
                hasher.update(parent.as_str().as_bytes());
                hasher.update(b" ");
                hasher.update(diff_id.as_str().as_bytes());
                hasher.finish()
            }
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests;

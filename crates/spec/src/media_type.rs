//! Media types of the documents and blobs that make an image.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A media type such as `application/vnd.oci.image.manifest.v1+json`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: Self =
        Self::known("application/vnd.docker.distribution.manifest.v2+json");
    /// Docker manifest list: one entry per platform.
    pub const DOCKER_MANIFEST_LIST: Self =
        Self::known("application/vnd.docker.distribution.manifest.list.v2+json");
    /// Docker image manifest, schema 1: recognised in order to be refused.
    pub const DOCKER_SCHEMA1: Self =
        Self::known("application/vnd.docker.distribution.manifest.v1+json");
    /// Signed Docker image manifest, schema 1: recognised in order to be refused.
    pub const DOCKER_SCHEMA1_SIGNED: Self =
        Self::known("application/vnd.docker.distribution.manifest.v1+prettyjws");
    /// Docker image configuration.
    pub const DOCKER_CONFIG: Self = Self::known("application/vnd.docker.container.image.v1+json");
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: Self =
        Self::known("application/vnd.docker.image.rootfs.diff.tar.gzip");
    /// Docker layer, zstd.
    pub const DOCKER_LAYER_ZSTD: Self =
        Self::known("application/vnd.docker.image.rootfs.diff.tar.zstd");
    /// Docker layer, not compressed.
    pub const DOCKER_LAYER_TAR: Self = Self::known("application/vnd.docker.image.rootfs.diff.tar");
    /// Docker layer that is fetched from its `urls` and not pushed.
    pub const DOCKER_FOREIGN_LAYER: Self =
        Self::known("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    /// OCI image manifest.
    pub const OCI_MANIFEST: Self = Self::known("application/vnd.oci.image.manifest.v1+json");
    /// OCI image index: one entry per platform.
    pub const OCI_INDEX: Self = Self::known("application/vnd.oci.image.index.v1+json");
    /// OCI image configuration.
    pub const OCI_CONFIG: Self = Self::known("application/vnd.oci.image.config.v1+json");
    /// OCI layer, not compressed.
    pub const OCI_LAYER_TAR: Self = Self::known("application/vnd.oci.image.layer.v1.tar");
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: Self = Self::known("application/vnd.oci.image.layer.v1.tar+gzip");
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: Self = Self::known("application/vnd.oci.image.layer.v1.tar+zstd");
    /// OCI layer that may not be redistributed, not compressed.
    pub const OCI_NONDISTRIBUTABLE_TAR: Self =
        Self::known("application/vnd.oci.image.layer.nondistributable.v1.tar");
    /// OCI layer that may not be redistributed, gzip.
    pub const OCI_NONDISTRIBUTABLE_GZIP: Self =
        Self::known("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    /// OCI layer that may not be redistributed, zstd.
    pub const OCI_NONDISTRIBUTABLE_ZSTD: Self =
        Self::known("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd");
    /// The empty JSON object, config of artifacts.
    pub const OCI_EMPTY: Self = Self::known("application/vnd.oci.empty.v1+json");
    /// Bytes of which nothing is known.
    pub const OCTET_STREAM: Self = Self::known("application/octet-stream");

    /// All manifest types that can be worked with, in the order in which they are asked for.
    pub const MANIFESTS: [Self; 4] = [
        Self::DOCKER_MANIFEST,
        Self::DOCKER_MANIFEST_LIST,
        Self::OCI_MANIFEST,
        Self::OCI_INDEX,
    ];

    const fn known(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The media type with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// The media type of a `Content-Type` header: parameters after `;` are dropped.
    pub fn from_header(value: &str) -> Self {
        let essence = value.split(';').next().unwrap_or_default().trim();
        Self::new(essence.to_ascii_lowercase())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Manifest list or image index.
    pub fn is_index(&self) -> bool {
        *self == Self::DOCKER_MANIFEST_LIST || *self == Self::OCI_INDEX
    }

    /// Manifest of one image, Docker schema 2 or OCI.
    pub fn is_manifest(&self) -> bool {
        *self == Self::DOCKER_MANIFEST || *self == Self::OCI_MANIFEST
    }

    /// Docker's old schema 1, which is refused everywhere.
    pub fn is_schema1(&self) -> bool {
        *self == Self::DOCKER_SCHEMA1 || *self == Self::DOCKER_SCHEMA1_SIGNED
    }

    /// Image configuration, Docker or OCI.
    pub fn is_config(&self) -> bool {
        *self == Self::DOCKER_CONFIG || *self == Self::OCI_CONFIG
    }

    /// A layer's tar, however compressed.
    pub fn is_layer(&self) -> bool {
        self.as_str()
            .starts_with("application/vnd.docker.image.rootfs.")
            || self
                .as_str()
                .starts_with("application/vnd.oci.image.layer.")
    }

    /// A layer that is fetched from elsewhere and not pushed.
    pub fn is_foreign(&self) -> bool {
        self.as_str()
            .starts_with("application/vnd.docker.image.rootfs.foreign.")
            || self
                .as_str()
                .starts_with("application/vnd.oci.image.layer.nondistributable.")
    }

    /// One of Docker's own types, not OCI's.
    pub fn is_docker(&self) -> bool {
        self.as_str().starts_with("application/vnd.docker.")
    }
}

impl Default for MediaType {
    fn default() -> Self {
        Self::known("")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for MediaType {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl AsRef<str> for MediaType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for MediaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MediaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests;

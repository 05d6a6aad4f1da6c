//! Proof that an image is whole: every digest computed anew.

use crate::{BlobReader, ContentSource, Error, ErrorKind, RetryPolicy, Silent, read_blob};
use lapstrake_spec::{CONFIG_LIMIT, Descriptor, Document, Hasher, ImageConfig, Manifest};
use std::collections::BTreeSet;

use crate::copy::INDEX_DEPTH_LIMIT;

/// What was found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validated {
    /// Manifests and indexes.
    pub documents: usize,
    /// Configurations and layers.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads everything that `desc` leads to and compares each digest. The images of an index are all
/// expected to be there.
pub async fn validate(source: &dyn ContentSource, desc: &Descriptor) -> Result<Validated, Error> {
    let mut found = Validated::default();
    let mut seen = BTreeSet::new();
    let mut queue = vec![(desc.clone(), 0)];
    while let Some((desc, depth)) = queue.pop() {
        if !seen.insert(desc.digest.clone()) {
            continue;
        }
        let raw = source.manifest(&desc).await?;
        let mut hasher = Hasher::for_digest(&desc.digest);
        hasher.update(&raw);
        if hasher.finish() != desc.digest || raw.len() as u64 != desc.size {
            return Err(Error::manifest_mismatch(&desc.digest));
        }
        found.documents += 1;
        found.bytes += desc.size;
        match Document::parse(Some(&desc.media_type), &raw).map_err(|error| {
            Error::new(ErrorKind::InvalidContent, error.to_string()).with_source(error)
        })? {
            Document::Manifest(manifest) => blobs(source, &manifest, &mut found).await?,
            Document::Index(_) if depth == INDEX_DEPTH_LIMIT => {
                return Err(Error::new(
                    ErrorKind::InvalidContent,
                    "index is nested too deep",
                ));
            }
            Document::Index(index) => {
                queue.extend(index.manifests.into_iter().map(|desc| (desc, depth + 1)));
            }
        }
    }
    Ok(found)
}

async fn blobs(
    source: &dyn ContentSource,
    manifest: &Manifest,
    found: &mut Validated,
) -> Result<(), Error> {
    if manifest.config.media_type.is_config() {
        let raw = read_blob(
            source,
            &manifest.config,
            CONFIG_LIMIT,
            RetryPolicy::default(),
            &Silent,
        )
        .await?;
        let config = ImageConfig::parse(&raw).map_err(|error| {
            Error::new(ErrorKind::InvalidContent, error.to_string()).with_source(error)
        })?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(Error::layers_mismatch());
        }
    }
    for desc in std::iter::once(&manifest.config).chain(&manifest.layers) {
        let mut reader = BlobReader::new(source, desc, 0, RetryPolicy::default(), &Silent);
        let mut hasher = Hasher::for_digest(&desc.digest);
        while let Some(chunk) = reader.next().await? {
            hasher.update(&chunk);
        }
        if hasher.finish() != desc.digest {
            return Err(Error::layer_mismatch(&desc.digest));
        }
        found.blobs += 1;
        found.bytes += desc.size;
    }
    Ok(())
}

//! What other tools read in the layout, and what they put there.

use crate::images::{Entry, Images};
use crate::{Error, Store};
use lapstrake_spec::{Descriptor, ImageConfig, Manifest, MediaType, Reference};

/// Sees to it that each image in Docker's format has an OCI manifest that the index can name.
pub(crate) fn complete(store: &Store, images: &mut Images) -> Result<(), Error> {
    for entry in &images.entries {
        let manifest = &entry.manifest;
        if !manifest.media_type.is_docker() || images.twins.contains_key(&manifest.digest) {
            continue;
        }
        let twin = match store.manifest(manifest) {
            Ok(original) => oci_manifest(original),
            // Not an image of ours, or not here: listed as it is.
            Err(Error::NoBlob { .. } | Error::Damaged { .. } | Error::Manifest(_)) => continue,
            Err(error) => return Err(error),
        };
        let desc = store.put_bytes(MediaType::OCI_MANIFEST, &twin.to_bytes())?;
        images.twins.insert(manifest.digest.clone(), desc);
    }
    Ok(())
}

/// The same image in OCI's words. The blobs are the same.
fn oci_manifest(original: Manifest) -> Manifest {
    let renamed = |desc: Descriptor| Descriptor {
        media_type: oci_type(desc.media_type),
        ..desc
    };
    Manifest::new(
        MediaType::OCI_MANIFEST,
        Descriptor {
            media_type: MediaType::OCI_CONFIG,
            ..original.config
        },
        original.layers.into_iter().map(renamed).collect(),
    )
}

fn oci_type(media_type: MediaType) -> MediaType {
    const PAIRS: [(MediaType, MediaType); 4] = [
        (MediaType::DOCKER_LAYER_GZIP, MediaType::OCI_LAYER_GZIP),
        (MediaType::DOCKER_LAYER_TAR, MediaType::OCI_LAYER_TAR),
        (MediaType::DOCKER_LAYER_ZSTD, MediaType::OCI_LAYER_ZSTD),
        (
            MediaType::DOCKER_FOREIGN_LAYER,
            MediaType::OCI_NONDISTRIBUTABLE_GZIP,
        ),
    ];
    match PAIRS.into_iter().find(|(docker, _)| *docker == media_type) {
        Some((_, oci)) => oci,
        None => media_type,
    }
}

impl Store {
    /// Makes entries of the images that other tools put into the index.
    pub(crate) fn adopt(&self, images: &mut Images) {
        if images.others.is_empty() {
            return;
        }
        let others = std::mem::take(&mut images.others);
        for desc in others {
            match self.describe_stranger(&desc) {
                Some(entry) => images.entries.push(entry),
                None => images.others.push(desc),
            }
        }
    }

    /// The entry of an image that another tool wrote; none when it is no image, or not whole.
    fn describe_stranger(&self, desc: &Descriptor) -> Option<Entry> {
        if !desc.media_type.is_manifest() {
            return None;
        }
        let manifest = self.manifest(desc).ok()?;
        let (config, _raw): (ImageConfig, _) = self.image_config(&manifest.config.digest).ok()?;
        // A container of it would lack layers.
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return None;
        }
        let name = desc
            .annotations
            .get("org.opencontainers.image.ref.name")
            .and_then(|text| Reference::parse(text).ok())
            .map(|name| name.or_latest());
        let unpacked = config
            .rootfs
            .diff_ids
            .iter()
            .filter_map(|diff_id| self.layer_size(diff_id).ok())
            .fold(0, u64::saturating_add);
        let sizes = manifest.layers.iter().map(|layer| layer.size);
        let packed = sizes.fold(0, u64::saturating_add);
        Some(Entry {
            id: manifest.config.digest,
            name,
            repo_digests: Vec::new(),
            created: config.created.clone(),
            size: if unpacked > 0 { unpacked } else { packed },
            parent: None,
            platform: Some(config.platform()),
            tagged_at: None,
            manifest: Descriptor {
                platform: None,
                ..desc.clone()
            },
        })
    }
}

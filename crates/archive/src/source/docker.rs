//! The images that docker's `manifest.json` lists.

use super::{Archive, ArchivedImage, is_whole, layer_type};
use crate::files::{Files, Piece};
use crate::{ArchiveError, index, limits};
use bytes::Bytes;
use lapstrake_image::{INDEX_DEPTH_LIMIT, LAYERS_LIMIT};
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, Document, Hasher, ImageConfig, MANIFEST_LIMIT, Manifest,
    MediaType, Reference,
};
use serde::Deserialize;
use std::collections::BTreeMap;

const MANIFEST_FILE: &str = "manifest.json";
/// The only table of archives from before docker 1.10.
const LEGACY_FILE: &str = "repositories";

/// One image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The table; none when there is none.
pub(super) fn read(files: &Files) -> Result<Option<Vec<Item>>, ArchiveError> {
    let Some(raw) = files.read(MANIFEST_FILE, limits::TABLE_BYTES)? else {
        if files.find(index::INDEX_FILE)?.is_none() && files.find(LEGACY_FILE)?.is_some() {
            return Err(ArchiveError::Unsupported {
                path: LEGACY_FILE.to_owned(),
                reason: "archive was written by docker before 1.10 and has no manifest.json"
                    .to_owned(),
            });
        }
        return Ok(None);
    };
    let items: Vec<Item> = serde_json::from_slice(&raw).map_err(|source| ArchiveError::Table {
        path: MANIFEST_FILE.to_owned(),
        source,
    })?;
    if items.len() > limits::IMAGES {
        return Err(ArchiveError::Limit {
            what: "images",
            limit: limits::IMAGES as u64,
        });
    }
    Ok(Some(items))
}

/// Finds or makes the manifest of each image.
pub(super) fn take(
    archive: &mut Archive,
    items: Vec<Item>,
    listed: &[ArchivedImage],
) -> Result<(), ArchiveError> {
    let manifests = manifests_by_config(&archive.files, listed)?;
    // Images of one archive share layers; a compressed one is hashed once.
    let mut known = BTreeMap::new();
    for item in items {
        let names = names(&item)?;
        let config = config(&archive.files, &item.config)?;
        let descriptor = match manifests.get(&config.digest) {
            Some(descriptor) => descriptor.clone(),
            None => make(archive, &item, config, &mut known)?,
        };
        archive.images.push(ArchivedImage {
            descriptor,
            names,
            label: None,
        });
    }
    Ok(())
}

fn names(item: &Item) -> Result<Vec<Reference>, ArchiveError> {
    let tags = item.repo_tags.iter().flatten();
    tags.map(|tag| {
        let name = Reference::parse(tag).ok();
        let name = name.filter(|name| name.digest().is_none());
        let name = name.ok_or_else(|| ArchiveError::Invalid {
            path: MANIFEST_FILE.to_owned(),
            reason: format!("invalid tag {tag:?}"),
        })?;
        Ok(name.or_latest())
    })
    .collect()
}

/// A configuration that was read.
struct Config {
    digest: Digest,
    bytes: u64,
    parsed: ImageConfig,
}

fn config(files: &Files, path: &str) -> Result<Config, ArchiveError> {
    let invalid = |reason: String| ArchiveError::Invalid {
        path: path.to_owned(),
        reason,
    };
    let raw = files.read(path, CONFIG_LIMIT as u64)?;
    let raw = raw.ok_or_else(|| ArchiveError::Missing {
        path: path.to_owned(),
    })?;
    let digest = Digest::sha256(&raw);
    let named = match path.strip_suffix(".json") {
        Some(hex) => Digest::from_sha256_hex(hex).ok(),
        None => index::blob_digest(path),
    };
    if named.is_some_and(|named| named != digest) {
        return Err(invalid(format!(
            "image configuration has the digest {digest}"
        )));
    }
    let parsed = ImageConfig::parse(&raw).map_err(|error| invalid(error.to_string()))?;
    Ok(Config {
        digest,
        bytes: raw.len() as u64,
        parsed,
    })
}

/// Makes the manifest that the image would have, and notes where its blobs are.
fn make(
    archive: &mut Archive,
    item: &Item,
    config: Config,
    known: &mut BTreeMap<String, Descriptor>,
) -> Result<Descriptor, ArchiveError> {
    let invalid = |reason: String| ArchiveError::Invalid {
        path: item.config.clone(),
        reason,
    };
    let paths = item.layers.as_deref().unwrap_or_default();
    let diff_ids = &config.parsed.rootfs.diff_ids;
    if paths.len() > LAYERS_LIMIT {
        return Err(invalid("max depth exceeded".to_owned()));
    }
    if paths.len() != diff_ids.len() {
        return Err(invalid(format!(
            "invalid manifest, layers length mismatch: expected {}, got {}",
            paths.len(),
            diff_ids.len()
        )));
    }
    let mut layers = Vec::with_capacity(paths.len());
    for (path, diff_id) in paths.iter().zip(diff_ids) {
        let found = match known.get(path) {
            Some(found) => found.clone(),
            None => layer(&archive.files, path, diff_id)?,
        };
        known.insert(path.clone(), found.clone());
        archive.elsewhere.insert(found.digest.clone(), path.clone());
        layers.push(found);
    }
    let desc = Descriptor::new(MediaType::DOCKER_CONFIG, config.digest, config.bytes);
    archive
        .elsewhere
        .insert(desc.digest.clone(), item.config.clone());
    let raw = Manifest::new(MediaType::DOCKER_MANIFEST, desc, layers).to_bytes();
    let made = Descriptor::of(MediaType::DOCKER_MANIFEST, &raw);
    archive.made.insert(made.digest.clone(), Bytes::from(raw));
    Ok(made)
}

/// The descriptor of a layer's blob. A plain tar has its diff id as digest; a compressed one has the
/// digest that its path names, or is hashed.
fn layer(files: &Files, path: &str, diff_id: &Digest) -> Result<Descriptor, ArchiveError> {
    let piece = files.open(path)?;
    let start = piece.chunk(0, 6)?;
    let kind = layer_type(&start).map_err(|reason| ArchiveError::Unsupported {
        path: path.to_owned(),
        reason: reason.to_owned(),
    })?;
    let digest = if kind == MediaType::DOCKER_LAYER_TAR {
        diff_id.clone()
    } else {
        match index::blob_digest(path) {
            Some(digest) => digest,
            None => hash(&piece)?,
        }
    };
    Ok(Descriptor::new(kind, digest, piece.size))
}

fn hash(piece: &Piece) -> Result<Digest, ArchiveError> {
    let mut hasher = Hasher::sha256();
    let mut offset = 0_u64;
    loop {
        let chunk = piece.chunk(offset, super::CHUNK_BYTES)?;
        if chunk.is_empty() {
            return Ok(hasher.finish());
        }
        hasher.update(&chunk);
        offset = offset.saturating_add(chunk.len() as u64);
    }
}

/// The manifests that the index leads to and that are whole, by the configuration that they name.
fn manifests_by_config(
    files: &Files,
    listed: &[ArchivedImage],
) -> Result<BTreeMap<Digest, Descriptor>, ArchiveError> {
    let mut found = BTreeMap::new();
    let top = listed.iter().map(|image| (image.descriptor.clone(), 0));
    let mut queue: Vec<(Descriptor, usize)> = top.collect();
    let mut seen = std::collections::BTreeSet::new();
    while let Some((desc, depth)) = queue.pop() {
        if seen.len() > limits::IMAGES || !seen.insert(desc.digest.clone()) {
            continue;
        }
        let path = index::blob_path(&desc.digest);
        let Some(raw) = files.read(&path, MANIFEST_LIMIT as u64)? else {
            continue;
        };
        let mut hasher = Hasher::for_digest(&desc.digest);
        hasher.update(&raw);
        if hasher.finish() != desc.digest {
            continue;
        }
        match Document::parse(Some(&desc.media_type), &raw) {
            Ok(Document::Manifest(manifest)) if is_whole(files, &manifest)? => {
                let kind = manifest.kind();
                let whole = Descriptor::new(kind, desc.digest, raw.len() as u64);
                found.entry(manifest.config.digest).or_insert(whole);
            }
            Ok(Document::Index(index)) if depth < INDEX_DEPTH_LIMIT => {
                let next = depth.saturating_add(1);
                queue.extend(index.manifests.into_iter().map(|desc| (desc, next)));
            }
            // Not an image of ours; `manifest.json` tells what docker makes of it.
            _ => {}
        }
    }
    Ok(found)
}

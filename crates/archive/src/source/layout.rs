//! The images that `index.json` lists.

use super::ArchivedImage;
use crate::files::Files;
use crate::index::{self, INDEX_FILE, REF_NAME};
use crate::{ArchiveError, limits};
use lapstrake_spec::MANIFEST_LIMIT;

/// The images; none when there is no index.
pub(super) fn read(files: &Files) -> Result<Option<Vec<ArchivedImage>>, ArchiveError> {
    let Some(raw) = files.read(INDEX_FILE, MANIFEST_LIMIT as u64)? else {
        return Ok(None);
    };
    let listed = index::parse(&raw)?.manifests;
    if listed.len() > limits::IMAGES {
        return Err(ArchiveError::Limit {
            what: "images",
            limit: limits::IMAGES as u64,
        });
    }
    let mut images: Vec<ArchivedImage> = Vec::with_capacity(listed.len());
    let mut places = std::collections::BTreeMap::new();
    for entry in listed {
        let name = index::name_of(&entry);
        let label = entry.annotations.get(REF_NAME).cloned();
        let original = index::original(&entry);
        let descriptor = match original {
            Some(original) if files.find(&index::blob_path(&original.digest))?.is_some() => {
                original
            }
            _ => entry,
        };
        let place = *places
            .entry(descriptor.digest.clone())
            .or_insert(images.len());
        let label = label.filter(|_| name.is_none());
        match images.get_mut(place) {
            // A label beside another one needs an image of its own to be found by.
            Some(image) if label.is_none() => image.names.extend(name),
            _ => images.push(ArchivedImage {
                descriptor,
                names: name.into_iter().collect(),
                label,
            }),
        }
    }
    Ok(Some(images))
}

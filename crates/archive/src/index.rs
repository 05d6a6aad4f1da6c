//! `index.json` and the names in it.

use crate::ArchiveError;
use lapstrake_spec::{Descriptor, Digest, Document, Index, Manifest, MediaType, Reference};

/// The file.
pub(crate) const INDEX_FILE: &str = "index.json";
/// The file that says which form the layout has.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";
/// Its content, the same in every layout.
pub(crate) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The complete name of an image, containerd's and docker's annotation.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// A name by OCI's rules: docker writes the tag, others complete names.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// `MEDIATYPE DIGEST SIZE` of the manifest that the listed one is the OCI form of.
pub(crate) const ORIGINAL: &str = "io.lapstrake.manifest";

/// Where a blob is in a layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The digest in the path of a blob.
pub(crate) fn blob_digest(path: &str) -> Option<Digest> {
    let (algorithm, hex) = path.strip_prefix("blobs/")?.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// Reads the bytes of an `index.json`.
pub(crate) fn parse(raw: &[u8]) -> Result<Index, ArchiveError> {
    let invalid = |reason: String| ArchiveError::Invalid {
        path: INDEX_FILE.to_owned(),
        reason,
    };
    match Document::parse(Some(&MediaType::OCI_INDEX), raw) {
        Ok(Document::Index(index)) => Ok(index),
        Ok(Document::Manifest(_)) => Err(invalid("is a manifest".to_owned())),
        Err(lapstrake_spec::ManifestError::Json(source)) => Err(ArchiveError::Table {
            path: INDEX_FILE.to_owned(),
            source,
        }),
        Err(error) => Err(invalid(error.to_string())),
    }
}

/// The complete name of an entry.
pub(crate) fn name_of(desc: &Descriptor) -> Option<Reference> {
    match desc.annotations.get(IMAGE_NAME) {
        Some(name) => Some(Reference::parse(name).ok()?.or_latest()),
        None => word_as_name(desc.annotations.get(REF_NAME)?),
    }
}

/// An entry as it is listed: without a name, or with one.
pub(crate) fn entry(
    listed: &Descriptor,
    original: Option<&Descriptor>,
    name: Option<&Reference>,
) -> Descriptor {
    let mut entry = listed.clone();
    if let Some(name) = name {
        let tag = name.tag().unwrap_or("latest").to_owned();
        let names = [(IMAGE_NAME, name.canonical()), (REF_NAME, tag)];
        let names = names.map(|(key, value)| (key.to_owned(), value));
        entry.annotations.extend(names);
    }
    if let Some(original) = original {
        let (kind, digest, size) = (&original.media_type, &original.digest, original.size);
        let text = format!("{kind} {digest} {size}");
        entry.annotations.insert(ORIGINAL.to_owned(), text);
    }
    entry
}

/// An entry under a word, which other tools look up letter by letter. One that is a complete name is a
/// name as well.
pub(crate) fn labelled(
    listed: &Descriptor,
    original: Option<&Descriptor>,
    word: &str,
) -> Descriptor {
    let name = word_as_name(word).map(|name| name.without_digest().or_latest());
    let mut entry = entry(listed, original, name.as_ref());
    let word = word.to_owned();
    entry.annotations.insert(REF_NAME.to_owned(), word);
    entry
}

/// The name that a word of a layout is. A bare word is a tag by OCI's rules, and `ubuntu` would be no
/// image's name.
fn word_as_name(word: &str) -> Option<Reference> {
    let name = word.contains([':', '/', '@']).then_some(word)?;
    Some(Reference::parse(name).ok()?.or_latest())
}

/// The manifest that an entry is the OCI form of.
pub(crate) fn original(entry: &Descriptor) -> Option<Descriptor> {
    let mut words = entry.annotations.get(ORIGINAL)?.split(' ');
    let kind = MediaType::new(words.next()?);
    let digest = Digest::parse(words.next()?).ok()?;
    let size = words.next()?.parse().ok()?;
    Some(Descriptor::new(kind, digest, size))
}

/// Enters an image: its name moves here from wherever it was, and an entry without a name gives way to
/// one that has one.
pub(crate) fn merge(entries: &mut Vec<Descriptor>, new: Descriptor) {
    let name = name_of(&new);
    let same = |old: &Descriptor| old.digest == new.digest;
    if name.is_none() && !is_nameless(&new) {
        let label = |entry: &Descriptor| match name_of(entry) {
            None => entry.annotations.get(REF_NAME).cloned(),
            Some(_) => None,
        };
        let new_label = label(&new);
        entries.retain(|old| label(old) != new_label && !(same(old) && is_nameless(old)));
        entries.push(new);
        return;
    }
    if name.is_none() {
        if !entries.iter().any(same) {
            entries.push(new);
        }
        return;
    }
    entries.retain(|old| {
        let old_name = name_of(old);
        old_name != name && !(same(old) && is_nameless(old))
    });
    entries.push(new);
}

fn is_nameless(entry: &Descriptor) -> bool {
    !entry.annotations.contains_key(IMAGE_NAME) && !entry.annotations.contains_key(REF_NAME)
}

/// The same image in OCI's words; the blobs are the same. None when it is in OCI's words already.
pub(crate) fn oci_form(manifest: &Manifest) -> Option<Manifest> {
    const LAYERS: [(MediaType, MediaType); 4] = [
        (MediaType::DOCKER_LAYER_GZIP, MediaType::OCI_LAYER_GZIP),
        (MediaType::DOCKER_LAYER_TAR, MediaType::OCI_LAYER_TAR),
        (MediaType::DOCKER_LAYER_ZSTD, MediaType::OCI_LAYER_ZSTD),
        (
            MediaType::DOCKER_FOREIGN_LAYER,
            MediaType::OCI_NONDISTRIBUTABLE_GZIP,
        ),
    ];
    if !manifest.kind().is_docker() {
        return None;
    }
    let layer = |desc: &Descriptor| {
        let known = LAYERS.into_iter();
        let found = known
            .into_iter()
            .find(|(docker, _)| *docker == desc.media_type);
        Descriptor {
            media_type: found.map_or_else(|| desc.media_type.clone(), |(_, oci)| oci),
            ..desc.clone()
        }
    };
    let config = Descriptor {
        media_type: MediaType::OCI_CONFIG,
        ..manifest.config.clone()
    };
    let layers = manifest.layers.iter().map(layer).collect();
    Some(Manifest::new(MediaType::OCI_MANIFEST, config, layers))
}

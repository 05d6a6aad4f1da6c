//! `index.json`: the OCI index that is the list of images.
//!
//! Read at the start of nearly every command, so it is parsed in one pass into the types it is used
//! as. Descriptors without our annotations are strangers' and are kept as they came.

use super::{Entry, Images};
use lapstrake_spec::{Descriptor, Digest, MediaType, Platform, Reference};
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The name of an image, as OCI wants it: complete.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

const ID: &str = "io.lapstrake.id";
const CREATED: &str = "io.lapstrake.created";
const SIZE: &str = "io.lapstrake.size";
const PARENT: &str = "io.lapstrake.parent";
const TAGGED: &str = "io.lapstrake.tagged";
/// `REPOSITORY@DIGEST`, separated by spaces; a repository that is the name's and a digest that is the
/// manifest's are left out, so that the usual value is `@`.
const DIGESTS: &str = "io.lapstrake.digests";
/// `MEDIATYPE DIGEST SIZE` of the manifest that was pulled, when the descriptor is that of its OCI twin.
const MANIFEST: &str = "io.lapstrake.manifest";

/// The index as it is in the file.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(default, borrow)]
    manifests: Option<Vec<Item<'a>>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// A descriptor as it is in the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    #[serde(default, borrow)]
    media_type: Cow<'a, str>,
    digest: Digest,
    size: u64,
    #[serde(default)]
    urls: Option<Vec<String>>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default, borrow)]
    annotations: Annotations<'a>,
}

/// Annotations, ours apart from others.
#[derive(Default)]
struct Annotations<'a> {
    name: Option<Cow<'a, str>>,
    id: Option<Digest>,
    created: Option<String>,
    size: u64,
    parent: Option<Digest>,
    tagged: Option<String>,
    digests: Option<Cow<'a, str>>,
    manifest: Option<Cow<'a, str>>,
    rest: BTreeMap<String, String>,
}

/// A text that is borrowed where it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Reader<'a> {
            type Value = Annotations<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Annotations::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = Annotations::default();
                while let Some((Text(key), Text(value))) =
                    map.next_entry::<Text<'de>, Text<'de>>()?
                {
                    found.take(&key, value);
                }
                Ok(found)
            }
        }

        deserializer.deserialize_any(Reader(std::marker::PhantomData))
    }
}

impl<'a> Annotations<'a> {
    fn take(&mut self, key: &str, value: Cow<'a, str>) {
        match key {
            REF_NAME => self.name = Some(value),
            // A value that is none of ours is a stranger's, or damage: the image is described anew.
            ID => self.id = Digest::parse(&value).ok(),
            CREATED => self.created = Some(value.into_owned()),
            SIZE => self.size = value.parse().unwrap_or(0),
            PARENT => self.parent = Digest::parse(&value).ok(),
            TAGGED => self.tagged = Some(value.into_owned()),
            DIGESTS => self.digests = Some(value),
            MANIFEST => self.manifest = Some(value),
            _ => {
                self.rest.insert(key.to_owned(), value.into_owned());
            }
        }
    }
}

/// Reads the file.
pub(crate) fn parse(raw: &[u8]) -> Result<Images, serde_json::Error> {
    let document: Document<'_> = serde_json::from_slice(raw)?;
    let mut images = Images {
        annotations: document.annotations.unwrap_or_default(),
        ..Images::default()
    };
    let items = document.manifests.unwrap_or_default();
    images.entries.reserve(items.len());
    for item in items {
        read_item(&mut images, item);
    }
    Ok(images)
}

fn read_item(images: &mut Images, item: Item<'_>) {
    let annotations = item.annotations;
    let mut desc = Descriptor {
        media_type: known_type(&item.media_type),
        digest: item.digest,
        size: item.size,
        urls: item.urls.unwrap_or_default(),
        annotations: annotations.rest,
        data: item.data,
        platform: item.platform,
        artifact_type: item.artifact_type,
    };
    let name = annotations
        .name
        .as_deref()
        .and_then(|text| Reference::parse(text).ok())
        .map(|name| name.or_latest());
    // A name that is not ours, or not as we write it, is kept as it is written.
    if let Some(text) = &annotations.name
        && (annotations.id.is_none() || name.as_ref().is_none_or(|n| n.canonical() != **text))
    {
        desc.annotations
            .insert(REF_NAME.to_owned(), text.clone().into_owned());
    }
    let Some(id) = annotations.id else {
        images.others.push(desc);
        return;
    };
    let platform = desc.platform.take();
    if let Some(original) = annotations.manifest.as_deref().and_then(parse_manifest) {
        let twin = Descriptor::new(desc.media_type, desc.digest, desc.size);
        images.twins.insert(original.digest.clone(), twin);
        desc = Descriptor {
            annotations: desc.annotations,
            ..original
        };
    }
    let digests = annotations.digests.as_deref().unwrap_or("");
    let repo_digests = parse_digests(digests, name.as_ref(), &desc.digest);
    images.entries.push(Entry {
        manifest: desc,
        id,
        name,
        repo_digests,
        created: annotations.created,
        size: annotations.size,
        parent: annotations.parent,
        platform,
        tagged_at: annotations.tagged,
    });
}

/// The usual types without an allocation.
fn known_type(text: &str) -> MediaType {
    MediaType::MANIFESTS
        .into_iter()
        .find(|known| known.as_str() == text)
        .unwrap_or_else(|| MediaType::new(text))
}

fn parse_manifest(text: &str) -> Option<Descriptor> {
    let mut words = text.split(' ');
    let media_type = known_type(words.next()?);
    let digest = Digest::parse(words.next()?).ok()?;
    Some(Descriptor::new(
        media_type,
        digest,
        words.next()?.parse().ok()?,
    ))
}

fn parse_digests(text: &str, name: Option<&Reference>, manifest: &Digest) -> Vec<Reference> {
    let parse = |word: &str| {
        let (repository, digest) = word.split_once('@')?;
        let repository = match repository {
            "" => name?.without_tag_and_digest(),
            other => Reference::parse(other).ok()?,
        };
        let digest = match digest {
            "" => manifest.clone(),
            other => Digest::parse(other).ok()?,
        };
        Some(repository.with_digest(digest))
    };
    text.split(' ').filter_map(parse).collect()
}

fn write_digests(entry: &Entry) -> String {
    let mut text = String::new();
    for known in &entry.repo_digests {
        let Some(digest) = known.digest() else {
            continue;
        };
        if !text.is_empty() {
            text.push(' ');
        }
        if !entry
            .name
            .as_ref()
            .is_some_and(|name| name.same_repository(known))
        {
            text.push_str(&known.repository());
        }
        text.push('@');
        if *digest != entry.manifest.digest {
            text.push_str(digest.as_str());
        }
    }
    text
}

/// Writes the file.
pub(crate) fn to_bytes(images: &Images) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Written<'a> {
        schema_version: u32,
        media_type: MediaType,
        manifests: Vec<Item<'a>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        annotations: &'a BTreeMap<String, String>,
    }

    #[derive(Serialize)]
    #[serde(untagged)]
    enum Item<'a> {
        Entry(WrittenEntry<'a>),
        Other(&'a Descriptor),
    }

    let entries = images.entries.iter().map(|entry| {
        let twin = images.twins.get(&entry.manifest.digest);
        Item::Entry(WrittenEntry { entry, twin })
    });
    serde_json::to_vec(&Written {
        schema_version: 2,
        media_type: MediaType::OCI_INDEX,
        manifests: entries
            .chain(images.others.iter().map(Item::Other))
            .collect(),
        annotations: &images.annotations,
    })
}

struct WrittenEntry<'a> {
    entry: &'a Entry,
    twin: Option<&'a Descriptor>,
}

impl Serialize for WrittenEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.entry;
        let shown = self.twin.unwrap_or(&entry.manifest);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mediaType", &shown.media_type)?;
        map.serialize_entry("digest", &shown.digest)?;
        map.serialize_entry("size", &shown.size)?;
        if !entry.manifest.urls.is_empty() {
            map.serialize_entry("urls", &entry.manifest.urls)?;
        }
        if let Some(data) = &entry.manifest.data {
            map.serialize_entry("data", data)?;
        }
        if let Some(platform) = &entry.platform {
            map.serialize_entry("platform", platform)?;
        }
        if let Some(artifact_type) = &entry.manifest.artifact_type {
            map.serialize_entry("artifactType", artifact_type)?;
        }
        map.serialize_entry("annotations", &self.annotations())?;
        map.end()
    }
}

impl WrittenEntry<'_> {
    fn annotations(&self) -> BTreeMap<&str, Cow<'_, str>> {
        let entry = self.entry;
        let mut all: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
        for (key, value) in &entry.manifest.annotations {
            all.insert(key, Cow::Borrowed(value));
        }
        if let Some(name) = &entry.name {
            all.entry(REF_NAME)
                .or_insert_with(|| Cow::Owned(name.canonical()));
        }
        all.insert(ID, Cow::Borrowed(entry.id.as_str()));
        all.insert(SIZE, Cow::Owned(entry.size.to_string()));
        let optional = [
            (CREATED, entry.created.as_deref()),
            (PARENT, entry.parent.as_ref().map(Digest::as_str)),
            (TAGGED, entry.tagged_at.as_deref()),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                all.insert(key, Cow::Borrowed(value));
            }
        }
        if !entry.repo_digests.is_empty() {
            all.insert(DIGESTS, Cow::Owned(write_digests(entry)));
        }
        if self.twin.is_some() {
            let Descriptor {
                media_type,
                digest,
                size,
                ..
            } = &entry.manifest;
            all.insert(
                MANIFEST,
                Cow::Owned(format!("{media_type} {digest} {size}")),
            );
        }
        all
    }
}

//! The build cache in other places: `--cache-to` and `--cache-from`.
//!
//! # The form
//!
//! A cache is an OCI manifest whose layers are those of the build's steps and whose configuration, of the
//! type `application/vnd.lapstrake.cache.config.v1+json`, is
//!
//! ```text
//! {"version": 1, "records": [{"key", "created", "size", "entries", "mark", "layers", "blobs"}, …]}
//! ```
//!
//! with the key of a step, the diff ids of what it made and their blobs, which are among the manifest's layers. In a
//! folder it stands in an OCI layout under the name `cache` and a tag, in a registry under its reference.
//! An inline cache is the same document as an annotation of an image's manifest, its records without
//! blobs: the image's layers are looked up by their diff ids.
//!
//! What the store's own [`Record`] says besides, instruction, environment and arguments, stays at home: they may hold
//! what the stages between have been told in confidence, and all that another host needs is the key.
//!
//! A key is a hash of content, so a record that another host made fits here if and only if the step has
//! the same inputs. What a record's layer holds is as trustworthy as the place that it came from. A record that
//! is here already, with its layers, is not replaced.
//!
//! Layers are fetched when a record is wanted ([`ImportedCache::fetch`]), and not before.

use super::image::put;
use super::{LayerCompression, Product};
use crate::error::{Error, ErrorKind, Origin};
use crate::event::{EventSink, Layers};
use crate::ops::build::CacheLocation;
use crate::{Engine, lookup, transfer};
use lapstrake_archive::LayoutSink;
use lapstrake_build::cache::{Cache, Inputs, Key, Record};
use lapstrake_image::{ContentSink, CopyOptions};
use lapstrake_spec::{Descriptor, Digest, Manifest, MediaType, Reference};
use lapstrake_store::{Lease, Store, Unpack};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod import;

pub(in crate::ops) use import::manifest_for;
pub use import::{ImportedCache, import_cache};

/// The annotation of an image that has its cache with it.
const INLINE: &str = "io.lapstrake.cache.v1";
/// The form of the document.
const VERSION: u32 = 1;
/// Bytes of the document; the newest records that fit are kept.
const DOCUMENT_LIMIT: usize = 6 << 20;
/// Bytes of an inline document: a manifest has to stay below what registries take.
const INLINE_LIMIT: usize = 1 << 20;
/// The repository that a cache in a folder is named by.
const LOCAL_NAME: &str = "cache";

fn config_type() -> MediaType {
    MediaType::new("application/vnd.lapstrake.cache.config.v1+json")
}

/// The configuration of a cache.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    records: Vec<Shared>,
}

/// What others may know of a [`Record`].
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Shared {
    /// The form of the record that it was, which is the form of the key.
    version: u32,
    /// The hash of all that the step depends on.
    key: Key,
    created: String,
    size: u64,
    entries: u64,
    /// A digest of the files that were read, as classic docker's history has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
    layers: Vec<Digest>,
    /// Empty in an inline cache.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    blobs: Vec<Descriptor>,
}

impl Shared {
    fn of(record: &Record) -> Self {
        Self {
            version: record.version,
            key: record.key,
            created: record.created.clone(),
            size: record.size,
            entries: record.entries,
            mark: record.mark.clone(),
            layers: record.layers.clone(),
            blobs: record.blobs.clone(),
        }
    }

    /// The record for this store's cache. What nobody told stays empty.
    fn into_record(self, place: &str) -> Record {
        Record {
            version: self.version,
            key: self.key,
            name: format!("imported from {place}"),
            instruction: String::new(),
            created: self.created,
            size: self.size,
            entries: self.entries,
            inputs: Inputs::default(),
            arguments: BTreeMap::new(),
            mark: self.mark,
            layers: self.layers,
            blobs: self.blobs,
        }
    }
}

/// Which steps are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Those whose layers are in the result.
    #[default]
    Min,
    /// All.
    Max,
}

/// Where a cache is exported to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheTarget {
    /// Into the image's manifest.
    Inline,
    /// An OCI layout in a folder.
    Local {
        /// The folder.
        dest: PathBuf,
        /// The tag in it.
        tag: String,
        /// Which steps.
        mode: CacheMode,
        /// How layers are compressed.
        compression: LayerCompression,
        /// `ignore-error=true`: a failure does not fail the build.
        ignore_error: bool,
    },
    /// A registry.
    Registry {
        /// The name.
        reference: Reference,
        /// Which steps.
        mode: CacheMode,
        /// `ignore-error=true`: a failure does not fail the build.
        ignore_error: bool,
    },
}

impl CacheTarget {
    /// Whether a failure is to be told and nothing else.
    pub fn ignores_errors(&self) -> bool {
        match self {
            Self::Inline => false,
            Self::Local { ignore_error, .. } | Self::Registry { ignore_error, .. } => *ignore_error,
        }
    }

    /// As BuildKit announces it.
    pub fn describe(&self) -> String {
        match self {
            Self::Inline => "preparing layers for inline cache".to_owned(),
            Self::Local { dest, .. } => format!("exporting cache to {}", dest.display()),
            Self::Registry { reference, .. } => {
                format!("exporting cache to {}", reference.canonical())
            }
        }
    }
}

/// Where a cache is imported from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheSource {
    /// An OCI layout in a folder.
    Local {
        /// The folder.
        src: PathBuf,
        /// The tag in it.
        tag: String,
        /// The digest in it, which wins.
        digest: Option<Digest>,
    },
    /// A registry: a cache, or an image that has one inline.
    Registry {
        /// The name.
        reference: Reference,
    },
}

impl CacheSource {
    /// The place, as BuildKit names it after `importing cache manifest from`.
    pub fn describe(&self) -> String {
        match self {
            Self::Local { src, .. } => src.display().to_string(),
            Self::Registry { reference } => reference.canonical(),
        }
    }
}

fn refuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

/// The attributes of a location, each taken once.
struct Attributes<'a>(&'a BTreeMap<String, String>);

impl Attributes<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    fn path(&self, key: &str, directory: &Path) -> Option<PathBuf> {
        self.text(key).map(|path| directory.join(path))
    }

    fn tag(&self) -> String {
        self.text("tag").unwrap_or("latest").to_owned()
    }

    fn mode(&self) -> Result<CacheMode, Error> {
        match self.text("mode") {
            None | Some("min") => Ok(CacheMode::Min),
            Some("max") => Ok(CacheMode::Max),
            Some(other) => Err(refuse(format!("invalid cache export mode {other:?}"))
                .with_hint("known are min and max")),
        }
    }

    fn ignore_error(&self) -> bool {
        matches!(self.text("ignore-error"), Some("true" | "1"))
    }

    fn compression(&self) -> Result<LayerCompression, Error> {
        match self.text("compression") {
            None | Some("uncompressed") => Ok(LayerCompression::AsStored),
            Some("gzip") => Ok(LayerCompression::Gzip),
            Some("zstd") => Ok(LayerCompression::Zstd),
            Some(other) => Err(refuse(format!(
                "unsupported layer compression type: {other:?}"
            ))),
        }
    }
}

/// What a value of `--cache-to` means. Relative paths start from `directory`.
pub fn parse_cache_to(location: &CacheLocation, directory: &Path) -> Result<CacheTarget, Error> {
    let attributes = Attributes(&location.attributes);
    match location.kind.as_str() {
        "inline" => Ok(CacheTarget::Inline),
        "local" => Ok(CacheTarget::Local {
            dest: attributes
                .path("dest", directory)
                .ok_or_else(|| refuse("local cache exporter requires dest"))?,
            tag: attributes.tag(),
            mode: attributes.mode()?,
            compression: attributes.compression()?,
            ignore_error: attributes.ignore_error(),
        }),
        "registry" => {
            let reference = attributes
                .text("ref")
                .ok_or_else(|| refuse("registry cache exporter requires ref"))?;
            Ok(CacheTarget::Registry {
                reference: lookup::parse(reference)?.or_latest(),
                mode: attributes.mode()?,
                ignore_error: attributes.ignore_error(),
            })
        }
        other => Err(refuse(format!("unknown cache exporter: {other:?}"))
            .with_hint("known are registry, local and inline")),
    }
}

/// What a value of `--cache-from` means. Relative paths start from `directory`.
pub fn parse_cache_from(location: &CacheLocation, directory: &Path) -> Result<CacheSource, Error> {
    let attributes = Attributes(&location.attributes);
    match location.kind.as_str() {
        "local" => Ok(CacheSource::Local {
            src: attributes
                .path("src", directory)
                .ok_or_else(|| refuse("local cache importer requires src"))?,
            tag: attributes.tag(),
            digest: attributes
                .text("digest")
                .map(|text| Digest::parse(text).map_err(|error| refuse(error.to_string())))
                .transpose()?,
        }),
        "registry" => {
            let reference = attributes
                .text("ref")
                .ok_or_else(|| refuse("registry cache importer requires ref"))?;
            Ok(CacheSource::Registry {
                reference: lookup::parse(reference)?.or_latest(),
            })
        }
        other => Err(refuse(format!("unknown cache importer: {other:?}"))
            .with_hint("known are registry and local")),
    }
}

fn local_name(tag: &str) -> Result<Reference, Error> {
    let name = lookup::parse(LOCAL_NAME)?;
    name.with_tag(tag)
        .map_err(|error| refuse(error.to_string()))
}

/// The records of a mode, the newest first.
fn chosen<'a>(records: &'a [Record], mode: CacheMode, products: &[Product]) -> Vec<&'a Record> {
    let in_result: BTreeSet<&Digest> = products
        .iter()
        .flat_map(|product| &product.layers)
        .map(|layer| &layer.diff_id)
        .collect();
    let mut seen = BTreeSet::new();
    let mut chosen: Vec<&Record> = records
        .iter()
        .filter(|record| !record.layers.is_empty() && seen.insert(record.key))
        .filter(|record| {
            mode == CacheMode::Max || record.layers.iter().all(|layer| in_result.contains(layer))
        })
        .collect();
    // The same records give the same document, in whatever order the steps ended.
    chosen.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.key.cmp(&b.key)));
    chosen
}

/// The bytes of a document with the first records that fit.
fn document(records: Vec<Shared>, limit: usize) -> Result<Vec<u8>, Error> {
    let mut left = limit;
    let mut kept = Vec::with_capacity(records.len());
    for record in records {
        let size = serde_json::to_vec(&record).map_err(Error::internal)?.len() + 1;
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => break,
        }
        kept.push(record);
    }
    let document = Document {
        version: VERSION,
        records: kept,
    };
    serde_json::to_vec(&document).map_err(Error::internal)
}

/// The records of these keys that the store's cache has.
pub fn known_records(engine: &Engine, keys: &[Key]) -> Result<Vec<Record>, Error> {
    let cache = Cache::of(engine.store()?);
    Ok(keys.iter().filter_map(|key| cache.record(key)).collect())
}

/// Puts the cache of a product's steps into its annotations: `type=inline`.
pub fn inline_cache(product: &mut Product, records: &[Record]) -> Result<(), Error> {
    let chosen = chosen(records, CacheMode::Min, std::slice::from_ref(product));
    let bare = chosen.into_iter().map(|record| Shared {
        blobs: Vec::new(),
        ..Shared::of(record)
    });
    let raw = document(bare.collect(), INLINE_LIMIT)?;
    let text = String::from_utf8(raw).map_err(Error::internal)?;
    product.annotations.insert(INLINE.to_owned(), text);
    Ok(())
}

/// Writes the records of a build's steps, and their layers, to a place. Nothing is to be done for
/// [`CacheTarget::Inline`], see [`inline_cache`]. To be called after the outputs: the error names the place, and
/// what was built stays.
pub async fn export_cache(
    engine: &Engine,
    target: &CacheTarget,
    records: &[Record],
    products: &[Product],
    lease: &Lease,
    events: &dyn EventSink,
) -> Result<Option<Descriptor>, Error> {
    let written = match target {
        CacheTarget::Inline => return Ok(None),
        CacheTarget::Local {
            dest,
            tag,
            mode,
            compression,
            ..
        } => {
            let records = chosen(records, *mode, products);
            to_folder(engine, &records, (dest, tag), *compression, lease).await
        }
        CacheTarget::Registry {
            reference, mode, ..
        } => {
            let records = chosen(records, *mode, products);
            to_registry(engine, &records, reference, lease, events).await
        }
    };
    written.map(Some).map_err(|error| {
        let text = format!("{}: {}", target.describe(), error.message());
        let named = Error::new(error.kind(), text).with_origin(Origin::Stream);
        match error.hint() {
            Some(hint) => named.with_hint(hint),
            None => named,
        }
    })
}

async fn to_folder(
    engine: &Engine,
    records: &[&Record],
    (dest, tag): (&Path, &str),
    compression: LayerCompression,
    lease: &Lease,
) -> Result<Descriptor, Error> {
    let store = engine.store()?;
    let name = local_name(tag)?;
    let manifest = assemble(store, records, compression, lease)?;
    let sink = LayoutSink::create(dest).map_err(lapstrake_image::Error::from)?;
    let sink = sink.trusting();
    send(engine, &manifest, &sink, &name, &crate::Ignore).await?;
    Ok(manifest)
}

async fn to_registry(
    engine: &Engine,
    records: &[&Record],
    reference: &Reference,
    lease: &Lease,
    events: &dyn EventSink,
) -> Result<Descriptor, Error> {
    let store = engine.store()?;
    let manifest = assemble(store, records, LayerCompression::Gzip, lease)?;
    let client = transfer::client(engine)?;
    let sink = client.sink(reference, BTreeMap::new());
    send(engine, &manifest, sink.as_ref(), reference, events).await?;
    Ok(manifest)
}

async fn send(
    engine: &Engine,
    manifest: &Descriptor,
    sink: &dyn ContentSink,
    name: &Reference,
    events: &dyn EventSink,
) -> Result<(), Error> {
    let source = engine.store()?.endpoint(Unpack::Later);
    let options = CopyOptions {
        concurrency: engine.settings().max_concurrent_uploads,
        tag: Some(name.clone()),
        ..CopyOptions::push()
    };
    lapstrake_image::copy(&source, sink, manifest, &options, &Layers(events)).await?;
    Ok(())
}

/// Writes the documents of a cache into the store. Records whose layers have gone are left out.
fn assemble(
    store: &Store,
    records: &[&Record],
    compression: LayerCompression,
    lease: &Lease,
) -> Result<Descriptor, Error> {
    let mut blobs = Blobs {
        store,
        compression,
        lease,
        made: BTreeMap::new(),
        layers: Vec::new(),
    };
    let mut kept = Vec::with_capacity(records.len());
    for record in records {
        let mut record = Shared::of(record);
        if blobs.take(&mut record)? {
            kept.push(record);
        }
    }
    let raw = document(kept, DOCUMENT_LIMIT)?;
    let config = put(store, config_type(), &raw, lease)?;
    let manifest = Manifest {
        artifact_type: Some(config_type().to_string()),
        ..Manifest::new(MediaType::OCI_MANIFEST, config, blobs.layers)
    };
    put(store, MediaType::OCI_MANIFEST, &manifest.to_bytes(), lease)
}

/// The layers of a cache, each once.
struct Blobs<'a> {
    store: &'a Store,
    compression: LayerCompression,
    lease: &'a Lease,
    /// By the digest of a stored blob, what is exported in its place.
    made: BTreeMap<Digest, Descriptor>,
    layers: Vec<Descriptor>,
}

impl Blobs<'_> {
    /// Lists a record's blobs and lets it name what is exported; false when one is gone.
    fn take(&mut self, record: &mut Shared) -> Result<bool, Error> {
        let digests: Vec<Digest> = record
            .blobs
            .iter()
            .map(|blob| blob.digest.clone())
            .collect();
        self.lease.protect(&digests)?;
        for digest in &digests {
            if !self.store.has_blob(digest)? {
                return Ok(false);
            }
        }
        for blob in &mut record.blobs {
            let exported = match self.made.get(&blob.digest) {
                Some(made) => made.clone(),
                None => self.export(blob)?,
            };
            *blob = exported;
        }
        Ok(record.blobs.len() == record.layers.len())
    }

    fn export(&mut self, blob: &Descriptor) -> Result<Descriptor, Error> {
        let stored = Descriptor::new(blob.media_type.clone(), blob.digest.clone(), blob.size);
        let wanted = self.compression.media_type();
        let is_other = self.compression != LayerCompression::AsStored;
        let made = if is_other && transfer::is_plain(&stored.media_type) {
            self.store.recompress_layer(&stored, wanted, self.lease)?
        } else {
            stored
        };
        let made = Descriptor {
            media_type: transfer::Family::Oci.layer(&made.media_type),
            ..made
        };
        self.made.insert(blob.digest.clone(), made.clone());
        self.layers.push(made.clone());
        Ok(made)
    }
}

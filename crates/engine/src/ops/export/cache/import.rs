//! A cache that another place has.

use super::{
    CacheSource, DOCUMENT_LIMIT, Document, INLINE, Shared, VERSION, config_type, local_name,
};
use crate::Engine;
use crate::error::{Error, ErrorKind};
use crate::transfer;
use lapstrake_archive::Archive;
use lapstrake_build::cache::{Cache, Key, Record};
use lapstrake_image::{
    ContentSink, ContentSource, INDEX_DEPTH_LIMIT, RetryPolicy, Silent, read_blob,
};
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, Document as Parsed, ImageConfig, Manifest, Platform,
    Reference,
};
use lapstrake_store::{Lease, Store, Unpack};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The records of a cache elsewhere. Their layers are fetched one by one.
pub struct ImportedCache {
    source: Arc<dyn ContentSource>,
    records: BTreeMap<Key, Record>,
}

impl std::fmt::Debug for ImportedCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportedCache")
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

impl ImportedCache {
    /// The record of a key.
    pub fn record(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Brings the layers of a record into the store and enters it in the store's own cache; false when
    /// there is no record of the key. `lease` keeps the layers.
    pub async fn fetch(&self, store: &Store, key: &Key, lease: &Lease) -> Result<bool, Error> {
        let Some(record) = self.records.get(key) else {
            return Ok(false);
        };
        if is_here(store, record, lease)? {
            return Ok(true);
        }
        let endpoint = store.endpoint(Unpack::Now);
        for (blob, diff_id) in record.blobs.iter().zip(&record.layers) {
            lease.protect(&[blob.digest.clone(), diff_id.clone()])?;
            endpoint
                .put_blob(blob, Some(diff_id), self.source.as_ref(), &Silent)
                .await?;
        }
        Cache::of(store)
            .put(record)
            .map_err(|error| lapstrake_image::Error::io(&error, copy_of(error.io_error())))?;
        Ok(true)
    }
}

/// Whether the store's own cache has a record of the key, which says more than one from elsewhere, and its layers.
fn is_here(store: &Store, wanted: &Record, lease: &Lease) -> Result<bool, Error> {
    let Some(own) = Cache::of(store).record(&wanted.key) else {
        return Ok(false);
    };
    for (blob, diff_id) in own.blobs.iter().zip(&own.layers) {
        lease.protect(&[blob.digest.clone(), diff_id.clone()])?;
        if !store.has_blob(&blob.digest)? {
            return Ok(false);
        }
    }
    Ok(!own.blobs.is_empty())
}

/// An error of the same kind that can be owned.
fn copy_of(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(number) => std::io::Error::from_raw_os_error(number),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

/// Reads the records of a place. An image without a cache has none, which is no error; what cannot be
/// reached or read is one, and no reason for a build to fail.
pub async fn import_cache(engine: &Engine, from: &CacheSource) -> Result<ImportedCache, Error> {
    let (source, name): (Arc<dyn ContentSource>, Reference) = match from {
        CacheSource::Local { src, tag, digest } => {
            let archive = Archive::open_folder(src).map_err(lapstrake_image::Error::from)?;
            let name = local_name(tag)?;
            let name = match digest {
                Some(digest) => name.without_tag().with_digest(digest.clone()),
                None => name,
            };
            (Arc::new(archive), name)
        }
        CacheSource::Registry { reference } => {
            let client = transfer::client(engine)?;
            (client.source(reference), reference.clone())
        }
    };
    let top = source.resolve(&name).await?;
    let manifest = manifest_for(source.as_ref(), top, &Platform::host()).await?;
    let records = match manifest {
        Some(manifest) => read(source.as_ref(), &manifest).await?,
        None => Vec::new(),
    };
    let place = from.describe();
    let records = records
        .into_iter()
        .map(|record| (record.key, record.into_record(&place)));
    Ok(ImportedCache {
        source,
        records: records.collect(),
    })
}

/// The manifest that a name leads to; of an index, the one for this platform.
pub(in crate::ops) async fn manifest_for(
    source: &dyn ContentSource,
    top: Descriptor,
    platform: &Platform,
) -> Result<Option<Manifest>, Error> {
    let mut desc = top;
    for _ in 0..=INDEX_DEPTH_LIMIT {
        let raw = source.manifest(&desc).await?;
        let parsed = Parsed::parse(Some(&desc.media_type), &raw)
            .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))?;
        let index = match parsed {
            Parsed::Manifest(manifest) => return Ok(Some(manifest)),
            Parsed::Index(index) => index,
        };
        let fits = |desc: &Descriptor| match &desc.platform {
            Some(offered) => platform.preference(offered),
            None => Some(u32::MAX),
        };
        let ranked = index.manifests.into_iter();
        let ranked = ranked.filter_map(|desc| Some((fits(&desc)?, desc)));
        match ranked.min_by_key(|(rank, _)| *rank) {
            Some((_, next)) => desc = next,
            None => return Ok(None),
        }
    }
    Ok(None)
}

async fn read(source: &dyn ContentSource, manifest: &Manifest) -> Result<Vec<Shared>, Error> {
    let retry = RetryPolicy::default();
    if manifest.config.media_type == config_type() {
        let raw = read_blob(
            source,
            &manifest.config,
            DOCUMENT_LIMIT + 1024,
            retry,
            &Silent,
        )
        .await?;
        return Ok(sound(parse(&raw)?, &manifest.layers));
    }
    let Some(text) = manifest.annotations.get(INLINE) else {
        return Ok(Vec::new());
    };
    let mut records = parse(text.as_bytes())?;
    let raw = read_blob(source, &manifest.config, CONFIG_LIMIT, retry, &Silent).await?;
    let config = ImageConfig::parse(&raw)
        .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))?;
    let blobs: BTreeMap<&Digest, &Descriptor> = config
        .rootfs
        .diff_ids
        .iter()
        .zip(&manifest.layers)
        .collect();
    for record in &mut records {
        let found = record.layers.iter();
        let found = found.filter_map(|diff_id| blobs.get(diff_id).map(|desc| (*desc).clone()));
        record.blobs = found.collect();
    }
    Ok(sound(records, &manifest.layers))
}

fn parse(raw: &[u8]) -> Result<Vec<Shared>, Error> {
    let document: Document = serde_json::from_slice(raw).map_err(|error| {
        let text = format!("cache is not readable: {error}");
        Error::new(ErrorKind::Corrupt, text)
    })?;
    if document.version != VERSION {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "cache is of version {}, and {VERSION} is known",
                document.version
            ),
        ));
    }
    Ok(document.records)
}

/// The records whose layers are those of the manifest.
fn sound(records: Vec<Shared>, layers: &[Descriptor]) -> Vec<Shared> {
    let known: BTreeMap<&Digest, &Descriptor> =
        layers.iter().map(|desc| (&desc.digest, desc)).collect();
    let is_sound = |record: &Shared| {
        let blobs = &record.blobs;
        !record.layers.is_empty()
            && record.layers.len() == blobs.len()
            && blobs.iter().all(|blob| {
                let listed = known.get(&blob.digest);
                listed.is_some_and(|listed| listed.size == blob.size)
            })
    };
    records.into_iter().filter(is_sound).collect()
}

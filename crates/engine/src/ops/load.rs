//! `load`: images out of an archive into the store, with the names and digests they had.

use super::export::open_archive;
use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink, Layers};
use crate::ops::ArchiveInput;
use lapstrake_archive::{Archive, ArchivedImage};
use lapstrake_image::{
    ContentSource, Copied, CopyOptions, ErrorKind as TransferKind, RetryPolicy, Silent, choose,
    read_blob,
};
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, ImageConfig, Manifest, Platform, Reference,
};
use lapstrake_store::{Entry, Store, StoreEndpoint, Unpack};
use std::collections::BTreeSet;
use tokio::task::spawn_blocking;

/// What `load` asks for.
#[expect(missing_debug_implementations, reason = "of an object of a trait")]
pub struct LoadRequest {
    /// The archive.
    pub input: ArchiveInput,
    /// What errors call it.
    pub name: String,
    /// Only images that run on this; of an index, this one.
    pub platform: Option<Platform>,
}

/// Loads every image of an archive; the ids, in the archive's order. Each image is told of when it is
/// whole: a failure leaves those before it, and no part of another.
pub async fn load(
    engine: &Engine,
    request: LoadRequest,
    events: &dyn EventSink,
) -> Result<Vec<Digest>, Error> {
    let sink = engine.store()?.endpoint(Unpack::Now);
    let loaded = load_all(engine, request, &sink, events).await;
    if loaded.is_err() {
        // Another try has the archive to read from: unlike parts of a download, these are worth nothing.
        let collected = spawn_blocking(move || sink.abandon()).await;
        // The failure that is on its way matters more than one to clean up after it.
        collected.map_err(Error::internal)?.ok();
    }
    loaded
}

async fn load_all(
    engine: &Engine,
    request: LoadRequest,
    sink: &StoreEndpoint,
    events: &dyn EventSink,
) -> Result<Vec<Digest>, Error> {
    // Docker has begun its answer by now.
    let stream = |error: Error| error.with_origin(Origin::Stream);
    let archive = {
        let engine = engine.clone();
        let open = move || open_archive(&engine, request.input, &request.name);
        let opened = spawn_blocking(open).await.map_err(Error::internal)?;
        opened.map_err(stream)?
    };
    events.event(Event::LoadStarted);
    let platform = request.platform;
    let load = Load {
        engine,
        archive: &archive,
        sink,
        platform,
        events,
    };
    let mut ids = Vec::with_capacity(archive.images().len());
    for image in archive.images() {
        ids.extend(load.image(image).await.map_err(stream)?);
    }
    match &load.platform {
        Some(platform) if ids.is_empty() => {
            let text = format!("requested platform ({platform}) not found");
            Err(stream(Error::new(ErrorKind::NotFound, text)))
        }
        _ => Ok(ids),
    }
}

struct Load<'a> {
    engine: &'a Engine,
    archive: &'a Archive,
    sink: &'a StoreEndpoint,
    platform: Option<Platform>,
    events: &'a dyn EventSink,
}

impl Load<'_> {
    /// Loads one image, unless another platform is wanted.
    async fn image(&self, image: &ArchivedImage) -> Result<Option<Digest>, Error> {
        let Some((top, manifest)) = self.choose(image).await? else {
            return Ok(None);
        };
        let id = manifest.config.digest.clone();
        let renamed = match keep_known(self.engine, &id, &image.names)? {
            Some(renamed) => renamed,
            None => {
                let options = CopyOptions {
                    concurrency: self.engine.settings().max_concurrent_downloads,
                    ..CopyOptions::pull()
                };
                let observer = Layers(self.events);
                let copied =
                    lapstrake_image::copy(self.archive, self.sink, &top, &options, &observer)
                        .await?;
                enter(self.engine, &copied, &image.names, Vec::new())?
            }
        };
        self.tell(&id, &image.names, renamed);
        Ok(Some(id))
    }

    /// The image of an index for this platform, or the image itself.
    async fn choose(&self, image: &ArchivedImage) -> Result<Option<(Descriptor, Manifest)>, Error> {
        let settings = self.engine.settings();
        let platform = self.platform.clone();
        let platform = platform.or_else(|| settings.default_platform.clone());
        let chosen = choose(self.archive, &image.descriptor, platform).await;
        let (top, manifest) = match chosen {
            Err(error) if self.platform.is_some() && error.kind() == TransferKind::NotFound => {
                return Ok(None);
            }
            other => other?,
        };
        if let Some(wanted) = &self.platform {
            let offered = config(self.archive, &manifest).await?.platform();
            if wanted.preference(&offered).is_none() {
                return Ok(None);
            }
        }
        Ok(Some((top, manifest)))
    }

    fn tell(&self, id: &Digest, names: &[Reference], mut renamed: Vec<(Reference, Digest)>) {
        for name in names {
            let old = renamed.iter().position(|(renamed, _)| renamed == name);
            if let Some((reference, id)) = old.map(|at| renamed.remove(at)) {
                self.events.event(Event::Renamed { reference, id });
            }
            self.events.event(Event::Loaded {
                reference: name.clone(),
            });
        }
        if names.is_empty() {
            self.events.event(Event::LoadedId { id: id.clone() });
        }
    }
}

async fn config(source: &dyn ContentSource, manifest: &Manifest) -> Result<ImageConfig, Error> {
    let raw = read_blob(
        source,
        &manifest.config,
        CONFIG_LIMIT,
        RetryPolicy::immediate(),
        &Silent,
    );
    ImageConfig::parse(&raw.await?)
        .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()).with_source(error))
}

/// Names an image that is here already, which then keeps its manifest and compressed layers: the archive
/// may have the same layers in another form. Answers the names that were taken from other images; none
/// when the image is not here, or lacks something.
pub(super) fn keep_known(
    engine: &Engine,
    id: &Digest,
    names: &[Reference],
) -> Result<Option<Vec<(Reference, Digest)>>, Error> {
    let now = engine.now().to_string();
    let store = engine.store()?;
    if store.images()?.by_id(id).is_none() || !incomplete(store, id)?.is_empty() {
        return Ok(None);
    }
    let mut known = false;
    let mut moved = Vec::new();
    store.update(|images| {
        moved = names
            .iter()
            .filter_map(|name| owner(images, name, id))
            .collect();
        known = images.by_id(id).is_some();
        for name in names {
            known &= images.tag(id, name, &now);
        }
        Ok::<_, Error>(())
    })?;
    Ok(known.then_some(moved))
}

/// The manifests of an image of which something is missing.
fn incomplete(store: &Store, id: &Digest) -> Result<BTreeSet<Digest>, Error> {
    let images = store.images()?;
    let mut found = BTreeSet::new();
    for entry in images.entries().iter().filter(|entry| entry.id == *id) {
        if !store.is_complete(&entry.manifest)? {
            found.insert(entry.manifest.digest.clone());
        }
    }
    Ok(found)
}

/// The other image that has a name.
fn owner(
    images: &lapstrake_store::Images,
    name: &Reference,
    id: &Digest,
) -> Option<(Reference, Digest)> {
    let old = images.by_name(name).filter(|old| old.id != *id)?;
    Some((name.clone(), old.id.clone()))
}

/// Enters an image whose blobs are here, and answers the names that were taken from other images.
pub(super) fn enter(
    engine: &Engine,
    copied: &Copied,
    names: &[Reference],
    repo_digests: Vec<Reference>,
) -> Result<Vec<(Reference, Digest)>, Error> {
    let store = engine.store()?;
    let config = copied.image.as_ref().ok_or_else(|| {
        let media_type = &copied.parsed.config.media_type;
        let text = format!("unsupported media type {media_type}");
        Error::new(ErrorKind::Unsupported, text)
    })?;
    let mut size = 0u64;
    for diff_id in &config.rootfs.diff_ids {
        size = size.saturating_add(store.layer_size(diff_id)?);
    }
    let entry = Entry {
        manifest: copied.manifest.clone(),
        id: copied.config.clone(),
        name: None,
        repo_digests,
        created: config.created.clone(),
        size,
        parent: None,
        platform: Some(config.platform()),
        tagged_at: Some(engine.now().to_string()),
    };
    let broken = incomplete(store, &copied.config)?;
    let mut moved = Vec::new();
    store.update(|images| {
        let id = &entry.id;
        for manifest in &broken {
            images.replace_manifest(manifest, &entry.manifest);
        }
        moved = names
            .iter()
            .filter_map(|name| owner(images, name, id))
            .collect();
        if names.is_empty() {
            images.insert(entry.clone());
        }
        for name in names {
            images.insert(Entry {
                name: Some(name.clone()),
                ..entry.clone()
            });
        }
        Ok::<_, Error>(())
    })?;
    Ok(moved)
}

#[cfg(test)]
mod tests;

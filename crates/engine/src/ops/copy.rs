//! `copy`: an image from one place to another, with the bytes it has.
//!
//! Every pair of places is one call of `image::copy` between their endpoints. Of an index the image for
//! one platform is copied, and stands alone at the other end.

use super::export::open_archive;
use super::load::{enter, keep_known};
use super::push::{compressed, hold};
use super::save::{entry, one_by_one, tar_sink, writing};
use super::target::OpenTarget;
use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink, Layers};
use crate::ops::{ArchiveInput, ArchiveTarget};
use crate::{Engine, lookup, transfer};
use lapstrake_archive::{Archive, ArchivedImage, LayoutSink, TarFormat};
use lapstrake_image::{ContentSink, ContentSource, CopyOptions, choose};
use lapstrake_spec::{Descriptor, Digest, Manifest, Platform, Reference};
use lapstrake_store::{Lease, Unpack};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::spawn_blocking;

mod place;

pub use place::Place;

/// What `copy` asks for.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    /// Where the image is.
    pub from: Place,
    /// Where it is to be.
    pub to: Place,
    /// Which image of an index; this host's when not given.
    pub platform: Option<Platform>,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The image id.
    pub id: Digest,
}

/// Copies one image.
pub async fn copy(
    engine: &Engine,
    request: &CopyRequest,
    events: &dyn EventSink,
) -> Result<Copied, Error> {
    let client = |error: Error| error.with_origin(Origin::Client);
    let (from, to) = (request.from.to_string(), request.to.to_string());
    let away = !matches!(request.to, Place::Store(_));
    events.event(Event::CopyStarted { from, to, away });
    let opened = open(engine, request).await.map_err(client)?;
    let platform = request.platform.clone();
    let platform = platform.or_else(|| engine.settings().default_platform.clone());
    let (top, manifest) = choose(opened.source.as_ref(), &opened.top, platform)
        .await
        .map_err(|error| client(error.into()))?;
    let copied = Copied {
        digest: top.digest.clone(),
        id: manifest.config.digest.clone(),
    };
    let transfer = Transfer {
        engine,
        opened,
        top,
        manifest,
        events,
    };
    transfer.run(&request.to).await.map_err(client)?;
    Ok(copied)
}

/// The place that an image is read from.
struct Opened {
    source: Arc<dyn ContentSource>,
    top: Descriptor,
    /// What it is called there.
    names: Vec<Reference>,
    /// The name in a registry.
    remote: Option<Reference>,
    /// Keeps what is in the store.
    lease: Option<Lease>,
}

async fn open(engine: &Engine, request: &CopyRequest) -> Result<Opened, Error> {
    match &request.from {
        Place::Registry(name) => {
            let name = name.or_latest();
            let source = transfer::client(engine)?.source(&name);
            let top = source.resolve(&name).await?;
            Ok(Opened {
                source,
                top,
                names: name
                    .tag()
                    .map(|_| name.without_digest())
                    .into_iter()
                    .collect(),
                remote: Some(name),
                lease: None,
            })
        }
        Place::Store(typed) => {
            let push = matches!(request.to, Place::Registry(_));
            open_store(engine, typed.as_deref().unwrap_or_default(), push).await
        }
        Place::OciFolder { path, word } => {
            let path = path.clone();
            let opened = spawn_blocking(move || Archive::open_folder(&path)).await;
            let archive = opened.map_err(Error::internal)?;
            let archive = archive.map_err(lapstrake_image::Error::from)?;
            open_image(archive, word.as_deref(), &request.from)
        }
        Place::DockerArchive { path, word } | Place::OciArchive { path, word } => {
            let (engine, path) = (engine.clone(), path.clone());
            let opened = spawn_blocking(move || {
                let name = path.display().to_string();
                let file = File::open(&path)
                    .map_err(|error| lapstrake_image::Error::io(format!("open {name}"), error))?;
                open_archive(&engine, ArchiveInput::File(file), &name)
            });
            let archive = opened.await.map_err(Error::internal)??;
            open_image(archive, word.as_deref(), &request.from)
        }
    }
}

/// An image of the store. On the way to a registry its layers are compressed, as `push` does.
async fn open_store(engine: &Engine, typed: &str, push: bool) -> Result<Opened, Error> {
    let store = engine.store()?;
    let (found, name) = entry(&store.images()?, typed)?;
    let lease = Arc::new(store.lease()?);
    if !hold(store, &found, &lease)? {
        return Err(Error::no_such_image(typed));
    }
    let was_fetched = !store.images()?.digests_of(&found.id).is_empty();
    let top = if push && !was_fetched {
        let (store, lease) = (store.clone(), Arc::clone(&lease));
        let compressed = spawn_blocking(move || compressed(&store, &found, &lease));
        compressed.await.map_err(Error::internal)??
    } else {
        found.manifest
    };
    Ok(Opened {
        source: Arc::new(store.endpoint(Unpack::Later)),
        top,
        names: name.into_iter().collect(),
        remote: None,
        lease: Arc::into_inner(lease),
    })
}

/// The image of an archive that a word stands for, or the only one.
fn open_image(archive: Archive, word: Option<&str>, place: &Place) -> Result<Opened, Error> {
    let image = match (word, archive.images()) {
        (Some(word), _) => archive.find(word).ok_or_else(|| {
            let text = format!("no image {word} in {}", place.path().display());
            Error::new(ErrorKind::NotFound, text).with_hint(known(&archive))
        })?,
        (None, [only]) => only,
        (None, []) => {
            let text = format!("no image in {}", place.path().display());
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        (None, several) => {
            let path = place.path().display();
            let text = format!("{} images in {path}, and none is named", several.len());
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_hint(known(&archive)));
        }
    };
    Ok(Opened {
        top: image.descriptor.clone(),
        names: image.names.clone(),
        source: Arc::new(archive),
        remote: None,
        lease: None,
    })
}

/// What images of an archive are called, a few of them.
fn known(archive: &Archive) -> String {
    const SHOWN: usize = 8;
    let names = |image: &ArchivedImage| {
        let names = image.names.iter().map(Reference::familiar);
        names.chain(image.label.clone()).collect::<Vec<_>>()
    };
    let names: Vec<String> = archive
        .images()
        .iter()
        .flat_map(names)
        .take(SHOWN)
        .collect();
    if names.is_empty() {
        return "its images have no names: take it whole with `lap load`".to_owned();
    }
    format!("it has {}", names.join(", "))
}

/// One copy at work.
struct Transfer<'a> {
    engine: &'a Engine,
    opened: Opened,
    top: Descriptor,
    manifest: Manifest,
    events: &'a dyn EventSink,
}

impl Transfer<'_> {
    async fn run(self, to: &Place) -> Result<(), Error> {
        match to {
            Place::Registry(name) => self.to_registry(name).await,
            Place::Store(name) => self.to_store(name.as_deref()).await,
            Place::OciFolder { path, word } => self.to_folder(path.clone(), word.as_deref()).await,
            Place::DockerArchive { path, word } => {
                self.to_tar(path.clone(), TarFormat::Docker, word.as_deref())
                    .await
            }
            Place::OciArchive { path, word } => {
                self.to_tar(path.clone(), TarFormat::Oci, word.as_deref())
                    .await
            }
        }
    }

    async fn copy(
        &self,
        sink: &dyn ContentSink,
        options: &CopyOptions,
    ) -> Result<lapstrake_image::Copied, lapstrake_image::Error> {
        let (source, observer) = (self.opened.source.as_ref(), Layers(self.events));
        lapstrake_image::copy(source, sink, &self.top, options, &observer).await
    }

    /// The names of the copy: the one that was asked for, else those of the original.
    fn names(&self, word: Option<&str>) -> Result<Vec<Reference>, Error> {
        match word {
            Some(word) => Ok(vec![lookup::parse(word)?.or_latest()]),
            None => Ok(self.opened.names.clone()),
        }
    }

    async fn to_registry(&self, name: &Reference) -> Result<(), Error> {
        let name = name.or_latest();
        let sink = transfer::client(self.engine)?.sink(&name, self.mounts(&name));
        let options = CopyOptions {
            concurrency: self.engine.settings().max_concurrent_uploads,
            tag: name.digest().is_none().then_some(name),
            ..CopyOptions::push()
        };
        self.copy(sink.as_ref(), &options).await?;
        Ok(())
    }

    /// Within one registry, what the other repository has needs not travel.
    fn mounts(&self, to: &Reference) -> BTreeMap<Digest, Vec<String>> {
        let from = self.opened.remote.as_ref();
        let Some(from) = from.filter(|from| from.domain() == to.domain()) else {
            return BTreeMap::new();
        };
        let blobs = std::iter::once(&self.manifest.config).chain(&self.manifest.layers);
        let from = vec![from.path().to_owned()];
        blobs
            .map(|blob| (blob.digest.clone(), from.clone()))
            .collect()
    }

    async fn to_store(&self, name: Option<&str>) -> Result<(), Error> {
        let names = self.names(name)?;
        let id = &self.manifest.config.digest;
        if keep_known(self.engine, id, &names)?.is_some() {
            return Ok(());
        }
        let sink = self.engine.store()?.endpoint(Unpack::Now);
        let options = CopyOptions {
            concurrency: self.engine.settings().max_concurrent_downloads,
            ..CopyOptions::pull()
        };
        let copied = self.copy(&sink, &options).await?;
        let remote = self.opened.remote.as_ref();
        let digests = remote.map(|name| match name.digest() {
            Some(_) => name.without_tag(),
            None => name.or_latest().with_digest(self.top.digest.clone()),
        });
        enter(self.engine, &copied, &names, digests.into_iter().collect())?;
        Ok(())
    }

    async fn to_folder(&self, path: PathBuf, word: Option<&str>) -> Result<(), Error> {
        check_word(word)?;
        let created = spawn_blocking(move || LayoutSink::create(&path)).await;
        let sink = created.map_err(Error::internal)?;
        let mut sink = sink.map_err(lapstrake_image::Error::from)?;
        if self.opened.lease.is_some() {
            sink = sink.trusting();
        }
        self.copy(&sink, &one_by_one()).await.map_err(writing)?;
        match word {
            Some(word) => sink
                .label(word, &self.top)
                .map_err(lapstrake_image::Error::from)?,
            None => {
                for name in &self.opened.names {
                    sink.tag(name, &self.top).await?;
                }
            }
        }
        Ok(())
    }

    async fn to_tar(
        &self,
        path: PathBuf,
        format: TarFormat,
        word: Option<&str>,
    ) -> Result<(), Error> {
        check_word(word)?;
        let target = OpenTarget::open(ArchiveTarget::File(path), "failed to copy image")?;
        let sink = tar_sink(&target, format, self.opened.lease.is_some())?;
        self.copy(&sink, &one_by_one()).await.map_err(writing)?;
        match word.filter(|_| format == TarFormat::Oci) {
            Some(word) => sink.label(word, &self.top),
            None => {
                for name in self.names(word)? {
                    sink.tag(&name, &self.top).await?;
                }
            }
        }
        sink.finish().await.map_err(writing)?;
        target.keep()
    }
}

/// Checks what a layout is to call an image: a tag alone may be any word.
fn check_word(word: Option<&str>) -> Result<(), Error> {
    match word.filter(|word| word.contains([':', '/', '@'])) {
        Some(name) => lookup::parse(name).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

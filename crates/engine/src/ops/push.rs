//! `push`: from the store to a registry.
//!
//! Layers that were made here are stored as plain tars; the first push compresses them, and the image
//! keeps the compressed blobs and the manifest that names them from then on. So a second push, to any
//! registry, sends stored bytes as they are, and the digest is the same everywhere.

use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink, HeldLayers};
use crate::ops::require_platform;
use crate::trust::sign;
use crate::{Engine, lookup, transfer};
use lapstrake_image::{CopyOptions, LayerState};
use lapstrake_spec::{Descriptor, Digest, Manifest, Platform, Reference};
use lapstrake_store::{Entry, Lease, Store, Unpack};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// What `push` asks for.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The name, with or without tag.
    pub reference: String,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// Only images that were made for this platform.
    pub platform: Option<Platform>,
}

/// Pushes one tag, or all tags of a repository; the result is the name as `-q` prints it.
pub async fn push(
    engine: &Engine,
    request: &PushRequest,
    events: &dyn EventSink,
) -> Result<Reference, Error> {
    let reference = checked(request)?;
    refuse_unsigned(engine, &reference)?;
    check_platforms(engine, request, &reference)?;
    if !request.all_tags && reference.is_name_only() {
        events.event(Event::DefaultTag {
            tag: "latest".to_owned(),
        });
    }
    events.event(Event::PushStarted {
        repository: reference.repository(),
    });
    let images = engine.store()?.images()?;
    let names = images
        .entries()
        .iter()
        .filter_map(|entry| entry.name.as_ref());
    let here: Vec<&Reference> = names
        .filter(|name| name.same_repository(&reference))
        .collect();
    if here.is_empty() {
        let name = reference.without_tag_and_digest().familiar();
        return Err(stream_error(format!(
            "An image does not exist locally with the tag: {name}"
        )));
    }
    if request.all_tags {
        for name in here {
            push_name(engine, name, events).await?;
        }
        return Ok(reference);
    }
    let wanted = reference.or_latest();
    push_name(engine, &wanted, events).await?;
    Ok(wanted)
}

/// Under content trust docker signs what it pushes. Where no key is at hand, an unsigned push is not what
/// was asked for.
fn refuse_unsigned(engine: &Engine, name: &Reference) -> Result<(), Error> {
    if !engine.has_content_trust() || engine.signer.is_some() {
        return Ok(());
    }
    let text = "content trust is on, and there is no key that could sign what is pushed";
    let hint = format!(
        "`lap trust key generate NAME` makes one; or push with `--disable-content-trust` and sign the digest \
         that it prints: `cosign sign --key cosign.key {}@sha256:…`",
        name.familiar_name()
    );
    Err(Error::new(ErrorKind::Unsupported, text)
        .with_origin(Origin::Client)
        .with_hint(hint))
}

/// Refuses images of another platform than the one that was asked for, before any is pushed.
fn check_platforms(
    engine: &Engine,
    request: &PushRequest,
    reference: &Reference,
) -> Result<(), Error> {
    let Some(wanted) = &request.platform else {
        return Ok(());
    };
    if !request.all_tags {
        return require_platform(engine, &request.reference, wanted);
    }
    let images = engine.store()?.images()?;
    let names = images.entries().iter();
    names
        .filter_map(|entry| entry.name.as_ref())
        .filter(|name| name.same_repository(reference))
        .try_for_each(|name| require_platform(engine, &name.familiar(), wanted))
}

fn checked(request: &PushRequest) -> Result<Reference, Error> {
    let reference = lookup::parse(&request.reference)?;
    let refuse =
        |text: &str| Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client);
    if request.all_tags && !reference.is_name_only() {
        return Err(refuse("tag can't be used with --all-tags/-a"));
    }
    if reference.digest().is_some() {
        return Err(refuse("cannot push a digest reference"));
    }
    Ok(reference)
}

fn stream_error(text: String) -> Error {
    Error::new(ErrorKind::NotFound, text).with_origin(Origin::Stream)
}

fn absent(name: &Reference) -> Error {
    stream_error(format!("tag does not exist: {}", name.familiar()))
}

/// Keeps the image from the garbage collection of others. False when it was removed before that.
pub(super) fn hold(store: &Store, entry: &Entry, lease: &Lease) -> Result<bool, Error> {
    let manifest = match store.manifest(&entry.manifest) {
        Ok(manifest) => manifest,
        Err(error) if error.kind() == lapstrake_image::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut blobs = vec![entry.manifest.digest.clone(), entry.id.clone()];
    blobs.extend(manifest.layers.into_iter().map(|layer| layer.digest));
    lease.protect(&blobs)?;
    let images = store.images()?;
    let mut entries = images.entries().iter();
    Ok(entries.any(|other| other.name == entry.name && other.manifest == entry.manifest))
}

/// Pushes one name. What it stands for is looked up anew: an earlier push of the same image may have
/// given it another manifest.
async fn push_name(engine: &Engine, name: &Reference, events: &dyn EventSink) -> Result<(), Error> {
    let store = engine.store()?;
    let images = store.images()?;
    let entry = images.by_name(name).cloned().ok_or_else(|| absent(name))?;
    let was_fetched = !images.digests_of(&entry.id).is_empty();
    let id = entry.id.clone();
    let lease = Arc::new(store.lease()?);
    if !hold(store, &entry, &lease)? {
        return Err(absent(name));
    }
    let manifest = if was_fetched {
        entry.manifest
    } else {
        let (store, lease) = (store.clone(), Arc::clone(&lease));
        spawn_blocking(move || compressed(&store, &entry, &lease))
            .await
            .map_err(Error::internal)??
    };
    send(engine, name, &id, &manifest, events).await
}

/// Pushes what was made for this name right now and is held by whoever made it, as it is.
pub(super) async fn push_made(
    engine: &Engine,
    name: &Reference,
    (id, manifest): (&Digest, &Descriptor),
    events: &dyn EventSink,
) -> Result<(), Error> {
    refuse_unsigned(engine, name)?;
    events.event(Event::PushStarted {
        repository: name.repository(),
    });
    send(engine, name, id, manifest, events).await
}

/// Sends an image, notes its digest there, and signs it if that is wanted.
async fn send(
    engine: &Engine,
    name: &Reference,
    id: &Digest,
    manifest: &Descriptor,
    events: &dyn EventSink,
) -> Result<(), Error> {
    let store = engine.store()?;
    let repositories = mount_candidates(engine, name)?;
    let client = transfer::client(engine)?;
    let sink = client.sink(name, repositories);
    let source = store.endpoint(Unpack::Later);
    let options = CopyOptions {
        concurrency: engine.settings().max_concurrent_uploads,
        tag: Some(name.clone()),
        ..CopyOptions::push()
    };
    // Nothing is prepared for a registry that is not there.
    let layers = HeldLayers::new(events, |state| matches!(state, LayerState::Queued));
    lapstrake_image::copy(&source, sink.as_ref(), manifest, &options, &layers)
        .await
        .map_err(|error| {
            let error = Error::from(error).with_origin(Origin::Stream);
            if error.kind() != ErrorKind::Unavailable {
                layers.release();
            }
            error
        })?;
    layers.release();
    let pushed = name.with_digest(manifest.digest.clone());
    store.update(|images| {
        images.add_digest(id, name, &pushed);
        Ok::<_, Error>(())
    })?;
    events.event(Event::PushFinished {
        tag: name.tag().unwrap_or("latest").to_owned(),
        digest: manifest.digest.clone(),
        size: manifest.size,
    });
    if let Some(key) = engine
        .signer
        .as_ref()
        .filter(|_| engine.has_content_trust())
    {
        events.event(Event::Signing);
        sign::publish(&client, name, &manifest.digest, key).await?;
        let reference = name.clone();
        events.event(Event::Signed { reference });
    }
    Ok(())
}

/// Compresses the layers that are plain tars and makes the manifest that names the result the image's
/// own, under all its names. The answer is the manifest to push.
pub(super) fn compressed(store: &Store, entry: &Entry, lease: &Lease) -> Result<Descriptor, Error> {
    let old = store.manifest(&entry.manifest)?;
    if !old
        .layers
        .iter()
        .any(|layer| transfer::is_plain(&layer.media_type))
    {
        return Ok(entry.manifest.clone());
    }
    let family = transfer::Family::of(&entry.manifest.media_type);
    let mut layers = Vec::with_capacity(old.layers.len());
    for layer in &old.layers {
        if !transfer::is_plain(&layer.media_type) {
            layers.push(layer.clone());
            continue;
        }
        let mut compressed = store.compress_layer(layer, lease)?;
        compressed.media_type = family.gzip_layer();
        compressed.annotations.clone_from(&layer.annotations);
        layers.push(compressed);
    }
    // All but the layers is what it was: annotations, the cache among them, and what it belongs to.
    let manifest = Manifest {
        artifact_type: old.artifact_type,
        subject: old.subject,
        annotations: old.annotations,
        ..transfer::manifest(family, old.config, layers)
    };
    let raw = serde_json::to_vec(&manifest).map_err(Error::internal)?;
    let made = Descriptor::of(entry.manifest.media_type.clone(), &raw);
    lease.protect(std::slice::from_ref(&made.digest))?;
    store.put_bytes(made.media_type.clone(), &raw)?;
    store.update(|images| {
        images.replace_manifest(&entry.manifest.digest, &made);
        Ok::<_, Error>(())
    })?;
    Ok(made)
}

/// Repositories on the same registry that are known to have a blob, by blob digest: those of the
/// images here that were pulled from or pushed to it.
fn mount_candidates(
    engine: &Engine,
    name: &Reference,
) -> Result<BTreeMap<Digest, Vec<String>>, Error> {
    let store = engine.store()?;
    let mut candidates: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for entry in store.images()?.entries() {
        let paths: Vec<&str> = entry
            .repo_digests
            .iter()
            .filter(|known| known.domain() == name.domain() && known.path() != name.path())
            .map(Reference::path)
            .collect();
        if paths.is_empty() {
            continue;
        }
        let Ok(manifest) = store.manifest(&entry.manifest) else {
            continue;
        };
        for layer in &manifest.layers {
            let known = candidates.entry(layer.digest.clone()).or_default();
            for path in &paths {
                if !known.iter().any(|have| have == path) {
                    known.push((*path).to_owned());
                }
            }
        }
    }
    Ok(candidates)
}

//! Products as images: documents in the store, entries of its index, and registries.

use super::annotation::{self, AnnotationPlace};
use super::{Annotation, ExportRequest, Exported, ImageForm, LayerCompression, Product};
use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink, Layers};
use crate::ops::push::push_made;
use crate::transfer::{self, Family};
use lapstrake_image::{ContentSink, CopyOptions};
use lapstrake_spec::{Descriptor, Digest, Index, MediaType, Reference};
use lapstrake_store::{Entry, Lease, Store, Unpack};
use std::collections::BTreeMap;

/// Where an image goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct To<'a> {
    pub(super) push: bool,
    pub(super) store: bool,
    pub(super) form: &'a ImageForm,
}

/// How documents are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style<'a> {
    pub(super) family: Family,
    pub(super) compression: LayerCompression,
    pub(super) force: bool,
    pub(super) annotations: &'a [&'a Annotation],
    /// Whether there are several platforms.
    pub(super) several: bool,
}

impl<'a> Style<'a> {
    /// What a form asks for, and what is usual where it does not.
    pub(super) fn of(
        form: &ImageForm,
        usual: (Family, LayerCompression),
        annotations: &'a [&'a Annotation],
        several: bool,
    ) -> Self {
        Self {
            family: match form.oci_types {
                Some(true) => Family::Oci,
                Some(false) => Family::Docker,
                None => usual.0,
            },
            compression: form.compression.unwrap_or(usual.1),
            force: form.force_compression,
            annotations,
            several,
        }
    }

    fn annotations(&self, place: AnnotationPlace, product: &Product) -> BTreeMap<String, String> {
        let platform = self.several.then_some(&product.platform);
        annotation::at(self.annotations, place, platform)
    }
}

/// The documents of one product, in the store.
#[derive(Debug, Clone)]
pub(super) struct Assembled {
    pub(super) manifest: Descriptor,
    pub(super) config: Digest,
}

/// Writes configuration and manifest of a product. The descriptor has the platform and its annotations.
pub(super) fn assemble(
    store: &Store,
    product: &Product,
    style: Style<'_>,
    lease: &Lease,
) -> Result<Assembled, Error> {
    let family = style.family;
    let raw = transfer::config_bytes(&product.config)?;
    let config = put(store, family.config(), &raw, lease)?;
    let mut layers = Vec::with_capacity(product.layers.len());
    for layer in &product.layers {
        let blob = &layer.blob;
        let bare = Descriptor::new(blob.media_type.clone(), blob.digest.clone(), blob.size);
        layers.push(compressed(store, bare, style, lease)?);
    }
    let id = config.digest.clone();
    let mut manifest = transfer::manifest(family, config, layers);
    manifest.annotations.clone_from(&product.annotations);
    let more = style.annotations(AnnotationPlace::Manifest, product);
    manifest.annotations.extend(more);
    let raw = transfer::manifest_bytes(&manifest)?;
    let manifest = put(store, manifest.kind(), &raw, lease)?;
    Ok(Assembled {
        manifest: Descriptor {
            platform: Some(product.platform.clone()),
            annotations: style.annotations(AnnotationPlace::ManifestDescriptor, product),
            ..manifest
        },
        config: id,
    })
}

/// A layer in the wanted form.
fn compressed(
    store: &Store,
    blob: Descriptor,
    style: Style<'_>,
    lease: &Lease,
) -> Result<Descriptor, Error> {
    let wanted = style.compression.media_type();
    let is_free = style.force || transfer::is_plain(&blob.media_type);
    if Family::Oci.layer(&blob.media_type) == wanted || !is_free {
        return Ok(blob);
    }
    Ok(store.recompress_layer(&blob, wanted, lease)?)
}

/// Keeps a document.
pub(super) fn put(
    store: &Store,
    kind: MediaType,
    raw: &[u8],
    lease: &Lease,
) -> Result<Descriptor, Error> {
    let digest = Digest::sha256(raw);
    lease.protect(std::slice::from_ref(&digest))?;
    Ok(store.put_bytes(kind, raw)?)
}

/// The index of several products, in the store.
pub(super) fn index(
    store: &Store,
    assembled: &[Assembled],
    style: Style<'_>,
    lease: &Lease,
) -> Result<Descriptor, Error> {
    let kind = match style.family {
        Family::Docker => MediaType::DOCKER_MANIFEST_LIST,
        Family::Oci => MediaType::OCI_INDEX,
    };
    let entries = assembled.iter().map(|made| made.manifest.clone());
    let mut index = Index::new(kind.clone(), entries.collect());
    index.annotations = annotation::at(style.annotations, AnnotationPlace::Index, None);
    Ok(Descriptor {
        annotations: annotation::at(style.annotations, AnnotationPlace::IndexDescriptor, None),
        ..put(store, kind, &index.to_bytes(), lease)?
    })
}

/// Enters products in the store's index, and pushes them.
pub(super) async fn export(
    engine: &Engine,
    request: &ExportRequest<'_>,
    to: To<'_>,
    events: &dyn EventSink,
) -> Result<Exported, Error> {
    let names = request.names()?;
    if to.push && names.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "tag is needed when pushing to registry",
        )
        .with_origin(Origin::Client));
    }
    if to.store && !to.push && request.products.len() != 1 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "docker exporter does not currently support exporting manifest lists",
        )
        .with_hint(
            "write it to a file with `-o type=oci,dest=FILE`, or to a registry with `--push`",
        ));
    }
    // What is pushed is compressed first, so that the image has one manifest here and there.
    let compression = if to.push {
        LayerCompression::Gzip
    } else {
        LayerCompression::AsStored
    };
    let several = request.products.len() > 1;
    let annotations = request.annotations()?;
    let style = Style::of(
        to.form,
        (Family::Docker, compression),
        &annotations,
        several,
    );
    (request.notes)("exporting layers");
    let mut assembled = Vec::with_capacity(request.products.len());
    for product in request.products {
        assembled.push(assemble(engine.store()?, product, style, request.lease)?);
    }
    if let ([product], [made], true) = (request.products, &*assembled, to.store) {
        (request.notes)(&format!("writing image {}", made.config));
        for name in &names {
            (request.notes)(&format!("naming to {}", name.canonical()));
        }
        record(engine, product, made, &names)?;
    }
    let top = match &*assembled {
        [made] => made.manifest.clone(),
        several => index(engine.store()?, several, style, request.lease)?,
    };
    if to.push {
        let kept = (to.store && !several).then(|| assembled.first()).flatten();
        for name in &names {
            (request.notes)(&format!(
                "pushing manifest for {}@{}",
                name.canonical(),
                top.digest
            ));
            match kept {
                Some(made) => push_made(engine, name, (&made.config, &top), events).await?,
                None => send(engine, &assembled, &top, name, events).await?,
            }
        }
    }
    Ok(exported(assembled, top, names))
}

pub(super) fn exported(
    assembled: Vec<Assembled>,
    top: Descriptor,
    names: Vec<Reference>,
) -> Exported {
    let images: Vec<_> = assembled
        .into_iter()
        .map(|made| (made.manifest, made.config))
        .collect();
    Exported {
        id: images.first().map(|(_, id)| id.clone()),
        manifest: Some(top),
        names,
        images,
    }
}

/// Enters an image under its names, or without one.
fn record(
    engine: &Engine,
    product: &Product,
    made: &Assembled,
    names: &[Reference],
) -> Result<(), Error> {
    let now = engine.now().to_string();
    let manifest = &made.manifest;
    let manifest = Descriptor::new(
        manifest.media_type.clone(),
        manifest.digest.clone(),
        manifest.size,
    );
    let entry = |name: Option<Reference>| Entry {
        manifest: manifest.clone(),
        id: made.config.clone(),
        name,
        repo_digests: Vec::new(),
        created: product.config.created.clone(),
        size: product.size,
        parent: product.parent.clone(),
        platform: Some(product.config.platform()),
        tagged_at: Some(now.clone()),
    };
    engine.store()?.update(|images| {
        for name in names {
            images.insert(entry(Some(name.clone())));
        }
        if names.is_empty() {
            images.insert(entry(None));
        }
        Ok::<_, Error>(())
    })
}

/// Sends images that the store's index does not have, and the index of several.
async fn send(
    engine: &Engine,
    assembled: &[Assembled],
    top: &Descriptor,
    name: &Reference,
    events: &dyn EventSink,
) -> Result<(), Error> {
    let store = engine.store()?;
    let source = store.endpoint(Unpack::Later);
    let client = transfer::client(engine)?;
    // Only the index gets the name.
    let several = top.media_type.is_index();
    let target = if several {
        name.without_tag_and_digest()
    } else {
        name.clone()
    };
    let sink = client.sink(&target, BTreeMap::new());
    let stream = |error: lapstrake_image::Error| Error::from(error).with_origin(Origin::Stream);
    for made in assembled {
        let tag = (!several).then(|| name.clone());
        let options = CopyOptions {
            concurrency: engine.settings().max_concurrent_uploads,
            tag,
            ..CopyOptions::push()
        };
        lapstrake_image::copy(
            &source,
            sink.as_ref(),
            &made.manifest,
            &options,
            &Layers(events),
        )
        .await
        .map_err(stream)?;
    }
    if several {
        let raw = store.blob_bytes(&top.digest, lapstrake_spec::MANIFEST_LIMIT)?;
        sink.put_manifest(top, raw.into()).await.map_err(stream)?;
        sink.tag(name, top).await.map_err(stream)?;
    }
    events.event(Event::PushFinished {
        tag: name.tag().unwrap_or("latest").to_owned(),
        digest: top.digest.clone(),
        size: top.size,
    });
    Ok(())
}

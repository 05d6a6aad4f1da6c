//! A base image out of an OCI layout in a folder: `--build-context name=oci-layout://PATH[:TAG][@DIGEST]`.

use super::images::ResolvedImage;
use crate::Engine;
use crate::error::{Error, ErrorKind};
use crate::ops::export::manifest_for;
use lapstrake_archive::Archive;
use lapstrake_build::plan::BaseImage;
use lapstrake_image::{ContentSink, ContentSource, RetryPolicy, Silent, read_blob};
use lapstrake_snapshot::Layer;
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, ImageConfig, Manifest, Platform, Reference,
};
use lapstrake_store::{Lease, Unpack};
use std::path::Path;

/// Brings the layers of an image into the store, which gets no new name: the lease keeps them.
pub(super) async fn read(
    engine: &Engine,
    lease: &Lease,
    place: &str,
    platform: &Platform,
) -> Result<ResolvedImage, Error> {
    let (path, tag, digest) = parts(place)?;
    let archive = Archive::open_folder(Path::new(path)).map_err(lapstrake_image::Error::from)?;
    let top = top(&archive, tag, digest.as_ref()).await?;
    let digest = top.digest.clone();
    let manifest = manifest_for(&archive, top, platform)
        .await?
        .ok_or_else(|| missing(place, &format!("no image for platform {platform}")))?;
    let retry = RetryPolicy::default();
    let raw = read_blob(&archive, &manifest.config, CONFIG_LIMIT, retry, &Silent).await?;
    let config = ImageConfig::parse(&raw)
        .map_err(|error| Error::new(ErrorKind::Corrupt, error.to_string()))?;
    Ok(ResolvedImage {
        id: manifest.config.digest.clone(),
        layers: layers(engine, lease, &archive, &manifest, &config).await?,
        base: BaseImage {
            digest: Some(digest),
            config,
        },
    })
}

/// Folder, tag and digest. Without a tag it is `latest`.
fn parts(place: &str) -> Result<(&str, &str, Option<Digest>), Error> {
    let (rest, digest) = match place.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (place, None),
    };
    let digest = digest
        .map(Digest::parse)
        .transpose()
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
    let (path, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
    Ok((path, tag, digest))
}

/// What is asked for: by its digest, by its tag, or the only image that there is.
async fn top(archive: &Archive, tag: &str, digest: Option<&Digest>) -> Result<Descriptor, Error> {
    if let Some(digest) = digest {
        let name = Reference::parse(&format!("layout@{digest}"))
            .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
        return Ok(archive.resolve(&name).await?);
    }
    let tagged = |name: &Reference| name.tag() == Some(tag);
    let mut images = archive.images().iter();
    let named = archive
        .find(tag)
        .or_else(|| images.find(|image| image.names.iter().any(tagged)));
    match (named, archive.images()) {
        (Some(image), _) | (None, [image]) => Ok(image.descriptor.clone()),
        (None, _) => Err(missing(tag, "failed to resolve digest")),
    }
}

async fn layers(
    engine: &Engine,
    lease: &Lease,
    archive: &Archive,
    manifest: &Manifest,
    config: &ImageConfig,
) -> Result<Vec<Layer>, Error> {
    let diff_ids = &config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        let text = "the image's configuration has another number of layers than its manifest";
        return Err(Error::new(ErrorKind::Corrupt, text));
    }
    let endpoint = engine.store()?.endpoint(Unpack::Now);
    let mut layers = Vec::with_capacity(diff_ids.len());
    for (diff_id, blob) in diff_ids.iter().zip(&manifest.layers) {
        lease.protect(&[blob.digest.clone(), diff_id.clone()])?;
        endpoint
            .put_blob(blob, Some(diff_id), archive, &Silent)
            .await?;
        layers.push(Layer {
            diff_id: diff_id.clone(),
            blob: blob.clone(),
        });
    }
    Ok(layers)
}

fn missing(place: &str, reason: &str) -> Error {
    let text = format!("oci-layout reference {place:?} could not be resolved: {reason}");
    Error::new(ErrorKind::NotFound, text)
}

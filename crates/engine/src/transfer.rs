//! What pull, push, commit and import share: the registry client for the settings in force, and the
//! one place where a new image becomes a manifest, a configuration and an entry of the index.

use crate::Engine;
use crate::error::{Error, ErrorKind};
use lapstrake_registry::client::{Client, Options, Proxy};
use lapstrake_registry::credentials::DockerConfig;
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, ImageConfig, MANIFEST_LIMIT, Manifest, MediaType, Reference,
};
use lapstrake_store::{Entry, Lease, Store};
use std::sync::Arc;

/// A registry client with the settings in force.
pub(crate) fn client(engine: &Engine) -> Result<Client, Error> {
    let settings = engine.settings();
    // The command line has warned of a file that cannot be read.
    let credentials = DockerConfig::load_or_empty(&settings.config_dir);
    let options = Options {
        certs_dirs: settings.certs_dirs.clone(),
        insecure_registries: settings.insecure_registries.clone(),
        mirrors: settings.registry_mirrors.clone(),
        proxies: Proxy {
            http: settings.proxy.http.clone(),
            https: settings.proxy.https.clone(),
            no_proxy: settings.proxy.no_proxy.clone(),
        },
        max_attempts: settings.max_download_attempts,
        credentials: Arc::new(credentials),
        trace: settings.trace.clone(),
        ..Options::default()
    };
    Ok(Client::new(options)?)
}

/// Which of the two vocabularies of media types an image speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Docker's schema 2.
    Docker,
    /// OCI's.
    Oci,
}

impl Family {
    /// The family of a manifest or layer.
    pub(crate) fn of(media_type: &MediaType) -> Self {
        if media_type.is_docker() {
            Self::Docker
        } else {
            Self::Oci
        }
    }

    fn manifest(self) -> MediaType {
        match self {
            Self::Docker => MediaType::DOCKER_MANIFEST,
            Self::Oci => MediaType::OCI_MANIFEST,
        }
    }

    /// The type of a configuration.
    pub(crate) fn config(self) -> MediaType {
        match self {
            Self::Docker => MediaType::DOCKER_CONFIG,
            Self::Oci => MediaType::OCI_CONFIG,
        }
    }

    /// The type of a gzip layer.
    pub(crate) fn gzip_layer(self) -> MediaType {
        match self {
            Self::Docker => MediaType::DOCKER_LAYER_GZIP,
            Self::Oci => MediaType::OCI_LAYER_GZIP,
        }
    }

    /// The same kind of layer in this family's words.
    pub(crate) fn layer(self, media_type: &MediaType) -> MediaType {
        let known = [
            (MediaType::DOCKER_LAYER_GZIP, MediaType::OCI_LAYER_GZIP),
            (MediaType::DOCKER_LAYER_TAR, MediaType::OCI_LAYER_TAR),
            (MediaType::DOCKER_LAYER_ZSTD, MediaType::OCI_LAYER_ZSTD),
        ];
        for (docker, oci) in known {
            if *media_type == docker || *media_type == oci {
                return match self {
                    Self::Docker => docker,
                    Self::Oci => oci,
                };
            }
        }
        media_type.clone()
    }
}

/// Whether a layer blob is a tar that nobody has compressed.
pub(crate) fn is_plain(media_type: &MediaType) -> bool {
    *media_type == MediaType::DOCKER_LAYER_TAR || *media_type == MediaType::OCI_LAYER_TAR
}

/// An image that was made here.
pub(crate) struct NewImage {
    /// Its configuration; the bytes' digest is the image id.
    pub(crate) config: ImageConfig,
    /// Its layers, bottom first. The blobs are in the store.
    pub(crate) layers: Vec<Descriptor>,
    /// How its documents are worded.
    pub(crate) family: Family,
    /// The bytes of its unpacked layers.
    pub(crate) size: u64,
    /// The image it was made from.
    pub(crate) parent: Option<Digest>,
    /// The name it gets.
    pub(crate) name: Option<Reference>,
}

/// A configuration's bytes. One that is too large to be read again is refused: no image of it may be in the
/// index, because whoever looks for what can be removed reads them all.
pub(crate) fn config_bytes(config: &ImageConfig) -> Result<Vec<u8>, Error> {
    let raw = config.to_bytes();
    if raw.len() <= CONFIG_LIMIT {
        return Ok(raw);
    }
    let text = format!(
        "image configuration of {} bytes is larger than the limit of {CONFIG_LIMIT} bytes",
        raw.len()
    );
    Err(Error::new(ErrorKind::InvalidArgument, text)
        .with_hint("labels, environment variables and history make it large"))
}

/// A manifest's bytes, under the same rule.
pub(crate) fn manifest_bytes(manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let raw = manifest.to_bytes();
    if raw.len() <= MANIFEST_LIMIT {
        return Ok(raw);
    }
    let text = format!(
        "image manifest of {} bytes is larger than the limit of {MANIFEST_LIMIT} bytes",
        raw.len()
    );
    Err(Error::new(ErrorKind::InvalidArgument, text).with_hint("annotations make it large"))
}

/// Writes configuration and manifest and enters the image in the index; the result is its id.
pub(crate) fn record(engine: &Engine, new: NewImage, lease: &Lease) -> Result<Digest, Error> {
    let store = engine.store()?;
    hold_layers(store, &new, lease)?;
    let raw = config_bytes(&new.config)?;
    let config = Descriptor::of(new.family.config(), &raw);
    lease.protect(std::slice::from_ref(&config.digest))?;
    store.put_bytes(config.media_type.clone(), &raw)?;
    let manifest = manifest(new.family, config.clone(), new.layers);
    let raw = manifest_bytes(&manifest)?;
    let descriptor = Descriptor::of(new.family.manifest(), &raw);
    lease.protect(std::slice::from_ref(&descriptor.digest))?;
    store.put_bytes(descriptor.media_type.clone(), &raw)?;
    let now = engine.now().to_string();
    let entry = Entry {
        manifest: descriptor,
        id: config.digest.clone(),
        name: new.name,
        repo_digests: Vec::new(),
        created: new.config.created.clone(),
        size: new.size,
        parent: new.parent,
        platform: Some(new.config.platform()),
        tagged_at: Some(now),
    };
    store.update(|images| {
        images.insert(entry.clone());
        Ok::<_, Error>(())
    })?;
    Ok(config.digest)
}

/// Keeps the layers from now on, and makes sure that nobody has collected one before: those of a
/// container's image are only safe as long as the container is there.
fn hold_layers(store: &Store, new: &NewImage, lease: &Lease) -> Result<(), Error> {
    let blobs = new.layers.iter().map(|layer| &layer.digest);
    let all: Vec<Digest> = blobs
        .clone()
        .chain(&new.config.rootfs.diff_ids)
        .cloned()
        .collect();
    lease.protect(&all)?;
    for digest in blobs {
        if !store.has_blob(digest)? {
            let text = format!("layer {digest} was removed meanwhile");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
    }
    Ok(())
}

/// A manifest of this family for these blobs.
pub(crate) fn manifest(family: Family, config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(family.manifest()),
        artifact_type: None,
        config,
        layers: layers
            .into_iter()
            .map(|layer| Descriptor {
                media_type: family.layer(&layer.media_type),
                ..layer
            })
            .collect(),
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    }
}

//! `import`: a file system archive becomes an image of one layer.

use crate::error::{Error, ErrorKind};
use crate::{Engine, lookup, transfer};
use lapstrake_spec::{ContainerConfig, History, ImageConfig, Platform, RootFs, change};
use std::io::Read;

/// Where the archive comes from.
pub enum ImportSource {
    /// A stream that is read to its end: a file, or standard input.
    Stream {
        /// The bytes, in any compression.
        reader: Box<dyn Read + Send>,
        /// What the history says of it: `Imported from NAME`.
        name: String,
    },
}

impl std::fmt::Debug for ImportSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Stream { name, .. } = self;
        f.debug_struct("Stream")
            .field("name", name)
            .finish_non_exhaustive()
    }
}

/// What `import` asks for.
#[derive(Debug)]
pub struct ImportRequest {
    /// The archive.
    pub source: ImportSource,
    /// The name of the new image.
    pub reference: Option<String>,
    /// Dockerfile instructions on its configuration.
    pub changes: Vec<String>,
    /// The commit message; empty: docker's own.
    pub message: String,
    /// The platform to record, else this host's.
    pub platform: Option<Platform>,
}

/// Imports; the result is the image id.
pub fn import(engine: &Engine, request: ImportRequest) -> Result<lapstrake_spec::Digest, Error> {
    let store = engine.store()?;
    let reference = request
        .reference
        .as_deref()
        .map(lookup::parse)
        .transpose()?;
    let mut config = ContainerConfig::default();
    change::apply_changes(&mut config, request.changes.iter().map(String::as_str))
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
    let ImportSource::Stream { reader, name } = request.source;
    let lease = store.lease()?;
    let layer = store.layer_from_tar(reader, true)?;
    lease.protect(std::slice::from_ref(&layer.descriptor.digest))?;
    let message = if request.message.is_empty() {
        format!("Imported from {name}")
    } else {
        request.message
    };
    let now = engine.now().to_string();
    let platform = request.platform.unwrap_or_else(Platform::host);
    let image = ImageConfig {
        created: Some(now.clone()),
        comment: message.clone(),
        architecture: platform.architecture,
        variant: platform.variant.unwrap_or_default(),
        os: platform.os,
        config: Some(config),
        rootfs: RootFs::layers(vec![layer.diff_id.clone()]),
        history: vec![History {
            created: Some(now),
            comment: message,
            ..History::default()
        }],
        ..ImageConfig::default()
    };
    let media = transfer::Family::of(&layer.descriptor.media_type);
    let new = transfer::NewImage {
        config: image,
        layers: vec![layer.descriptor],
        family: media,
        size: layer.size,
        parent: None,
        name: reference.map(|name| name.or_latest()),
    };
    let id = transfer::record(engine, new, &lease)?;
    Ok(id)
}

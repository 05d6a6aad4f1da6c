//! `commit`: a container's changes become a layer on its image.

use crate::error::{Error, ErrorKind};
use crate::{Engine, lookup, transfer};
use lapstrake_container::{Container, Containers};
use lapstrake_spec::{ContainerConfig, Descriptor, Digest, History, ImageConfig, RootFs, change};
use lapstrake_store::NewLayer;

/// What `commit` asks for.
#[derive(Debug, Clone)]
pub struct CommitRequest {
    /// The container: name, id or the beginning of one.
    pub container: String,
    /// The name of the new image.
    pub reference: Option<String>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub message: String,
    /// Dockerfile instructions on its configuration.
    pub changes: Vec<String>,
    /// Whether the container's processes stand still meanwhile.
    pub pause: bool,
}

/// Commits; the result is the image id.
pub fn commit(engine: &Engine, request: &CommitRequest) -> Result<Digest, Error> {
    let reference = request
        .reference
        .as_deref()
        .map(lookup::parse)
        .transpose()?;
    let containers = engine.containers()?;
    let container = containers.find(&request.container)?;
    let config = changed_config(&container, &request.changes)?;
    let store = engine.store()?;
    let lease = store.lease()?;
    let layer = layer_of(engine, &containers, &container, request.pause)?;
    lease.protect(&[layer.descriptor.digest.clone(), layer.diff_id.clone()])?;
    let (base, family, mut layers, size) = base(engine, &container)?;
    let image = child(engine, &base, config, &container, request, &layer);
    let size = size.saturating_add(layer.size);
    if layer.entries > 0 {
        layers.push(layer.descriptor);
    }
    let parent = store
        .images()?
        .by_id(&container.record.image_id)
        .map(|entry| entry.id.clone());
    let new = transfer::NewImage {
        config: image,
        layers,
        family,
        size,
        parent,
        name: reference.map(|name| name.or_latest()),
    };
    transfer::record(engine, new, &lease)
}

/// The container's configuration without what concerned that container alone, and with the changes.
fn changed_config(container: &Container, changes: &[String]) -> Result<ContainerConfig, Error> {
    let mut config = ContainerConfig {
        hostname: String::new(),
        domainname: String::new(),
        attach_stdin: false,
        attach_stdout: false,
        attach_stderr: false,
        tty: false,
        open_stdin: false,
        stdin_once: false,
        image: String::new(),
        ..container.record.config.clone()
    };
    change::apply_changes(&mut config, changes.iter().map(String::as_str))
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
    Ok(config)
}

/// Writes the container's changes as a layer, while its processes stand still if that is wanted.
fn layer_of(
    engine: &Engine,
    containers: &Containers,
    container: &Container,
    pause: bool,
) -> Result<NewLayer, Error> {
    let (store, snapshot) = (engine.store()?, containers.snapshot(&container.record.id)?);
    let held = if pause {
        containers.hold(&container.record.id)?
    } else {
        None
    };
    let mut entries = 0;
    let layer = store.layer_from_writer(|out| {
        let stats = snapshot.diff_tar(out).map_err(std::io::Error::from)?;
        entries = stats.entries;
        Ok(())
    });
    drop(held);
    Ok(NewLayer { entries, ..layer? })
}

/// The configuration, vocabulary, layers and size of the container's image. The image itself may be
/// gone; its layers stay as long as the container does.
fn base(
    engine: &Engine,
    container: &Container,
) -> Result<(ImageConfig, transfer::Family, Vec<Descriptor>, u64), Error> {
    let store = engine.store()?;
    let record = &container.record;
    let config = match store.image_config(&record.image_id) {
        Ok((config, _raw)) => config,
        Err(_gone) => ImageConfig {
            os: record.platform.os.clone(),
            architecture: record.platform.architecture.clone(),
            variant: record.platform.variant.clone().unwrap_or_default(),
            rootfs: RootFs::layers(record.layers.clone()),
            ..ImageConfig::default()
        },
    };
    let family = record
        .layer_blobs
        .last()
        .map_or(transfer::Family::Docker, |layer| {
            transfer::Family::of(&layer.media_type)
        });
    let mut size = 0u64;
    for diff_id in &record.layers {
        size = size.saturating_add(store.layer_size(diff_id)?);
    }
    Ok((config, family, record.layer_blobs.clone(), size))
}

/// The child's configuration document. A container without changes adds no layer.
fn child(
    engine: &Engine,
    base: &ImageConfig,
    config: ContainerConfig,
    container: &Container,
    request: &CommitRequest,
    layer: &NewLayer,
) -> ImageConfig {
    let now = engine.now().to_string();
    let empty = layer.entries == 0;
    let mut diff_ids = base.rootfs.diff_ids.clone();
    if !empty {
        diff_ids.push(layer.diff_id.clone());
    }
    let command = container.record.config.cmd.clone().unwrap_or_default();
    let mut history = base.history.clone();
    history.push(History {
        created: Some(now.clone()),
        created_by: command.join(" "),
        author: request.author.clone(),
        comment: request.message.clone(),
        empty_layer: empty,
    });
    ImageConfig {
        created: Some(now),
        author: request.author.clone(),
        comment: request.message.clone(),
        config: Some(config),
        container: container.record.id.to_string(),
        rootfs: RootFs::layers(diff_ids),
        history,
        docker_version: String::new(),
        ..base.clone()
    }
}

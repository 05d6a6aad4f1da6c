//! `image inspect`: all that is known of an image, named and ordered as docker shows it.

use crate::error::{Error, ErrorKind};
use crate::{Engine, lookup};
use lapstrake_spec::{ContainerConfig, Digest, Platform};
use lapstrake_store::LayerMount;
use serde::Serialize;
use std::collections::BTreeMap;

/// One image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedImage {
    /// The digest of the configuration.
    pub id: Digest,
    /// Names.
    pub repo_tags: Vec<String>,
    /// Digests under which registries know it.
    pub repo_digests: Vec<String>,
    /// The image it was made from here, or empty.
    pub parent: String,
    /// The comment of the last step.
    pub comment: String,
    /// When it was made.
    pub created: String,
    /// The version of the builder.
    pub docker_version: String,
    /// Who made it.
    pub author: String,
    /// What a container of it runs, unless told otherwise.
    pub config: Option<ContainerConfig>,
    /// `amd64`, …
    pub architecture: String,
    /// `v8`, …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `linux`.
    pub os: String,
    /// The version of a Windows base.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// The bytes of its unpacked layers.
    pub size: u64,
    /// Where the layers lie.
    pub graph_driver: GraphDriver,
    /// The layers.
    #[serde(rename = "RootFS")]
    pub root_fs: InspectedRootFs,
    /// What the store knows beside the image.
    pub metadata: Metadata,
}

/// Where layers lie.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    /// Folders by role.
    pub data: Option<BTreeMap<String, String>>,
    /// `overlay2`.
    pub name: String,
}

/// The layers of an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedRootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Diff ids, bottom first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Digest>,
}

/// What the store knows beside the image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    /// When a name was last given to it.
    pub last_tag_time: String,
}

/// Shown where a time is not known.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Refuses an image that was made for another platform.
pub fn require_platform(engine: &Engine, image: &str, wanted: &Platform) -> Result<(), Error> {
    let store = engine.store()?;
    let id = lookup::image_id(&store.images()?, image)?;
    let (config, _raw) = store.image_config(&id)?;
    let actual = config.platform();
    if wanted.matches(&actual) {
        return Ok(());
    }
    let text = format!(
        "image with reference {image} was found but its platform ({actual}) does not match the \
         specified platform ({wanted})"
    );
    Err(Error::new(ErrorKind::NotFound, text))
}

/// Looks one image up.
pub fn inspect_image(engine: &Engine, image: &str) -> Result<InspectedImage, Error> {
    let store = engine.store()?;
    let images = store.images()?;
    let id = lookup::image_id(&images, image)?;
    let entry = images
        .by_id(&id)
        .ok_or_else(|| Error::no_such_image(image))?;
    let (config, _raw) = store.image_config(&id)?;
    let familiar = |list: Vec<lapstrake_spec::Reference>| {
        list.iter()
            .map(lapstrake_spec::Reference::familiar)
            .collect::<Vec<_>>()
    };
    let layers = config.rootfs.diff_ids.clone();
    Ok(InspectedImage {
        repo_tags: familiar(images.tags_of(&id)),
        repo_digests: familiar(images.digests_of(&id)),
        parent: entry
            .parent
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        comment: config.comment.clone(),
        created: config.created.clone().unwrap_or_default(),
        docker_version: config.docker_version.clone(),
        author: config.author.clone(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        size: entry.size,
        graph_driver: graph_driver(store.lowers(&layers).unwrap_or_default()),
        root_fs: InspectedRootFs {
            kind: "layers".to_owned(),
            layers,
        },
        metadata: Metadata {
            last_tag_time: entry.tagged_at.clone().unwrap_or_else(|| NEVER.to_owned()),
        },
        config: config.config,
        id,
    })
}

/// The folders of unpacked layers, where the backend has folders.
pub(crate) fn graph_driver(lowers: Vec<LayerMount>) -> GraphDriver {
    let mut paths: Vec<String> = lowers
        .into_iter()
        .filter_map(|mount| match mount {
            LayerMount::Tree(path) => Some(path.display().to_string()),
            _ => None,
        })
        .collect();
    let mut data = BTreeMap::new();
    if let Some(top) = paths.pop() {
        data.insert("UpperDir".to_owned(), top);
    }
    if !paths.is_empty() {
        paths.reverse();
        data.insert("LowerDir".to_owned(), paths.join(":"));
    }
    GraphDriver {
        data: (!data.is_empty()).then_some(data),
        name: "overlay2".to_owned(),
    }
}

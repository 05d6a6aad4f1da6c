//! `system df -v`: what each image, container, volume and record of the build cache takes.

use super::build_cache::{CacheRecord, build_cache};
use super::containers::{ContainerRow, ListContainers, container_rows};
use super::filter::Filters;
use super::image_tree::{SharedSizes, Shares};
use super::images::{ImageSummary, ListImages, images};
use crate::Engine;
use crate::error::Error;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One image and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image.
    pub image: ImageSummary,
    /// How its bytes divide.
    pub sizes: SharedSizes,
    /// How many containers use it.
    pub containers: usize,
}

/// One volume and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Its name.
    pub name: String,
    /// Whether nobody named it.
    pub anonymous: bool,
    /// The folder of its content.
    pub path: PathBuf,
    /// How many containers have it.
    pub links: usize,
    /// Bytes on disk.
    pub size: u64,
}

/// Everything in the store, one by one.
#[derive(Debug, Clone)]
pub struct DetailedUsage {
    /// Images, newest first.
    pub images: Vec<ImageUsage>,
    /// Containers, newest first, with their sizes.
    pub containers: Vec<ContainerRow>,
    /// Volumes, by name.
    pub volumes: Vec<VolumeUsage>,
    /// Records of the build cache, the smallest first.
    pub cache: Vec<CacheRecord>,
}

/// What everything in the store takes.
pub fn detailed_disk_usage(engine: &Engine) -> Result<DetailedUsage, Error> {
    let shares = Shares::new(engine)?;
    let containers = container_rows(
        engine,
        &ListContainers {
            all: true,
            size: true,
            ..ListContainers::default()
        },
    )?;
    let mut users: BTreeMap<_, usize> = BTreeMap::new();
    for row in &containers {
        *users.entry(&row.container.record.image_id).or_default() += 1;
    }
    let images = images(engine, &ListImages::default())?;
    let images = images.into_iter().map(|image| ImageUsage {
        sizes: shares.of(&image.id),
        containers: users.get(&image.id).copied().unwrap_or_default(),
        image,
    });
    Ok(DetailedUsage {
        images: images.collect(),
        volumes: volumes(engine, &containers)?,
        cache: build_cache(engine, &Filters::default())?,
        containers,
    })
}

fn volumes(engine: &Engine, rows: &[ContainerRow]) -> Result<Vec<VolumeUsage>, Error> {
    let store = engine.store()?;
    let mut links: BTreeMap<String, usize> = BTreeMap::new();
    for volume in engine.containers()?.unused_volumes(&[])? {
        links.insert(volume.name, 0);
    }
    for row in rows {
        let mounts = row.container.record.mounts.iter();
        for mount in mounts.filter(|mount| mount.kind == "volume") {
            *links.entry(mount.name.clone()).or_default() += 1;
        }
    }
    let folder = store.root().join("volumes");
    let usage = links.into_iter().map(|(name, links)| VolumeUsage {
        size: store.volume_bytes(&name),
        anonymous: is_anonymous(&name),
        path: folder.join(&name).join("_data"),
        name,
        links,
    });
    Ok(usage.collect())
}

/// Volumes that nobody named have a number of this many hex digits.
const ANONYMOUS_DIGITS: usize = 64;

fn is_anonymous(name: &str) -> bool {
    name.len() == ANONYMOUS_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

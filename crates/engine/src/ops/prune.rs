//! `image prune`, `container prune`, `volume prune`, `system prune`: what nobody uses goes.
//!
//! Names and folders go first, then one collection takes what only they kept, and its bytes are counted
//! in blocks of the disk: what `du` shows less once the trash is emptied. A dry run makes the same choice
//! on a copy of the index, and asks the store what would be garbage then.
//!
//! Unlike docker, which takes the other names of an image that a container uses, `image prune -a` leaves
//! such an image alone: it is not unused.

use super::build_cache::{CacheRecord, PruneCacheRequest, cache_options, prune_cache};
use super::filter::{Filters, label_fits};
use super::images::{ImageSummary, summaries};
use super::moment::moment;
use super::rmi::{Removal, Removed, Removing, RmiRequest, change};
use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use lapstrake_container::{Container, RemoveOptions};
use lapstrake_spec::{Digest, Reference};
use lapstrake_store::{Images, Without};
use std::collections::{BTreeMap, BTreeSet};

/// What `image prune` asks for.
#[derive(Debug, Clone, Default)]
pub struct PruneImagesRequest {
    /// Also tagged images that no container uses. A filter `dangling` overrides it.
    pub all: bool,
    /// `dangling`, `label`, `label!`, `until`.
    pub filters: Filters,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What `container prune` and `volume prune` ask for.
#[derive(Debug, Clone, Default)]
pub struct PruneRequest {
    /// Of volumes, also those that have a name.
    pub all: bool,
    /// Of containers `label`, `label!`, `until`; of volumes `label`, `label!`, `all`.
    pub filters: Filters,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What `system prune` asks for.
#[derive(Debug, Clone, Default)]
pub struct PruneSystemRequest {
    /// Also tagged images that no container uses, and all of the build cache.
    pub all: bool,
    /// Also anonymous volumes.
    pub volumes: bool,
    /// `label`, `label!`, `until`.
    pub filters: Filters,
    /// Only say what would go.
    pub dry_run: bool,
}

impl PruneSystemRequest {
    /// Refuses what cannot be asked for together; docker does so before it asks for confirmation.
    pub fn check(&self) -> Result<(), Error> {
        if self.volumes && !self.filters.values("until").is_empty() {
            let text = r#"ERROR: The "until" filter is not supported with "--volumes""#;
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client));
        }
        Ok(())
    }
}

/// What went, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned<T> {
    /// The things, in the order they went.
    pub removed: Vec<T>,
    /// Bytes that the disk gets back.
    pub bytes: u64,
}

/// What `system prune` took, or would.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunedSystem {
    /// Ids of containers.
    pub containers: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
    /// Images and their names.
    pub images: Vec<Removed>,
    /// Records of the build cache.
    pub cache: Vec<CacheRecord>,
    /// Bytes that the disk gets back.
    pub bytes: u64,
}

/// Removes images that have no name and no descendants, or with `all` every image without a container.
pub fn prune_images(
    engine: &Engine,
    request: &PruneImagesRequest,
) -> Result<Pruned<Removed>, Error> {
    let choice = Choice::of_images(engine, request)?;
    let containers = engine.containers()?.list()?;
    let removing = take_images(engine, &choice, &containers, request.dry_run)?;
    let bytes = reclaim(engine, &removing, &Without::default())?;
    Ok(Pruned {
        removed: removing.lines(engine.store()?, &containers)?,
        bytes,
    })
}

/// Removes containers that do not run.
pub fn prune_containers(engine: &Engine, request: &PruneRequest) -> Result<Pruned<String>, Error> {
    let choice = Choice::new(engine, &request.filters, &["label", "label!", "until"])?;
    let gone = take_containers(engine, &choice, request.dry_run)?;
    let store = engine.store()?;
    let images = store.images()?;
    let mut bytes = gone.bytes;
    if gone.images.iter().any(|id| images.by_id(id).is_none()) {
        // Images went before these containers: the layers they left are garbage from now on.
        bytes += if request.dry_run {
            store.collectable(&images, &gone.without())?.bytes
        } else {
            store.collect_measured()?.bytes
        };
    }
    Ok(Pruned {
        removed: gone.ids,
        bytes,
    })
}

/// Removes volumes that no container has, anonymous ones unless `all` are wanted.
pub fn prune_volumes(engine: &Engine, request: &PruneRequest) -> Result<Pruned<String>, Error> {
    request.filters.allow(&["label", "label!", "all"])?;
    let all = request.all || request.filters.boolean("all")? == Some(true);
    take_volumes(engine, &request.filters, (all, request.dry_run), None)
}

/// Removes containers, volumes when wanted, images, the build cache, and what is left of downloads.
pub fn prune_system(engine: &Engine, request: &PruneSystemRequest) -> Result<PrunedSystem, Error> {
    request.check()?;
    let dry_run = request.dry_run;
    let mut choice = Choice::new(engine, &request.filters, &["label", "label!", "until"])?;
    choice.dangling = !request.all;
    let store = engine.store()?;
    let gone = take_containers(engine, &choice, dry_run)?;
    let mut bytes = gone.bytes;
    let volumes = if request.volumes {
        take_volumes(engine, &request.filters, (false, dry_run), Some(&gone.ids))?
    } else {
        Pruned {
            removed: Vec::new(),
            bytes: 0,
        }
    };
    bytes += volumes.bytes;
    let mut containers = engine.containers()?.list()?;
    containers.retain(|container| !gone.has(container));
    let removing = take_images(engine, &choice, &containers, dry_run)?;
    let (cache, mounts) = take_cache(engine, request, &choice, &removing)?;
    bytes += mounts;
    bytes += if dry_run {
        store.partial_bytes()?
    } else {
        store.drop_partials()?
    };
    let mut without = gone.without();
    without
        .records
        .extend(cache.iter().map(|record| record.id.clone()));
    bytes += reclaim(engine, &removing, &without)?;
    Ok(PrunedSystem {
        containers: gone.ids,
        volumes: volumes.removed,
        images: removing.lines(store, &containers)?,
        cache,
        bytes,
    })
}

/// The bytes that a collection takes, or would.
fn reclaim(engine: &Engine, removing: &Removing, without: &Without) -> Result<u64, Error> {
    let store = engine.store()?;
    Ok(match &removing.thought {
        Some(images) => store.collectable(images, without)?.bytes,
        None => store.collect_measured()?.bytes,
    })
}

/// The filters of one prune, resolved.
struct Choice<'a> {
    filters: &'a Filters,
    until: Option<jiff::Timestamp>,
    /// Only images without a tag.
    dangling: bool,
}

impl<'a> Choice<'a> {
    fn new(engine: &Engine, filters: &'a Filters, names: &[&str]) -> Result<Self, Error> {
        filters.allow(names)?;
        let until = match filters.values("until") {
            [] => None,
            [one] => Some(moment(engine, one)?),
            _ => {
                let text = "more than one until filter specified";
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        };
        Ok(Self {
            filters,
            until,
            dangling: true,
        })
    }

    fn of_images(engine: &Engine, request: &'a PruneImagesRequest) -> Result<Self, Error> {
        let names = ["dangling", "label", "label!", "until"];
        let mut choice = Self::new(engine, &request.filters, &names)?;
        choice.dangling = request.filters.boolean("dangling")?.unwrap_or(!request.all);
        Ok(choice)
    }

    /// What has no known age is old.
    fn is_old_enough(&self, created: Option<jiff::Timestamp>) -> bool {
        match (self.until, created) {
            (Some(until), Some(created)) => created <= until,
            _ => true,
        }
    }

    fn asks_for_labels(&self) -> bool {
        has_label_filters(self.filters)
    }

    fn labels_fit(&self, labels: &BTreeMap<String, String>) -> bool {
        let any = |name: &str| {
            let mut values = self.filters.values(name).iter();
            values.any(|filter| label_fits(labels, filter))
        };
        let wanted = self.filters.values("label");
        wanted.iter().all(|filter| label_fits(labels, filter)) && !any("label!")
    }
}

fn has_label_filters(filters: &Filters) -> bool {
    !(filters.values("label").is_empty() && filters.values("label!").is_empty())
}

/// Containers that went, or would.
struct Gone {
    ids: Vec<String>,
    images: BTreeSet<Digest>,
    bytes: u64,
}

impl Gone {
    fn has(&self, container: &Container) -> bool {
        self.ids.iter().any(|id| id == container.record.id.as_str())
    }

    fn without(&self) -> Without {
        Without {
            containers: self.ids.iter().cloned().collect(),
            ..Without::default()
        }
    }
}

fn take_containers(engine: &Engine, choice: &Choice<'_>, dry_run: bool) -> Result<Gone, Error> {
    let containers = engine.containers()?;
    let store = engine.store()?;
    let mut gone = Gone {
        ids: Vec::new(),
        images: BTreeSet::new(),
        bytes: 0,
    };
    for Container { record, state } in containers.list()? {
        let labels = record.config.labels.clone().unwrap_or_default();
        if state.status.is_alive()
            || !choice.is_old_enough(record.created.parse().ok())
            || !choice.labels_fit(&labels)
        {
            continue;
        }
        let bytes = store.container_bytes(record.id.as_str());
        // One that somebody starts or removes meanwhile is theirs.
        if dry_run
            || containers
                .remove(&record.id, RemoveOptions::default())
                .is_ok()
        {
            gone.bytes += bytes;
            gone.ids.push(record.id.to_string());
            gone.images.insert(record.image_id);
        }
    }
    Ok(gone)
}

/// `thought_away` are containers that a dry run has only thought away.
fn take_volumes(
    engine: &Engine,
    filters: &Filters,
    (all, dry_run): (bool, bool),
    thought_away: Option<&[String]>,
) -> Result<Pruned<String>, Error> {
    let (containers, store) = (engine.containers()?, engine.store()?);
    let mut pruned = Pruned {
        removed: Vec::new(),
        bytes: 0,
    };
    // Volumes have no labels: none has a wanted one, and none an unwanted one.
    if !filters.values("label").is_empty() {
        return Ok(pruned);
    }
    let without = thought_away.unwrap_or_default();
    for volume in containers.unused_volumes(without)? {
        if !all && !volume.anonymous {
            continue;
        }
        let bytes = store.volume_bytes(&volume.name);
        if !dry_run {
            containers.remove_volume(&volume)?;
        }
        pruned.bytes += bytes;
        pruned.removed.push(volume.name);
    }
    Ok(pruned)
}

fn take_images(
    engine: &Engine,
    choice: &Choice<'_>,
    containers: &[Container],
    dry_run: bool,
) -> Result<Removing, Error> {
    change(engine, dry_run, |images| {
        let chosen = choose(engine, images, choice, containers)?;
        let mut work = Removal::new(images, containers, false);
        for summary in chosen {
            remove_all(&mut work, &summary);
        }
        Ok(work.records)
    })
}

/// The images that a prune takes.
fn choose(
    engine: &Engine,
    images: &Images,
    choice: &Choice<'_>,
    containers: &[Container],
) -> Result<Vec<ImageSummary>, Error> {
    let parents: BTreeSet<&Digest> = images
        .entries()
        .iter()
        .filter_map(|entry| entry.parent.as_ref())
        .collect();
    let used: BTreeSet<&Digest> = containers.iter().map(|c| &c.record.image_id).collect();
    let mut chosen = Vec::new();
    for summary in summaries(images) {
        let untagged = summary.tags.is_empty();
        // Untagged parents go with the last of their children.
        let is_parent = untagged && summary.digests.is_empty() && parents.contains(&summary.id);
        let spared = used.contains(&summary.id) || is_parent;
        let wanted =
            !spared && (untagged || !choice.dangling) && choice.is_old_enough(summary.created);
        if wanted && (!choice.asks_for_labels() || labels_of_fit(engine, choice, &summary.id)?) {
            chosen.push(summary);
        }
    }
    Ok(chosen)
}

fn labels_of_fit(engine: &Engine, choice: &Choice<'_>, id: &Digest) -> Result<bool, Error> {
    let (config, _raw) = engine.store()?.image_config(id)?;
    let labels = config.config.and_then(|config| config.labels);
    Ok(choice.labels_fit(&labels.unwrap_or_default()))
}

/// Takes every name of an image, or the image itself when it has none. What cannot go stays.
fn remove_all(work: &mut Removal<'_>, summary: &ImageSummary) {
    let request = |image: String| RmiRequest {
        image,
        force: false,
        prune: true,
        dry_run: false,
        platforms: Vec::new(),
    };
    let names: Vec<Reference> = work.references(&summary.id);
    if names.is_empty() {
        work.remove(&summary.id, &request(summary.id.to_string()))
            .ok();
        return;
    }
    for name in names {
        // The last tag of a repository takes its digests along.
        if work.references(&summary.id).contains(&name) {
            work.remove(&summary.id, &request(name.to_string())).ok();
        }
    }
}

/// The build cache as `system prune` takes it: records have no labels, so a wanted label spares them all.
fn take_cache(
    engine: &Engine,
    request: &PruneSystemRequest,
    choice: &Choice<'_>,
    removing: &Removing,
) -> Result<(Vec<CacheRecord>, u64), Error> {
    if !request.filters.values("label").is_empty() {
        return Ok((Vec::new(), 0));
    }
    let mut options = cache_options(
        engine,
        &PruneCacheRequest {
            all: request.all,
            ..PruneCacheRequest::default()
        },
    )?;
    options.unused_since = choice.until.map(super::build_cache::time);
    prune_cache(engine, &options, removing.thought.as_ref())
}

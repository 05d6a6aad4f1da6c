//! The build cache as people see it: what is in it, and what goes.

use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use crate::ops::{Filters, Pruned};
use jiff::{SignedDuration, Timestamp};
use lapstrake_build::cache::{Cache, CacheEntry, EntryKind, PruneOptions};
use lapstrake_build::source::Time;
use lapstrake_spec::Digest;
use lapstrake_store::{Images, Store, Without};
use std::collections::BTreeSet;

/// One thing that builds keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheRecord {
    /// Its identifier.
    pub id: String,
    /// What made it: `[2/4] RUN make`; for a cache mount its id.
    pub description: String,
    /// `regular` for the layer of a step, `exec.cachemount` for a cache mount.
    pub kind: &'static str,
    /// When it was made, when that is known.
    pub created_at: Option<Timestamp>,
    /// When a build used it last.
    pub last_used_at: Timestamp,
    /// Bytes that it takes.
    pub size: u64,
    /// Whether an image has the same layer, so that removing the record frees nothing.
    pub shared: bool,
}

impl CacheRecord {
    /// Whether steps write to it.
    pub fn is_mutable(&self) -> bool {
        self.kind == MOUNT
    }
}

/// The kind of a step's layer.
const STEP: &str = "regular";
/// The kind of a cache mount.
const MOUNT: &str = "exec.cachemount";

/// What `builder prune` is to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneCacheRequest {
    /// Also what images have anyway.
    pub all: bool,
    /// `until` (or `unused-for`) and `type`.
    pub filters: Filters,
    /// Only as much goes as it takes to come down to so many bytes.
    pub keep_bytes: Option<u64>,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What the build cache holds, the smallest first. Filters: `until`, `unused-for`, `type`, `id`, `description`,
/// `shared`, `private`, `mutable`, `immutable`.
pub fn build_cache(engine: &Engine, filters: &Filters) -> Result<Vec<CacheRecord>, Error> {
    const NAMES: [&str; 9] = [
        "until",
        "unused-for",
        "type",
        "id",
        "description",
        "shared",
        "private",
        "mutable",
        "immutable",
    ];
    check_names(filters, &NAMES)?;
    let since = unused_since(filters, engine.now())?;
    let mut records = records(engine)?;
    records.retain(|record| {
        since.is_none_or(|since| record.last_used_at <= since) && matches(record, filters)
    });
    records.sort_by(|a, b| (a.size, &a.id).cmp(&(b.size, &b.id)));
    Ok(records)
}

/// Every filter must match; of several values of one, any.
fn matches(record: &CacheRecord, filters: &Filters) -> bool {
    filters.0.iter().all(|(name, values)| {
        values.iter().any(|value| {
            let truth = |fact: bool| fact != matches!(value.as_str(), "0" | "f" | "false");
            match name.as_str() {
                "id" => record.id.starts_with(value),
                "description" => record.description.contains(value),
                "type" => record.kind == value,
                "shared" => truth(record.shared),
                "private" => truth(!record.shared),
                "mutable" => truth(record.is_mutable()),
                "immutable" => truth(!record.is_mutable()),
                // Ages are compared elsewhere, once for all values.
                _ => true,
            }
        })
    })
}

fn check_names(filters: &Filters, names: &[&str]) -> Result<(), Error> {
    match filters
        .0
        .keys()
        .find(|name| !names.contains(&name.as_str()))
    {
        Some(name) => Err(refuse(format!("invalid filter '{name}'"))),
        None => Ok(()),
    }
}

/// The moment since which a record must not have been used: the longest of the lengths of time given.
fn unused_since(filters: &Filters, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    let mut longest: Option<SignedDuration> = None;
    for text in filters
        .values("until")
        .iter()
        .chain(filters.values("unused-for"))
    {
        let length: SignedDuration = text
            .parse()
            .map_err(|_error| refuse(format!("invalid duration '{text}' in a filter")))?;
        longest = longest.max(Some(length));
    }
    longest
        .map(|length| {
            now.checked_sub(length)
                .map_err(|_error| refuse("the duration in a filter is too long"))
        })
        .transpose()
}

fn refuse(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

/// Removes records, collects what only they kept, and says which ones went.
pub fn prune_build_cache(
    engine: &Engine,
    request: &PruneCacheRequest,
) -> Result<Pruned<CacheRecord>, Error> {
    let options = cache_options(engine, request)?;
    let store = engine.store()?;
    let images = store.images()?;
    let thought = request.dry_run.then_some(&images);
    let (removed, mounts) = prune_cache(engine, &options, thought)?;
    let garbage = if removed.is_empty() {
        0
    } else if request.dry_run {
        let without = Without {
            records: removed.iter().map(|record| record.id.clone()).collect(),
            ..Without::default()
        };
        store.collectable(&images, &without)?.bytes
    } else {
        store.collect_measured()?.bytes
    };
    Ok(Pruned {
        removed,
        bytes: mounts + garbage,
    })
}

/// What a request means to the cache.
pub(super) fn cache_options(
    engine: &Engine,
    request: &PruneCacheRequest,
) -> Result<PruneOptions, Error> {
    check_names(&request.filters, &["until", "unused-for", "type"])?;
    let kinds = request.filters.values("type").iter();
    Ok(PruneOptions {
        all: request.all,
        unused_since: unused_since(&request.filters, engine.now())?.map(time),
        keep_bytes: request.keep_bytes,
        kinds: kinds.map(|word| kind(word)).collect::<Result<_, _>>()?,
        now: time(engine.now()),
    })
}

/// Removes records, and says which ones, and the bytes on disk that only the cache had; the layers they kept
/// are for a collection to take. `thought` is the index of a dry run, which removes nothing.
pub(super) fn prune_cache(
    engine: &Engine,
    options: &PruneOptions,
    thought: Option<&Images>,
) -> Result<(Vec<CacheRecord>, u64), Error> {
    let store = engine.store()?;
    let cache = Cache::of(store);
    let pruned = match thought {
        Some(images) => cache.prunable(options, &layers_of(store, images)),
        None => cache.prune(options, &image_layers(store)?),
    };
    let pruned = pruned.map_err(Error::internal)?;
    let records = pruned.entries.into_iter().map(record).collect();
    Ok((records, pruned.bytes))
}

fn kind(word: &str) -> Result<EntryKind, Error> {
    match word {
        STEP => Ok(EntryKind::Step),
        MOUNT => Ok(EntryKind::Mount),
        other => Err(refuse(format!("unknown type '{other}' in a filter"))
            .with_hint(format!("the types are {STEP} and {MOUNT}"))),
    }
}

fn records(engine: &Engine) -> Result<Vec<CacheRecord>, Error> {
    let store = engine.store()?;
    let entries = Cache::of(store).entries(&image_layers(store)?);
    let entries = entries.map_err(Error::internal)?;
    Ok(entries.into_iter().map(record).collect())
}

/// The layers that images have.
fn image_layers(store: &Store) -> Result<BTreeSet<Digest>, Error> {
    Ok(layers_of(store, &store.images()?))
}

fn layers_of(store: &Store, images: &Images) -> BTreeSet<Digest> {
    let ids: BTreeSet<_> = images.entries().iter().map(|entry| &entry.id).collect();
    // An image without a configuration that can be read has no layers that can be used.
    let configs = ids.into_iter().filter_map(|id| store.image_config(id).ok());
    configs
        .flat_map(|(config, _raw)| config.rootfs.diff_ids)
        .collect()
}

fn record(entry: CacheEntry) -> CacheRecord {
    let Time {
        seconds,
        nanoseconds,
    } = entry.last_used;
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or_default();
    CacheRecord {
        id: entry.id,
        description: entry.description,
        kind: match entry.kind {
            EntryKind::Step => STEP,
            EntryKind::Mount => MOUNT,
        },
        created_at: entry.created.parse().ok(),
        last_used_at: Timestamp::new(seconds, nanoseconds).unwrap_or_default(),
        size: entry.size,
        shared: entry.shared,
    }
}

pub(super) fn time(moment: Timestamp) -> Time {
    Time {
        seconds: moment.as_second(),
        // Moments before 1970 are no times of a cache.
        nanoseconds: u32::try_from(moment.subsec_nanosecond()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;

//! `version`, `system df` and `system check`.

use crate::Engine;
use crate::error::Error;
use crate::ops::{CacheRecord, Filters, ListImages, build_cache, images};
use lapstrake_container::Containers;
use lapstrake_store::{CheckReport, OpenOptions, Store, Usage};
use serde::Serialize;
use std::collections::BTreeSet;

/// The version of Lapstrake and of the interface it speaks.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VersionInfo {
    /// The version of this program.
    pub version: String,
    /// The Engine API version whose shapes are followed.
    pub api_version: String,
    /// `linux`.
    pub os: String,
    /// `amd64`, …
    pub arch: String,
    /// The kernel's release.
    pub kernel_version: String,
}

/// The Engine API version whose shapes the output follows.
const API_VERSION: &str = "1.51";

/// The version.
pub fn version(_engine: &Engine) -> VersionInfo {
    let host = lapstrake_spec::Platform::host();
    VersionInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api_version: API_VERSION.to_owned(),
        os: host.os,
        arch: host.architecture,
        kernel_version: kernel_release(),
    }
}

fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

/// One line of `system df`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// `Images`, `Containers`, `Local Volumes`, `Build Cache`.
    pub kind: String,
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes.
    pub size: u64,
    /// Bytes that a prune would free.
    pub reclaimable: u64,
}

/// What the store's parts take on disk.
#[derive(Debug, Clone)]
pub struct DiskUsage {
    /// The four lines.
    pub rows: Vec<UsageRow>,
    /// The store's own account.
    pub store: Usage,
}

/// Adds up what images and containers take.
pub fn disk_usage(engine: &Engine) -> Result<DiskUsage, Error> {
    let store = engine.store()?;
    let containers = engine.containers()?;
    let (list, unreadable) = containers.list_readable()?;
    let usage = store.usage()?;
    let images = images(engine, &ListImages::default())?;
    let used: BTreeSet<_> = list.iter().map(|c| &c.record.image_id).collect();
    let active = images
        .iter()
        .filter(|image| used.contains(&image.id))
        .count();
    let kept = used_layers(engine, &list)?;
    let mut written = (0u64, 0u64);
    for container in &list {
        let bytes = containers.sizes(container)?.writable;
        written.0 = written.0.saturating_add(bytes);
        if !container.state.status.is_alive() {
            written.1 = written.1.saturating_add(bytes);
        }
    }
    let row = |kind: &str, counts: (usize, usize), bytes: (u64, u64)| UsageRow {
        kind: kind.to_owned(),
        total: counts.0,
        active: counts.1,
        size: bytes.0,
        reclaimable: bytes.1,
    };
    let running = list.iter().filter(|c| c.state.status.is_alive()).count();
    let cache = build_cache(engine, &Filters::default())?;
    let cache_bytes = build_cache_bytes(&cache);
    // What only the build cache keeps is told there.
    let layers = usage.layer_bytes.saturating_sub(cache_bytes.1);
    // What a container mounts whose record cannot be read is not known, and a prune takes no volume then.
    let idle = if unreadable.is_empty() {
        containers.unused_volumes(&[])?
    } else {
        Vec::new()
    };
    let idle_bytes = idle
        .iter()
        .map(|volume| store.volume_bytes(&volume.name))
        .sum();
    let busy = usage.volumes.saturating_sub(idle.len());
    let rows = vec![
        row(
            "Images",
            (images.len(), active),
            (layers, layers.saturating_sub(kept)),
        ),
        row("Containers", (list.len(), running), written),
        row(
            "Local Volumes",
            (usage.volumes, busy),
            (usage.volume_bytes, idle_bytes),
        ),
        row("Build Cache", (cache.len(), 0), cache_bytes),
    ];
    Ok(DiskUsage { rows, store: usage })
}

/// The bytes of the build cache, and those that only it keeps.
fn build_cache_bytes(cache: &[CacheRecord]) -> (u64, u64) {
    let own = cache.iter().filter(|record| !record.shared);
    (
        cache.iter().map(|record| record.size).sum(),
        own.map(|record| record.size).sum(),
    )
}

/// The bytes of layers that containers stand on.
fn used_layers(engine: &Engine, list: &[lapstrake_container::Container]) -> Result<u64, Error> {
    let layers: BTreeSet<_> = list.iter().flat_map(|c| &c.record.layers).collect();
    let mut bytes = 0u64;
    for layer in layers {
        bytes = bytes.saturating_add(engine.store()?.layer_size(layer)?);
    }
    Ok(bytes)
}

/// What `system check` asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckRequest {
    /// Mend what can be mended.
    pub repair: bool,
}

/// Proves that the store is whole.
pub fn check(engine: &Engine, request: CheckRequest) -> Result<CheckReport, Error> {
    Ok(engine.store()?.check(request.repair)?)
}

/// Deletes what was removed from the store at `root`, and mends what containers whose monitors were
/// killed have left. For a process in the background.
pub fn reap(root: &std::path::Path) -> Result<(), Error> {
    let store = Store::open_existing(root, &OpenOptions::default())?;
    let mended = Containers::new(&store).reap();
    store.reap_trash()?;
    lapstrake_container::network::reap();
    Ok(mended?)
}

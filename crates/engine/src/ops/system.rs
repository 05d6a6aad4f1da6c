//! `version`, `info`, `system df` and `system check`.

use crate::Engine;
use crate::error::Error;
use crate::ops::{CacheRecord, Filters, ListImages, build_cache, images};
use lapstrake_container::{Containers, Status};
use lapstrake_runtime::Hierarchy;
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

/// What is in force on this machine.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Info {
    /// Containers in all.
    pub containers: usize,
    /// Containers that run.
    pub containers_running: usize,
    /// Containers that are frozen.
    pub containers_paused: usize,
    /// Containers that do not run.
    pub containers_stopped: usize,
    /// Images.
    pub images: usize,
    /// The layer backend.
    pub driver: String,
    /// The file system under the store.
    pub backing_filesystem: String,
    /// `none`, `1`, `2` or `1 (hybrid)`.
    pub cgroup_version: String,
    /// Runtimes by name.
    pub runtimes: Vec<String>,
    /// The runtime used when no flag says otherwise.
    pub default_runtime: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// The distribution.
    pub operating_system: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// `x86_64`, …
    pub architecture: String,
    /// Processors.
    #[serde(rename = "NCPU")]
    pub ncpu: usize,
    /// Memory in bytes.
    pub mem_total: u64,
    /// The host's name.
    pub name: String,
    /// The store.
    #[serde(rename = "DockerRootDir")]
    pub root_dir: String,
    /// Whether debug messages are wanted.
    pub debug: bool,
    /// Mirrors of docker.io.
    pub registry_mirrors: Vec<String>,
    /// Registries that may be insecure.
    pub insecure_registries: Vec<String>,
    /// The configuration file that was read.
    pub config_file: Option<String>,
    /// The version of this program.
    pub server_version: String,
}

/// What is in force.
pub fn info(engine: &Engine) -> Result<Info, Error> {
    let store = engine.store()?;
    let settings = engine.settings();
    let ids: BTreeSet<_> = store
        .images()?
        .entries()
        .iter()
        .map(|entry| entry.id.clone())
        .collect();
    let list = engine.containers()?.list()?;
    let count = |status: Status| list.iter().filter(|c| c.state.status == status).count();
    let (running, paused) = (count(Status::Running), count(Status::Paused));
    let uname = rustix::system::uname();
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    Ok(Info {
        containers: list.len(),
        containers_running: running,
        containers_paused: paused,
        containers_stopped: list.len() - running - paused,
        images: ids.len(),
        driver: "overlay2".to_owned(),
        backing_filesystem: backing_filesystem(store.root()),
        cgroup_version: cgroup_version(lapstrake_runtime::hierarchy()),
        runtimes: vec!["lapstrake".to_owned(), "runc".to_owned()],
        default_runtime: settings
            .runtime
            .clone()
            .unwrap_or_else(|| "lapstrake".to_owned()),
        kernel_version: kernel_release(),
        operating_system: os_name(&text("/etc/os-release")),
        os_type: "linux".to_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        ncpu: std::thread::available_parallelism().map_or(1, usize::from),
        mem_total: mem_total(&text("/proc/meminfo")),
        name: uname.nodename().to_string_lossy().into_owned(),
        root_dir: store.root().display().to_string(),
        debug: settings.debug,
        registry_mirrors: settings.registry_mirrors.clone(),
        insecure_registries: insecure(settings),
        config_file: settings
            .config_file
            .as_ref()
            .map(|path| path.display().to_string()),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The loopback networks may always be insecure.
fn insecure(settings: &crate::Settings) -> Vec<String> {
    let mut list = settings.insecure_registries.clone();
    for network in ["::1/128", "127.0.0.0/8"] {
        if !list.iter().any(|known| known == network) {
            list.push(network.to_owned());
        }
    }
    list
}

fn cgroup_version(hierarchy: Hierarchy) -> String {
    match hierarchy {
        Hierarchy::V1 => "1",
        Hierarchy::Hybrid => "1 (hybrid)",
        Hierarchy::V2 => "2",
        Hierarchy::None => "none",
    }
    .to_owned()
}

fn os_name(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(
            || "Linux".to_owned(),
            |name| name.trim_matches('"').to_owned(),
        )
}

fn mem_total(meminfo: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .map_or(0, |kib| kib.saturating_mul(1024))
}

fn backing_filesystem(root: &std::path::Path) -> String {
    match rustix::fs::statfs(root).map(|stat| stat.f_type) {
        Ok(0xEF53) => "extfs",
        Ok(0x0102_1994) => "tmpfs",
        Ok(0x5846_5342) => "xfs",
        Ok(0x9123_683E) => "btrfs",
        Ok(0x794C_7630) => "overlayfs",
        Ok(0x2FC1_2FC1) => "zfs",
        _ => "unknown",
    }
    .to_owned()
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
    let list = containers.list()?;
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
    let idle = containers.unused_volumes(&[])?;
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

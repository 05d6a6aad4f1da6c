//! `info`: what is in force on this machine, with docker's names, and where it comes from.

use crate::Engine;
use crate::error::Error;
use crate::settings::{Settings, Source, masked};
use lapstrake_container::Status;
use lapstrake_runtime::Hierarchy;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is in force on this machine. The fields up to `Warnings` are docker's.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Info {
    /// A daemon's name for itself; there is none.
    #[serde(rename = "ID")]
    pub id: String,
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
    /// What there is to say about it.
    pub driver_status: Vec<(String, String)>,
    /// What there is, by kind.
    pub plugins: Plugins,
    /// Whether memory can be limited.
    pub memory_limit: bool,
    /// Whether swap can be limited.
    pub swap_limit: bool,
    /// Whether the CFS period can be set.
    pub cpu_cfs_period: bool,
    /// Whether the CFS quota can be set.
    pub cpu_cfs_quota: bool,
    /// Whether CPU shares can be set.
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    /// Whether CPUs can be chosen.
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    /// Whether processes can be limited.
    pub pids_limit: bool,
    /// Whether the kernel forwards packets.
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Whether debug messages are wanted.
    pub debug: bool,
    /// Whether the OOM killer can be switched off.
    pub oom_kill_disable: bool,
    /// Now.
    pub system_time: String,
    /// How containers' output is kept.
    pub logging_driver: String,
    /// Who makes control groups.
    pub cgroup_driver: String,
    /// `1` or `2`; empty when there are none.
    pub cgroup_version: String,
    /// The kernel's release.
    pub kernel_version: String,
    /// The distribution.
    pub operating_system: String,
    /// Its version.
    #[serde(rename = "OSVersion")]
    pub os_version: String,
    /// `linux`.
    #[serde(rename = "OSType")]
    pub os_type: String,
    /// `x86_64`, …
    pub architecture: String,
    /// Docker Hub's.
    pub index_server_address: String,
    /// Mirrors and insecure registries.
    pub registry_config: RegistryConfig,
    /// Processors.
    #[serde(rename = "NCPU")]
    pub ncpu: usize,
    /// Memory in bytes.
    pub mem_total: u64,
    /// None.
    pub generic_resources: Option<Vec<String>>,
    /// The store.
    #[serde(rename = "DockerRootDir")]
    pub root_dir: String,
    /// The proxies, passwords hidden.
    pub http_proxy: String,
    /// The same for TLS.
    pub https_proxy: String,
    /// Who is reached without.
    pub no_proxy: String,
    /// The host's name.
    pub name: String,
    /// A daemon's labels; there is none.
    pub labels: Vec<String>,
    /// Never.
    pub experimental_build: bool,
    /// The version of this program.
    pub server_version: String,
    /// Runtimes by name.
    pub runtimes: BTreeMap<String, Runtime>,
    /// The runtime used when no flag says otherwise.
    pub default_runtime: String,
    /// No swarm.
    pub swarm: Swarm,
    /// Containers need no daemon to live on.
    pub live_restore_enabled: bool,
    /// Empty.
    pub isolation: String,
    /// Empty: there is no program beside this one.
    pub init_binary: String,
    /// Empty.
    pub containerd_commit: Commit,
    /// Empty.
    pub runc_commit: Commit,
    /// Empty.
    pub init_commit: Commit,
    /// What confines containers.
    pub security_options: Vec<String>,
    /// None.
    #[serde(rename = "CDISpecDirs")]
    pub cdi_spec_dirs: Option<Vec<String>>,
    /// What is not as it should be.
    pub warnings: Option<Vec<String>>,
    /// The configuration file that was read.
    pub config_file: Option<String>,
    /// Configuration files that this user may not read.
    pub unreadable_config_files: Vec<String>,
    /// The keys of it that do nothing.
    pub unused_config_keys: Vec<String>,
    /// What is in force, and where it comes from.
    pub settings: Vec<Setting>,
}

/// One value in force.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Setting {
    /// The key that daemon.json has for it.
    pub key: String,
    /// The value; lists are parted by blanks.
    pub value: String,
    /// `default`, `file`, `environment` or `flag`.
    pub source: &'static str,
}

/// What there is, by kind.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plugins {
    /// Kinds of volumes.
    pub volume: Vec<&'static str>,
    /// Kinds of networks.
    pub network: Vec<&'static str>,
    /// None.
    pub authorization: Option<Vec<&'static str>>,
    /// Kinds of logs.
    pub log: Vec<&'static str>,
}

/// Mirrors and insecure registries.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegistryConfig {
    /// Registries by name.
    pub index_configs: BTreeMap<String, IndexConfig>,
    /// Networks whose registries may be insecure.
    #[serde(rename = "InsecureRegistryCIDRs")]
    pub insecure_networks: Vec<String>,
    /// Mirrors of Docker Hub.
    pub mirrors: Vec<String>,
}

impl RegistryConfig {
    /// Everything that may be insecure: names first, then networks.
    pub fn insecure(&self) -> Vec<&str> {
        let named = self.index_configs.values().filter(|index| !index.secure);
        named
            .map(|index| index.name.as_str())
            .chain(self.insecure_networks.iter().map(String::as_str))
            .collect()
    }
}

/// One registry.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IndexConfig {
    /// Its mirrors.
    pub mirrors: Vec<String>,
    /// Its name.
    pub name: String,
    /// Whether it is Docker Hub.
    pub official: bool,
    /// Whether it must prove who it is.
    pub secure: bool,
}

/// One runtime.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Runtime {
    /// The program; empty for the one inside.
    pub path: String,
}

/// The version of a program that docker uses.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Commit {
    /// The version.
    #[serde(rename = "ID")]
    pub id: String,
}

/// No swarm.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Swarm {
    /// Empty.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// Empty.
    pub node_addr: String,
    /// `inactive`.
    pub local_node_state: String,
    /// False.
    pub control_available: bool,
    /// Empty.
    pub error: String,
    /// None.
    pub remote_managers: Option<Vec<String>>,
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
    let (list, _unreadable) = engine.containers()?.list_readable()?;
    let count = |status: Status| list.iter().filter(|c| c.state.status == status).count();
    let (running, paused) = (count(Status::Running), count(Status::Paused));
    let mut info = machine(engine);
    info.containers = list.len();
    info.containers_running = running;
    info.containers_paused = paused;
    info.containers_stopped = list.len() - running - paused;
    info.images = ids.len();
    info.driver_status = vec![
        (
            "Backing Filesystem".to_owned(),
            backing_filesystem(store.root()),
        ),
        ("Supports d_type".to_owned(), "true".to_owned()),
    ];
    info.root_dir = store.root().display().to_string();
    info.debug = settings.debug;
    info.registry_config = registry_config(settings);
    let proxy = |address: &Option<String>| masked(address.as_deref().unwrap_or_default());
    info.http_proxy = proxy(&settings.proxy.http);
    info.https_proxy = proxy(&settings.proxy.https);
    info.no_proxy = settings.proxy.no_proxy.clone().unwrap_or_default();
    info.default_runtime = String::from(runtime(settings));
    let file = settings.config_file.as_ref();
    info.config_file = file.map(|path| path.display().to_string());
    let unreadable = settings.unreadable_files.iter();
    info.unreadable_config_files = unreadable.map(|path| path.display().to_string()).collect();
    info.unused_config_keys.clone_from(&settings.unused_keys);
    info.settings = in_force(settings, &info);
    Ok(info)
}

/// What the machine says about itself.
fn machine(engine: &Engine) -> Info {
    let uname = rustix::system::uname();
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = text("/etc/os-release");
    let hierarchy = lapstrake_runtime::hierarchy();
    let has = |controller: &str| has_controller(hierarchy, controller);
    let built_in = ["lapstrake", "runc"].map(|name| (name.to_owned(), Runtime::default()));
    let named = engine.settings().runtimes.iter();
    let named = named.map(|(name, path)| (name.clone(), Runtime { path: path.clone() }));
    let runtimes = built_in.into_iter().chain(named);
    Info {
        driver: "overlay2".to_owned(),
        plugins: Plugins {
            volume: vec!["local"],
            network: vec!["bridge", "host", "null"],
            authorization: None,
            log: vec!["json-file"],
        },
        memory_limit: has("memory"),
        swap_limit: match hierarchy {
            Hierarchy::V2 => has("memory"),
            _ => Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists(),
        },
        cpu_cfs_period: has("cpu"),
        cpu_cfs_quota: has("cpu"),
        cpu_shares: has("cpu"),
        cpu_set: has("cpuset"),
        pids_limit: has("pids"),
        ipv4_forwarding: text("/proc/sys/net/ipv4/ip_forward").trim() == "1",
        oom_kill_disable: !matches!(hierarchy, Hierarchy::V2 | Hierarchy::None) && has("memory"),
        system_time: engine.now().to_string(),
        logging_driver: "json-file".to_owned(),
        cgroup_driver: "cgroupfs".to_owned(),
        cgroup_version: match hierarchy {
            Hierarchy::V1 | Hierarchy::Hybrid => "1",
            Hierarchy::V2 => "2",
            Hierarchy::None => "",
        }
        .to_owned(),
        kernel_version: uname.release().to_string_lossy().into_owned(),
        operating_system: release_field(&release, "PRETTY_NAME").unwrap_or("Linux".to_owned()),
        os_version: release_field(&release, "VERSION_ID").unwrap_or_default(),
        os_type: "linux".to_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        index_server_address: lapstrake_registry::credentials::HUB_KEY.to_owned(),
        ncpu: std::thread::available_parallelism().map_or(1, usize::from),
        mem_total: mem_total(&text("/proc/meminfo")),
        name: uname.nodename().to_string_lossy().into_owned(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtimes: runtimes.collect(),
        swarm: Swarm {
            local_node_state: "inactive".to_owned(),
            ..Swarm::default()
        },
        security_options: vec!["name=seccomp,profile=builtin".to_owned()],
        ..Info::default()
    }
}

/// The runtime that containers get.
fn runtime(settings: &Settings) -> &str {
    settings.runtime.as_deref().unwrap_or("lapstrake")
}

fn registry_config(settings: &Settings) -> RegistryConfig {
    let mut config = RegistryConfig {
        mirrors: settings.registry_mirrors.clone(),
        ..RegistryConfig::default()
    };
    let hub = IndexConfig {
        mirrors: settings.registry_mirrors.clone(),
        name: "docker.io".to_owned(),
        official: true,
        secure: true,
    };
    config.index_configs.insert(hub.name.clone(), hub);
    for entry in &settings.insecure_registries {
        if entry.contains('/') {
            config.insecure_networks.push(entry.clone());
        } else {
            let index = IndexConfig {
                name: entry.clone(),
                ..IndexConfig::default()
            };
            config.index_configs.insert(entry.clone(), index);
        }
    }
    // The machine itself may always be insecure.
    for network in ["::1/128", "127.0.0.0/8"] {
        if !config
            .insecure_networks
            .iter()
            .any(|known| known == network)
        {
            config.insecure_networks.push(network.to_owned());
        }
    }
    config
}

/// The values that daemon.json, a variable or a flag can change.
fn in_force(settings: &Settings, info: &Info) -> Vec<Setting> {
    let values = [
        ("data-root", info.root_dir.clone()),
        ("registry-mirrors", settings.registry_mirrors.join(" ")),
        (
            "insecure-registries",
            settings.insecure_registries.join(" "),
        ),
        (
            "max-concurrent-downloads",
            settings.max_concurrent_downloads.to_string(),
        ),
        (
            "max-concurrent-uploads",
            settings.max_concurrent_uploads.to_string(),
        ),
        (
            "max-download-attempts",
            settings.max_download_attempts.to_string(),
        ),
        ("default-runtime", info.default_runtime.clone()),
        ("debug", settings.debug.to_string()),
        ("http-proxy", info.http_proxy.clone()),
        ("https-proxy", info.https_proxy.clone()),
        ("no-proxy", info.no_proxy.clone()),
    ];
    let said =
        |key: &str, value: &str| !value.is_empty() || settings.source(key) != Source::Default;
    let shown = values.into_iter().filter(|(key, value)| said(key, value));
    shown
        .map(|(key, value)| Setting {
            key: key.to_owned(),
            value,
            source: settings.source(key).name(),
        })
        .collect()
}

fn has_controller(hierarchy: Hierarchy, name: &str) -> bool {
    match hierarchy {
        Hierarchy::V1 | Hierarchy::Hybrid => Path::new("/sys/fs/cgroup").join(name).is_dir(),
        Hierarchy::V2 => std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
            .is_ok_and(|all| all.split_whitespace().any(|one| one == name)),
        Hierarchy::None => false,
    }
}

fn release_field(release: &str, name: &str) -> Option<String> {
    let mut values = release
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values
        .next()
        .map(|value| value.trim_matches('"').to_owned())
}

fn mem_total(meminfo: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .map_or(0, |kib| kib.saturating_mul(1024))
}

fn backing_filesystem(root: &Path) -> String {
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

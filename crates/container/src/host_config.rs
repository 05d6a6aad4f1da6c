//! Docker's `HostConfig`: what a container asks of this host, named and ordered as `docker inspect` shows it.

use crate::mount_request::MountRequest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a container asks of this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// `source:destination[:options]`.
    pub binds: Option<Vec<String>>,
    /// Where the client wrote the id.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Where the output is kept.
    pub log_config: LogConfig,
    /// `none`, `host`, `default`, …
    pub network_mode: String,
    /// Published ports by container port (`80/tcp`).
    pub port_bindings: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// When the container is started again.
    pub restart_policy: RestartPolicy,
    /// Whether it is removed when it ends.
    pub auto_remove: bool,
    /// The driver of named volumes.
    pub volume_driver: String,
    /// Containers whose volumes are used.
    pub volumes_from: Option<Vec<String>>,
    /// Rows and columns of the terminal that created it.
    pub console_size: [u16; 2],
    /// Capabilities added to the default ones.
    pub cap_add: Option<Vec<String>>,
    /// Capabilities taken from the default ones.
    pub cap_drop: Option<Vec<String>>,
    /// `private` or `host`.
    pub cgroupns_mode: String,
    /// Name servers.
    pub dns: Option<Vec<String>>,
    /// Resolver options.
    pub dns_options: Option<Vec<String>>,
    /// Search domains.
    pub dns_search: Option<Vec<String>>,
    /// `name:address` lines for /etc/hosts.
    pub extra_hosts: Option<Vec<String>>,
    /// Groups added to the user's own.
    pub group_add: Option<Vec<String>>,
    /// `private`, `host`, `none`, `shareable`.
    pub ipc_mode: String,
    /// Unused, shown for compatibility.
    pub cgroup: String,
    /// Legacy links.
    pub links: Option<Vec<String>>,
    /// Adjustment of the kernel's choice when memory runs out.
    pub oom_score_adj: i32,
    /// Empty (private) or `host`.
    pub pid_mode: String,
    /// All capabilities, all devices, no filters.
    pub privileged: bool,
    /// Whether every exposed port is published.
    pub publish_all_ports: bool,
    /// Whether the root file system is read-only.
    pub readonly_rootfs: bool,
    /// `no-new-privileges`, `seccomp=unconfined`, `seccomp=<profile as JSON>`, …
    pub security_opt: Option<Vec<String>>,
    /// Mount point to options of a tmpfs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// Empty (private) or `host`.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// Empty or `host`.
    pub userns_mode: String,
    /// Size of /dev/shm in bytes; 0 = the default of 64 MiB.
    pub shm_size: i64,
    /// Kernel parameters of the container's namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The path of the OCI runtime; empty, or `lapstrake`, or one of docker's names for its own, for the built-in one.
    pub runtime: String,
    /// Unused on Linux.
    pub isolation: String,
    /// Relative CPU weight.
    pub cpu_shares: i64,
    /// Memory limit in bytes.
    pub memory: i64,
    /// CPU limit in units of 1e-9 CPU.
    pub nano_cpus: i64,
    /// Parent of the container's cgroup.
    pub cgroup_parent: String,
    /// Relative weight of block I/O.
    pub blkio_weight: u16,
    /// CFS period in microseconds.
    pub cpu_period: i64,
    /// CFS quota in microseconds.
    pub cpu_quota: i64,
    /// CPUs that may be used.
    pub cpuset_cpus: String,
    /// Memory nodes that may be used.
    pub cpuset_mems: String,
    /// Devices of the host.
    pub devices: Option<Vec<Device>>,
    /// Soft memory limit in bytes.
    pub memory_reservation: i64,
    /// Limit of memory and swap together in bytes; -1 = no limit on swap.
    pub memory_swap: i64,
    /// Swappiness, 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// Whether the kernel must not kill it for memory.
    pub oom_kill_disable: Option<bool>,
    /// Limit on the number of processes.
    pub pids_limit: Option<i64>,
    /// Resource limits.
    pub ulimits: Option<Vec<Ulimit>>,
    /// What `--mount` asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountRequest>,
    /// Whether a tiny init is process 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
}

/// Size of /dev/shm unless told otherwise.
pub const DEFAULT_SHM_SIZE: i64 = 64 * 1024 * 1024;

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            binds: None,
            container_id_file: String::new(),
            log_config: LogConfig::default(),
            network_mode: "default".to_owned(),
            port_bindings: BTreeMap::new(),
            restart_policy: RestartPolicy::default(),
            auto_remove: false,
            volume_driver: String::new(),
            volumes_from: None,
            console_size: [0, 0],
            cap_add: None,
            cap_drop: None,
            cgroupns_mode: "host".to_owned(),
            dns: Some(Vec::new()),
            dns_options: Some(Vec::new()),
            dns_search: Some(Vec::new()),
            extra_hosts: None,
            group_add: None,
            ipc_mode: "private".to_owned(),
            cgroup: String::new(),
            links: None,
            oom_score_adj: 0,
            pid_mode: String::new(),
            privileged: false,
            publish_all_ports: false,
            readonly_rootfs: false,
            security_opt: None,
            tmpfs: BTreeMap::new(),
            uts_mode: String::new(),
            userns_mode: String::new(),
            shm_size: DEFAULT_SHM_SIZE,
            sysctls: BTreeMap::new(),
            runtime: String::new(),
            isolation: String::new(),
            cpu_shares: 0,
            memory: 0,
            nano_cpus: 0,
            cgroup_parent: String::new(),
            blkio_weight: 0,
            cpu_period: 0,
            cpu_quota: 0,
            cpuset_cpus: String::new(),
            cpuset_mems: String::new(),
            devices: Some(Vec::new()),
            memory_reservation: 0,
            memory_swap: 0,
            memory_swappiness: None,
            oom_kill_disable: None,
            pids_limit: None,
            ulimits: None,
            mounts: Vec::new(),
            init: None,
        }
    }
}

/// Where the output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    /// `json-file` or `none`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Options of the driver.
    pub config: BTreeMap<String, String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            kind: "json-file".to_owned(),
            config: BTreeMap::new(),
        }
    }
}

/// When the container is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicy {
    /// `no`, `on-failure`, `always`, `unless-stopped`.
    pub name: String,
    /// Tries of `on-failure`; 0 = no limit.
    pub maximum_retry_count: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            name: "no".to_owned(),
            maximum_retry_count: 0,
        }
    }
}

/// An address of the host that leads to a container's port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortBinding {
    /// Address, empty for all.
    #[serde(rename = "HostIp", default)]
    pub host_ip: String,
    /// Port, empty for any.
    #[serde(default)]
    pub host_port: String,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Device {
    /// Path on the host.
    pub path_on_host: String,
    /// Path in the container.
    pub path_in_container: String,
    /// `r`, `w`, `m`.
    pub cgroup_permissions: String,
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// Upper bound.
    pub hard: i64,
    /// Bound in force.
    pub soft: i64,
}

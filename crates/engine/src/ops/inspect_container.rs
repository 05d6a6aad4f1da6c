//! `inspect` of a container.

use crate::Engine;
use crate::error::Error;
use crate::ops::inspect::{GraphDriver, graph_driver};
use lapstrake_container::record::NEVER;
use lapstrake_container::{Container, HostConfig, Mount, Record, State, Status, network_name};
use lapstrake_spec::{ContainerConfig, Digest};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// One container, named and ordered as docker shows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedContainer {
    /// The id.
    pub id: String,
    /// When it was created.
    pub created: String,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where it is in its life.
    pub state: InspectedState,
    /// The image's id.
    pub image: Digest,
    /// The file mounted over /etc/resolv.conf.
    pub resolv_conf_path: String,
    /// The file mounted over /etc/hostname.
    pub hostname_path: String,
    /// The file mounted over /etc/hosts.
    pub hosts_path: String,
    /// The file with its output.
    pub log_path: String,
    /// The name, after a slash.
    pub name: String,
    /// How often it was started again.
    pub restart_count: u32,
    /// The layer backend.
    pub driver: String,
    /// `linux`.
    pub platform: String,
    /// Unused.
    pub mount_label: String,
    /// Unused.
    pub process_label: String,
    /// Unused.
    pub app_armor_profile: String,
    /// Commands executed in it now.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// What it asks of this host.
    pub host_config: HostConfig,
    /// Where its layers lie.
    pub graph_driver: GraphDriver,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    /// Bytes with the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    /// Volumes and binds.
    pub mounts: Vec<Mount>,
    /// What it runs.
    pub config: ContainerConfig,
    /// Its networks.
    pub network_settings: NetworkSettings,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "docker's shape")]
pub struct InspectedState {
    /// The word for it.
    pub status: Status,
    /// Whether its process lives.
    pub running: bool,
    /// Whether it is frozen.
    pub paused: bool,
    /// Whether it waits to be started again.
    pub restarting: bool,
    /// Whether the kernel killed it for memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Whether it could not be removed.
    pub dead: bool,
    /// The process on the host.
    pub pid: i32,
    /// The status it ended with.
    pub exit_code: i32,
    /// The error of the last start.
    pub error: String,
    /// When it was last started.
    pub started_at: String,
    /// When it last ended.
    pub finished_at: String,
}

/// A container's networks. The addresses at the top are those of the default bridge.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    /// Unused.
    pub bridge: String,
    /// The network namespace's id.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// The network namespace's file.
    pub sandbox_key: String,
    /// Published ports.
    pub ports: BTreeMap<String, Option<Vec<lapstrake_container::PortBinding>>>,
    /// Unused.
    pub hairpin_mode: bool,
    /// Unused.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    /// Unused.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: u8,
    /// Unused.
    #[serde(rename = "SecondaryIPAddresses")]
    pub secondary_ip_addresses: Option<Vec<String>>,
    /// Unused.
    #[serde(rename = "SecondaryIPv6Addresses")]
    pub secondary_ipv6_addresses: Option<Vec<String>>,
    /// The place in the default bridge.
    #[serde(flatten)]
    pub default_bridge: Address,
    /// Networks by name.
    pub networks: BTreeMap<String, Endpoint>,
}

/// Addresses in a network, as the default bridge shows them.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "docker's names")]
pub struct Address {
    /// The endpoint's id.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// The router.
    pub gateway: String,
    /// The IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Bits of the network's part of it.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// The address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Bits of the network's part of it.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// The IPv6 router.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// The interface's hardware address.
    pub mac_address: String,
}

/// A container's place in a network. Empty throughout for `none` and `host`.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "docker's names")]
pub struct Endpoint {
    /// The addresses that were asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<BTreeMap<String, String>>,
    /// Legacy links.
    pub links: Option<Vec<String>>,
    /// Other names in the network.
    pub aliases: Option<Vec<String>>,
    /// The interface's hardware address.
    pub mac_address: String,
    /// Options of the network's driver.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// Which network's router is the default one.
    pub gw_priority: i32,
    /// The network's id.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// The endpoint's id.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// The router.
    pub gateway: String,
    /// The address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Bits of the network's part of it.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// The IPv6 router.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// The IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Bits of the network's part of it.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// The names that resolve to it.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// Looks one container up.
pub fn inspect_container(
    engine: &Engine,
    container: &str,
    size: bool,
) -> Result<InspectedContainer, Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    let sizes = if size {
        Some(containers.sizes(&found)?)
    } else {
        None
    };
    let folder = engine
        .store()?
        .root()
        .join("containers")
        .join(found.record.id.as_str());
    let path = |name: &str| folder.join(name).display().to_string();
    let graph_driver = container_graph_driver(engine, &folder, &found)?;
    let Container { record, state } = found;
    let status = state.status;
    let network_settings = network_settings(&record, &state);
    Ok(InspectedContainer {
        network_settings,
        resolv_conf_path: path("resolv.conf"),
        hostname_path: path("hostname"),
        hosts_path: path("hosts"),
        log_path: path("json.log"),
        state: InspectedState {
            status,
            running: status.is_alive(),
            paused: status == Status::Paused,
            restarting: false,
            oom_killed: state.oom_killed,
            dead: status == Status::Dead,
            pid: state.pid,
            exit_code: state.exit_code,
            error: state.error,
            started_at: state.started_at,
            finished_at: state.finished_at,
        },
        graph_driver,
        size_rw: sizes.as_ref().map(|sizes| sizes.writable),
        size_root_fs: sizes.as_ref().map(|sizes| sizes.total),
        id: record.id.to_string(),
        created: record.created,
        path: record.path,
        args: record.args,
        image: record.image_id,
        name: format!("/{}", record.name),
        restart_count: 0,
        driver: record.driver,
        platform: record.platform.os,
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: String::new(),
        exec_ids: None,
        host_config: record.host_config,
        mounts: record.mounts,
        config: record.config,
    })
}

/// What is shown of a container's network: nothing before its first start, names while it lives or has lived,
/// addresses while it lives.
fn network_settings(record: &Record, state: &State) -> NetworkSettings {
    let name = network_name(&record.host_config).to_owned();
    let mut settings = NetworkSettings::default();
    let mut endpoint = Endpoint::default();
    if state.started_at != NEVER {
        settings.sandbox_id = identifier("sandbox", record.id.as_str());
        endpoint.network_id = identifier("network", &name);
    }
    if state.status.is_alive() {
        settings.sandbox_key = format!("/proc/{}/ns/net", state.pid);
        endpoint.endpoint_id = identifier("endpoint", record.id.as_str());
    }
    if let Some(place) = &state.network {
        endpoint.gateway.clone_from(&place.gateway);
        endpoint.ip_address.clone_from(&place.address);
        endpoint.ip_prefix_len = place.prefix;
        endpoint.mac_address.clone_from(&place.mac_address);
        settings.default_bridge = Address {
            endpoint_id: endpoint.endpoint_id.clone(),
            gateway: place.gateway.clone(),
            ip_address: place.address.clone(),
            ip_prefix_len: place.prefix,
            mac_address: place.mac_address.clone(),
            ..Address::default()
        };
    }
    settings.networks.insert(name, endpoint);
    settings
}

/// An id as docker has them, the same whenever it is asked for.
fn identifier(kind: &str, of: &str) -> String {
    let digest = Digest::sha256(format!("{kind} {of}").as_bytes());
    digest.hex().to_owned()
}

/// The folders of a container's overlay. It is mounted nowhere but in the container itself: while that
/// runs, its root is reached through its process.
fn container_graph_driver(
    engine: &Engine,
    folder: &Path,
    container: &Container,
) -> Result<GraphDriver, Error> {
    let lowers = engine
        .store()?
        .lowers(&container.record.layers)
        .unwrap_or_default();
    let mut driver = graph_driver(lowers);
    let mut image = driver.data.take().unwrap_or_default();
    let mut data: BTreeMap<String, String> = BTreeMap::new();
    let below: Vec<String> = [image.remove("UpperDir"), image.remove("LowerDir")]
        .into_iter()
        .flatten()
        .collect();
    data.insert("LowerDir".to_owned(), below.join(":"));
    if container.state.status.is_alive() {
        let root = format!("/proc/{}/root", container.state.pid);
        data.insert("MergedDir".to_owned(), root);
    }
    for (role, name) in [("UpperDir", "upper"), ("WorkDir", "work")] {
        data.insert(role.to_owned(), folder.join(name).display().to_string());
    }
    driver.data = Some(data);
    Ok(driver)
}

//! A container's network: which one it asks for, and its place there while it runs.

use crate::host_config::HostConfig;
use lapstrake_net::{Bridge, Endpoint};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the message of a container begins with that could not be connected with its network.
pub const NETWORK_FAILURE: &str = "failed to set up container networking: ";

/// The name of docker's default network.
pub const BRIDGE_NETWORK: &str = "bridge";

/// A running container's place on the default bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkState {
    /// Its address.
    #[serde(rename = "IPAddress")]
    pub address: String,
    /// Bits of the network's part of it.
    #[serde(rename = "IPPrefixLen")]
    pub prefix: u8,
    /// The bridge's address: its router.
    pub gateway: String,
    /// Its interface's hardware address.
    pub mac_address: String,
}

impl From<Endpoint> for NetworkState {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            address: endpoint.address.to_string(),
            prefix: endpoint.prefix,
            gateway: endpoint.gateway.to_string(),
            mac_address: endpoint.hardware_address.to_string(),
        }
    }
}

/// Whether the container is on the default bridge, which is what `default` means.
pub fn is_bridge_network(host: &HostConfig) -> bool {
    matches!(host.network_mode.as_str(), "" | "default" | BRIDGE_NETWORK)
}

/// Whether the container is in the host's network namespace.
pub fn is_host_network(host: &HostConfig) -> bool {
    host.network_mode == "host"
}

/// Whether the container has a loopback interface and nothing else.
pub fn is_no_network(host: &HostConfig) -> bool {
    host.network_mode == "none"
}

/// The name of the container's network, as `inspect` and `ps` show it.
pub fn network_name(host: &HostConfig) -> &str {
    if is_bridge_network(host) {
        BRIDGE_NETWORK
    } else {
        &host.network_mode
    }
}

/// Removes the bridge when no container needs it any more and `wait` allows the time for that: for a process that
/// has ended a container and has nothing else to do. What fails is left to the next one.
pub(crate) fn linger(wait: impl FnMut(Duration) -> bool) {
    Bridge::default().linger(wait).ok();
}

/// Removes a bridge that killed processes have left, when nobody needs it for a while: for a process in the
/// background.
pub fn reap() {
    // Who may not look has not made it either.
    if Bridge::default().is_idle().unwrap_or(false) {
        linger(|time| {
            std::thread::sleep(time);
            true
        });
    }
}

/// Connects the container of this process with the default bridge.
pub(crate) fn connect(pid: i32) -> Result<Endpoint, String> {
    Bridge::default().attach_process(pid).map_err(|error| {
        let mut message = format!("{NETWORK_FAILURE}{error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        message
    })
}

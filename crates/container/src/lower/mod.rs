//! From docker's configuration to an OCI runtime specification. Pure: what the host or the image must tell
//! (numbers of users, devices) comes in as [`Inputs`].

mod merge;
mod mounts;
mod process;
mod resources;
mod security;

pub use merge::merge;
pub use process::{DEFAULT_PATH, environment};

use crate::error::{Error, Result};
use crate::host_config::HostConfig;
use crate::record::Record;
use crate::users::Identity;
use lapstrake_runtime::defaults;
use oci_spec::runtime::{LinuxDevice, LinuxNamespaceType, Spec};
use std::path::Path;

/// What a specification is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The container.
    pub record: &'a Record,
    /// Its folder, which has the files that are bind-mounted.
    pub home: &'a Path,
    /// Who its process is.
    pub identity: &'a Identity,
    /// The host's devices that the request names, as they are in the container.
    pub devices: &'a [LinuxDevice],
}

/// The specification of a container.
pub fn spec(inputs: &Inputs<'_>) -> Result<Spec> {
    let record = inputs.record;
    let host = &record.host_config;
    let mut spec = defaults::default_spec();
    if host.privileged {
        defaults::make_privileged(&mut spec);
    }
    process::apply(&mut spec, record, inputs.identity);
    security::apply(&mut spec, host)?;
    namespaces(&mut spec, host);
    if host.uts_mode == "host" {
        spec.set_hostname(None);
    } else {
        spec.set_hostname(Some(record.config.hostname.clone()));
        let domain = &record.config.domainname;
        spec.set_domainname((!domain.is_empty()).then(|| domain.clone()));
    }
    let mut root = spec.root().clone().unwrap_or_default();
    root.set_readonly(Some(host.readonly_rootfs));
    spec.set_root(Some(root));
    mounts::apply(&mut spec, record, inputs.home);
    resources::apply(&mut spec, host, inputs.devices)?;
    Ok(spec)
}

/// Finds at creation what would make every start fail.
pub(crate) fn check(host: &HostConfig) -> Result<()> {
    security::check(host)?;
    resources::check(host)?;
    check_mode(
        "network",
        &host.network_mode,
        &["", "default", "none", "host", "bridge"],
    )?;
    check_mode(
        "IPC",
        &host.ipc_mode,
        &["", "private", "shareable", "host", "none"],
    )?;
    check_mode("PID", &host.pid_mode, &["", "host"])?;
    check_mode("UTS", &host.uts_mode, &["", "host"])
}

fn check_mode(what: &str, value: &str, known: &[&str]) -> Result<()> {
    if known.contains(&value) {
        return Ok(());
    }
    Err(Error::Invalid(match what {
        "network" => format!("network {value} not found"),
        what => format!("invalid {what} mode: {value}"),
    }))
}

/// Whether the container is in the host's network namespace.
pub fn is_host_network(host: &HostConfig) -> bool {
    host.network_mode == "host"
}

/// Whether the container has a loopback interface and nothing else. There is no bridge yet: it is what
/// `default` means.
pub fn is_no_network(host: &HostConfig) -> bool {
    !is_host_network(host)
}

fn namespaces(spec: &mut Spec, host: &HostConfig) {
    let mut shared = Vec::new();
    if is_host_network(host) {
        shared.push(LinuxNamespaceType::Network);
    }
    for (mode, kind) in [
        (&host.ipc_mode, LinuxNamespaceType::Ipc),
        (&host.pid_mode, LinuxNamespaceType::Pid),
        (&host.uts_mode, LinuxNamespaceType::Uts),
    ] {
        if mode == "host" {
            shared.push(kind);
        }
    }
    let Some(linux) = spec.linux_mut() else {
        return;
    };
    if let Some(namespaces) = linux.namespaces_mut() {
        namespaces.retain(|namespace| !shared.contains(&namespace.typ()));
    }
    if let Some(sysctls) = linux.sysctl_mut() {
        let lost = |name: &str| {
            (name.starts_with("net.") && shared.contains(&LinuxNamespaceType::Network))
                || (name.starts_with("kernel.") && shared.contains(&LinuxNamespaceType::Ipc))
        };
        sysctls.retain(|name, _| !lost(name));
        sysctls.extend(
            host.sysctls
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
}

#[cfg(test)]
mod tests;

//! From docker's configuration to an OCI runtime specification. Pure: what the host or the image must tell
//! (numbers of users, devices) comes in as [`Inputs`].

mod merge;
mod mounts;
mod process;
mod resources;
mod security;

pub use merge::merge;
pub use process::{DEFAULT_PATH, environment};
pub(crate) use resources::cgroups_path;

use crate::error::{Error, Result};
use crate::host_config::HostConfig;
use crate::network::is_host_network;
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
    resources::apply(&mut spec, record, inputs.devices)?;
    Ok(spec)
}

/// Finds at creation what would make every start fail.
pub(crate) fn check(host: &HostConfig) -> Result<()> {
    security::check(host)?;
    resources::check(host)?;
    check_sysctls(host)?;
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

/// Refuses kernel settings that are not the container's own: writing them would change the host.
fn check_sysctls(host: &HostConfig) -> Result<()> {
    for name in host.sysctls.keys() {
        let slashed = name.replace('/', ".");
        let is_ipc = slashed.starts_with("fs.mqueue.") || IPC_SYSCTLS.contains(&slashed.as_str());
        let refusal = if slashed.starts_with("net.") {
            is_host_network(host).then_some("not allowed in host network namespace")
        } else if is_ipc {
            (host.ipc_mode == "host").then_some("is not allowed in the hosts ipc namespace")
        } else {
            Some("is not in a separate kernel namespace")
        };
        if let Some(refusal) = refusal {
            return Err(Error::Invalid(format!("sysctl {name:?} {refusal}")));
        }
    }
    Ok(())
}

/// The settings of an IPC namespace, but for those of message queues.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

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

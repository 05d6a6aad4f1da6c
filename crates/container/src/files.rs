//! The files that are bind-mounted over the image's: /etc/hostname, /etc/hosts, /etc/resolv.conf.

use crate::error::{Context, Error, Result};
use crate::home::Home;
use crate::network::{is_bridge_network, is_host_network, is_no_network};
use crate::record::Record;
use lapstrake_net::Endpoint;
use std::net::IpAddr;
use std::path::Path;

/// Names of the files in the container's folder.
pub(crate) const HOSTNAME: &str = "hostname";
pub(crate) const HOSTS: &str = "hosts";
pub(crate) const RESOLV_CONF: &str = "resolv.conf";

/// Used when the host's own name servers cannot be reached from the container.
const PUBLIC_NAME_SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// In place of an address: the host, as the container reaches it.
const HOST_GATEWAY: &str = "host-gateway";

/// What every container finds in /etc/hosts.
const HOSTS_HEAD: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
     fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Writes the files anew. The host's are read each time: they may have changed.
pub(crate) fn write(home: &Home, record: &Record) -> Result<()> {
    let host = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let hosts_of_host = if is_host_network(&record.host_config) {
        host("/etc/hosts")
    } else {
        String::new()
    };
    put(home, HOSTNAME, &hostname(record))?;
    put(home, HOSTS, &hosts(record, &hosts_of_host, None)?)?;
    let mut resolver = host("/etc/resolv.conf");
    if is_bridge_network(&record.host_config) && is_systemd_stub(&resolver) {
        // What the stub, which the container cannot reach, would ask itself.
        resolver = host("/run/systemd/resolve/resolv.conf");
    }
    put(home, RESOLV_CONF, &resolv_conf(record, &resolver))
}

/// Writes the container's own line into /etc/hosts, where it is mounted already.
pub(crate) fn write_own_host(home: &Home, record: &Record, own: &Endpoint) -> Result<()> {
    put(home, HOSTS, &hosts(record, "", Some(own))?)
}

/// Whether systemd's resolver on the loopback interface is the only name server.
fn is_systemd_stub(resolv_conf: &str) -> bool {
    words(resolv_conf, "nameserver") == ["127.0.0.53"]
}

fn put(home: &Home, name: &str, text: &str) -> Result<()> {
    let path = home.file(name);
    std::fs::write(&path, text).context(|| format!("writing {}", path.display()))
}

pub(crate) fn hostname(record: &Record) -> String {
    format!("{}\n", record.config.hostname)
}

/// Docker's order: what every container has, the lines asked for, the container itself.
pub(crate) fn hosts(
    record: &Record,
    hosts_of_host: &str,
    own: Option<&Endpoint>,
) -> Result<String> {
    let mut text = if is_host_network(&record.host_config) {
        hosts_of_host.to_owned()
    } else {
        HOSTS_HEAD.to_owned()
    };
    for line in record.host_config.extra_hosts.iter().flatten() {
        let invalid = || Error::Invalid(format!("invalid value for extra host: {line:?}"));
        let (name, address) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(invalid)?;
        let address = match (address, own) {
            (HOST_GATEWAY, Some(own)) => IpAddr::V4(own.gateway),
            // Not known before there is a bridge, or where there is none.
            (HOST_GATEWAY, None) => continue,
            (address, _) => address.parse().map_err(|_error| invalid())?,
        };
        push_host(&mut text, address, name);
    }
    if let Some(own) = own {
        let name = &record.config.hostname;
        let domain = &record.config.domainname;
        let names = match domain.as_str() {
            "" => name.clone(),
            domain => format!("{name}.{domain} {name}"),
        };
        push_host(&mut text, IpAddr::V4(own.address), &names);
    }
    Ok(text)
}

fn push_host(text: &mut String, address: IpAddr, names: &str) {
    text.push_str(&address.to_string());
    text.push('\t');
    text.push_str(names);
    text.push('\n');
}

/// The host's file as it is on the host's network (or none at all); on the bridge without name servers on the
/// host's loopback and IPv6 ones, which the container cannot reach. Options of the request replace the host's.
pub(crate) fn resolv_conf(record: &Record, host: &str) -> String {
    let config = &record.host_config;
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let (dns, search, options) = (
        given(&config.dns),
        given(&config.dns_search),
        given(&config.dns_options),
    );
    let asked = dns.is_some() || search.is_some() || options.is_some();
    if !asked {
        if is_host_network(config) || is_no_network(config) {
            return host.to_owned();
        }
        return without_unreachable(host);
    }
    let mut servers = dns.unwrap_or_else(|| {
        let all = words(host, "nameserver");
        if is_host_network(config) {
            return all;
        }
        all.into_iter()
            .filter(|server| is_reachable(server))
            .collect()
    });
    if servers.is_empty() {
        servers = PUBLIC_NAME_SERVERS.map(str::to_owned).to_vec();
    }
    let search = search.unwrap_or_else(|| words(host, "search"));
    let options = options.unwrap_or_else(|| words(host, "options"));
    let mut text = String::new();
    for server in servers {
        text.push_str("nameserver ");
        text.push_str(&server);
        text.push('\n');
    }
    for (key, values) in [("search", search), ("options", options)] {
        if !values.is_empty() && values != ["."] {
            text.push_str(key);
            text.push(' ');
            text.push_str(&values.join(" "));
            text.push('\n');
        }
    }
    text
}

/// The words after a keyword, of all its lines.
fn words(text: &str, keyword: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(keyword))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The host's file without the name servers that a container on the bridge cannot reach, and with public ones
/// when none is left.
fn without_unreachable(host: &str) -> String {
    let servers = |line: &str| words(line, "nameserver");
    let mut text: String = host
        .lines()
        .filter(|line| servers(line).iter().all(|server| is_reachable(server)))
        .flat_map(|line| [line, "\n"])
        .collect();
    if servers(&text).is_empty() {
        for server in PUBLIC_NAME_SERVERS {
            text.push_str("nameserver ");
            text.push_str(server);
            text.push('\n');
        }
    }
    text
}

/// Whether the bridge leads there. It has no IPv6.
fn is_reachable(server: &str) -> bool {
    match server.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => !address.is_loopback(),
        Ok(IpAddr::V6(_)) => false,
        Err(_) => true,
    }
}

/// Where a container finds its name.
pub(crate) const HOSTNAME_TARGET: &str = "/etc/hostname";

/// Where the files are, for the mounts.
pub(crate) fn paths(home: &Path) -> [(&'static str, std::path::PathBuf); 3] {
    [
        ("/etc/resolv.conf", home.join(RESOLV_CONF)),
        (HOSTNAME_TARGET, home.join(HOSTNAME)),
        ("/etc/hosts", home.join(HOSTS)),
    ]
}

#[cfg(test)]
mod tests;

//! Which proxy a request goes through. The values come from the caller; nothing here reads the
//! environment.

use super::insecure::block_contains;
use super::{is_loopback, split_port};
use std::net::IpAddr;

/// Proxy settings, as the variables of the same names give them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For `http` addresses.
    pub http: Option<String>,
    /// For `https` addresses.
    pub https: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    pub no_proxy: Option<String>,
}

impl Proxy {
    /// The proxy for a request to `authority` (`host[:port]`), as an address with a scheme.
    pub fn for_host(&self, https: bool, authority: &str) -> Option<String> {
        let chosen = if https { &self.https } else { &self.http };
        let address = chosen
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())?;
        if self.is_direct(authority, if https { 443 } else { 80 }) {
            return None;
        }
        let has_scheme = address.contains("://");
        Some(if has_scheme {
            address.to_owned()
        } else {
            format!("http://{address}")
        })
    }

    fn is_direct(&self, authority: &str, default_port: u16) -> bool {
        let authority = authority.to_ascii_lowercase();
        let (host, port) = split_port(&authority);
        let host = host.trim_matches(['[', ']']);
        if is_loopback(host) {
            return true;
        }
        let port = port.unwrap_or(default_port);
        let list = self.no_proxy.as_deref().unwrap_or_default();
        list.split(',')
            .any(|entry| matches(&entry.trim().to_ascii_lowercase(), host, port))
    }
}

/// One entry of the list, by the rules of Go's `httpproxy`: `*`, an address, a block, a name that
/// means its subdomains too, a name with a leading dot that means them alone; each but the block may
/// carry a port.
fn matches(entry: &str, host: &str, port: u16) -> bool {
    if entry.is_empty() {
        return false;
    }
    if entry == "*" {
        return true;
    }
    let address: Option<IpAddr> = host.parse().ok();
    if entry.contains('/') {
        return address.is_some_and(|address| block_contains(entry, address));
    }
    let (name, wanted_port) = split_port(entry);
    if wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return address == Some(wanted);
    }
    let name = name
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name) && host.len() > name.len(),
        None => {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        }
    }
}

//! Registries that may speak plain HTTP or show a certificate that nobody signed.

use super::{is_loopback, split_port};
use std::net::IpAddr;

/// `insecure-registries` of daemon.json: names with or without port, addresses, CIDR blocks.
#[derive(Debug, Clone, Default)]
pub struct InsecureList {
    names: Vec<String>,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    address: IpAddr,
    prefix: u32,
}

impl InsecureList {
    /// Reads the entries. A scheme before a name is taken off, as docker does.
    pub fn new<S: AsRef<str>>(entries: &[S]) -> Self {
        let mut list = Self::default();
        for entry in entries {
            let entry = entry.as_ref().trim();
            if let Some(block) = Block::parse(entry) {
                list.blocks.push(block);
                continue;
            }
            let name = entry
                .strip_prefix("http://")
                .or_else(|| entry.strip_prefix("https://"))
                .unwrap_or(entry)
                .trim_end_matches('/');
            if !name.is_empty() {
                list.names.push(name.to_ascii_lowercase());
            }
        }
        list
    }

    /// Whether `host[:port]` may be insecure: it is named, its address is in a block, or it is this
    /// machine.
    pub fn contains(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        let (host, _port) = split_port(&authority);
        if is_loopback(host) || self.names.contains(&authority) {
            return true;
        }
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        address.is_some_and(|address| self.blocks.iter().any(|block| block.contains(address)))
    }
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u32 = prefix.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some(Self { address, prefix })
    }

    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let differing = one.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let differing = one.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

/// A CIDR block for other lists.
pub(super) fn block_contains(block: &str, address: IpAddr) -> bool {
    Block::parse(block).is_some_and(|block| block.contains(address))
}

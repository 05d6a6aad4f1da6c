//! IPv4 networks: which one the bridge gets, and which address comes next. Pure.

use std::net::Ipv4Addr;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// Its first address.
    base: u32,
    /// Bits that its addresses share, at most 32.
    prefix: u8,
}

impl Subnet {
    /// The network of this size that holds the address. A prefix beyond 32 is one address.
    pub(crate) fn of(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self {
            base: address.to_bits() & mask(prefix),
            prefix,
        }
    }

    /// `172.17.0.1/16`: the network of a router's address, and the address.
    pub(crate) fn parse(text: &str) -> Option<(Self, Ipv4Addr)> {
        let (address, prefix) = text.split_once('/')?;
        let address = address.parse().ok()?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 30)?;
        Some((Self::of(address, prefix), address))
    }

    pub(crate) fn base(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base)
    }

    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    pub(crate) fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    pub(crate) fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base | !mask(self.prefix))
    }

    /// The bridge's own address: the network's first.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base | 1)
    }

    /// Whether the two have an address in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let common = mask(self.prefix.min(other.prefix));
        self.base & common == other.base & common
    }

    /// The addresses for containers, lowest first.
    pub(crate) fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let last = self.broadcast().to_bits();
        let gateway = self.gateway().to_bits();
        (gateway.saturating_add(1)..last).map(Ipv4Addr::from_bits)
    }
}

/// The bits that addresses of a network share.
fn mask(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

/// The first of docker's default networks that overlaps with nothing that is `taken`: 172.17.0.0/16 to
/// 172.31.0.0/16, then 192.168.0.0/20 and those that follow.
pub(crate) fn elect(taken: &[Subnet]) -> Option<Subnet> {
    let large = (17..=31).map(|second| Subnet::of(Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..=15).map(|third| Subnet::of(Ipv4Addr::new(192, 168, third << 4, 0), 20));
    large
        .chain(small)
        .find(|candidate| !taken.iter().any(|taken| taken.overlaps(*candidate)))
}

/// The hardware address of the interface with this address, as docker makes it: `02:42` and the address. Who
/// gets the address next has the same one, so nobody's neighbour table goes stale.
pub(crate) fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// The IPv4 name servers of a resolver configuration.
pub(crate) fn name_servers(resolv_conf: &str) -> Vec<Subnet> {
    resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse().ok())
        .map(|address| Subnet::of(address, 32))
        .collect()
}

#[cfg(test)]
mod tests;

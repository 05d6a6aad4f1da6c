//! Container networks: the default bridge.
//!
//! [`Bridge::attach`] connects a network namespace with the bridge; everything goes through netlink sockets of
//! the calling thread: no child process, no daemon, no file but its locks.
//!
//! # What is where
//!
//! ```text
//! in the host's network namespace
//!     lap0                 the bridge, with the first address of its network; carries its state as alias
//!     lap<address>         a container's interface on the bridge: lapac110002 for 172.17.0.2
//!     table ip lapstrake   masquerade, and nothing new from outside to the containers
//!     chain LAPSTRAKE      in iptables' filter table, where that is in use
//! in the container's
//!     eth0                 its address, the default route by way of the bridge
//! /run/lapstrake/network.lock, network.linger
//! ```
//!
//! # Who has an address
//!
//! The kernel keeps the leases: a container has an address exactly as long as the interface named after the
//! address exists, and two interfaces cannot have one name. So an address cannot be given out twice, by
//! whatever store, mount namespace or version of this program, and there is no lease that could outlive its
//! holder: with the last process of a container (after `kill -9` of its monitor too) its network namespace goes,
//! with that its interface, and with that the other end. Nobody deletes interfaces: that would take the
//! 20 ms that the kernel now takes in the background. The lowest free address is taken. Hardware addresses
//! follow from addresses, so that nobody's neighbour table is wrong about a new holder.
//!
//! # The bridge
//!
//! It belongs to the network namespace, not to a store: every store on a host shares it. Its network is the first
//! of docker's default ones that overlaps with no route, address or name server of the host; its MTU is that of the
//! interface of the host's default route. Once everything is set up the bridge's alias says so
//! (`lapstrake 172.17.0.1/16`): a container that starts asks for the bridge and for the rules with one message
//! each, and sets both up again when anything is missing (rules vanish when somebody reloads a firewall; dockerd
//! may have been started since).
//!
//! [`Bridge::remove_idle`] removes bridge and rules when the bridge has no port. That takes the kernel a while, and
//! making them again costs the next container some milliseconds: so who ends a container calls
//! [`Bridge::linger`] when it has nothing else to do, and the bridge goes [`LINGER`] after its last container. What a
//! killed process leaves goes with the next container, or with what the store's reaper does. Ports are added under a shared
//! flock of `network.lock`, bridge and rules are made and removed under an exclusive one. A process that is killed
//! in between leaves a bridge without its alias: the next one completes it. Nothing survives a reboot, and
//! nothing needs to. `net.ipv4.ip_forward` is switched on and left on, as docker leaves it: nobody can know who
//! else relies on it by now.

mod error;
mod firewall;
mod link;
mod subnet;

pub use error::Error;

use error::{Result, doing};
use lapstrake_sys::lock::{Lock, open_lock_file};
use lapstrake_sys::net;
use lapstrake_sys::netlink::Socket;
use link::{Link, NewBridge, NewPair};
use rustix::fs::{CWD, Mode, OFlags};
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use subnet::Subnet;

/// The name of the default bridge's interface.
pub const BRIDGE: &str = "lap0";

/// The name of a container's interface.
pub const INTERFACE: &str = "eth0";

/// Where the lock is.
const RUN_FOLDER: &str = "/run/lapstrake";
const LOCK_FILE: &str = "network.lock";
/// Locked by the one process that waits for the bridge to be unused.
const LINGER_FILE: &str = "network.linger";

/// How long a bridge without containers stays.
pub const LINGER: Duration = Duration::from_secs(10);

/// What a complete bridge's alias begins with.
const ALIAS: &str = "lapstrake ";

/// The alias of a bridge that is being removed.
const INCOMPLETE: &str = "lapstrake incomplete";

/// The kernel setting that makes a router of the host.
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The MTU of a host without a default route.
const DEFAULT_MTU: u32 = 1500;

/// Addresses that are tried one by one before the interfaces are listed.
const BLIND_ATTEMPTS: usize = 4;
/// How often somebody else may take the address that was free in the list.
const LISTED_ATTEMPTS: usize = 64;

/// A container's place on the bridge. It lasts as long as the container's network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The container's address.
    pub address: Ipv4Addr,
    /// Bits of the network's part of it.
    pub prefix: u8,
    /// The bridge's address: the container's router.
    pub gateway: Ipv4Addr,
    /// The hardware address.
    pub hardware_address: HardwareAddress,
}

/// The address of an Ethernet interface; displays as `02:42:ac:11:00:02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardwareAddress(pub [u8; 6]);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&parts.join(":"))
    }
}

/// The default bridge of the calling process's network namespace.
#[derive(Debug, Clone)]
pub struct Bridge {
    lock_folder: PathBuf,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            lock_folder: PathBuf::from(RUN_FOLDER),
        }
    }
}

impl Bridge {
    /// The default bridge with its lock in another folder than `/run/lapstrake`.
    pub fn with_lock_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            lock_folder: folder.into(),
        }
    }

    /// Connects a network namespace with the bridge, which is made when it is not there. The namespace gets the
    /// interface `eth0` with an address and the default route.
    ///
    /// The calling thread moves into the namespace for a moment. When this fails, the namespace is to be given up.
    pub fn attach(&self, netns: BorrowedFd<'_>) -> Result<Endpoint> {
        let mut route = Socket::route().map_err(doing(OPENING))?;
        let mut netfilter = Socket::netfilter().map_err(doing(OPENING))?;
        let lock = self.lock(Lock::shared)?;
        let (lock, bridge, subnet) = match complete_bridge(&mut route, &mut netfilter)? {
            Some((bridge, subnet)) => (lock, bridge, subnet),
            None => {
                drop(lock);
                let lock = self.lock(Lock::exclusive)?;
                let (bridge, subnet) = set_up(&mut route, &mut netfilter)?;
                (lock, bridge, subnet)
            }
        };
        let address = plug(&mut route, &bridge, subnet, netns)?;
        // From here on the bridge has a port.
        drop(lock);
        let mut inside = net::inside(netns, Socket::route).map_err(doing(ENTERING))?;
        link::configure(&mut inside, INTERFACE, address, subnet)?;
        Ok(Endpoint {
            address,
            prefix: subnet.prefix(),
            gateway: subnet.gateway(),
            hardware_address: HardwareAddress(subnet::hardware_address(address)),
        })
    }

    /// [`Self::attach`] for the network namespace of a process, which must be a child of the calling one that was
    /// not waited for: else its number may be another's.
    pub fn attach_process(&self, pid: i32) -> Result<Endpoint> {
        let path = format!("/proc/{pid}/ns/net");
        let netns: OwnedFd = rustix::fs::open(
            path.as_str(),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| doing(ENTERING)(errno.into()))?;
        self.attach(std::os::fd::AsFd::as_fd(&netns))
    }

    /// Removes the bridge and its rules if the bridge is there and no container is on it; true when that is so.
    /// Does nothing while a container is being connected.
    pub fn remove_idle(&self) -> Result<bool> {
        let Some(lock) = self.try_lock()? else {
            return Ok(false);
        };
        let mut route = Socket::route().map_err(doing(OPENING))?;
        let Some(bridge) = link::find(&mut route, BRIDGE)?.filter(is_ours) else {
            return Ok(false);
        };
        let links = link::list(&mut route)?;
        if links.iter().any(|link| link.master == Some(bridge.index)) {
            return Ok(false);
        }
        let mut netfilter = Socket::netfilter().map_err(doing(OPENING))?;
        // Should this end half-way, whoever finds the bridge sets it up again.
        link::set_alias(&mut route, bridge.index, INCOMPLETE)?;
        firewall::remove(&mut netfilter)?;
        link::remove(&mut route, bridge.index)?;
        drop(lock);
        Ok(true)
    }

    /// Waits until the bridge was without containers for [`LINGER`], and removes it. Returns at once when another
    /// process waits already, and when there is a container, whose end is another's business. `wait` waits
    /// that long; its false ends this early.
    pub fn linger(&self, mut wait: impl FnMut(Duration) -> bool) -> Result<()> {
        let mut route = Socket::route().map_err(doing(OPENING))?;
        while link::find(&mut route, BRIDGE)?.is_some_and(|link| is_ours(&link)) {
            let file = self.open(LINGER_FILE);
            let lock = file
                .and_then(Lock::try_exclusive)
                .map_err(|source| self.lock_failed(source))?;
            let Ok(lock) = lock else { return Ok(()) };
            if !wait(LINGER) || self.remove_idle()? {
                return Ok(());
            }
            drop(lock);
            // The last container may have ended since, and have seen that somebody waits.
            if !self.is_idle()? {
                break;
            }
        }
        Ok(())
    }

    /// Whether there is a bridge without containers: cheap, and possibly wrong a moment later.
    pub fn is_idle(&self) -> Result<bool> {
        let mut route = Socket::route().map_err(doing(OPENING))?;
        let Some(bridge) = link::find(&mut route, BRIDGE)?.filter(is_ours) else {
            return Ok(false);
        };
        let links = link::list(&mut route)?;
        Ok(!links.iter().any(|link| link.master == Some(bridge.index)))
    }

    fn lock(&self, how: fn(std::fs::File) -> io::Result<Lock>) -> Result<Lock> {
        self.open(LOCK_FILE)
            .and_then(how)
            .map_err(|source| self.lock_failed(source))
    }

    /// The exclusive lock, if nobody has it.
    fn try_lock(&self) -> Result<Option<Lock>> {
        self.open(LOCK_FILE)
            .and_then(Lock::try_exclusive)
            .map(std::result::Result::ok)
            .map_err(|source| self.lock_failed(source))
    }

    fn open(&self, name: &str) -> io::Result<std::fs::File> {
        let path = self.lock_folder.join(name);
        match open_lock_file(CWD, path.as_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&self.lock_folder)?;
                open_lock_file(CWD, path.as_path())
            }
            other => other,
        }
    }

    fn lock_failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::PermissionDenied => doing("locking the host's networks")(source),
            _ => Error::Lock {
                path: self.lock_folder.join(LOCK_FILE),
                source,
            },
        }
    }
}

const OPENING: &str = "opening a netlink socket";
const ENTERING: &str = "entering the container's network namespace";

/// Nobody else's business: whoever can open the lock can hold every start up.
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn is_ours(link: &Link) -> bool {
    link.kind == "bridge" && link.alias.starts_with(ALIAS)
}

/// Ours, or made by a process that was killed before it could say so.
fn may_be_ours(link: &Link) -> bool {
    is_ours(link) || (link.kind == "bridge" && link.alias.is_empty())
}

/// The bridge with its network, if nothing about it is missing.
fn complete_bridge(route: &mut Socket, netfilter: &mut Socket) -> Result<Option<(Link, Subnet)>> {
    let Some(bridge) = link::find(route, BRIDGE)?.filter(|link| link.is_up) else {
        return Ok(None);
    };
    let subnet = bridge.alias.strip_prefix(ALIAS).and_then(Subnet::parse);
    let Some((subnet, _)) = subnet else {
        return Ok(None);
    };
    let complete = firewall::find(netfilter)?.is_complete();
    Ok(complete.then_some((bridge, subnet)))
}

/// Makes what is missing of bridge, address, rules. The exclusive lock is held.
fn set_up(route: &mut Socket, netfilter: &mut Socket) -> Result<(Link, Subnet)> {
    // Somebody else may have been faster.
    if let Some(complete) = complete_bridge(route, netfilter)? {
        return Ok(complete);
    }
    let old = link::find(route, BRIDGE)?;
    if old.as_ref().is_some_and(|link| !may_be_ours(link)) {
        return Err(Error::NotABridge(BRIDGE));
    }
    let addresses = link::addresses(route)?;
    let routes = link::routes(route)?;
    let old_subnet = old.as_ref().and_then(|link| {
        let mut own = addresses.iter().filter(|(index, ..)| *index == link.index);
        own.next()
            .map(|(_, address, prefix)| Subnet::of(*address, *prefix))
    });
    let subnet = match old_subnet {
        Some(subnet) => subnet,
        None => elect(&addresses, &routes)?,
    };
    forward_packets(Path::new(IP_FORWARD))?;
    let gateway = subnet.gateway();
    let new = NewBridge {
        name: BRIDGE,
        hardware_address: subnet::hardware_address(gateway),
        mtu: default_mtu(route, &routes)?,
    };
    link::make_bridge(route, new)?;
    let bridge = link::find(route, BRIDGE)?.ok_or(Error::NotABridge(BRIDGE))?;
    link::add_address(route, bridge.index, gateway, subnet)?;
    let found = firewall::find(netfilter)?;
    firewall::install(netfilter, found, BRIDGE, subnet)?;
    let alias = format!("{ALIAS}{gateway}/{}", subnet.prefix());
    link::set_alias(route, bridge.index, &alias)?;
    Ok((bridge, subnet))
}

fn elect(addresses: &[(u32, Ipv4Addr, u8)], routes: &[link::Route]) -> Result<Subnet> {
    let addresses = addresses
        .iter()
        .map(|(_, address, prefix)| Subnet::of(*address, *prefix));
    let routes = routes.iter().map(|route| route.destination);
    // Without a resolver configuration there is no name server to collide with.
    let resolv_conf = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let taken: Vec<Subnet> = addresses
        .chain(routes.filter(|destination| destination.prefix() > 0))
        .chain(subnet::name_servers(&resolv_conf))
        .collect();
    subnet::elect(&taken).ok_or(Error::NoSubnet)
}

/// The MTU of the way out, so that no packet has to be cut on it.
fn default_mtu(route: &mut Socket, routes: &[link::Route]) -> Result<u32> {
    let default = routes
        .iter()
        .find(|route| route.destination.prefix() == 0)
        .and_then(|route| route.interface);
    let links = link::list(route)?;
    let out = links.iter().find(|link| Some(link.index) == default);
    Ok(out.map_or(DEFAULT_MTU, |link| link.mtu))
}

/// Makes the host a router, if it is none.
fn forward_packets(setting: &Path) -> Result<()> {
    if std::fs::read(setting).is_ok_and(|value| value.starts_with(b"1")) {
        return Ok(());
    }
    std::fs::write(setting, "1").map_err(|source| Error::Forwarding {
        path: setting.to_owned(),
        source,
    })
}

/// Gives the namespace its interface, and with that an address.
fn plug(
    route: &mut Socket,
    bridge: &Link,
    subnet: Subnet,
    netns: BorrowedFd<'_>,
) -> Result<Ipv4Addr> {
    for address in subnet.hosts().take(BLIND_ATTEMPTS) {
        if take_address(route, bridge, address, netns)? {
            return Ok(address);
        }
    }
    for _ in 0..LISTED_ATTEMPTS {
        let links = link::list(route)?;
        let names: std::collections::BTreeSet<&str> =
            links.iter().map(|link| link.name.as_str()).collect();
        let free = subnet
            .hosts()
            .find(|address| !names.contains(port_name(*address).as_str()));
        let Some(address) = free else { break };
        if take_address(route, bridge, address, netns)? {
            return Ok(address);
        }
    }
    Err(Error::NoAddress(subnet.base()))
}

/// True when the address was free.
fn take_address(
    route: &mut Socket,
    bridge: &Link,
    address: Ipv4Addr,
    netns: BorrowedFd<'_>,
) -> Result<bool> {
    link::make_pair(
        route,
        NewPair {
            name: &port_name(address),
            bridge,
            inner_name: INTERFACE,
            hardware_address: subnet::hardware_address(address),
            netns,
        },
    )
}

/// The interface that stands for an address.
fn port_name(address: Ipv4Addr) -> String {
    format!("lap{:08x}", address.to_bits())
}

#[cfg(test)]
mod tests;

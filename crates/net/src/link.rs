//! Interfaces, addresses and routes of one network namespace.

use crate::error::{Result, doing};
use crate::subnet::Subnet;
use lapstrake_sys::netlink::{self, Batch, Mode, Socket};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

// Kinds of messages and attributes, as linux/rtnetlink.h, if_link.h, if_addr.h and veth.h number them.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const AF_INET: u8 = 2;
const AF_INET6: u16 = 10;
const IFF_UP: u32 = 1;
/// No link-local IPv6 address is made.
const ADDR_GEN_MODE_NONE: u8 = 1;
/// `struct rtmsg`: table main, protocol boot, scope universe, type unicast.
const ROUTE_MAIN: [u8; 4] = [254, 3, 0, 1];
/// Bytes of `struct ifinfomsg`, `ifaddrmsg` and `rtmsg`, before the attributes.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `bridge`, `veth`, …; empty for hardware.
    pub(crate) kind: String,
    pub(crate) is_up: bool,
    pub(crate) mtu: u32,
    /// The bridge that it is a port of.
    pub(crate) master: Option<u32>,
    /// A text that anybody may put there.
    pub(crate) alias: String,
}

impl Link {
    fn parse(object: &[u8]) -> Option<Self> {
        let attributes = object.get(LINK_HEADER..)?;
        let mut link = Self {
            index: netlink::number(object.get(4..8)?),
            is_up: netlink::number(object.get(8..12)?) & IFF_UP != 0,
            ..Self::default()
        };
        for (kind, value) in netlink::attributes(attributes) {
            match kind {
                IFLA_IFNAME => link.name = netlink::text(value),
                IFLA_MTU => link.mtu = netlink::number(value),
                IFLA_MASTER => link.master = Some(netlink::number(value)),
                IFLA_IFALIAS => link.alias = netlink::text(value),
                IFLA_LINKINFO => {
                    let kind = netlink::attribute(value, IFLA_INFO_KIND);
                    link.kind = kind.map(netlink::text).unwrap_or_default();
                }
                _ => {}
            }
        }
        Some(link)
    }
}

/// `struct ifinfomsg`, with the flags to set.
fn link_header(index: u32, flags: u32) -> [u8; LINK_HEADER] {
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&flags.to_ne_bytes());
    header
}

/// `struct ifaddrmsg`: family, prefix, flags, scope, interface.
fn address_header(prefix: u8, index: u32) -> [u8; ADDRESS_HEADER] {
    let [a, b, c, d] = index.to_ne_bytes();
    [AF_INET, prefix, 0, 0, a, b, c, d]
}

/// The interface with this name.
pub(crate) fn find(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    let mut batch = Batch::new();
    batch.add(RTM_GETLINK, Mode::Plain, &link_header(0, 0), |writer| {
        writer.text(IFLA_IFNAME, name);
    });
    match socket.carry_out(&batch) {
        Ok(answers) => Ok(answers
            .iter()
            .flatten()
            .find_map(|object| Link::parse(object))),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(doing("looking for the bridge")(error)),
    }
}

/// `ENODEV`.
fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// Every interface.
pub(crate) fn list(socket: &mut Socket) -> Result<Vec<Link>> {
    let objects = dump(
        socket,
        RTM_GETLINK,
        &link_header(0, 0),
        "listing the interfaces",
    )?;
    let links = objects.iter().filter_map(|object| Link::parse(object));
    Ok(links.collect())
}

fn dump(
    socket: &mut Socket,
    kind: u16,
    header: &[u8],
    action: &'static str,
) -> Result<Vec<Vec<u8>>> {
    let mut batch = Batch::new();
    batch.add(kind, Mode::Dump, header, |_| ());
    let answers = socket.carry_out(&batch).map_err(doing(action))?;
    Ok(answers.into_iter().flatten().collect())
}

/// IPv4 addresses: the interface, the address and the size of its network.
pub(crate) fn addresses(socket: &mut Socket) -> Result<Vec<(u32, Ipv4Addr, u8)>> {
    let header = address_header(0, 0);
    let objects = dump(socket, RTM_GETADDR, &header, "listing the addresses")?;
    let parse = |object: &Vec<u8>| {
        let [family, prefix, ..] = *object.as_slice() else {
            return None;
        };
        let index = netlink::number(object.get(4..ADDRESS_HEADER)?);
        let local = netlink::attribute(object.get(ADDRESS_HEADER..)?, IFA_LOCAL)?;
        (family == AF_INET).then_some((index, address(local), prefix))
    };
    Ok(objects.iter().filter_map(parse).collect())
}

/// An IPv4 route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// Where it leads; a prefix of 0 is the default route.
    pub(crate) destination: Subnet,
    /// Through which interface.
    pub(crate) interface: Option<u32>,
}

/// IPv4 routes of all tables.
pub(crate) fn routes(socket: &mut Socket) -> Result<Vec<Route>> {
    let mut header = [0; ROUTE_HEADER];
    header[0] = AF_INET;
    let objects = dump(socket, RTM_GETROUTE, &header, "listing the routes")?;
    let parse = |object: &Vec<u8>| {
        let [family, prefix, ..] = *object.as_slice() else {
            return None;
        };
        let attributes = object.get(ROUTE_HEADER..)?;
        let to = netlink::attribute(attributes, RTA_DST).map(address);
        (family == AF_INET).then_some(Route {
            destination: Subnet::of(to.unwrap_or(Ipv4Addr::UNSPECIFIED), prefix),
            interface: netlink::attribute(attributes, RTA_OIF).map(netlink::number),
        })
    };
    Ok(objects.iter().filter_map(parse).collect())
}

fn address(value: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from_bits(netlink::number_be(value))
}

/// A bridge to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewBridge<'a> {
    pub(crate) name: &'a str,
    pub(crate) hardware_address: [u8; 6],
    pub(crate) mtu: u32,
}

/// Makes a bridge, or changes the one that is there, and switches it on.
pub(crate) fn make_bridge(socket: &mut Socket, bridge: NewBridge<'_>) -> Result<()> {
    let mut batch = Batch::new();
    let header = link_header(0, IFF_UP);
    batch.add(RTM_NEWLINK, Mode::Create, &header, |writer| {
        writer.text(IFLA_IFNAME, bridge.name);
        writer.bytes(IFLA_ADDRESS, &bridge.hardware_address);
        writer.nested(IFLA_LINKINFO, |writer| {
            writer.bytes(IFLA_INFO_KIND, b"bridge");
        });
    });
    // An MTU that it is born with would follow its ports', and be 1500 without ports.
    batch.add(RTM_NEWLINK, Mode::Plain, &link_header(0, 0), |writer| {
        writer.text(IFLA_IFNAME, bridge.name);
        writer.number(IFLA_MTU, bridge.mtu);
    });
    let made = socket.carry_out(&batch).map(drop);
    made.map_err(doing("making the bridge"))
}

/// Gives an interface its address.
pub(crate) fn add_address(
    socket: &mut Socket,
    index: u32,
    address: Ipv4Addr,
    subnet: Subnet,
) -> Result<()> {
    let mut batch = Batch::new();
    push_address(&mut batch, index, address, subnet);
    let added = socket.carry_out(&batch).map(drop);
    added.map_err(doing("giving the bridge its address"))
}

fn push_address(batch: &mut Batch, index: u32, address: Ipv4Addr, subnet: Subnet) {
    let header = address_header(subnet.prefix(), index);
    batch.add(RTM_NEWADDR, Mode::Replace, &header, |writer| {
        writer.bytes(IFA_LOCAL, &address.octets());
        writer.bytes(IFA_ADDRESS, &address.octets());
        writer.bytes(IFA_BROADCAST, &subnet.broadcast().octets());
    });
}

/// Writes the text that an interface carries.
pub(crate) fn set_alias(socket: &mut Socket, index: u32, alias: &str) -> Result<()> {
    let mut batch = Batch::new();
    batch.add(RTM_NEWLINK, Mode::Plain, &link_header(index, 0), |writer| {
        writer.bytes(IFLA_IFALIAS, alias.as_bytes());
    });
    let set = socket.carry_out(&batch).map(drop);
    set.map_err(doing("marking the bridge as complete"))
}

/// Removes an interface; one that is gone already is none.
pub(crate) fn remove(socket: &mut Socket, index: u32) -> Result<()> {
    let mut batch = Batch::new();
    batch.add(RTM_DELLINK, Mode::Plain, &link_header(index, 0), |_| ());
    match socket.carry_out(&batch) {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(doing("removing the bridge")(error)),
    }
}

/// A pair of interfaces to be made: one end a port of the bridge, the other one in a container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPair<'a> {
    /// The name of the bridge's end.
    pub(crate) name: &'a str,
    /// The bridge.
    pub(crate) bridge: &'a Link,
    /// The name of the container's end.
    pub(crate) inner_name: &'a str,
    /// Its hardware address.
    pub(crate) hardware_address: [u8; 6],
    /// The network namespace that it is born in.
    pub(crate) netns: BorrowedFd<'a>,
}

/// Makes a pair with one message; false when there is an interface of that name.
pub(crate) fn make_pair(socket: &mut Socket, pair: NewPair<'_>) -> Result<bool> {
    let netns = u32::try_from(pair.netns.as_raw_fd()).unwrap_or(u32::MAX);
    let mut batch = Batch::new();
    batch.add(
        RTM_NEWLINK,
        Mode::CreateNew,
        &link_header(0, IFF_UP),
        |writer| {
            writer.text(IFLA_IFNAME, pair.name);
            writer.number(IFLA_MTU, pair.bridge.mtu);
            writer.number(IFLA_MASTER, pair.bridge.index);
            writer.nested(IFLA_LINKINFO, |writer| {
                writer.bytes(IFLA_INFO_KIND, b"veth");
                writer.nested(IFLA_INFO_DATA, |writer| {
                    writer.nested(VETH_INFO_PEER, |writer| {
                        writer.raw(&link_header(0, 0));
                        writer.text(IFLA_IFNAME, pair.inner_name);
                        writer.bytes(IFLA_ADDRESS, &pair.hardware_address);
                        writer.number(IFLA_MTU, pair.bridge.mtu);
                        writer.number(IFLA_NET_NS_FD, netns);
                    });
                });
            });
        },
    );
    match socket.carry_out(&batch) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(doing("making the container's interface")(error)),
    }
}

/// In the container's namespace: switches the interface on, without IPv6, gives it its address and the way
/// out.
pub(crate) fn configure(
    socket: &mut Socket,
    name: &str,
    address: Ipv4Addr,
    subnet: Subnet,
) -> Result<()> {
    const ACTION: &str = "giving the container's interface its address";
    let mut batch = Batch::new();
    // Before it is up: that is when addresses are made.
    batch.add(RTM_NEWLINK, Mode::Plain, &link_header(0, 0), |writer| {
        writer.text(IFLA_IFNAME, name);
        writer.nested(IFLA_AF_SPEC, |writer| {
            writer.nested(AF_INET6, |writer| {
                writer.bytes(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]);
            });
        });
    });
    batch.add(
        RTM_NEWLINK,
        Mode::Plain,
        &link_header(0, IFF_UP),
        |writer| {
            writer.text(IFLA_IFNAME, name);
        },
    );
    batch.add(RTM_GETLINK, Mode::Plain, &link_header(0, 0), |writer| {
        writer.text(IFLA_IFNAME, name);
    });
    let mut answers = socket.exchange(&batch).map_err(doing(ACTION))?;
    let found = answers.pop().unwrap_or_else(|| Ok(Vec::new()));
    // A kernel without IPv6 refuses the first message, and has nothing to be switched off.
    if let Some(Err(error)) = answers.pop() {
        return Err(doing(ACTION)(error));
    }
    let found = found.map_err(doing(ACTION))?;
    let link = found.iter().find_map(|object| Link::parse(object));
    let index = link.unwrap_or_default().index;
    let mut batch = Batch::new();
    push_address(&mut batch, index, address, subnet);
    let mut route = [0; ROUTE_HEADER];
    route[0] = AF_INET;
    route[4..8].copy_from_slice(&ROUTE_MAIN);
    batch.add(RTM_NEWROUTE, Mode::Replace, &route, |writer| {
        writer.bytes(RTA_GATEWAY, &subnet.gateway().octets());
        writer.number(RTA_OIF, index);
    });
    socket.carry_out(&batch).map(drop).map_err(doing(ACTION))
}

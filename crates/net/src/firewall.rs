//! Packet filter rules: one nf_tables transaction each way.
//!
//! ```text
//! table ip lapstrake {
//!     chain postrouting { type nat hook postrouting priority srcnat; policy accept;
//!         ip saddr 172.17.0.0/16 oifname != "lap0" masquerade }
//!     chain forward { type filter hook forward priority filter; policy accept;
//!         oifname "lap0" iifname != "lap0" ct state & (established | related) == 0 drop }
//! }
//! ```
//!
//! A packet must pass every table, so an `accept` here does not help against a `FORWARD` chain of
//! iptables that drops by default, as dockerd leaves it. Where that chain is there (in nf_tables, where
//! iptables keeps it too), it gets a jump in its first place to a chain `LAPSTRAKE` that accepts what goes from
//! and to the bridge. Those rules are made of what iptables itself makes, so `iptables -S` shows them and
//! dockerd's own calls go on working. The older iptables of the kernel ("legacy") is left alone.

use crate::error::{Error, Result, doing};
use crate::subnet::Subnet;
use lapstrake_sys::netlink::{self, Answer, Batch, Mode, Socket, Writer};
use std::io;

// Kinds of messages, attributes and values, as linux/netfilter/nf_tables.h and nfnetlink.h number them.
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const GETCHAIN: u16 = 4;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const GETRULE: u16 = 7;
const DELRULE: u16 = 8;
const NFTA_TABLE_NAME: u16 = 1;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_USE: u16 = 6;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const HOOK_FORWARD: u32 = 2;
const HOOK_POSTROUTING: u32 = 4;
const PRIORITY_FILTER: u32 = 0;
const PRIORITY_SRCNAT: u32 = 100;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const CT_STATE: u32 = 0;
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const SOURCE_ADDRESS: u32 = 12;
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// -3.
const JUMP: u32 = u32::MAX - 2;

/// `struct nfgenmsg` of IPv4.
const IPV4: [u8; 4] = [2, 0, 0, 0];
const TABLE: &str = "lapstrake";
const POSTROUTING: &str = "postrouting";
const FORWARD: &str = "forward";
/// The table, the chain and our chain of iptables.
const FILTER: &str = "filter";
const FILTER_FORWARD: &str = "FORWARD";
const FILTER_OURS: &str = "LAPSTRAKE";

/// What of the rules is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    table: bool,
    /// Whether iptables filters what is forwarded.
    filter: bool,
    /// Whether our chain in it is there, and used.
    ours: Option<bool>,
}

impl Found {
    /// Whether nothing is missing.
    pub(crate) fn is_complete(self) -> bool {
        self.table && (!self.filter || self.ours == Some(true))
    }
}

const fn message(kind: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind
}

/// Looks for the rules: one system call each way.
pub(crate) fn find(socket: &mut Socket) -> Result<Found> {
    let mut batch = Batch::new();
    batch.add(message(GETTABLE), Mode::Plain, &IPV4, |writer| {
        writer.text(NFTA_TABLE_NAME, TABLE);
    });
    for name in [FILTER_FORWARD, FILTER_OURS] {
        batch.add(message(GETCHAIN), Mode::Plain, &IPV4, |writer| {
            writer.text(NFTA_CHAIN_TABLE, FILTER);
            writer.text(NFTA_CHAIN_NAME, name);
        });
    }
    let answers = socket.exchange(&batch).map_err(doing(LOOKING))?;
    let mut objects = answers.into_iter().map(object);
    let mut next = || objects.next().unwrap_or(Ok(None));
    let (table, filter, ours) = (next()?, next()?, next()?);
    let attribute = |chain: &[u8], kind| {
        let attributes = chain.get(IPV4.len()..).unwrap_or_default();
        netlink::attribute(attributes, kind).map(netlink::number_be)
    };
    Ok(Found {
        table: table.is_some(),
        filter: filter.is_some_and(|chain| attribute(&chain, NFTA_CHAIN_HOOK).is_some()),
        // Its rules do not count as uses: what counts is the jump to it.
        ours: ours.map(|chain| attribute(&chain, NFTA_CHAIN_USE).unwrap_or(0) > OWN_RULES),
    })
}

const LOOKING: &str = "looking for the packet filter rules";
/// The rules of our chain in iptables' table, which the kernel counts as its uses.
const OWN_RULES: u32 = 2;

/// The object of an answer, if it is there.
fn object(answer: Answer) -> Result<Option<Vec<u8>>> {
    match answer {
        Ok(objects) => Ok(objects.into_iter().next()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(doing(LOOKING)(error)),
    }
}

/// Makes the rules anew, in one transaction.
pub(crate) fn install(
    socket: &mut Socket,
    found: Found,
    bridge: &str,
    subnet: Subnet,
) -> Result<()> {
    let mut batch = transaction();
    table(&mut batch, NEWTABLE);
    if found.table {
        table(&mut batch, DELTABLE);
        table(&mut batch, NEWTABLE);
    }
    base_chain(
        &mut batch,
        POSTROUTING,
        "nat",
        (HOOK_POSTROUTING, PRIORITY_SRCNAT),
    );
    base_chain(
        &mut batch,
        FORWARD,
        "filter",
        (HOOK_FORWARD, PRIORITY_FILTER),
    );
    rule(&mut batch, (TABLE, POSTROUTING), Mode::Append, |rule| {
        from_subnet(rule, subnet);
        interface(rule, META_OIFNAME, NOT_EQUAL, &padded(bridge));
        expression(rule, "masq", |_| ());
    });
    rule(&mut batch, (TABLE, FORWARD), Mode::Append, |rule| {
        interface(rule, META_OIFNAME, EQUAL, &padded(bridge));
        interface(rule, META_IIFNAME, NOT_EQUAL, &padded(bridge));
        is_new(rule);
        verdict(rule, DROP, None);
    });
    if found.filter {
        accept_in_iptables(&mut batch, found, bridge);
    }
    finish(socket, batch, "installing the packet filter rules")
}

/// The chain with what iptables is to let pass, and the way there.
fn accept_in_iptables(batch: &mut Batch, found: Found, bridge: &str) {
    if found.ours.is_some() {
        batch.add(message(DELRULE), Mode::Plain, &IPV4, |writer| {
            writer.text(NFTA_RULE_TABLE, FILTER);
            writer.text(NFTA_RULE_CHAIN, FILTER_OURS);
        });
    } else {
        batch.add(message(NEWCHAIN), Mode::Create, &IPV4, |writer| {
            writer.text(NFTA_CHAIN_TABLE, FILTER);
            writer.text(NFTA_CHAIN_NAME, FILTER_OURS);
        });
    }
    // As iptables writes a name that is not a pattern: with the zero byte, without padding.
    let name = [bridge.as_bytes(), &[0]].concat();
    for key in [META_IIFNAME, META_OIFNAME] {
        rule(batch, (FILTER, FILTER_OURS), Mode::Append, |rule| {
            interface(rule, key, EQUAL, &name);
            expression(rule, "counter", |_| ());
            verdict(rule, ACCEPT, None);
        });
    }
    if found.ours != Some(true) {
        // Without `Append` a rule goes before the others.
        rule(batch, (FILTER, FILTER_FORWARD), Mode::Create, |rule| {
            expression(rule, "counter", |_| ());
            verdict(rule, JUMP, Some(FILTER_OURS));
        });
    }
}

/// Takes everything away again, in one transaction.
pub(crate) fn remove(socket: &mut Socket) -> Result<()> {
    let found = find(socket)?;
    let jumps = match found.ours {
        Some(_) if found.filter => jumps(socket)?,
        _ => Vec::new(),
    };
    if !found.table && found.ours.is_none() {
        return Ok(());
    }
    let mut batch = transaction();
    if found.table {
        table(&mut batch, DELTABLE);
    }
    for handle in jumps {
        batch.add(message(DELRULE), Mode::Plain, &IPV4, |writer| {
            writer.text(NFTA_RULE_TABLE, FILTER);
            writer.text(NFTA_RULE_CHAIN, FILTER_FORWARD);
            writer.bytes(NFTA_RULE_HANDLE, &handle);
        });
    }
    if found.ours.is_some() {
        for kind in [DELRULE, DELCHAIN] {
            let name = if kind == DELRULE {
                NFTA_RULE_CHAIN
            } else {
                NFTA_CHAIN_NAME
            };
            batch.add(message(kind), Mode::Plain, &IPV4, |writer| {
                writer.text(NFTA_CHAIN_TABLE, FILTER);
                writer.text(name, FILTER_OURS);
            });
        }
    }
    finish(socket, batch, "removing the packet filter rules")
}

/// The handles of the rules of iptables that lead to our chain.
fn jumps(socket: &mut Socket) -> Result<Vec<Vec<u8>>> {
    let mut batch = Batch::new();
    batch.add(message(GETRULE), Mode::Dump, &IPV4, |writer| {
        writer.text(NFTA_RULE_TABLE, FILTER);
        writer.text(NFTA_RULE_CHAIN, FILTER_FORWARD);
    });
    let answers = socket.carry_out(&batch).map_err(doing(LOOKING))?;
    let rules = answers.iter().flatten();
    let attributes = rules.map(|rule| rule.get(IPV4.len()..).unwrap_or_default());
    let ours = attributes.filter(|rule| leads_to_ours(rule));
    let handles = ours.filter_map(|rule| netlink::attribute(rule, NFTA_RULE_HANDLE));
    Ok(handles.map(<[u8]>::to_vec).collect())
}

fn leads_to_ours(rule: &[u8]) -> bool {
    let expressions = netlink::attribute(rule, NFTA_RULE_EXPRESSIONS).unwrap_or_default();
    netlink::attributes(expressions).any(|(_, expression)| {
        let inside = |bytes, kind| netlink::attribute(bytes, kind);
        let name = inside(expression, NFTA_EXPR_NAME).map(netlink::text);
        let chain = inside(expression, NFTA_EXPR_DATA)
            .and_then(|data| inside(data, NFTA_IMMEDIATE_DATA))
            .and_then(|data| inside(data, NFTA_DATA_VERDICT))
            .and_then(|verdict| inside(verdict, NFTA_VERDICT_CHAIN));
        name.as_deref() == Some("immediate")
            && chain.map(netlink::text).as_deref() == Some(FILTER_OURS)
    })
}

fn transaction() -> Batch {
    let mut batch = Batch::new();
    mark(&mut batch, NFNL_MSG_BATCH_BEGIN);
    batch
}

fn mark(batch: &mut Batch, kind: u16) {
    let [high, low] = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    batch.add_mark(kind, &[0, 0, high, low]);
}

fn finish(socket: &mut Socket, mut batch: Batch, action: &'static str) -> Result<()> {
    mark(&mut batch, NFNL_MSG_BATCH_END);
    socket.carry_out(&batch).map(drop).map_err(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return doing(action)(error);
        }
        Error::Kernel {
            action,
            source: error,
        }
    })
}

fn table(batch: &mut Batch, kind: u16) {
    batch.add(message(kind), Mode::Create, &IPV4, |writer| {
        writer.text(NFTA_TABLE_NAME, TABLE);
    });
}

/// A chain that packets come to by themselves: its hook and priority.
fn base_chain(batch: &mut Batch, name: &str, kind: &str, (hook, priority): (u32, u32)) {
    batch.add(message(NEWCHAIN), Mode::Create, &IPV4, |writer| {
        writer.text(NFTA_CHAIN_TABLE, TABLE);
        writer.text(NFTA_CHAIN_NAME, name);
        writer.nested(NFTA_CHAIN_HOOK, |writer| {
            writer.number_be(NFTA_HOOK_HOOKNUM, hook);
            writer.number_be(NFTA_HOOK_PRIORITY, priority);
        });
        writer.text(NFTA_CHAIN_TYPE, kind);
    });
}

/// A rule of a table's chain.
fn rule(
    batch: &mut Batch,
    (table, chain): (&str, &str),
    mode: Mode,
    fill: impl FnOnce(&mut Writer),
) {
    batch.add(message(NEWRULE), mode, &IPV4, |writer| {
        writer.text(NFTA_RULE_TABLE, table);
        writer.text(NFTA_RULE_CHAIN, chain);
        writer.nested(NFTA_RULE_EXPRESSIONS, fill);
    });
}

fn expression(rule: &mut Writer, name: &str, data: impl FnOnce(&mut Writer)) {
    rule.nested(NFTA_LIST_ELEM, |writer| {
        writer.text(NFTA_EXPR_NAME, name);
        writer.nested(NFTA_EXPR_DATA, data);
    });
}

/// A name as nf_tables compares it: sixteen bytes.
fn padded(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    bytes
}

/// Compares the name of an interface.
fn interface(rule: &mut Writer, key: u32, operator: u32, name: &[u8]) {
    // Attributes of `meta`: register, key.
    expression(rule, "meta", |writer| {
        writer.number_be(2, key);
        writer.number_be(1, REGISTER);
    });
    compare(rule, operator, name);
}

/// Compares what is in the register. Attributes of `cmp`: register, operator, data.
fn compare(rule: &mut Writer, operator: u32, value: &[u8]) {
    expression(rule, "cmp", |writer| {
        writer.number_be(1, REGISTER);
        writer.number_be(2, operator);
        writer.nested(3, |writer| writer.bytes(NFTA_DATA_VALUE, value));
    });
}

/// Keeps bits of four bytes in the register. Attributes of `bitwise`: both registers, length, mask, xor.
fn keep_bits(rule: &mut Writer, mask: [u8; 4]) {
    expression(rule, "bitwise", |writer| {
        writer.number_be(1, REGISTER);
        writer.number_be(2, REGISTER);
        writer.number_be(3, 4);
        writer.nested(4, |writer| writer.bytes(NFTA_DATA_VALUE, &mask));
        writer.nested(5, |writer| writer.bytes(NFTA_DATA_VALUE, &[0; 4]));
    });
}

/// Whether the packet comes from an address of the network. Attributes of `payload`: register, base, offset,
/// length.
fn from_subnet(rule: &mut Writer, subnet: Subnet) {
    expression(rule, "payload", |writer| {
        writer.number_be(1, REGISTER);
        writer.number_be(2, NETWORK_HEADER);
        writer.number_be(3, SOURCE_ADDRESS);
        writer.number_be(4, 4);
    });
    keep_bits(rule, subnet.mask().octets());
    compare(rule, EQUAL, &subnet.base().octets());
}

/// Whether the packet belongs to nothing that the container began. Attributes of `ct`: register, key.
fn is_new(rule: &mut Writer) {
    expression(rule, "ct", |writer| {
        writer.number_be(2, CT_STATE);
        writer.number_be(1, REGISTER);
    });
    keep_bits(rule, ESTABLISHED_OR_RELATED.to_ne_bytes());
    compare(rule, EQUAL, &[0; 4]);
}

/// What happens to the packet.
fn verdict(rule: &mut Writer, code: u32, chain: Option<&str>) {
    expression(rule, "immediate", |writer| {
        writer.number_be(NFTA_IMMEDIATE_DREG, VERDICT_REGISTER);
        writer.nested(NFTA_IMMEDIATE_DATA, |writer| {
            writer.nested(NFTA_DATA_VERDICT, |writer| {
                writer.number_be(NFTA_VERDICT_CODE, code);
                if let Some(chain) = chain {
                    writer.text(NFTA_VERDICT_CHAIN, chain);
                }
            });
        });
    });
}

#[cfg(test)]
pub(crate) mod tests;

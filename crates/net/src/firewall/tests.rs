use super::*;
use std::net::Ipv4Addr;

const NFTA_CHAIN_POLICY: u16 = 5;

/// What iptables has once dockerd runs: a filter table that forwards nothing.
pub(crate) fn forward_nothing() {
    let mut batch = transaction();
    batch.add(message(NEWTABLE), Mode::Create, &IPV4, |writer| {
        writer.text(NFTA_TABLE_NAME, FILTER);
    });
    batch.add(message(NEWCHAIN), Mode::Create, &IPV4, |writer| {
        writer.text(NFTA_CHAIN_TABLE, FILTER);
        writer.text(NFTA_CHAIN_NAME, FILTER_FORWARD);
        writer.nested(NFTA_CHAIN_HOOK, |writer| {
            writer.number_be(NFTA_HOOK_HOOKNUM, HOOK_FORWARD);
            writer.number_be(NFTA_HOOK_PRIORITY, PRIORITY_FILTER);
        });
        writer.text(NFTA_CHAIN_TYPE, "filter");
        writer.number_be(NFTA_CHAIN_POLICY, DROP);
    });
    finish(
        &mut Socket::netfilter().unwrap(),
        batch,
        "making a filter table",
    )
    .unwrap();
}

/// Whether the table of iptables has our chain, and a jump to it.
pub(crate) fn is_in_iptables() -> Option<bool> {
    find(&mut Socket::netfilter().unwrap()).unwrap().ours
}

#[test]
fn the_marks_of_a_transaction_name_the_subsystem() {
    let mut batch = transaction();
    mark(&mut batch, NFNL_MSG_BATCH_END);
    let bytes = batch.as_bytes();
    assert_eq!(bytes.len(), 40);
    assert_eq!(bytes[4..8], [16, 0, 1, 0], "kind and flags: no answer");
    assert_eq!(bytes[16..20], [0, 0, 0, 10]);
    assert_eq!(bytes[24..26], [17, 0]);
}

#[test]
fn a_rule_is_what_the_kernel_reads() {
    let mut batch = Batch::new();
    rule(&mut batch, (TABLE, FORWARD), Mode::Append, |rule| {
        interface(rule, META_OIFNAME, EQUAL, b"lap0\0");
        verdict(rule, JUMP, Some(FILTER_OURS));
    });
    let bytes = batch.as_bytes();
    assert_eq!(bytes[4..8], [6, 10, 5, 12], "new rule, appended, answered");
    let attributes = &bytes[20..];
    let inside = |bytes, kind| netlink::attribute(bytes, kind).unwrap();
    assert_eq!(netlink::text(inside(attributes, NFTA_RULE_TABLE)), TABLE);
    assert_eq!(netlink::text(inside(attributes, NFTA_RULE_CHAIN)), FORWARD);
    let expressions = inside(attributes, NFTA_RULE_EXPRESSIONS);
    let names = netlink::attributes(expressions)
        .map(|(_, expression)| netlink::text(inside(expression, NFTA_EXPR_NAME)));
    assert_eq!(names.collect::<Vec<_>>(), ["meta", "cmp", "immediate"]);
    let compared = netlink::attributes(expressions).nth(1).unwrap().1;
    let value = inside(inside(inside(compared, NFTA_EXPR_DATA), 3), NFTA_DATA_VALUE);
    assert_eq!(value, b"lap0\0");
    assert!(leads_to_ours(attributes));
    assert!(!leads_to_ours(&attributes[..40]));
}

#[test]
fn names_are_compared_whole() {
    assert_eq!(&padded("lap0"), b"lap0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(&padded("a-name-that-is-too-long")[..4], b"a-na");
}

#[test]
fn privileged_rules_come_and_go() {
    crate::tests::in_host(|_| {
        let mut socket = Socket::netfilter().unwrap();
        let subnet = Subnet::of(Ipv4Addr::new(172, 17, 0, 0), 16);
        for filter in [false, true] {
            if filter {
                forward_nothing();
            }
            // Twice: what is there already is made anew.
            for _ in 0..2 {
                let found = find(&mut socket).unwrap();
                install(&mut socket, found, "lap0", subnet).unwrap();
                let found = find(&mut socket).unwrap();
                assert!(found.is_complete(), "{found:?}");
                assert_eq!(found.filter, filter);
                assert_eq!(jumps_or_none(&mut socket, filter), usize::from(filter));
            }
            remove(&mut socket).unwrap();
            let gone = Found {
                filter,
                ..Found::default()
            };
            assert_eq!(find(&mut socket).unwrap(), gone);
            assert_eq!(jumps_or_none(&mut socket, filter), 0);
            remove(&mut socket).unwrap();
        }
    });
}

fn jumps_or_none(socket: &mut Socket, filter: bool) -> usize {
    if filter {
        jumps(socket).unwrap().len()
    } else {
        0
    }
}

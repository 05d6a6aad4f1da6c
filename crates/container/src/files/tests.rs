use super::*;
use crate::record::tests::record;

const HOST: &str = "# comment\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nsearch a.example b.example\noptions edns0 trust-ad\n";

#[test]
fn without_a_network_the_hosts_resolver_is_as_it_is() {
    let mut record = record();
    for mode in ["none", "host"] {
        record.host_config.network_mode = mode.to_owned();
        assert_eq!(resolv_conf(&record, HOST), HOST);
    }
}

#[test]
fn on_the_bridge_name_servers_that_cannot_be_reached_are_left_out() {
    let record = record();
    for (host, expected) in [
        (
            HOST,
            "# comment\nnameserver 10.0.0.2\nsearch a.example b.example\noptions edns0 trust-ad\n",
        ),
        ("nameserver 10.0.0.2", "nameserver 10.0.0.2\n"),
        (
            "search x\nnameserver 127.0.0.1\nnameserver fe80::1\n",
            "search x\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n",
        ),
        ("", "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
    ] {
        assert_eq!(resolv_conf(&record, host), expected, "{host:?}");
    }
    assert!(is_systemd_stub("nameserver 127.0.0.53\noptions edns0\n"));
    assert!(!is_systemd_stub(HOST));
}

#[test]
fn a_container_on_the_bridge_finds_itself_and_its_host() {
    let mut record = record();
    let own = Endpoint {
        address: std::net::Ipv4Addr::new(172, 17, 0, 5),
        prefix: 16,
        gateway: std::net::Ipv4Addr::new(172, 17, 0, 1),
        hardware_address: lapstrake_net::HardwareAddress([2, 0x42, 172, 17, 0, 5]),
    };
    let lines = |record: &Record, own| {
        let text = hosts(record, "", own).unwrap();
        text.strip_prefix(HOSTS_HEAD).unwrap().to_owned()
    };
    record.host_config.extra_hosts = Some(vec!["gw:host-gateway".to_owned()]);
    assert_eq!(lines(&record, None), "");
    assert_eq!(
        lines(&record, Some(&own)),
        "172.17.0.1\tgw\n172.17.0.5\t0123456789ab\n"
    );
    record.host_config.extra_hosts = None;
    record.config.domainname = "example".to_owned();
    assert_eq!(
        lines(&record, Some(&own)),
        "172.17.0.5\t0123456789ab.example 0123456789ab\n"
    );
}

#[test]
fn what_is_asked_replaces_what_the_host_has() {
    let mut record = record();
    record.host_config.dns = Some(vec!["9.9.9.9".to_owned()]);
    assert_eq!(
        resolv_conf(&record, HOST),
        "nameserver 9.9.9.9\nsearch a.example b.example\noptions edns0 trust-ad\n"
    );
    record.host_config.dns = None;
    record.host_config.dns_search = Some(vec![".".to_owned()]);
    record.host_config.dns_options = Some(vec!["ndots:2".to_owned()]);
    assert_eq!(
        resolv_conf(&record, HOST),
        "nameserver 10.0.0.2\noptions ndots:2\n"
    );
    assert_eq!(
        resolv_conf(&record, "nameserver ::1\n"),
        "nameserver 8.8.8.8\nnameserver 8.8.4.4\noptions ndots:2\n"
    );
}

#[test]
fn hosts_and_hostname() {
    let mut record = record();
    record.host_config.extra_hosts = Some(vec!["db:10.1.2.3".to_owned(), "v6:fe80::1".to_owned()]);
    let text = hosts(&record, "", None).unwrap();
    assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
    assert!(text.ends_with("10.1.2.3\tdb\nfe80::1\tv6\n"));
    record.host_config.network_mode = "host".to_owned();
    assert_eq!(
        hosts(&record, "1.1.1.1 h\n", None).unwrap(),
        "1.1.1.1 h\n10.1.2.3\tdb\nfe80::1\tv6\n"
    );
    record.host_config.extra_hosts = Some(vec!["nowhere".to_owned()]);
    assert!(hosts(&record, "", None).is_err());

    assert_eq!(hostname(&record), "0123456789ab\n");
    record.config.domainname = "example".to_owned();
    assert_eq!(hostname(&record), "0123456789ab\n");
}

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
    let text = hosts(&record, "").unwrap();
    assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
    assert!(text.ends_with("10.1.2.3\tdb\nfe80::1\tv6\n"));
    record.host_config.network_mode = "host".to_owned();
    assert_eq!(
        hosts(&record, "1.1.1.1 h\n").unwrap(),
        "1.1.1.1 h\n10.1.2.3\tdb\nfe80::1\tv6\n"
    );
    record.host_config.extra_hosts = Some(vec!["nowhere".to_owned()]);
    assert!(hosts(&record, "").is_err());

    assert_eq!(hostname(&record), "0123456789ab\n");
    record.config.domainname = "example".to_owned();
    assert_eq!(hostname(&record), "0123456789ab\n");
}

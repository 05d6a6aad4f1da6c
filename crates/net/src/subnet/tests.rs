use super::*;

fn subnet(text: &str) -> Subnet {
    let (address, prefix) = text.split_once('/').unwrap();
    Subnet::of(address.parse().unwrap(), prefix.parse().unwrap())
}

#[test]
fn the_first_network_that_collides_with_nothing_is_elected() {
    for (taken, expected) in [
        (&[][..], Some("172.17.0.0/16")),
        (&["192.0.2.0/24", "10.0.0.0/8"], Some("172.17.0.0/16")),
        (&["172.17.0.0/16"], Some("172.18.0.0/16")),
        (&["172.17.3.4/32", "172.18.0.0/24"], Some("172.19.0.0/16")),
        (&["172.16.0.0/14"], Some("172.20.0.0/16")),
        (&["172.16.0.0/12"], Some("192.168.0.0/20")),
        (
            &["172.16.0.0/12", "192.168.1.0/24"],
            Some("192.168.16.0/20"),
        ),
        (&["172.16.0.0/12", "192.168.0.0/16"], None),
        (&["0.0.0.0/1", "128.0.0.0/1"], None),
    ] {
        let taken: Vec<Subnet> = taken.iter().map(|text| subnet(text)).collect();
        assert_eq!(elect(&taken), expected.map(subnet), "{taken:?}");
    }
}

#[test]
fn addresses_of_a_network() {
    let (network, gateway) = Subnet::parse("172.17.0.1/16").unwrap();
    assert_eq!(network, subnet("172.17.0.0/16"));
    assert_eq!(gateway, network.gateway());
    assert_eq!(network.mask(), Ipv4Addr::new(255, 255, 0, 0));
    assert_eq!(network.broadcast(), Ipv4Addr::new(172, 17, 255, 255));
    let hosts: Vec<Ipv4Addr> = network.hosts().collect();
    assert_eq!(hosts.len(), 65_533);
    assert_eq!(hosts[0], Ipv4Addr::new(172, 17, 0, 2));
    assert_eq!(hosts[hosts.len() - 1], Ipv4Addr::new(172, 17, 255, 254));
    assert_eq!(subnet("10.0.0.0/32").hosts().count(), 0);
    for text in ["172.17.0.1", "172.17.0.1/31", "172.17.0/16", "/16", ""] {
        assert_eq!(Subnet::parse(text), None, "{text:?}");
    }
}

#[test]
fn a_hardware_address_follows_from_the_address() {
    let made = hardware_address(Ipv4Addr::new(172, 17, 0, 2));
    assert_eq!(made, [0x02, 0x42, 172, 17, 0, 2]);
}

#[test]
fn name_servers_are_taken_too() {
    let text =
        "# nameserver 1.1.1.1\nnameserver 172.17.0.53\n nameserver\t8.8.8.8 \nnameserver fe80::1\n";
    assert_eq!(
        name_servers(text),
        [subnet("172.17.0.53/32"), subnet("8.8.8.8/32")]
    );
}

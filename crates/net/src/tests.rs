use super::*;
use lapstrake_sys::process::{self, Namespaces};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

/// Runs a test in a network namespace of its own with a way out, in a thread of its own.
pub(crate) fn in_host(test: impl FnOnce(&Bridge) + Send) {
    let run = || {
        process::unshare(Namespaces::NEWNET).unwrap();
        net::loopback_up().unwrap();
        let folder = PathBuf::from(format!(
            "/tmp/lapstrake-net-{}",
            rustix::thread::gettid().as_raw_pid()
        ));
        test(&Bridge::with_lock_folder(&folder));
        std::fs::remove_dir_all(&folder).ok();
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
}

/// A new network namespace. The calling thread stays where it is.
fn new_namespace() -> OwnedFd {
    std::thread::spawn(|| {
        process::unshare(Namespaces::NEWNET).unwrap();
        net::loopback_up().unwrap();
        own_namespace()
    })
    .join()
    .unwrap()
}

fn own_namespace() -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty()).unwrap()
}

fn inside<T>(netns: &OwnedFd, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    net::inside(netns.as_fd(), call)
}

fn links() -> Vec<Link> {
    link::list(&mut Socket::route().unwrap()).unwrap()
}

fn ports() -> usize {
    links().iter().filter(|link| link.master.is_some()).count()
}

#[test]
fn privileged_a_container_reaches_its_host_and_other_containers() {
    in_host(|bridge| {
        let containers = [new_namespace(), new_namespace()];
        let [one, two] = containers
            .each_ref()
            .map(|netns| bridge.attach(netns.as_fd()).unwrap());
        assert_eq!(one.address, Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(two.address, Ipv4Addr::new(172, 17, 0, 3));
        assert_eq!(one.hardware_address.to_string(), "02:42:ac:11:00:02");
        let [first, second] = &containers;
        for (from, to, address) in [
            (Some(first), None, one.gateway),
            (Some(first), Some(second), two.address),
            (Some(second), Some(first), one.address),
            (None, Some(first), one.address),
        ] {
            let at = |place: Option<&OwnedFd>, call: &dyn Fn() -> io::Result<()>| match place {
                Some(netns) => inside(netns, call),
                None => call(),
            };
            let listener = std::cell::OnceCell::new();
            at(to, &|| {
                listener.set(TcpListener::bind((address, 0))?).ok();
                Ok(())
            })
            .unwrap();
            let port = listener.get().unwrap().local_addr().unwrap().port();
            at(from, &|| TcpStream::connect((address, port)).map(drop)).unwrap();
        }
        inside(first, || {
            let found = link::find(&mut Socket::route()?, INTERFACE)
                .unwrap()
                .unwrap();
            assert!(found.is_up);
            let routes = link::routes(&mut Socket::route()?).unwrap();
            assert!(routes.iter().any(|route| route.destination.prefix() == 0));
            Ok(())
        })
        .unwrap();
    });
}

#[test]
fn privileged_an_address_is_free_once_its_namespace_is_gone() {
    in_host(|bridge| {
        let kept = new_namespace();
        let gone = new_namespace();
        bridge.attach(kept.as_fd()).unwrap();
        assert_eq!(bridge.attach(gone.as_fd()).unwrap().address.octets()[3], 3);
        assert_eq!(ports(), 2);
        drop(gone);
        // The kernel takes namespaces away in the background.
        while ports() > 1 {
            std::thread::yield_now();
        }
        let again = new_namespace();
        assert_eq!(bridge.attach(again.as_fd()).unwrap().address.octets()[3], 3);
    });
}

#[test]
fn privileged_the_bridge_goes_when_nobody_uses_it() {
    in_host(|bridge| {
        assert!(!bridge.remove_idle().unwrap(), "there is none");
        let container = new_namespace();
        bridge.attach(container.as_fd()).unwrap();
        assert!(!bridge.is_idle().unwrap());
        assert!(!bridge.remove_idle().unwrap(), "in use");
        drop(container);
        while !bridge.is_idle().unwrap() {
            std::thread::yield_now();
        }
        let shared = bridge.lock(Lock::shared).unwrap();
        assert!(!bridge.remove_idle().unwrap(), "somebody is connecting");
        drop(shared);
        assert!(bridge.remove_idle().unwrap());
        assert_eq!(links().len(), 1 + ignored_links());
        let found = firewall::find(&mut Socket::netfilter().unwrap()).unwrap();
        assert_eq!(found, firewall::Found::default());
        bridge.attach(new_namespace().as_fd()).unwrap();
    });
}

/// Interfaces that some kernels put into every namespace (`tunl0`, `sit0`).
fn ignored_links() -> usize {
    let netns = new_namespace();
    inside(&netns, || Ok(links().len())).unwrap() - 1
}

#[test]
fn privileged_the_network_collides_with_no_route_of_the_host() {
    in_host(|bridge| {
        let mut route = Socket::route().unwrap();
        let lo = link::find(&mut route, "lo").unwrap().unwrap();
        for (address, prefix) in [([172, 17, 8, 1], 32), ([172, 18, 0, 1], 24)] {
            let address = Ipv4Addr::from(address);
            let subnet = Subnet::of(address, prefix);
            link::add_address(&mut route, lo.index, address, subnet).unwrap();
        }
        let endpoint = bridge.attach(new_namespace().as_fd()).unwrap();
        assert_eq!(endpoint.address, Ipv4Addr::new(172, 19, 0, 2));
        assert_eq!(endpoint.gateway, Ipv4Addr::new(172, 19, 0, 1));
    });
}

#[test]
fn privileged_what_is_missing_is_made_again() {
    in_host(|bridge| {
        let (one, two, three) = (new_namespace(), new_namespace(), new_namespace());
        bridge.attach(one.as_fd()).unwrap();
        let mut netfilter = Socket::netfilter().unwrap();
        firewall::remove(&mut netfilter).unwrap();
        bridge.attach(two.as_fd()).unwrap();
        assert!(firewall::find(&mut netfilter).unwrap().is_complete());
        // As a process leaves it that is killed while it sets the bridge up.
        let mut route = Socket::route().unwrap();
        let found = link::find(&mut route, BRIDGE).unwrap().unwrap();
        link::set_alias(&mut route, found.index, INCOMPLETE).unwrap();
        let endpoint = bridge.attach(three.as_fd()).unwrap();
        assert_eq!(endpoint.address, Ipv4Addr::new(172, 17, 0, 4));
        let found = link::find(&mut route, BRIDGE).unwrap().unwrap();
        assert_eq!(found.alias, "lapstrake 172.17.0.1/16");
    });
}

#[test]
fn privileged_starts_at_the_same_time_get_different_addresses() {
    in_host(|bridge| {
        let host = own_namespace();
        let containers: Vec<OwnedFd> = (0..12).map(|_| new_namespace()).collect();
        let mut addresses: Vec<Ipv4Addr> = std::thread::scope(|scope| {
            let attach = |netns: &OwnedFd| {
                // A thread begins in the namespace of the one that made it.
                bridge.attach(netns.as_fd()).unwrap().address
            };
            let threads: Vec<_> = containers
                .iter()
                .map(|netns| scope.spawn(move || attach(netns)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        drop(host);
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 12);
        assert_eq!(ports(), 12);
    });
}

#[test]
fn privileged_a_foreign_interface_of_the_name_is_left_alone() {
    in_host(|bridge| {
        let mut route = Socket::route().unwrap();
        let new = NewBridge {
            name: BRIDGE,
            hardware_address: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
        };
        link::make_bridge(&mut route, new).unwrap();
        let found = link::find(&mut route, BRIDGE).unwrap().unwrap();
        link::set_alias(&mut route, found.index, "somebody's").unwrap();
        let error = bridge.attach(new_namespace().as_fd()).unwrap_err();
        assert!(matches!(error, Error::NotABridge(BRIDGE)), "{error}");
        assert!(!bridge.remove_idle().unwrap());
    });
}

#[test]
fn forwarding_is_left_on_and_a_refusal_names_the_setting() {
    let folder = std::env::temp_dir().join(format!("lapstrake-forward-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let setting = folder.join("ip_forward");
    for (before, after) in [("0\n", "1"), ("1\n", "1\n")] {
        std::fs::write(&setting, before).unwrap();
        forward_packets(&setting).unwrap();
        assert_eq!(std::fs::read_to_string(&setting).unwrap(), after);
    }
    let error = forward_packets(&folder).unwrap_err();
    assert!(error.to_string().contains("ip_forward") || error.to_string().contains("forwarding"));
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A host elsewhere, 203.0.113.2, behind an interface of this one.
fn elsewhere() -> OwnedFd {
    let netns = new_namespace();
    let mut route = Socket::route().unwrap();
    let subnet = Subnet::of(Ipv4Addr::new(203, 0, 113, 0), 24);
    let unconnected = Link {
        mtu: 1400,
        ..Link::default()
    };
    let pair = NewPair {
        name: "wide0",
        bridge: &unconnected,
        inner_name: "eth0",
        hardware_address: [2, 0, 0, 0, 0, 9],
        netns: netns.as_fd(),
    };
    assert!(link::make_pair(&mut route, pair).unwrap());
    let near = link::find(&mut route, "wide0").unwrap().unwrap();
    link::add_address(&mut route, near.index, subnet.gateway(), subnet).unwrap();
    let mut inside = net::inside(netns.as_fd(), Socket::route).unwrap();
    let far = Ipv4Addr::new(203, 0, 113, 2);
    link::configure(&mut inside, "eth0", far, subnet).unwrap();
    netns
}

#[test]
fn privileged_containers_get_out_and_nobody_gets_in() {
    for others_drop in [false, true] {
        in_host(|bridge| {
            let far = elsewhere();
            if others_drop {
                firewall::tests::forward_nothing();
            }
            let container = new_namespace();
            let endpoint = bridge.attach(container.as_fd()).unwrap();
            assert_eq!(
                firewall::tests::is_in_iptables(),
                others_drop.then_some(true)
            );
            let listener = inside(&far, || TcpListener::bind("203.0.113.2:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            inside(&container, || TcpStream::connect(("203.0.113.2", port))).unwrap();
            let (_, from) = listener.accept().unwrap();
            assert_eq!(from.ip(), Ipv4Addr::new(203, 0, 113, 1), "masqueraded");

            let listener = inside(&container, || TcpListener::bind((endpoint.address, 0))).unwrap();
            let address = listener.local_addr().unwrap();
            let patience = std::time::Duration::from_millis(100);
            let refused = inside(&far, || TcpStream::connect_timeout(&address, patience));
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }
}

#[test]
fn privileged_one_process_waits_for_the_bridge_to_be_unused() {
    in_host(|bridge| {
        let container = new_namespace();
        bridge.attach(container.as_fd()).unwrap();
        let mut waits = 0;
        let mut linger = |go_on: bool| {
            bridge.linger(|time| {
                assert_eq!(time, LINGER);
                waits += 1;
                go_on
            })
        };
        linger(true).unwrap();
        drop(container);
        while !bridge.is_idle().unwrap() {
            std::thread::yield_now();
        }
        linger(false).unwrap();
        assert!(bridge.is_idle().unwrap(), "told to stop");
        let other = Lock::exclusive(bridge.open(LINGER_FILE).unwrap()).unwrap();
        linger(true).unwrap();
        assert!(bridge.is_idle().unwrap(), "left to another process");
        drop(other);
        linger(true).unwrap();
        assert_eq!(waits, 3);
        assert!(
            link::find(&mut Socket::route().unwrap(), BRIDGE)
                .unwrap()
                .is_none()
        );
    });
}

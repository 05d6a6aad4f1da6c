//! The keys of daemon.json that docker's daemon has known from 20.10 to 28.5, as data: what each value must look like,
//! and whether it does something here.

use Kind::{Bool, Format, Int, Ip, Ips, Network, Size, Structure, Text, Texts, Unread};

/// What a value must look like. The texts are Go's names of types, which messages show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int(&'static str),
    /// A string.
    Text,
    /// A list of strings.
    Texts,
    /// One address.
    Ip,
    /// A list of addresses.
    Ips,
    /// A string such as `64M`.
    Size,
    /// A string of a type with a name of its own.
    Format(&'static str),
    /// An object whose members all have this kind and type.
    Map(&'static str, &'static str),
    /// A list of objects.
    Network(&'static str),
    /// An object of this type whose members are not looked at.
    Structure(&'static str),
    /// The name of a flag that the daemon takes for a key, and never reads.
    Unread,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value must look like.
    pub kind: Kind,
}

/// The keys that change what Lapstrake does.
pub(super) const USED: [&str; 14] = [
    "data-root",
    "debug",
    "default-runtime",
    "graph",
    "http-proxy",
    "https-proxy",
    "insecure-registries",
    "log-level",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "no-proxy",
    "registry-mirrors",
    "runtimes",
];

/// Objects that are values; the members of any other object count as keys themselves.
pub(super) const OBJECTS: [&str; 8] = [
    "builder",
    "cluster-store-opts",
    "default-network-opts",
    "default-ulimits",
    "features",
    "log-opts",
    "nri-opts",
    "runtimes",
];

/// The key with this name.
pub(super) fn find(name: &str) -> Option<Key> {
    let groups: [(Kind, &str); 9] = [
        (Bool, BOOLS),
        (Int("int"), INTS),
        (Int("int64"), LONG_INTS),
        (Int("uint32"), COUNTS),
        (Text, TEXTS),
        (Texts, LISTS),
        (Ip, ADDRESSES),
        (Ips, ADDRESS_LISTS),
        (Unread, FLAGS),
    ];
    let single = [
        ("builder", Structure("config.BuilderConfig")),
        (
            "cluster-store-opts",
            Kind::Map("map[string]string", "string"),
        ),
        (
            "default-address-pools",
            Network("[]*ipamutils.NetworkToSplit"),
        ),
        (
            "default-network-opts",
            Kind::Map("map[string]map[string]string", "map[string]string"),
        ),
        ("default-shm-size", Size),
        (
            "default-ulimits",
            Kind::Map("map[string]*units.Ulimit", "units.Ulimit"),
        ),
        ("features", Kind::Map("map[string]bool", "bool")),
        ("log-format", Format("log.OutputFormat")),
        ("log-opts", Kind::Map("map[string]string", "string")),
        ("nri-opts", Structure("opts.NRIOpts")),
        (
            "runtimes",
            Kind::Map("map[string]system.Runtime", "system.Runtime"),
        ),
    ];
    let in_groups = groups.iter().filter_map(|(kind, names)| {
        let name = names
            .split_ascii_whitespace()
            .find(|known| *known == name)?;
        Some(Key { name, kind: *kind })
    });
    let alone = single
        .into_iter()
        .filter(|(known, _)| *known == name)
        .map(|(name, kind)| Key { name, kind });
    in_groups.chain(alone).next()
}

/// The key that was meant by the name of a flag: `registry-mirror` is `registry-mirrors`.
pub(super) fn meant_by(flag: &str) -> Option<String> {
    let plurals = [
        format!("{flag}s"),
        format!("{}ies", flag.trim_end_matches('y')),
    ];
    plurals
        .into_iter()
        .find(|name| find(name).is_some_and(|key| key.kind != Unread))
}

const BOOLS: &str = "allow-direct-routing bridge-accept-fwmark cri-containerd debug experimental icc init \
    ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6 live-restore no-new-privileges raw-logs \
    rootless selinux-enabled tls tlsverify userland-proxy";

const INTS: &str = "max-concurrent-downloads max-concurrent-uploads max-download-attempts mtu \
    network-control-plane-mtu network-diagnostic-port oom-score-adjust shutdown-timeout";

const LONG_INTS: &str = "cpu-rt-period cpu-rt-runtime";

const COUNTS: &str = "swarm-raft-election-tick swarm-raft-heartbeat-tick";

const TEXTS: &str = "api-cors-header bip bip6 bridge cgroup-parent cluster-advertise cluster-store containerd \
    containerd-namespace data-root default-cgroupns-mode default-ipc-mode \
    default-runtime exec-root firewall-backend fixed-cidr fixed-cidr-v6 graph group \
    init-path isolation log-driver log-level metrics-addr min-api-version pidfile seccomp-profile \
    storage-driver swarm-default-advertise-addr tlscacert tlscert tlskey userland-proxy-path userns-remap";

const LISTS: &str = "authorization-plugins cdi-spec-dirs dns-opts dns-search \
    exec-opts hosts insecure-registries labels node-generic-resources registry-mirrors storage-opts";

const ADDRESSES: &str = "default-gateway default-gateway-v6 host-gateway-ip ip";

const ADDRESS_LISTS: &str = "dns host-gateway-ips";

/// Names of flags, whose keys in the file are their plurals or stand within `proxies`; and keys that later daemons
/// pass over.
const FLAGS: &str = "add-runtime allow-nondistributable-artifacts authorization-plugin cdi-spec-dir config-file \
    containerd-plugins-namespace default-address-pool default-network-opt default-ulimit deprecated-key-path dns-opt exec-opt \
    feature help host http-proxy https-proxy insecure-registry label log-opt no-proxy \
    node-generic-resource registry-mirror storage-opt validate version";

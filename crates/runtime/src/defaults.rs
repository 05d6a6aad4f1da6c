//! What docker gives every container, as data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Capability, Linux, LinuxCapabilities, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType,
    LinuxNamespace, LinuxNamespaceType, LinuxResources, LinuxSeccomp, Mount, Process, Root, Spec,
    User,
};
use rustix::fs::{FileType, Mode, OFlags};

use crate::caps::CapSet;
use crate::cgroup::{Hierarchy, hierarchy};
use crate::seccomp;

/// The 14 capabilities of a container by default.
pub const DEFAULT_CAPABILITIES: CapSet = CapSet::from_bits(
    1 // CAP_CHOWN
        | 1 << 1 // CAP_DAC_OVERRIDE
        | 1 << 3 // CAP_FOWNER
        | 1 << 4 // CAP_FSETID
        | 1 << 5 // CAP_KILL
        | 1 << 6 // CAP_SETGID
        | 1 << 7 // CAP_SETUID
        | 1 << 8 // CAP_SETPCAP
        | 1 << 10 // CAP_NET_BIND_SERVICE
        | 1 << 13 // CAP_NET_RAW
        | 1 << 18 // CAP_SYS_CHROOT
        | 1 << 27 // CAP_MKNOD
        | 1 << 29 // CAP_AUDIT_WRITE
        | 1 << 31, // CAP_SETFCAP
);

/// The paths hidden from a container.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// The paths of `/proc` that a container may not write.
pub const READONLY_PATHS: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The namespaces that a container has of its own.
const NAMESPACES: [LinuxNamespaceType; 5] = [
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Ipc,
];

/// Destination, type, source and options of the mounts every container has.
const MOUNTS: [(&str, &str, &str, &str); 7] = [
    ("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    (
        "/dev",
        "tmpfs",
        "tmpfs",
        "nosuid,strictatime,mode=755,size=65536k",
    ),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
    ),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    (
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        "ro,nosuid,noexec,nodev",
    ),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    (
        "/dev/shm",
        "tmpfs",
        "shm",
        "nosuid,noexec,nodev,mode=1777,size=67108864",
    ),
];

/// What the kernel settings of an own network namespace are changed to: ports below 1024 and ping
/// sockets for everybody.
const NETWORK_SYSCTLS: [(&str, &str); 2] = [
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
];

/// Character devices (major, minor; no number is any) that a container may read and write.
const DEVICES: [(i64, Option<i64>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// Docker's specification of a plain container: namespaces (mount, pid, ipc, uts, net; cgroup with
/// version 2 control groups), mounts, masked and read-only paths, default capabilities, sysctls
/// and device rules. No seccomp (see [`seccomp_for`]), `cwd` `/`, no arguments, no environment,
/// user 0.
pub fn default_spec() -> Spec {
    let mut process = Process::default();
    process
        .set_terminal(None)
        .set_user(User::default())
        .set_args(Some(Vec::new()))
        .set_env(Some(Vec::new()))
        .set_cwd(PathBuf::from("/"))
        .set_no_new_privileges(Some(false))
        .set_rlimits(None);
    let mut root = Root::default();
    root.set_path(PathBuf::from("rootfs"))
        .set_readonly(Some(false));
    let mounts = MOUNTS
        .map(|(to, kind, from, options)| mount(to, kind, from, options))
        .into();
    let mut spec = Spec::default();
    spec.set_version("1.0.2".to_owned())
        .set_process(Some(process))
        .set_root(Some(root))
        .set_mounts(Some(mounts))
        .set_hostname(None)
        .set_annotations(None)
        .set_linux(Some(default_linux()));
    set_capabilities(&mut spec, DEFAULT_CAPABILITIES);
    spec
}

fn default_linux() -> Linux {
    let mut namespaces: Vec<LinuxNamespace> = NAMESPACES.into_iter().map(namespace).collect();
    if hierarchy() == Hierarchy::V2 {
        namespaces.push(namespace(LinuxNamespaceType::Cgroup));
    }
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(device_rules()));
    let sysctls = NETWORK_SYSCTLS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let owned = |paths: &[&str]| Some(paths.iter().map(|&path| path.to_owned()).collect());
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces))
        .set_resources(Some(resources))
        .set_sysctl(Some(sysctls.into_iter().collect()))
        .set_masked_paths(owned(MASKED_PATHS))
        .set_readonly_paths(owned(READONLY_PATHS))
        .set_uid_mappings(None)
        .set_gid_mappings(None)
        .set_devices(None);
    linux
}

/// A mount from comma-separated options.
pub fn mount(destination: &str, kind: &str, source: &str, options: &str) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(destination))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.split(',').map(ToOwned::to_owned).collect()));
    mount
}

/// A new namespace of the given type.
fn namespace(kind: LinuxNamespaceType) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(None);
    namespace
}

/// Nothing but the harmless devices; nodes of any device may be made.
fn device_rules() -> Vec<LinuxDeviceCgroup> {
    let char = Some(LinuxDeviceType::C);
    let block = Some(LinuxDeviceType::B);
    let mut rules = vec![
        device_rule(false, None, None, None, "rwm"),
        device_rule(true, char, None, None, "m"),
        device_rule(true, block, None, None, "m"),
    ];
    let harmless = DEVICES.iter();
    rules.extend(
        harmless.map(|(major, minor)| device_rule(true, char, Some(*major), *minor, "rwm")),
    );
    rules
}

fn device_rule(
    allow: bool,
    kind: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow)
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_access(Some(access.to_owned()));
    rule
}

/// Turns `spec` into that of a privileged container: all capabilities the caller has, no seccomp,
/// no masked or read-only paths, writable `/sys` and control groups, every device of the host.
pub fn make_privileged(spec: &mut Spec) {
    set_capabilities(spec, all_capabilities());
    for mount in spec.mounts_mut().iter_mut().flatten() {
        if matches!(mount.typ().as_deref(), Some("sysfs" | "cgroup")) {
            let mut options = mount.options().clone().unwrap_or_default();
            options.retain(|option| option != "ro");
            mount.set_options(Some(options));
        }
    }
    if let Some(linux) = spec.linux_mut() {
        let mut resources = linux.resources().clone().unwrap_or_default();
        resources.set_devices(Some(vec![device_rule(true, None, None, None, "rwm")]));
        linux
            .set_seccomp(None)
            .set_masked_paths(None)
            .set_readonly_paths(None)
            .set_resources(Some(resources))
            .set_devices(Some(host_devices()));
    }
}

/// Every capability that the calling process can give.
pub fn all_capabilities() -> CapSet {
    lapstrake_sys::caps::current().map_or(CapSet::ALL, |sets| sets.permitted)
}

/// Docker's default seccomp profile for a container with the given capabilities.
pub fn seccomp_for(capabilities: CapSet) -> LinuxSeccomp {
    seccomp::default_for(capabilities)
}

/// Sets the bounding, permitted and effective capabilities of the process; inheritable and ambient
/// stay empty.
pub fn set_capabilities(spec: &mut Spec, capabilities: CapSet) {
    let set: oci_spec::runtime::Capabilities = capabilities
        .names()
        .filter_map(|name| name.strip_prefix("CAP_")?.parse::<Capability>().ok())
        .collect();
    let mut all = LinuxCapabilities::default();
    all.set_bounding(Some(set.clone()))
        .set_permitted(Some(set.clone()))
        .set_effective(Some(set))
        .set_inheritable(None)
        .set_ambient(None);
    if let Some(process) = spec.process_mut() {
        process.set_capabilities(Some(all));
    }
}

/// Directories of `/dev` that are file systems of their own or belong to the host alone.
const SKIPPED: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"];

/// The deepest directory of `/dev` that is looked into.
const DEPTH_LIMIT: usize = 8;

/// The most devices taken from `/dev`.
const DEVICE_LIMIT: usize = 4096;

/// Every device node of the host's `/dev`, as docker gives them to a privileged container.
pub fn host_devices() -> Vec<LinuxDevice> {
    let mut devices = Vec::new();
    collect_devices(Path::new("/dev"), 0, &mut devices);
    devices
}

fn collect_devices(directory: &Path, depth: usize, devices: &mut Vec<LinuxDevice>) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(fd) = rustix::fs::open(directory, flags, Mode::empty()) else {
        return;
    };
    let Ok(entries) = rustix::fs::Dir::read_from(&fd) else {
        return;
    };
    let names: BTreeSet<PathBuf> = entries
        .filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name().to_str().ok()?)))
        .collect();
    for name in names {
        let text = name.to_string_lossy();
        if text == "." || text == ".." || text == "console" || devices.len() >= DEVICE_LIMIT {
            continue;
        }
        let path = directory.join(&name);
        let Ok(stat) = rustix::fs::lstat(&path) else {
            continue;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if !SKIPPED.contains(&&*text) && depth < DEPTH_LIMIT => {
                collect_devices(&path, depth + 1, devices);
            }
            FileType::CharacterDevice => devices.push(device(path, LinuxDeviceType::C, &stat)),
            FileType::BlockDevice => devices.push(device(path, LinuxDeviceType::B, &stat)),
            _ => {}
        }
    }
}

fn device(path: PathBuf, kind: LinuxDeviceType, stat: &rustix::fs::Stat) -> LinuxDevice {
    let mut device = LinuxDevice::default();
    device
        .set_path(path)
        .set_typ(kind)
        .set_major(i64::from(rustix::fs::major(stat.st_rdev)))
        .set_minor(i64::from(rustix::fs::minor(stat.st_rdev)))
        .set_file_mode(Some(stat.st_mode & 0o7777))
        .set_uid(Some(stat.st_uid))
        .set_gid(Some(stat.st_gid));
    device
}

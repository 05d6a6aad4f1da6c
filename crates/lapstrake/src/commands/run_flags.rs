//! The flags of `run` and `create`, and what their values must look like.

use super::{run_health, run_mount, trust_flag};
use crate::args::{Flag, Kind, parse_bytes, parse_int};

/// The flags of `create`.
pub(super) static FLAGS_OF_CREATE: &[Flag] = &[
    Flag::list("add-host", "Add a custom host-to-IP mapping (host:ip)").check(check_host),
    Flag::list("attach", "Attach to STDIN, STDOUT or STDERR")
        .short('a')
        .check(check_attach),
    BLKIO_WEIGHT,
    Flag::list("cap-add", "Add Linux capabilities"),
    Flag::list("cap-drop", "Drop Linux capabilities"),
    Flag::text("cgroup-parent", "Optional parent cgroup for the container"),
    Flag::text(
        "cgroupns",
        "Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the\n           default-cgroupns-mode option on the daemon (default)",
    ),
    Flag::text("cidfile", "Write the container ID to the file"),
    Flag::int(
        "cpu-period",
        "Limit CPU CFS (Completely Fair Scheduler) period",
    ),
    Flag::int(
        "cpu-quota",
        "Limit CPU CFS (Completely Fair Scheduler) quota",
    ),
    Flag::int("cpu-shares", "CPU shares (relative weight)").short('c'),
    Flag::text("cpus", "Number of CPUs")
        .value_name("decimal")
        .check(check_cpus),
    Flag::text("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag::text("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag::list("device", "Add a host device to the container"),
    trust_flag("Skip image verification"),
    Flag::list("dns", "Set custom DNS servers"),
    Flag::list("dns-option", "Set DNS options"),
    Flag::list("dns-search", "Set custom DNS search domains"),
    Flag::text("domainname", "Container NIS domain name"),
    Flag::text(
        "entrypoint",
        "Overwrite the default ENTRYPOINT of the image",
    ),
    Flag::list("env", "Set environment variables")
        .short('e')
        .check(check_env),
    Flag::list("env-file", "Read in a file of environment variables"),
    Flag::list("expose", "Expose a port or a range of ports"),
    Flag::list("group-add", "Add additional groups to join"),
    run_health::COMMAND,
    run_health::INTERVAL,
    run_health::RETRIES,
    run_health::START_INTERVAL,
    run_health::START_PERIOD,
    run_health::TIMEOUT,
    Flag::bool("help", "Print usage"),
    Flag::text("hostname", "Container host name").short('h'),
    Flag::bool(
        "init",
        "Run an init inside the container that forwards signals and reaps processes",
    ),
    Flag::bool("interactive", "Keep STDIN open even if not attached").short('i'),
    Flag::text("ipc", "IPC mode to use"),
    Flag::list("label", "Set meta data on a container")
        .short('l')
        .check(check_label),
    Flag::list("label-file", "Read in a line delimited file of labels"),
    Flag::text("log-driver", "Logging driver for the container"),
    Flag::new("memory", Kind::Bytes, "Memory limit").short('m'),
    Flag::new("memory-reservation", Kind::Bytes, "Memory soft limit"),
    Flag::new(
        "memory-swap",
        Kind::Text,
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    )
    .value_name("bytes")
    .check(check_swap),
    run_mount::FLAG,
    Flag::text("name", "Assign a name to the container"),
    Flag::text("net", "Connect a container to a network").hidden(),
    Flag::text("network", "Connect a container to a network").value_name("network"),
    run_health::NONE,
    Flag::bool("oom-kill-disable", "Disable OOM Killer"),
    Flag::int(
        "oom-score-adj",
        "Tune host's OOM preferences (-1000 to 1000)",
    ),
    Flag::text("pid", "PID namespace to use"),
    Flag::int(
        "pids-limit",
        "Tune container pids limit (set -1 for unlimited)",
    ),
    Flag::text(
        "platform",
        "Set platform if server is multi-platform capable",
    ),
    Flag::bool("privileged", "Give extended privileges to this container"),
    PULL_BEFORE_CREATING,
    Flag::bool("quiet", "Suppress the pull output").short('q'),
    Flag::bool(
        "read-only",
        "Mount the container's root filesystem as read only",
    ),
    RESTART,
    Flag::bool(
        "rm",
        "Automatically remove the container and its associated anonymous volumes when it exits",
    ),
    Flag::text("runtime", "Runtime to use for this container"),
    Flag::list("security-opt", "Security Options"),
    Flag::new("shm-size", Kind::Bytes, "Size of /dev/shm"),
    Flag::text("stop-signal", "Signal to stop the container"),
    Flag::int("stop-timeout", "Timeout (in seconds) to stop a container"),
    Flag::list("sysctl", "Sysctl options")
        .value_name("map")
        .default("map[]")
        .check(check_sysctl),
    Flag::list("tmpfs", "Mount a tmpfs directory"),
    Flag::bool("tty", "Allocate a pseudo-TTY").short('t'),
    Flag::list("ulimit", "Ulimit options")
        .value_name("ulimit")
        .default("[]")
        .check(check_ulimit),
    Flag::text("user", "Username or UID (format: <name|uid>[:<group|gid>])").short('u'),
    Flag::text("userns", "User namespace to use"),
    Flag::text("uts", "UTS namespace to use"),
    Flag::list("volume", "Bind mount a volume").short('v'),
    Flag::text("workdir", "Working directory inside the container").short('w'),
];

/// The flags of `run`.
pub(super) static FLAGS_OF_RUN: &[Flag] = &[
    Flag::list("add-host", "Add a custom host-to-IP mapping (host:ip)").check(check_host),
    Flag::list("attach", "Attach to STDIN, STDOUT or STDERR")
        .short('a')
        .check(check_attach),
    BLKIO_WEIGHT,
    Flag::list("cap-add", "Add Linux capabilities"),
    Flag::list("cap-drop", "Drop Linux capabilities"),
    Flag::text("cgroup-parent", "Optional parent cgroup for the container"),
    Flag::text(
        "cgroupns",
        "Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the\n           default-cgroupns-mode option on the daemon (default)",
    ),
    Flag::text("cidfile", "Write the container ID to the file"),
    Flag::int(
        "cpu-period",
        "Limit CPU CFS (Completely Fair Scheduler) period",
    ),
    Flag::int(
        "cpu-quota",
        "Limit CPU CFS (Completely Fair Scheduler) quota",
    ),
    Flag::int("cpu-shares", "CPU shares (relative weight)").short('c'),
    Flag::text("cpus", "Number of CPUs")
        .value_name("decimal")
        .check(check_cpus),
    Flag::text("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag::text("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag::bool(
        "detach",
        "Run container in background and print container ID",
    )
    .short('d'),
    Flag::text(
        "detach-keys",
        "Override the key sequence for detaching a container",
    ),
    Flag::list("device", "Add a host device to the container"),
    trust_flag("Skip image verification"),
    Flag::list("dns", "Set custom DNS servers"),
    Flag::list("dns-option", "Set DNS options"),
    Flag::list("dns-search", "Set custom DNS search domains"),
    Flag::text("domainname", "Container NIS domain name"),
    Flag::text(
        "entrypoint",
        "Overwrite the default ENTRYPOINT of the image",
    ),
    Flag::list("env", "Set environment variables")
        .short('e')
        .check(check_env),
    Flag::list("env-file", "Read in a file of environment variables"),
    Flag::list("expose", "Expose a port or a range of ports"),
    Flag::list("group-add", "Add additional groups to join"),
    run_health::COMMAND,
    run_health::INTERVAL,
    run_health::RETRIES,
    run_health::START_INTERVAL,
    run_health::START_PERIOD,
    run_health::TIMEOUT,
    Flag::bool("help", "Print usage"),
    Flag::text("hostname", "Container host name").short('h'),
    Flag::bool(
        "init",
        "Run an init inside the container that forwards signals and reaps processes",
    ),
    Flag::bool("interactive", "Keep STDIN open even if not attached").short('i'),
    Flag::text("ipc", "IPC mode to use"),
    Flag::list("label", "Set meta data on a container")
        .short('l')
        .check(check_label),
    Flag::list("label-file", "Read in a line delimited file of labels"),
    Flag::text("log-driver", "Logging driver for the container"),
    Flag::new("memory", Kind::Bytes, "Memory limit").short('m'),
    Flag::new("memory-reservation", Kind::Bytes, "Memory soft limit"),
    Flag::new(
        "memory-swap",
        Kind::Text,
        "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
    )
    .value_name("bytes")
    .check(check_swap),
    run_mount::FLAG,
    Flag::text("name", "Assign a name to the container"),
    Flag::text("net", "Connect a container to a network").hidden(),
    Flag::text("network", "Connect a container to a network").value_name("network"),
    run_health::NONE,
    Flag::bool("oom-kill-disable", "Disable OOM Killer"),
    Flag::int(
        "oom-score-adj",
        "Tune host's OOM preferences (-1000 to 1000)",
    ),
    Flag::text("pid", "PID namespace to use"),
    Flag::int(
        "pids-limit",
        "Tune container pids limit (set -1 for unlimited)",
    ),
    Flag::text(
        "platform",
        "Set platform if server is multi-platform capable",
    ),
    Flag::bool("privileged", "Give extended privileges to this container"),
    PULL_BEFORE_RUNNING,
    Flag::bool("quiet", "Suppress the pull output").short('q'),
    Flag::bool(
        "read-only",
        "Mount the container's root filesystem as read only",
    ),
    RESTART,
    Flag::bool(
        "rm",
        "Automatically remove the container and its associated anonymous volumes when it exits",
    ),
    Flag::text("runtime", "Runtime to use for this container"),
    Flag::list("security-opt", "Security Options"),
    Flag::new("shm-size", Kind::Bytes, "Size of /dev/shm"),
    Flag::bool("sig-proxy", "Proxy received signals to the process").default("true"),
    Flag::text("stop-signal", "Signal to stop the container"),
    Flag::int("stop-timeout", "Timeout (in seconds) to stop a container"),
    Flag::list("sysctl", "Sysctl options")
        .value_name("map")
        .default("map[]")
        .check(check_sysctl),
    Flag::list("tmpfs", "Mount a tmpfs directory"),
    Flag::bool("tty", "Allocate a pseudo-TTY").short('t'),
    Flag::list("ulimit", "Ulimit options")
        .value_name("ulimit")
        .default("[]")
        .check(check_ulimit),
    Flag::text("user", "Username or UID (format: <name|uid>[:<group|gid>])").short('u'),
    Flag::text("userns", "User namespace to use"),
    Flag::text("uts", "UTS namespace to use"),
    Flag::list("volume", "Bind mount a volume").short('v'),
    Flag::text("workdir", "Working directory inside the container").short('w'),
];

const BLKIO_WEIGHT: Flag = Flag::list(
    "blkio-weight",
    "Block IO (relative weight), between 10 and 1000, or 0 to disable",
)
.value_name("uint16")
.default("0")
.check(check_weight);
const RESTART: Flag = Flag::text(
    "restart",
    "Restart policy to apply when a container exits (\"no\" alone: there is no daemon)",
)
.default("no")
.check(check_restart);
const PULL_BEFORE_CREATING: Flag = Flag::text(
    "pull",
    "Pull image before creating (\"always\", \"|missing\", \"never\")",
)
.default("missing");
const PULL_BEFORE_RUNNING: Flag = Flag::text(
    "pull",
    "Pull image before running (\"always\", \"missing\", \"never\")",
)
.default("missing");

pub(super) fn check_host(value: &str) -> Result<(), String> {
    extra_host(value).map(drop)
}

/// `host:ip` of `host:ip` or `host=ip`; the address may be in brackets, or `host-gateway`: the host.
pub(super) fn extra_host(value: &str) -> Result<String, String> {
    let split = value.split_once('=').or_else(|| value.split_once(':'));
    let (name, address) = split
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("bad format for add-host: {}", crate::args::go_quote(value)))?;
    let bare = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
        let shown = crate::args::go_quote(address);
        return Err(format!("invalid IP address in add-host: {shown}"));
    }
    Ok(format!("{name}:{address}"))
}

fn check_weight(value: &str) -> Result<(), String> {
    match parse_int(value).map_err(|error| error.replace("ParseInt", "ParseUint"))? {
        0 | 10..=1000 => Ok(()),
        _ => Err("range of blkio weight is from 10 to 1000".to_owned()),
    }
}

fn check_restart(value: &str) -> Result<(), String> {
    match value {
        "" | "no" => Ok(()),
        _ => Err("nothing starts containers again, because there is no daemon".to_owned()),
    }
}

fn check_attach(value: &str) -> Result<(), String> {
    match value.to_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

fn check_env(value: &str) -> Result<(), String> {
    if value.is_empty() || value.starts_with('=') {
        return Err(format!("invalid environment variable: {value}"));
    }
    Ok(())
}

fn check_label(value: &str) -> Result<(), String> {
    let key = value
        .split('=')
        .next()
        .unwrap_or_default()
        .trim_start_matches([' ', '\t']);
    if key.is_empty() {
        return Err(format!("invalid label '{value}': empty name"));
    }
    if key.contains([' ', '\t']) {
        return Err(format!("label '{key}' contains whitespaces"));
    }
    Ok(())
}

fn check_cpus(value: &str) -> Result<(), String> {
    nano_cpus(value).map(drop)
}

/// A number of processors in units of a billionth.
pub(super) fn nano_cpus(value: &str) -> Result<i64, String> {
    let failure = || format!("failed to parse {value} as a rational number");
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if (whole.is_empty() && fraction.is_empty())
        || !whole
            .chars()
            .chain(fraction.chars())
            .all(|c| c.is_ascii_digit())
    {
        return Err(failure());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    format!("{whole}{fraction:0<9}")
        .parse()
        .map_err(|_error| failure())
}

fn check_sysctl(value: &str) -> Result<(), String> {
    const NAMES: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let name = value.split_once('=').map_or("", |(name, _)| name);
    if NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.") {
        return Ok(());
    }
    Err(format!("sysctl '{value}' is not allowed"))
}

pub(super) fn check_swap(value: &str) -> Result<(), String> {
    if value == "-1" {
        Ok(())
    } else {
        parse_bytes(value).map(drop)
    }
}

pub(super) fn check_ulimit(value: &str) -> Result<(), String> {
    ulimit(value).map(drop)
}

/// Name, soft and hard bound of `nofile=1024:2048`.
pub(super) fn ulimit(value: &str) -> Result<(String, i64, i64), String> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let (name, bounds) = value
        .split_once('=')
        .ok_or_else(|| format!("invalid ulimit argument: {value}"))?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_error| {
            format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                crate::args::go_quote(text)
            )
        })
    };
    let (soft, hard) = match bounds.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(bounds)?, number(bounds)?),
    };
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    Ok((name.to_owned(), soft, hard))
}

//! From the flags of `run` and `create` to a request.

use super::run_flags::{extra_host, nano_cpus, ulimit};
use super::{run_env, run_health, run_mount};
use crate::args::Matches;
use crate::cli::Invocation;
use crate::env::Environment;
use crate::failure::io_text;
use lapstrake_engine::container::{Device, HostConfig, Ulimit};
use lapstrake_engine::ops::{CreateRequest, PullPolicy};
use lapstrake_engine::spec::change::apply_change;
use lapstrake_engine::spec::{ContainerConfig, Platform};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The request; an error is the text that the client prints.
pub(super) fn request(invocation: &Invocation<'_>) -> Result<CreateRequest, String> {
    let matches = invocation.matches;
    let pull = pull_policy(matches.text("pull").unwrap_or_default())?;
    let platform = match matches.nonempty("platform") {
        Some(text) => Some(
            Platform::parse(text)
                .map_err(|error| format!("error parsing specified platform: {error}"))?,
        ),
        None => None,
    };
    let mounts = matches.list("mount");
    let mounts = mounts.iter().map(|mount| run_mount::request(mount));
    let mounts = mounts.collect::<Result<Vec<_>, String>>()?;
    let (binds, volumes) = volumes(&matches.list("volume"))?;
    let mut config = config(matches)?;
    if !volumes.is_empty() {
        config.volumes = Some(volumes.into_iter().collect());
    }
    let mut host = host(matches)?;
    host.tmpfs = tmpfs(&matches.list("tmpfs"));
    host.mounts = mounts;
    host.binds = (!binds.is_empty()).then_some(binds);
    Ok(CreateRequest {
        image: matches.required(0).to_owned(),
        name: matches.owned("name"),
        config,
        host,
        pull,
        platform,
    })
}

fn pull_policy(word: &str) -> Result<PullPolicy, String> {
    match word {
        "" | "missing" => Ok(PullPolicy::Missing),
        "always" => Ok(PullPolicy::Always),
        "never" => Ok(PullPolicy::Never),
        _ => Err(format!(
            "invalid pull option: '{word}': must be one of \"always\", \"missing\" or \"never\""
        )),
    }
}

/// What the container runs.
fn config(matches: &Matches) -> Result<ContainerConfig, String> {
    let streams = super::run::streams(matches);
    let command: Vec<String> = matches.args.iter().skip(1).cloned().collect();
    let labels = run_env::labels(&matches.list("label-file"), &matches.list("label"))?;
    let environment = run_env::environment(&matches.list("env-file"), &matches.list("env"))?;
    let detached = has_detach(matches) && matches.is("detach");
    let text = |name: &str| matches.owned(name).unwrap_or_default();
    Ok(ContainerConfig {
        hostname: text("hostname"),
        domainname: text("domainname"),
        user: text("user"),
        attach_stdin: streams.stdin && !detached,
        attach_stdout: streams.stdout && !detached,
        attach_stderr: streams.stderr && !detached,
        tty: matches.is("tty"),
        open_stdin: matches.is("interactive"),
        stdin_once: matches.is("interactive") && streams.stdin && !detached,
        env: (!environment.is_empty()).then_some(environment),
        cmd: (!command.is_empty()).then_some(command),
        image: matches.required(0).to_owned(),
        working_dir: text("workdir"),
        entrypoint: entrypoint(matches),
        labels: (!labels.is_empty()).then(|| map(&labels)),
        stop_signal: text("stop-signal"),
        stop_timeout: matches.int("stop-timeout"),
        healthcheck: run_health::check(matches)?,
        exposed_ports: exposed_ports(&matches.list("expose"))?,
        ..ContainerConfig::default()
    })
}

/// Ports and ranges of ports, as `EXPOSE` of a Dockerfile reads them.
fn exposed_ports(specs: &[String]) -> Result<BTreeSet<String>, String> {
    let mut config = ContainerConfig::default();
    for spec in specs {
        if spec.contains(':') {
            return Err(format!("invalid port format for --expose: {spec}"));
        }
        apply_change(&mut config, &format!("EXPOSE {spec}")).map_err(|error| {
            format!("invalid range format for --expose: {spec}, error: {error}")
        })?;
    }
    Ok(config.exposed_ports)
}

/// `create` has no `--detach`.
fn has_detach(matches: &Matches) -> bool {
    matches.knows("detach")
}

/// `--entrypoint=` alone takes the image's entry point away.
fn entrypoint(matches: &Matches) -> Option<Vec<String>> {
    let program = matches.text("entrypoint")?;
    Some(vec![program.to_owned()])
}

/// What concerns this host.
fn host(matches: &Matches) -> Result<HostConfig, String> {
    let usual = HostConfig::default();
    let list = |name: &str| Some(matches.list(name)).filter(|list| !list.is_empty());
    let text = |name: &str| matches.owned(name).unwrap_or_default();
    let or = |name: &str, usual: &str| matches.owned(name).unwrap_or_else(|| usual.to_owned());
    let network = matches
        .nonempty("network")
        .or_else(|| matches.nonempty("net"));
    let (cap_add, cap_drop) = capabilities(&matches.list("cap-add"), &matches.list("cap-drop"));
    let mut host = HostConfig {
        container_id_file: text("cidfile"),
        network_mode: network.map_or_else(|| usual.network_mode.clone(), str::to_owned),
        auto_remove: matches.is("rm"),
        cap_add,
        cap_drop,
        cgroupns_mode: or("cgroupns", &usual.cgroupns_mode),
        dns: Some(matches.list("dns")),
        dns_options: Some(matches.list("dns-option")),
        dns_search: Some(matches.list("dns-search")),
        extra_hosts: extra_hosts(&matches.list("add-host"))?,
        group_add: list("group-add"),
        ipc_mode: or("ipc", &usual.ipc_mode),
        oom_score_adj: bounded(matches, "oom-score-adj")?,
        pid_mode: text("pid"),
        privileged: matches.is("privileged"),
        readonly_rootfs: matches.is("read-only"),
        security_opt: list("security-opt"),
        uts_mode: text("uts"),
        userns_mode: text("userns"),
        sysctls: map(&matches.list("sysctl")),
        runtime: text("runtime"),
        init: matches.changed("init").then(|| matches.is("init")),
        ulimits: ulimits(&matches.list("ulimit"))?,
        devices: Some(
            matches
                .list("device")
                .iter()
                .map(|text| device(text))
                .collect(),
        ),
        ..usual
    };
    if let Some(driver) = matches.nonempty("log-driver") {
        driver.clone_into(&mut host.log_config.kind);
    }
    if let Some(size) = matches.bytes("shm-size") {
        host.shm_size = size;
    }
    limits(matches, &mut host)?;
    Ok(host)
}

/// The capabilities added and dropped, in order and in one spelling; adding goes before dropping.
fn capabilities(add: &[String], drop: &[String]) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let spelled = |words: &[String]| -> BTreeSet<String> {
        let words = words.iter().map(|word| word.trim().to_ascii_uppercase());
        let with_prefix = words.map(|word| match word.as_str() {
            "ALL" | "RESET" => word,
            _ if word.starts_with("CAP_") => word,
            _ => format!("CAP_{word}"),
        });
        with_prefix.collect()
    };
    let (add, drop) = (spelled(add), spelled(drop));
    let drop: Vec<String> = drop.difference(&add).cloned().collect();
    let add: Vec<String> = add.into_iter().collect();
    let list = |words: Vec<String>| (!words.is_empty()).then_some(words);
    (list(add), list(drop))
}

fn extra_hosts(specs: &[String]) -> Result<Option<Vec<String>>, String> {
    let hosts: Vec<String> = specs
        .iter()
        .map(|spec| extra_host(spec))
        .collect::<Result<_, _>>()?;
    Ok((!hosts.is_empty()).then_some(hosts))
}

fn limits(matches: &Matches, host: &mut HostConfig) -> Result<(), String> {
    host.memory = matches.bytes("memory").unwrap_or(0);
    host.memory_reservation = matches.bytes("memory-reservation").unwrap_or(0);
    host.memory_swap = match matches.text("memory-swap") {
        Some("-1") => -1,
        Some(_) => matches.bytes("memory-swap").unwrap_or(0),
        None => 0,
    };
    if let Some(cpus) = matches.nonempty("cpus") {
        host.nano_cpus = nano_cpus(cpus)?;
    }
    host.cpu_shares = matches.int("cpu-shares").unwrap_or(0);
    host.cpu_period = matches.int("cpu-period").unwrap_or(0);
    host.cpu_quota = matches.int("cpu-quota").unwrap_or(0);
    host.cpuset_cpus = matches.owned("cpuset-cpus").unwrap_or_default();
    host.cpuset_mems = matches.owned("cpuset-mems").unwrap_or_default();
    host.cgroup_parent = matches.owned("cgroup-parent").unwrap_or_default();
    host.pids_limit = matches.int("pids-limit").filter(|limit| *limit != 0);
    let weight = matches.int("blkio-weight").unwrap_or(0);
    host.blkio_weight = u16::try_from(weight).unwrap_or(0);
    host.oom_kill_disable = matches.is("oom-kill-disable").then_some(true);
    Ok(())
}

fn bounded(matches: &Matches, name: &str) -> Result<i32, String> {
    let value = matches.int(name).unwrap_or(0);
    i32::try_from(value).map_err(|_error| format!("invalid value {value} for --{name}"))
}

fn map(pairs: &[String]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (pair.clone(), String::new()),
        })
        .collect()
}

fn tmpfs(specs: &[String]) -> BTreeMap<String, String> {
    specs
        .iter()
        .map(|spec| match spec.split_once(':') {
            Some((path, options)) => (path.to_owned(), options.to_owned()),
            None => (spec.clone(), String::new()),
        })
        .collect()
}

fn ulimits(specs: &[String]) -> Result<Option<Vec<Ulimit>>, String> {
    if specs.is_empty() {
        return Ok(None);
    }
    let limits = specs.iter().map(|spec| {
        let (name, soft, hard) = ulimit(spec)?;
        Ok(Ulimit { name, hard, soft })
    });
    limits.collect::<Result<_, String>>().map(Some)
}

/// `HOST[:CONTAINER[:rwm]]`.
fn device(spec: &str) -> Device {
    let mut parts = spec.splitn(3, ':');
    let host = parts.next().unwrap_or_default();
    let is_mode = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    let (inside, mode) = match (parts.next(), parts.next()) {
        (Some(mode), None) if is_mode(mode) => (host, mode),
        (Some(inside), mode) => (inside, mode.unwrap_or("rwm")),
        (None, _) => (host, "rwm"),
    };
    Device {
        path_on_host: host.to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: mode.to_owned(),
    }
}

/// Binds, and paths that get a volume of their own. A source that begins with `.` is relative to the
/// working directory.
fn volumes(specs: &[String]) -> Result<(Vec<String>, Vec<String>), String> {
    let mut binds = Vec::new();
    let mut anonymous = Vec::new();
    for spec in specs {
        if spec.is_empty() {
            return Err("invalid empty volume spec".to_owned());
        }
        if spec.split(':').any(str::is_empty) {
            return Err(format!(
                "invalid spec: {spec}: empty section between colons"
            ));
        }
        match spec.split_once(':') {
            None => anonymous.push(spec.clone()),
            Some((source, rest)) if source.starts_with('.') => {
                let source = Environment::absolute(Path::new(source));
                binds.push(format!("{}:{rest}", source.display()));
            }
            Some(_) => binds.push(spec.clone()),
        }
    }
    Ok((binds, anonymous))
}

/// The file that gets the container's id. It must not exist before, and does not stay when there is
/// no container.
#[derive(Debug)]
pub(super) struct CidFile {
    file: Option<(File, PathBuf)>,
}

impl CidFile {
    /// Makes the file.
    pub(super) fn open(path: Option<&str>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self { file: None });
        };
        if Path::new(path).exists() {
            return Err(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            ));
        }
        let file = File::create(path).map_err(|error| {
            format!(
                "failed to create the container ID file: open {path}: {}",
                io_text(&error)
            )
        })?;
        Ok(Self {
            file: Some((file, PathBuf::from(path))),
        })
    }

    /// Writes the id; the file stays.
    pub(super) fn write(mut self, id: &str) -> Result<(), String> {
        let Some((mut file, _path)) = self.file.take() else {
            return Ok(());
        };
        file.write_all(id.as_bytes()).map_err(|error| {
            format!(
                "failed to write the container ID to the file: {}",
                io_text(&error)
            )
        })
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if let Some((_file, path)) = &self.file {
            // There is no container; a file that cannot be removed does no harm.
            let _kept = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_specs() {
        let specs = [
            "/a:/b".to_owned(),
            "/data".to_owned(),
            "name:/x:ro".to_owned(),
        ];
        let (binds, anonymous) = volumes(&specs).unwrap();
        assert_eq!(binds, ["/a:/b", "name:/x:ro"]);
        assert_eq!(anonymous, ["/data"]);
        let (binds, _) = volumes(&["./sub:/b:ro".to_owned()]).unwrap();
        let bind = binds.first().map(String::as_str).unwrap_or_default();
        assert!(
            bind.starts_with('/') && bind.ends_with("/sub:/b:ro"),
            "{bind}"
        );
    }

    #[test]
    fn device_specs() {
        let shown = |spec: &str| {
            let device = device(spec);
            format!(
                "{} {} {}",
                device.path_on_host, device.path_in_container, device.cgroup_permissions
            )
        };
        assert_eq!(shown("/dev/fuse"), "/dev/fuse /dev/fuse rwm");
        assert_eq!(shown("/dev/fuse:r"), "/dev/fuse /dev/fuse r");
        assert_eq!(shown("/dev/sda:/dev/xvda"), "/dev/sda /dev/xvda rwm");
        assert_eq!(shown("/dev/sda:/dev/xvda:rm"), "/dev/sda /dev/xvda rm");
    }
}

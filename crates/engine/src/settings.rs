//! Everything that can be set, resolved once per command from the command line, the environment's
//! values and the configuration files, and plain values from then on.
//!
//! Files, in order: `/etc/lapstrake/daemon.json`, else `/etc/docker/daemon.json`. They are read at
//! each command; nothing has to be restarted.

use crate::error::{Error, ErrorKind, Origin};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The values in force.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The root folder of the store.
    pub root: PathBuf,
    /// The folder of the client's configuration (`~/.docker`).
    pub config_dir: PathBuf,
    /// Mirrors of docker.io, in order.
    pub registry_mirrors: Vec<String>,
    /// Registries (a host, with or without port, or a CIDR block) that may speak plain HTTP or show a bad certificate.
    pub insecure_registries: Vec<String>,
    /// Folders with `HOST/hosts.toml` and certificates, searched in order.
    pub certs_dirs: Vec<PathBuf>,
    /// Layers fetched at once by one pull.
    pub max_concurrent_downloads: usize,
    /// Layers sent at once by one push.
    pub max_concurrent_uploads: usize,
    /// Tries for one download.
    pub max_download_attempts: u32,
    /// Proxies.
    pub proxy: Proxy,
    /// The platform that pulls and runs ask for when no flag says otherwise.
    pub default_platform: Option<lapstrake_spec::Platform>,
    /// The OCI runtime used when no flag says otherwise; `None` is the built-in one.
    pub runtime: Option<String>,
    /// The daemon.json that was read, if any.
    pub config_file: Option<PathBuf>,
    /// Whether debug messages are wanted.
    pub debug: bool,
}

/// Proxy settings as the environment gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For `http` addresses.
    pub http: Option<String>,
    /// For `https` addresses.
    pub https: Option<String>,
    /// Hosts that are reached directly.
    pub no_proxy: Option<String>,
}

/// What the command line and the environment say; everything is optional.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// `--root`, or `LAPSTRAKE_ROOT`.
    pub root: Option<PathBuf>,
    /// `--config`, or `DOCKER_CONFIG`.
    pub config_dir: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub data_home: Option<PathBuf>,
    /// `--registry-mirror`, repeated.
    pub registry_mirrors: Vec<String>,
    /// `--insecure-registry`, repeated.
    pub insecure_registries: Vec<String>,
    /// From the environment.
    pub proxy: Proxy,
    /// `DOCKER_DEFAULT_PLATFORM`.
    pub default_platform: Option<String>,
    /// `-D`.
    pub debug: bool,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// Where daemon.json is looked for, in order. Empty: the usual places.
    pub config_files: Vec<PathBuf>,
}

/// The keys of daemon.json that Lapstrake acts on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", expecting = "an object")]
struct File {
    registry_mirrors: Option<Vec<String>>,
    insecure_registries: Option<Vec<String>>,
    max_concurrent_downloads: Option<usize>,
    max_concurrent_uploads: Option<usize>,
    max_download_attempts: Option<u32>,
    data_root: Option<PathBuf>,
    default_runtime: Option<String>,
    debug: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

/// The other keys that docker's daemon knows; they are accepted and not used.
const OTHER_KEYS: &str = "\
    add-runtime allow-direct-routing allow-nondistributable-artifacts api-cors-header \
    authorization-plugins bip bip6 bridge bridge-accept-fwmark builder cdi-spec-dirs cgroup-parent \
    cluster-advertise cluster-store cluster-store-opts containerd containerd-namespace \
    containerd-plugins-namespace cri-containerd default-address-pools default-cgroupns-mode \
    default-gateway default-gateway-v6 default-ipc-mode default-network-opts default-shm-size \
    default-ulimits deprecated-key-path dns dns-opts dns-search exec-opts exec-root experimental \
    features firewall-backend fixed-cidr fixed-cidr-v6 graph group host-gateway-ip host-gateway-ips \
    hosts http-proxy https-proxy icc init init-path ip ip-forward ip-forward-no-drop ip-masq \
    ip6tables iptables ipv6 isolation labels live-restore log-driver log-format log-level log-opts \
    metrics-addr min-api-version mtu network-control-plane-mtu network-diagnostic-port \
    no-new-privileges no-proxy node-generic-resources nri-opts oom-score-adjust pidfile proxies \
    raw-logs rootless runtimes seccomp-profile selinux-enabled shutdown-timeout storage-driver \
    storage-opts swarm-default-advertise-addr swarm-raft-election-tick swarm-raft-heartbeat-tick tls \
    tlscacert tlscert tlskey tlsverify userland-proxy userland-proxy-path userns-remap validate";

/// Where daemon.json is looked for when nothing else is said.
pub const CONFIG_FILES: [&str; 2] = ["/etc/lapstrake/daemon.json", "/etc/docker/daemon.json"];

/// The folders with certificates and mirror files, in order.
pub const CERTS_DIRS: [&str; 2] = ["/etc/lapstrake/certs.d", "/etc/docker/certs.d"];

/// Mirror files as containerd reads them.
pub const CONTAINERD_CERTS_DIR: &str = "/etc/containerd/certs.d";

const MAX_CONCURRENT_DOWNLOADS: usize = 3;
const MAX_CONCURRENT_UPLOADS: usize = 5;
const MAX_DOWNLOAD_ATTEMPTS: u32 = 5;

impl Settings {
    /// Resolves the inputs and the configuration file into values.
    pub fn resolve(inputs: Inputs) -> Result<Self, Error> {
        let (config_file, file) = read_file(&inputs.config_files)?;
        let lists = merge_lists(&inputs, &file, config_file.as_deref())?;
        let default_platform = inputs
            .default_platform
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(lapstrake_spec::Platform::parse)
            .transpose()
            .map_err(|error| {
                Error::new(ErrorKind::InvalidArgument, error.to_string())
                    .with_origin(Origin::Client)
            })?;
        let home = inputs
            .home
            .clone()
            .unwrap_or_else(|| PathBuf::from("/root"));
        let runtime = file
            .default_runtime
            .filter(|name| name != "lapstrake" && name != "io.containerd.runc.v2");
        Ok(Self {
            root: root(&inputs, file.data_root, &home),
            config_dir: inputs.config_dir.unwrap_or_else(|| home.join(".docker")),
            registry_mirrors: lists.0,
            insecure_registries: lists.1,
            certs_dirs: CERTS_DIRS
                .iter()
                .chain(std::iter::once(&CONTAINERD_CERTS_DIR))
                .map(PathBuf::from)
                .collect(),
            max_concurrent_downloads: file
                .max_concurrent_downloads
                .unwrap_or(MAX_CONCURRENT_DOWNLOADS)
                .max(1),
            max_concurrent_uploads: file
                .max_concurrent_uploads
                .unwrap_or(MAX_CONCURRENT_UPLOADS)
                .max(1),
            max_download_attempts: file
                .max_download_attempts
                .unwrap_or(MAX_DOWNLOAD_ATTEMPTS)
                .max(1),
            proxy: inputs.proxy,
            default_platform,
            runtime,
            config_file,
            debug: inputs.debug || file.debug.unwrap_or(false),
        })
    }
}

/// The store's root: the flag, the file, else the usual place for this user.
fn root(inputs: &Inputs, data_root: Option<PathBuf>, home: &Path) -> PathBuf {
    if let Some(root) = &inputs.root {
        return root.clone();
    }
    if inputs.is_root {
        return data_root
            .filter(|path| path != Path::new("/var/lib/docker"))
            .unwrap_or_else(|| PathBuf::from("/var/lib/lapstrake"));
    }
    inputs
        .data_home
        .clone()
        .unwrap_or_else(|| home.join(".local/share"))
        .join("lapstrake")
}

/// Mirrors and insecure registries. Given both as a flag and in the file they are refused, as docker does.
fn merge_lists(
    inputs: &Inputs,
    file: &File,
    path: Option<&Path>,
) -> Result<(Vec<String>, Vec<String>), Error> {
    if let (false, Some(from_file), Some(path)) = (
        inputs.registry_mirrors.is_empty(),
        &file.registry_mirrors,
        path,
    ) {
        return Err(client_error(format!(
            "unable to configure the Docker daemon with file {}: the following directives are \
             specified both as a flag and in the configuration file: registry-mirrors: (from \
             flag: [{}], from file: [{}])",
            path.display(),
            inputs.registry_mirrors.join(" "),
            from_file.join(" "),
        )));
    }
    let mirrors = if inputs.registry_mirrors.is_empty() {
        file.registry_mirrors.clone().unwrap_or_default()
    } else {
        inputs.registry_mirrors.clone()
    };
    let mirrors = mirrors
        .iter()
        .map(|mirror| check_mirror(mirror))
        .collect::<Result<_, _>>()?;
    let mut insecure = inputs.insecure_registries.clone();
    insecure.extend(file.insecure_registries.clone().unwrap_or_default());
    Ok((mirrors, insecure))
}

/// A mirror is an address with scheme and host; it is shown with a slash at its end.
fn check_mirror(mirror: &str) -> Result<String, Error> {
    let Some((scheme, rest)) = mirror.split_once("://") else {
        return Err(client_error(format!(
            "failed to start daemon: invalid mirror: no scheme specified for {mirror:?}: must use \
             either 'https://' or 'http://'"
        )));
    };
    if scheme != "http" && scheme != "https" {
        return Err(client_error(format!(
            "failed to start daemon: invalid mirror: unsupported scheme {scheme:?} in {mirror:?}"
        )));
    }
    if rest.trim_end_matches('/').is_empty() || rest.contains(['?', '#', '@']) {
        return Err(client_error(format!(
            "failed to start daemon: invalid mirror: {mirror:?} is not a valid address"
        )));
    }
    Ok(format!("{}/", mirror.trim_end_matches('/')))
}

fn read_file(candidates: &[PathBuf]) -> Result<(Option<PathBuf>, File), Error> {
    let usual: Vec<PathBuf> = CONFIG_FILES.iter().map(PathBuf::from).collect();
    let candidates = if candidates.is_empty() {
        &usual
    } else {
        candidates
    };
    for path in candidates {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(client_error(format!(
                    "unable to configure the Docker daemon with file {}: open {0}: {error}",
                    path.display()
                )));
            }
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok((Some(path.clone()), File::default()));
        }
        let file = parse_file(&text).map_err(|error| {
            client_error(format!(
                "unable to configure the Docker daemon with file {}: {error}",
                path.display()
            ))
            .with_hint(format!("correct `{}`, or remove it", path.display()))
        })?;
        return Ok((Some(path.clone()), file));
    }
    Ok((None, File::default()))
}

/// Reads daemon.json. Keys that docker does not know either are refused: they are misspelt.
fn parse_file(text: &[u8]) -> Result<File, String> {
    let file: File = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let is_known = |key: &str| OTHER_KEYS.split(' ').any(|known| known == key);
    let unknown: Vec<&str> = file
        .others
        .keys()
        .map(String::as_str)
        .filter(|key| !is_known(key))
        .collect();
    if unknown.is_empty() {
        return Ok(file);
    }
    Err(format!(
        "the following directives don't match any configuration option: {}",
        unknown.join(", ")
    ))
}

fn client_error(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).with_origin(Origin::Client)
}

//! Everything that can be set, resolved once per command from the command line, the environment's
//! values and the configuration files, and plain values from then on.
//!
//! Files, in order: `/etc/lapstrake/daemon.json`, else `/etc/docker/daemon.json`. They are read at
//! each command; nothing has to be restarted.

pub mod client;
pub mod json;

mod file;
mod keys;
mod mirror;
mod registries;

#[cfg(test)]
mod tests;

use crate::error::{Error, ErrorKind, Origin};
use file::{File, Reading};
use lapstrake_image::Trace;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use file::{Mistake, Problem, Unused};

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
    /// The name of the OCI runtime used when no flag says otherwise; `None` is the built-in one.
    pub runtime: Option<String>,
    /// The programs of OCI runtimes by their names. An empty path is the built-in one.
    pub runtimes: BTreeMap<String, String>,
    /// The daemon.json that was read, if any.
    pub config_file: Option<PathBuf>,
    /// Those that this user may not read: as good as not there.
    pub unreadable_files: Vec<PathBuf>,
    /// The keys of that file that are accepted and do nothing.
    pub unused_keys: Vec<String>,
    /// Whether debug messages are wanted.
    pub debug: bool,
    /// Takes debug messages when they are wanted.
    pub trace: Trace,
    /// Where the values come from, by the key that daemon.json has for them. What is missing here is a default.
    pub sources: BTreeMap<&'static str, Source>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody has said anything.
    Default,
    /// daemon.json.
    File,
    /// A variable of the environment.
    Environment,
    /// The command line.
    Flag,
}

impl Source {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

/// Proxy settings as the environment gives them.
#[derive(Clone, Default, PartialEq, Eq)]
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
    /// Whether it was the flag.
    pub root_is_flag: bool,
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
    /// `-D`, `-l debug`.
    pub debug: Option<bool>,
    /// Whether the process runs as root.
    pub is_root: bool,
    /// Where daemon.json is looked for, in order. Empty: the usual places.
    pub config_files: Vec<PathBuf>,
}

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
        let found = read_file(&candidates(&inputs), inputs.is_root, read_whole)?;
        let (config_file, file) = (found.path, found.reading.file);
        let lists = merge_lists(&inputs, &file, config_file.as_deref())?;
        let default_platform = inputs
            .default_platform
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(lapstrake_spec::Platform::parse)
            .transpose()
            .map_err(|error| client_error(error.to_string()))?;
        let home = inputs
            .home
            .clone()
            .unwrap_or_else(|| PathBuf::from("/root"));
        let sources = sources(&inputs, &file);
        let runtime = file
            .default_runtime
            .filter(|name| name != "lapstrake" && name != "io.containerd.runc.v2");
        let unused = found.reading.unused.into_iter();
        let count = |wanted: Option<usize>, usual| wanted.unwrap_or(usual);
        Ok(Self {
            root: root(&inputs, file.data_root, &home),
            config_dir: inputs
                .config_dir
                .clone()
                .unwrap_or_else(|| home.join(".docker")),
            registry_mirrors: lists.0,
            insecure_registries: lists.1,
            certs_dirs: CERTS_DIRS
                .iter()
                .chain(std::iter::once(&CONTAINERD_CERTS_DIR))
                .map(PathBuf::from)
                .collect(),
            max_concurrent_downloads: count(
                file.max_concurrent_downloads,
                MAX_CONCURRENT_DOWNLOADS,
            ),
            max_concurrent_uploads: count(file.max_concurrent_uploads, MAX_CONCURRENT_UPLOADS),
            max_download_attempts: file.max_download_attempts.unwrap_or(MAX_DOWNLOAD_ATTEMPTS),
            proxy: file.proxy.or(inputs.proxy),
            default_platform,
            runtime,
            runtimes: file.runtimes,
            config_file,
            unreadable_files: found.unreadable,
            unused_keys: unused.map(|key| key.key).collect(),
            debug: inputs.debug.unwrap_or(file.debug.unwrap_or(false)),
            trace: Trace::default(),
            sources,
        })
    }

    /// Where a value comes from, by its key in daemon.json.
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).copied().unwrap_or(Source::Default)
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("http", &self.http.as_deref().map(masked))
            .field("https", &self.https.as_deref().map(masked))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// An address with user and password hidden, as docker shows proxies.
pub(crate) fn masked(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    // A password may have a slash in it that nobody has escaped.
    match rest.rsplit_once('@') {
        Some((_secret, host)) => format!("{scheme}xxxxx:xxxxx@{host}"),
        None => address.to_owned(),
    }
}

impl Proxy {
    /// These values, and the others where these are missing.
    fn or(self, others: Self) -> Self {
        Self {
            http: self.http.or(others.http),
            https: self.https.or(others.https),
            no_proxy: self.no_proxy.or(others.no_proxy),
        }
    }
}

/// Where values come from that are no defaults.
fn sources(inputs: &Inputs, file: &File) -> BTreeMap<&'static str, Source> {
    let root = match (&inputs.root, inputs.root_is_flag) {
        (Some(_), true) => Some(Source::Flag),
        (Some(_), false) => Some(Source::Environment),
        (None, _) => from_file(inputs.is_root && file.data_root.is_some()),
    };
    let list = |flag: &[String], file: bool| {
        let flag = (!flag.is_empty()).then_some(Source::Flag);
        flag.or(from_file(file))
    };
    let proxy = |file: &Option<String>, variable: &Option<String>| {
        from_file(file.is_some()).or(variable.as_ref().map(|_| Source::Environment))
    };
    let debug = inputs.debug.map(|_| Source::Flag);
    let found = [
        ("data-root", root),
        (
            "registry-mirrors",
            list(&inputs.registry_mirrors, file.registry_mirrors.is_some()),
        ),
        (
            "insecure-registries",
            list(
                &inputs.insecure_registries,
                file.insecure_registries.is_some(),
            ),
        ),
        (
            "max-concurrent-downloads",
            from_file(file.max_concurrent_downloads.is_some()),
        ),
        (
            "max-concurrent-uploads",
            from_file(file.max_concurrent_uploads.is_some()),
        ),
        (
            "max-download-attempts",
            from_file(file.max_download_attempts.is_some()),
        ),
        ("default-runtime", from_file(file.default_runtime.is_some())),
        ("debug", debug.or(from_file(file.debug.is_some()))),
        ("http-proxy", proxy(&file.proxy.http, &inputs.proxy.http)),
        ("https-proxy", proxy(&file.proxy.https, &inputs.proxy.https)),
        (
            "no-proxy",
            proxy(&file.proxy.no_proxy, &inputs.proxy.no_proxy),
        ),
    ];
    let known = found.into_iter();
    known
        .filter_map(|(key, source)| Some((key, source?)))
        .collect()
}

fn from_file(is_there: bool) -> Option<Source> {
    is_there.then_some(Source::File)
}

/// The store's root: the flag, the file, else the usual place for this user.
fn root(inputs: &Inputs, data_root: Option<PathBuf>, home: &Path) -> PathBuf {
    if let Some(root) = &inputs.root {
        return root.clone();
    }
    if inputs.is_root {
        return match data_root {
            Some(path) if path == Path::new("/var/lib/docker") => None,
            // The file is docker's as well: its folder is left alone.
            Some(path) if is_dockers(&path) => Some(path.join("lapstrake")),
            other => other,
        }
        .unwrap_or_else(|| PathBuf::from("/var/lib/lapstrake"));
    }
    inputs
        .data_home
        .clone()
        .unwrap_or_else(|| home.join(".local/share"))
        .join("lapstrake")
}

/// Whether a folder holds docker's own store.
fn is_dockers(folder: &Path) -> bool {
    ["engine-id", "overlay2", "buildkit", "containers/.docker"]
        .iter()
        .any(|name| folder.join(name).exists())
        && !folder.join("VERSION").exists()
}

/// Mirrors and insecure registries. Given both as a flag and in the file they are refused, as docker does.
fn merge_lists(
    inputs: &Inputs,
    file: &File,
    path: Option<&Path>,
) -> Result<(Vec<String>, Vec<String>), Error> {
    let flagged = |flag: &str, values: &[String], check: fn(&str) -> Result<String, String>| {
        let checked = values.iter().map(|value| {
            check(value).map_err(|reason| {
                client_error(format!(
                    "invalid argument {value:?} for \"--{flag}\" flag: {reason}"
                ))
            })
        });
        checked.collect::<Result<Vec<String>, Error>>()
    };
    let mirrors = flagged("registry-mirror", &inputs.registry_mirrors, mirror::checked)?;
    let insecure = flagged(
        "insecure-registry",
        &inputs.insecure_registries,
        registries::checked,
    )?;
    let pairs = [
        ("registry-mirrors", mirrors, &file.registry_mirrors),
        ("insecure-registries", insecure, &file.insecure_registries),
    ];
    let mut conflicts = Vec::new();
    let mut merged = Vec::new();
    for (key, flag, file) in pairs {
        match file {
            Some(file) if !flag.is_empty() => conflicts.push(format!(
                "{key}: (from flag: [{}], from file: [{}])",
                flag.join(" "),
                file.join(" ")
            )),
            Some(file) => merged.push(file.clone()),
            None => merged.push(flag),
        }
    }
    if conflicts.is_empty() {
        let insecure = merged.pop().unwrap_or_default();
        return Ok((merged.pop().unwrap_or_default(), insecure));
    }
    let path = path.unwrap_or_else(|| Path::new("")).display();
    Err(client_error(format!(
        "unable to configure the Docker daemon with file {path}: the following directives are \
         specified both as a flag and in the configuration file: {}",
        conflicts.join(", "),
    ))
    .with_hint(format!(
        "leave out the flag, or take the key out of `{path}`"
    )))
}

/// Refuses an address that cannot be a mirror's, in docker's words.
pub fn check_mirror(mirror: &str) -> Result<(), String> {
    mirror::checked(mirror).map(drop)
}

/// Refuses a name that cannot be an insecure registry's, in docker's words.
pub fn check_insecure_registry(name: &str) -> Result<(), String> {
    registries::checked(name).map(drop)
}

/// All that is wrong with the daemon.json that is in force, and what in it does nothing. None when there is no file.
pub fn check_file(path: &Path) -> Result<(Vec<Problem>, Vec<Unused>), io::Error> {
    let reading = file::read(&read_whole(path)?);
    Ok((reading.problems, reading.unused))
}

/// Where daemon.json is looked for.
fn candidates(inputs: &Inputs) -> Vec<PathBuf> {
    if inputs.config_files.is_empty() {
        CONFIG_FILES.iter().map(PathBuf::from).collect()
    } else {
        inputs.config_files.clone()
    }
}

fn read_whole(path: &Path) -> Result<Vec<u8>, io::Error> {
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(file::SIZE_LIMIT + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > file::SIZE_LIMIT {
        let reason = format!("the file is larger than {} bytes", file::SIZE_LIMIT);
        return Err(io::Error::other(reason));
    }
    Ok(text)
}

/// What the search for daemon.json has found.
#[derive(Default)]
struct Found {
    path: Option<PathBuf>,
    reading: Reading,
    unreadable: Vec<PathBuf>,
}

/// Whether a file that cannot be read is as good as not there: it was written for root, and is of no concern to
/// another user. For root it is a fault.
pub(crate) fn is_passed_over(error: &io::Error, is_root: bool) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && !is_root
}

fn read_file(
    candidates: &[PathBuf],
    is_root: bool,
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Found, Error> {
    let mut found = Found::default();
    for path in candidates {
        let shown = path.display();
        let refused = |reason: String| {
            client_error(format!(
                "unable to configure the Docker daemon with file {shown}: {reason}"
            ))
        };
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if is_passed_over(&error, is_root) => {
                found.unreadable.push(path.clone());
                continue;
            }
            Err(error) => return Err(refused(format!("open {shown}: {error}"))),
        };
        let reading = file::read(&text);
        return match reading.refusal() {
            None => Ok(Found {
                path: Some(path.clone()),
                reading,
                ..found
            }),
            Some(reason) => Err(refused(reason).with_hint(format!(
                "`lap config check` says where; correct `{shown}`, or remove it"
            ))),
        };
    }
    Ok(found)
}

fn client_error(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message).with_origin(Origin::Client)
}

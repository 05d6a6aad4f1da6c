//! Which hosts stand behind a registry's name, in which order, and how each is reached.
//!
//! For `docker.io` the mirrors of daemon.json come first. For any registry, the first folder
//! `certs.d/<host>/` (or `host_port_`, or `_default`) with a `hosts.toml` says which mirrors come
//! first, as containerd reads it; without that file the folder's certificates are docker's. The
//! registry itself is always the last to be asked.

pub mod certs;
pub mod file;
pub mod insecure;
pub mod proxy;

#[cfg(test)]
mod tests;

use certs::TlsFiles;
use file::FileHost;
use insecure::InsecureList;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A `hosts.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to load mirrors from `{path}`: {error}", path = path.display())]
pub struct HostsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: String,
}

/// What a host is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Fetching manifests and blobs by digest.
    pub pull: bool,
    /// Turning names into digests.
    pub resolve: bool,
    /// Writing.
    pub push: bool,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Self = Self {
        pull: true,
        resolve: true,
        push: true,
    };
    /// What a mirror is good for.
    pub const READ: Self = Self {
        pull: true,
        resolve: true,
        push: false,
    };

    fn parse(names: &[String]) -> Result<Self, String> {
        let mut capabilities = Self {
            pull: false,
            resolve: false,
            push: false,
        };
        for name in names {
            match name.to_ascii_lowercase().as_str() {
                "pull" => capabilities.pull = true,
                "resolve" => capabilities.resolve = true,
                "push" => capabilities.push = true,
                "dial" | "referrers" => {}
                other => return Err(format!("unknown capability {other:?}")),
            }
        }
        Ok(capabilities)
    }
}

/// How requests travel to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// One host to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `host[:port]` to connect to.
    pub authority: String,
    /// The schemes to try, in order.
    pub schemes: Vec<Scheme>,
    /// What comes before the repository in every path: `/v2`.
    pub prefix: String,
    /// What it is used for.
    pub capabilities: Capabilities,
    /// Whether a bad certificate is accepted.
    pub skip_verify: bool,
    /// Certificates.
    pub tls: TlsFiles,
    /// Headers sent with every request.
    pub headers: Vec<(String, String)>,
    /// The `ns` parameter that tells a mirror which registry is meant.
    pub namespace: Option<String>,
    /// The name under which credentials for this host are kept.
    pub credentials_key: String,
    /// Whether this is the registry itself.
    pub is_origin: bool,
}

/// The settings that decide.
#[derive(Debug, Clone, Default)]
pub struct HostSettings {
    /// Mirrors of docker.io, in order.
    pub mirrors: Vec<String>,
    /// Registries that may be insecure.
    pub insecure: InsecureList,
    /// Folders like `/etc/docker/certs.d`, in order.
    pub certs_dirs: Vec<PathBuf>,
}

/// The name of Docker Hub in references.
const HUB: &str = "docker.io";
/// Where Docker Hub answers.
const HUB_HOST: &str = "registry-1.docker.io";

impl HostSettings {
    /// The hosts behind a registry's name, in the order to ask them.
    pub fn hosts(&self, domain: &str) -> Result<Vec<Host>, HostsError> {
        let mut hosts = Vec::new();
        if domain == HUB {
            hosts.extend(self.mirrors.iter().filter_map(|mirror| self.mirror(mirror)));
        }
        let Some((path, text)) = self.hosts_file(domain)? else {
            hosts.push(self.origin(domain));
            return Ok(hosts);
        };
        for entry in file::parse(&text, &path)? {
            hosts.extend(self.of_file(domain, entry));
        }
        Ok(hosts)
    }

    /// An address that stands alone, such as where a token is fetched or a blob was moved to.
    pub fn lone(&self, scheme: Scheme, authority: &str) -> Host {
        Host {
            schemes: vec![scheme],
            prefix: String::new(),
            ..self.plain(authority, authority)
        }
    }

    /// The registry itself, as docker finds it.
    fn origin(&self, domain: &str) -> Host {
        let authority = if domain == HUB { HUB_HOST } else { domain };
        let mut host = self.plain(authority, domain);
        host.is_origin = true;
        host
    }

    /// A host with docker's certificates and docker's idea of which schemes to try.
    fn plain(&self, authority: &str, name: &str) -> Host {
        let insecure = self.insecure.contains(authority);
        let mut tls = self.certificates(authority);
        if tls.is_empty() && name != authority {
            tls = self.certificates(name);
        }
        let (host, port) = split_port(authority);
        let schemes = match (insecure, is_loopback(host)) {
            (false, _) => vec![Scheme::Https],
            // Asking this machine in clear first saves a handshake that mostly fails; certificates
            // for it say that it speaks TLS.
            (true, true) if tls.is_empty() && port != Some(443) => {
                vec![Scheme::Http, Scheme::Https]
            }
            (true, _) => vec![Scheme::Https, Scheme::Http],
        };
        Host {
            authority: authority.to_owned(),
            schemes,
            prefix: "/v2".to_owned(),
            capabilities: Capabilities::ALL,
            skip_verify: insecure && tls.authorities.is_empty(),
            tls,
            headers: Vec::new(),
            namespace: None,
            credentials_key: name.to_owned(),
            is_origin: false,
        }
    }

    /// A mirror of daemon.json.
    fn mirror(&self, url: &str) -> Option<Host> {
        let address = Address::parse(url)?;
        let mut host = self.plain(&address.authority, &address.authority);
        if let Some(scheme) = address.scheme {
            host.schemes = vec![scheme];
        }
        host.prefix = format!("{}/v2", address.path);
        host.capabilities = Capabilities::READ;
        Some(host)
    }

    fn of_file(&self, domain: &str, mut entry: FileHost) -> Option<Host> {
        let Some(url) = entry.url.take() else {
            let mut host = self.origin(domain);
            apply(&mut host, entry);
            return Some(host);
        };
        let address = Address::parse(&url)?;
        let is_origin =
            address.authority == domain || (domain == HUB && address.authority == HUB_HOST);
        let name = if is_origin {
            domain
        } else {
            &address.authority
        };
        let mut host = self.plain(&address.authority, name);
        if let Some(scheme) = address.scheme {
            host.schemes = vec![scheme];
        }
        host.is_origin = is_origin;
        host.prefix = match (entry.override_path, address.path.ends_with("/v2")) {
            (true, _) | (false, true) => address.path,
            (false, false) => format!("{}/v2", address.path),
        };
        if !is_origin {
            host.namespace = Some(domain.to_owned());
        }
        apply(&mut host, entry);
        Some(host)
    }

    /// The first `hosts.toml` for a registry, with its path.
    fn hosts_file(&self, domain: &str) -> Result<Option<(PathBuf, String)>, HostsError> {
        for folder in self.folders(domain, true) {
            let path = folder.join("hosts.toml");
            let failed = |error: std::io::Error| HostsError {
                path: path.clone(),
                error: error.to_string(),
            };
            match std::fs::File::open(&path) {
                Ok(open) => {
                    let mut text = String::new();
                    open.take(file::FILE_LIMIT)
                        .read_to_string(&mut text)
                        .map_err(failed)?;
                    return Ok(Some((path, text)));
                }
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }

    fn certificates(&self, name: &str) -> TlsFiles {
        self.folders(name, false)
            .map(|folder| TlsFiles::read_folder(&folder))
            .find(|files| !files.is_empty())
            .unwrap_or_default()
    }

    /// The folders that may speak of a host, the most specific first.
    fn folders(&self, name: &str, or_default: bool) -> impl Iterator<Item = PathBuf> {
        let (host, port) = split_port(name);
        let mut names = vec![name.to_owned()];
        if let Some(port) = port {
            names.push(format!("{host}_{port}_"));
        }
        if or_default {
            names.push("_default".to_owned());
        }
        // A name out of a reference has no slash; this keeps one that has inside the folder.
        names.retain(|name| !name.contains('/') && name != "." && name != "..");
        let roots = self.certs_dirs.clone();
        names.into_iter().flat_map(move |name| {
            roots
                .iter()
                .map(|root: &PathBuf| Path::join(root, &name))
                .collect::<Vec<_>>()
        })
    }
}

/// What a file's entry changes about a host.
fn apply(host: &mut Host, entry: FileHost) {
    host.capabilities = entry.capabilities;
    host.skip_verify |= entry.skip_verify;
    if !entry.tls.is_empty() {
        host.skip_verify = entry.skip_verify;
        host.tls = entry.tls;
    }
    host.headers = entry.headers;
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound
            | std::io::ErrorKind::NotADirectory
            | std::io::ErrorKind::PermissionDenied
    )
}

/// An address with or without scheme and path.
struct Address {
    scheme: Option<Scheme>,
    authority: String,
    path: String,
}

impl Address {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some(_) => return None,
            None => (None, url),
        };
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, format!("/{}", path.trim_matches('/'))),
            None => (rest, String::new()),
        };
        let path = if path == "/" { String::new() } else { path };
        let plain = !authority.is_empty() && !authority.contains(['@', '?', '#']);
        plain.then(|| Self {
            scheme,
            authority: authority.to_owned(),
            path,
        })
    }
}

/// Host and port; the host of an IPv6 address keeps its brackets.
pub(crate) fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

/// Whether a host is this machine by its name alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    if host == "localhost" {
        return true;
    }
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    address.is_some_and(|address| address.is_loopback())
}

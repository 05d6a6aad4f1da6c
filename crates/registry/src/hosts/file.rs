//! `hosts.toml`, as containerd reads it.

use super::certs::TlsFiles;
use super::{Capabilities, HostsError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The longest `hosts.toml` that is read, in bytes.
pub(super) const FILE_LIMIT: u64 = 1 << 20;

/// One host of a file: the registry itself or a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHost {
    /// The address as written; None is the registry's own.
    pub url: Option<String>,
    /// What it is used for.
    pub capabilities: Capabilities,
    /// Certificates.
    pub tls: TlsFiles,
    /// Whether a bad certificate is accepted.
    pub skip_verify: bool,
    /// Headers sent with every request.
    pub headers: Vec<(String, String)>,
    /// Whether the address's path stands alone, without `/v2`.
    pub override_path: bool,
}

/// The hosts of a file: the mirrors in the order they are written, then the registry itself.
pub fn parse(text: &str, path: &Path) -> Result<Vec<FileHost>, HostsError> {
    let failed = |error: String| HostsError {
        path: path.to_owned(),
        error,
    };
    let file: File = toml::from_str(text).map_err(|error| failed(error.to_string()))?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut mirrors: Vec<(usize, FileHost)> = Vec::new();
    for (url, table) in file.host {
        let position = table.span().start;
        let host = table.into_inner().host(Some(url), folder).map_err(failed)?;
        mirrors.push((position, host));
    }
    mirrors.sort_by_key(|(position, _)| *position);
    let mut hosts: Vec<FileHost> = mirrors.into_iter().map(|(_, host)| host).collect();
    hosts.push(file.root.host(file.server, folder).map_err(failed)?);
    Ok(hosts)
}

#[derive(Deserialize)]
struct File {
    server: Option<String>,
    #[serde(default)]
    host: BTreeMap<String, Spanned<Table>>,
    #[serde(flatten)]
    root: Table,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Table {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMore>,
    client: Option<Clients>,
    skip_verify: Option<bool>,
    header: BTreeMap<String, OneOrMore>,
    override_path: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Clients {
    One(String),
    More(Vec<Client>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Client {
    Combined(String),
    Pair(Vec<String>),
}

impl OneOrMore {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

impl Table {
    fn host(self, url: Option<String>, folder: &Path) -> Result<FileHost, String> {
        let capabilities = match self.capabilities {
            Some(names) => Capabilities::parse(&names)?,
            None => Capabilities::ALL,
        };
        let file = |name: String| folder.join(name);
        let authorities = self.ca.map_or_else(Vec::new, OneOrMore::list);
        let mut headers = Vec::new();
        for (name, values) in self.header {
            headers.extend(values.list().into_iter().map(|value| (name.clone(), value)));
        }
        Ok(FileHost {
            url,
            capabilities,
            tls: TlsFiles {
                authorities: authorities.into_iter().map(file).collect(),
                clients: clients(self.client, folder)?,
            },
            skip_verify: self.skip_verify.unwrap_or(false),
            headers,
            override_path: self.override_path,
        })
    }
}

fn clients(
    clients: Option<Clients>,
    folder: &Path,
) -> Result<Vec<(PathBuf, Option<PathBuf>)>, String> {
    let list = match clients {
        None => return Ok(Vec::new()),
        Some(Clients::One(one)) => vec![Client::Combined(one)],
        Some(Clients::More(more)) => more,
    };
    let mut pairs = Vec::new();
    for client in list {
        let names = match client {
            Client::Combined(name) => vec![name],
            Client::Pair(names) => names,
        };
        match names.as_slice() {
            [both] => pairs.push((folder.join(both), None)),
            [cert, key] if key.is_empty() => pairs.push((folder.join(cert), None)),
            [cert, key] => pairs.push((folder.join(cert), Some(folder.join(key)))),
            _ => return Err("`client` is a file or a pair of files".to_owned()),
        }
    }
    Ok(pairs)
}

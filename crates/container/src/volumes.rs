//! Binds and volumes: `source:destination[:options]`, and what becomes of it on this host.
//!
//! A volume is `<root>/volumes/<name>/_data`. An anonymous one has 64 hex digits for a name and goes with
//! its container. A volume that is empty when a container is made gets the content of the image's folder.

use crate::error::{Context, Error, Result};
use crate::host_config::HostConfig;
use crate::mount_request::{MountKind, MountRequest};
use crate::record::Mount;
use lapstrake_snapshot::View;
use lapstrake_spec::ContainerConfig;
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Options that a bind may have besides `ro` and `rw`.
pub(crate) const PROPAGATIONS: [&str; 6] = [
    "rshared", "rslave", "rprivate", "shared", "slave", "private",
];
const PLAIN_OPTIONS: [&str; 7] = [
    "z",
    "Z",
    "nocopy",
    "consistent",
    "cached",
    "delegated",
    "rbind",
];

/// The length of an anonymous volume's name.
const ANONYMOUS_DIGITS: usize = 64;

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Whether nobody named it.
    pub anonymous: bool,
}

/// One parsed bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Path on the host, name of a volume, or `None` for an anonymous volume.
    pub source: Option<String>,
    /// Path in the container, normalised.
    pub destination: String,
    /// Options as typed.
    pub options: Vec<String>,
}

impl Bind {
    /// Parses one bind, with docker's errors.
    pub fn parse(text: &str) -> Result<Self> {
        let bad =
            |why: &str| Error::Invalid(format!("invalid volume specification: '{text}'{why}"));
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, options) = match parts.as_slice() {
            [destination] => (None, *destination, ""),
            [source, destination] => (Some(*source), *destination, ""),
            [source, destination, options] => (Some(*source), *destination, *options),
            _ => return Err(bad("")),
        };
        if destination.is_empty() || source.is_some_and(str::is_empty) {
            return Err(bad(""));
        }
        if !destination.starts_with('/') {
            return Err(bad(&format!(
                ": invalid mount config for type \"bind\": invalid mount path: '{destination}' mount path \
                 must be absolute"
            )));
        }
        let destination = clean(destination);
        if destination == "/" {
            return Err(bad(": invalid specification: destination can't be '/'"));
        }
        let options: Vec<String> = options
            .split(',')
            .filter(|o| !o.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(odd) = options.iter().find(|option| !is_option(option)) {
            return Err(Error::Invalid(format!("invalid mode: {odd}")));
        }
        if source.is_some_and(|source| source.starts_with('/'))
            && options.iter().any(|option| option == "nocopy")
        {
            return Err(bad(
                ": invalid mount config for type \"bind\": field VolumeOptions must not be specified",
            ));
        }
        let source = source.map(|source| {
            if source.starts_with('/') {
                clean(source)
            } else {
                source.to_owned()
            }
        });
        Ok(Self {
            source,
            destination,
            options,
        })
    }

    fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }

    fn propagation(&self) -> Option<&str> {
        self.options
            .iter()
            .map(String::as_str)
            .find(|option| PROPAGATIONS.contains(option))
    }

    fn mode(&self) -> String {
        let keep = |option: &&String| *option != "ro" && *option != "rw";
        self.options
            .iter()
            .filter(keep)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",")
    }
}

fn is_option(option: &str) -> bool {
    matches!(option, "ro" | "rw")
        || PROPAGATIONS.contains(&option)
        || PLAIN_OPTIONS.contains(&option)
}

/// Takes `.`, `..` and doubled slashes out of an absolute path.
pub(crate) fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// What the request and the image ask to be mounted. `new_name` gives names to anonymous volumes.
pub(crate) fn plan(
    config: &ContainerConfig,
    host: &HostConfig,
    volumes: &Path,
    mut new_name: impl FnMut() -> Result<String>,
) -> Result<Vec<Mount>> {
    let mut mounts: Vec<Mount> = Vec::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut take = |destination: &str| {
        let fault = || Error::Invalid(format!("Duplicate mount point: {destination}"));
        let is_free = taken.insert(destination.to_owned());
        is_free.then_some(()).ok_or_else(fault)
    };
    for text in host.binds.iter().flatten() {
        let bind = Bind::parse(text)?;
        take(&bind.destination)?;
        mounts.push(mount(&bind, volumes, &mut new_name)?);
    }
    for request in &host.mounts {
        request.check()?;
        take(&request.destination())?;
        mounts.extend(requested(request, volumes, &mut new_name)?);
    }
    for destination in config.volumes.iter().flatten() {
        let bind = Bind::parse(destination)?;
        if bind.source.is_none() && take(&bind.destination).is_ok() {
            mounts.push(mount(&bind, volumes, &mut new_name)?);
        }
    }
    Ok(mounts)
}

/// The mount of a request; none when it is in memory.
fn requested(
    request: &MountRequest,
    volumes: &Path,
    new_name: &mut impl FnMut() -> Result<String>,
) -> Result<Option<Mount>> {
    let (name, source, propagation) = match request.kind {
        MountKind::Tmpfs => return Ok(None),
        MountKind::Bind => {
            let propagation = request.propagation().unwrap_or("rprivate");
            (String::new(), clean(&request.source), propagation)
        }
        MountKind::Volume => {
            let name = match request.source.as_str() {
                "" => new_name()?,
                name => checked_name(name)?,
            };
            let data = data(volumes, &name).display().to_string();
            (name, data, "")
        }
    };
    let is_volume = request.kind == MountKind::Volume;
    Ok(Some(Mount {
        kind: request.kind.to_string(),
        name,
        source,
        destination: request.destination(),
        driver: if is_volume { "local" } else { "" }.to_owned(),
        mode: String::new(),
        read_write: !request.read_only,
        propagation: propagation.to_owned(),
        anonymous: is_volume && request.source.is_empty(),
    }))
}

fn mount(
    bind: &Bind,
    volumes: &Path,
    new_name: &mut impl FnMut() -> Result<String>,
) -> Result<Mount> {
    let base = Mount {
        kind: "volume".to_owned(),
        name: String::new(),
        source: String::new(),
        destination: bind.destination.clone(),
        driver: "local".to_owned(),
        mode: bind.mode(),
        read_write: !bind.is_read_only(),
        propagation: bind.propagation().unwrap_or_default().to_owned(),
        anonymous: bind.source.is_none(),
    };
    if let Some(source) = &bind.source
        && source.starts_with('/')
    {
        let propagation = bind.propagation().unwrap_or("rprivate").to_owned();
        return Ok(Mount {
            kind: "bind".to_owned(),
            source: source.clone(),
            driver: String::new(),
            propagation,
            ..base
        });
    }
    let name = match &bind.source {
        Some(name) => checked_name(name)?,
        None => new_name()?,
    };
    let data = data(volumes, &name);
    Ok(Mount {
        source: data.display().to_string(),
        name,
        ..base
    })
}

fn checked_name(name: &str) -> Result<String> {
    if crate::names::is_valid(name) {
        return Ok(name.to_owned());
    }
    Err(Error::Invalid(format!(
        "create {name}: {name:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )))
}

fn data(volumes: &Path, name: &str) -> PathBuf {
    volumes.join(name).join("_data")
}

/// Makes the volumes and gives the empty ones the image's content.
pub(crate) fn make(mounts: &[Mount], view: impl Fn() -> Result<View>) -> Result<()> {
    let mut opened = None;
    for mount in mounts.iter().filter(|mount| mount.kind == "volume") {
        let path = Path::new(&mount.source);
        let context = || format!("making volume {}", mount.name);
        std::fs::create_dir_all(path).context(context)?;
        let wants_content = !mount.mode.split(',').any(|option| option == "nocopy");
        if !wants_content || std::fs::read_dir(path).context(context)?.next().is_some() {
            continue;
        }
        let view = match &mut opened {
            Some(view) => view,
            none => none.insert(view()?),
        };
        let dir = std::fs::File::open(path).context(context)?;
        view.copy_dir(&mount.destination, dir.as_fd())?;
    }
    Ok(())
}

/// Makes the folders on the host that binds name and nobody made, as docker does.
pub(crate) fn make_sources(mounts: &[Mount]) -> Result<()> {
    for mount in mounts {
        let path = Path::new(&mount.source);
        if !path.exists() {
            let action = || {
                format!(
                    "error while creating mount source path '{0}': mkdir {0}",
                    mount.source
                )
            };
            std::fs::create_dir_all(path).context(action)?;
        }
    }
    Ok(())
}

/// Removes the anonymous volumes among the mounts.
pub(crate) fn remove_anonymous(mounts: &[Mount]) -> Result<()> {
    for mount in mounts.iter().filter(|mount| mount.anonymous) {
        let Some(folder) = Path::new(&mount.source).parent() else {
            continue;
        };
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other.context(|| format!("removing volume {}", mount.name))?,
        }
    }
    Ok(())
}

/// The volumes in a folder that no mount is of, sorted by name.
pub(crate) fn unused<'a>(
    volumes: &Path,
    mounts: impl Iterator<Item = &'a Mount>,
) -> Result<Vec<Volume>> {
    let used: BTreeSet<&str> = mounts.map(|mount| mount.name.as_str()).collect();
    let context = || format!("reading {}", volumes.display());
    let entries = match std::fs::read_dir(volumes) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(context)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.context(context)?.file_name();
        let Some(name) = name.to_str().filter(|name| crate::names::is_valid(name)) else {
            continue;
        };
        if !used.contains(name) {
            found.push(Volume {
                name: name.to_owned(),
                anonymous: name.len() == ANONYMOUS_DIGITS
                    && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes a volume.
pub(crate) fn remove(volumes: &Path, name: &str) -> Result<()> {
    std::fs::remove_dir_all(volumes.join(name)).context(|| format!("removing volume {name}"))
}

#[cfg(test)]
mod tests;

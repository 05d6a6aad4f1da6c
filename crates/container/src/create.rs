//! Making a container.

use crate::containers::{self, Containers};
use crate::error::{Context, Error, Result};
use crate::home::{self, Home};
use crate::host_config::HostConfig;
use crate::lower::{self, merge};
use crate::names;
use crate::network::is_host_network;
use crate::record::{ContainerId, Record};
use crate::volumes;
use lapstrake_snapshot::{Layer, MAX_LOWERS, Snapshot};
use lapstrake_spec::{ContainerConfig, Digest, Platform};
use lapstrake_sys::signal;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Random names that are tried before giving up.
const NAME_ATTEMPTS: u32 = 64;

/// All that is needed to make a container.
#[derive(Debug, Clone)]
pub struct CreateSpec {
    /// The id, when a monitor waits for it ([`Containers::prepare`]); a random one when `None`.
    pub id: Option<ContainerId>,
    /// The name wanted, with or without a slash; a random one when `None`.
    pub name: Option<String>,
    /// The image as typed.
    pub image: String,
    /// Its id.
    pub image_id: Digest,
    /// What the request says.
    pub config: ContainerConfig,
    /// What the image says.
    pub image_config: Option<ContainerConfig>,
    /// What is asked of this host.
    pub host_config: HostConfig,
    /// The image's layers, bottom first.
    pub layers: Vec<Layer>,
    /// The image's platform.
    pub platform: Platform,
    /// The present moment.
    pub now: jiff::Timestamp,
}

/// Makes a container: folder, name, volumes, and last its record.
pub(crate) fn create(containers: &Containers, spec: CreateSpec) -> Result<Record> {
    check(&spec.config)?;
    lower::check(&spec.host_config)?;
    if spec.layers.len() > MAX_LOWERS {
        return Err(Error::TooDeep);
    }
    let wanted = spec
        .name
        .as_deref()
        .map(|name| name.strip_prefix('/').unwrap_or(name));
    let wanted = wanted.map(str::to_owned);
    wanted.as_deref().map_or(Ok(()), names::check_name)?;
    let id = spec.id.clone().map_or_else(new_id, Ok)?;
    let mut record = record(containers, &id, spec)?;
    home::make_folders(&containers.folder())?;
    let home = containers.home(&id);
    let path = home.path().display().to_string();
    // Under the lock of names, so that a folder that nobody holds is garbage for sure.
    let names = containers.lock()?;
    std::fs::DirBuilder::new()
        .mode(0o710)
        .create(home.path())
        .context(|| format!("making {path}"))?;
    let lock = home.try_lock()?;
    let taken = take_name(&containers.folder(), &id, wanted);
    drop(names);
    let result = taken.and_then(|name| {
        record.name = name;
        fill(containers, &home, &record)
    });
    if result.is_err() {
        undo(containers, &home, &record);
    }
    drop(lock);
    result.map(|()| record)
}

/// Refuses what a request says of the process and makes no sense. An image may say such things.
fn check(config: &ContainerConfig) -> Result<()> {
    let folder = &config.working_dir;
    if !folder.is_empty() && !folder.starts_with('/') {
        return Err(Error::Invalid(format!(
            "the working directory '{folder}' is invalid, it needs to be an absolute path"
        )));
    }
    let signal = &config.stop_signal;
    if !signal.is_empty() && signal::parse(signal).is_none() {
        return Err(Error::InvalidSignal(signal.clone()));
    }
    Ok(())
}

fn fill(containers: &Containers, home: &Home, record: &Record) -> Result<()> {
    let layers = containers::layers(record)?;
    volumes::make(&record.mounts, || {
        Ok(Snapshot::prepare(containers.store(), home.path(), &layers)?.view()?)
    })?;
    home.write_new_record(record, !record.host_config.auto_remove)
}

/// Takes the name that is wanted, or the first free one of some random ones.
fn take_name(folder: &Path, id: &ContainerId, wanted: Option<String>) -> Result<String> {
    if let Some(name) = wanted {
        home::take_name(folder, &name, id)?;
        return Ok(name);
    }
    let mut attempt = 0;
    loop {
        let name = names::random(attempt)?;
        attempt += 1;
        match home::take_name(folder, &name, id) {
            Ok(()) => return Ok(name),
            Err(Error::NameInUse { .. }) if attempt < NAME_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

/// Takes back what a failed creation made. What cannot be taken back is garbage that [`Containers::reap`]
/// removes; the first error is the one to report.
fn undo(containers: &Containers, home: &Home, record: &Record) {
    if let Ok(lock) = containers.lock() {
        home::release_name(&containers.folder(), &record.name, &record.id).ok();
        drop(lock);
    }
    volumes::remove_anonymous(&record.mounts).ok();
    std::fs::remove_dir_all(home.path()).ok();
}

/// The record, but for its name.
fn record(containers: &Containers, id: &ContainerId, spec: CreateSpec) -> Result<Record> {
    let mut config = merge(spec.config, spec.image_config.as_ref())?;
    spec.image.clone_into(&mut config.image);
    if config.hostname.is_empty() {
        config.hostname = default_hostname(id, &spec.host_config);
    }
    let mut words = config.command_line().into_iter();
    let path = words.next().ok_or(Error::NoCommand)?;
    let volumes = containers.store().root().join("volumes");
    let mounts = volumes::plan(&config, &spec.host_config, &volumes, random_hex)?;
    let (layers, layer_blobs) = spec
        .layers
        .into_iter()
        .map(|layer| (layer.diff_id, layer.blob))
        .unzip();
    Ok(Record {
        id: id.clone(),
        name: String::new(),
        created: timestamp(spec.now),
        image_id: spec.image_id,
        image: spec.image,
        path,
        args: words.collect(),
        config,
        host_config: spec.host_config,
        mounts,
        layers,
        layer_blobs,
        platform: spec.platform,
        driver: "overlay2".to_owned(),
    })
}

/// The beginning of the id; on the host's network the host's name.
fn default_hostname(id: &ContainerId, host: &HostConfig) -> String {
    if !is_host_network(host) && host.uts_mode != "host" {
        return id.short().to_owned();
    }
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        id.short().to_owned()
    } else {
        name
    }
}

pub(crate) fn new_id() -> Result<ContainerId> {
    loop {
        let hex = random_hex()?;
        // Docker's rule: a short id of digits only could be taken for a number.
        if hex.bytes().take(12).any(|byte| byte.is_ascii_alphabetic())
            && let Some(id) = ContainerId::parse(&hex)
        {
            return Ok(id);
        }
    }
}

fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::from)
        .context(|| "drawing a random id".to_owned())?;
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    Ok(bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect())
}

/// RFC 3339 with all nine digits, so that the texts sort as the moments do.
fn timestamp(at: jiff::Timestamp) -> String {
    let printer = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(9));
    printer.timestamp_to_string(&at)
}

//! The life of containers: listing, starting, ending.

use crate::Engine;
use crate::error::{Error, ErrorKind};
use crate::lookup;
use crate::ops::images::{Filters, label_fits};
use lapstrake_container::{
    Container, LogOptions, Logs, Prepared, Record, RemoveOptions, Session, Sizes, StartOptions,
    Status, network_name,
};
use lapstrake_spec::Digest;
use lapstrake_store::Images;
use std::time::Duration;

/// What `ps` asks for.
#[derive(Debug, Clone, Default)]
pub struct ListContainers {
    /// Also those that do not run.
    pub all: bool,
    /// Only so many, the newest, whatever their state.
    pub last: Option<usize>,
    /// Whether sizes are wanted; they cost a walk.
    pub size: bool,
    /// `id`, `name`, `label`, `status`, `ancestor`, `exited`, `before`, `since`, `volume`, `network`.
    pub filters: Filters,
}

/// One container as listings show it.
#[derive(Debug, Clone)]
pub struct ContainerRow {
    /// Record and state.
    pub container: Container,
    /// The image as listings name it: as typed, or a short id when that name now means another image.
    pub image: String,
    /// Bytes written, and bytes with the image's.
    pub sizes: Option<Sizes>,
}

const NAMES: [&str; 10] = [
    "id", "name", "label", "status", "ancestor", "exited", "before", "since", "volume", "network",
];

/// Lists containers, newest first.
pub fn container_rows(
    engine: &Engine,
    request: &ListContainers,
) -> Result<Vec<ContainerRow>, Error> {
    request.filters.allow(&NAMES)?;
    let containers = engine.containers()?;
    let images = engine.store()?.images()?;
    let list = containers.list()?;
    let filter = Filter::new(engine, &images, &list, &request.filters)?;
    let by_state = !request.filters.values("status").is_empty()
        || !request.filters.values("exited").is_empty();
    let show_all = request.all || request.last.is_some() || by_state;
    let mut rows = Vec::new();
    for container in list {
        if !(show_all || container.state.status.is_alive()) || !filter.fits(&container) {
            continue;
        }
        if request.last.is_some_and(|last| rows.len() >= last) {
            break;
        }
        let sizes = if request.size {
            Some(containers.sizes(&container)?)
        } else {
            None
        };
        rows.push(ContainerRow {
            image: shown_image(&images, &container),
            sizes,
            container,
        });
    }
    Ok(rows)
}

/// The image as typed while that still means the image; else the id.
fn shown_image(images: &Images, container: &Container) -> String {
    let record = &container.record;
    match lookup::image_id(images, &record.image) {
        Ok(id) if id == record.image_id && !lookup::is_id(&id, &record.image) => {
            record.image.clone()
        }
        _ => record.image_id.short().to_owned(),
    }
}

/// The filters of one listing, resolved.
struct Filter<'a> {
    filters: &'a Filters,
    ancestors: Vec<(Digest, Vec<Digest>)>,
    before: Option<String>,
    since: Option<String>,
    statuses: Vec<String>,
    exited: Vec<i32>,
}

impl<'a> Filter<'a> {
    fn new(
        engine: &Engine,
        images: &Images,
        list: &[Container],
        filters: &'a Filters,
    ) -> Result<Self, Error> {
        let containers = engine.containers()?;
        let created = |name: &str| -> Result<Option<String>, Error> {
            let Some(value) = filters.values(name).first() else {
                return Ok(None);
            };
            let id = containers.find(value)?.record.id;
            Ok(list
                .iter()
                .find(|c| c.record.id == id)
                .map(|c| c.record.created.clone()))
        };
        let statuses = filters.values("status").to_vec();
        let known = [
            "created",
            "running",
            "paused",
            "restarting",
            "removing",
            "exited",
            "dead",
        ];
        if let Some(bad) = statuses
            .iter()
            .find(|status| !known.contains(&status.as_str()))
        {
            return Err(invalid(format!("invalid filter 'status={bad}'")));
        }
        let exited = filters
            .values("exited")
            .iter()
            .map(|value| {
                value
                    .parse()
                    .map_err(|_error| invalid(format!("invalid filter 'exited={value}'")))
            })
            .collect::<Result<_, _>>()?;
        let mut ancestors = Vec::new();
        for value in filters.values("ancestor") {
            if let Ok(id) = lookup::image_id(images, value) {
                let (config, _raw) = engine.store()?.image_config(&id)?;
                ancestors.push((id, config.rootfs.diff_ids));
            }
        }
        let (before, since) = (created("before")?, created("since")?);
        Ok(Self {
            filters,
            ancestors,
            before,
            since,
            statuses,
            exited,
        })
    }

    fn fits(&self, container: &Container) -> bool {
        let (record, state) = (&container.record, &container.state);
        let any = |name: &str, fits: &dyn Fn(&str) -> bool| {
            let values = self.filters.values(name);
            values.is_empty() || values.iter().any(|value| fits(value))
        };
        let labels = record.config.labels.clone().unwrap_or_default();
        any("id", &|value| record.id.as_str().starts_with(value))
            && any("name", &|value| name_fits(&record.name, value))
            && self
                .filters
                .values("label")
                .iter()
                .all(|value| label_fits(&labels, value))
            && any("volume", &|value| {
                record
                    .mounts
                    .iter()
                    .any(|m| m.name == value || m.destination == value)
            })
            && any("network", &|value| {
                network_name(&record.host_config) == value
            })
            && (self.statuses.is_empty()
                || self.statuses.iter().any(|s| s == state.status.as_str()))
            && (self.exited.is_empty()
                || (state.status == Status::Exited && self.exited.contains(&state.exit_code)))
            && self
                .before
                .as_ref()
                .is_none_or(|limit| record.created < *limit)
            && self
                .since
                .as_ref()
                .is_none_or(|limit| record.created > *limit)
            && self.descends(container)
    }

    /// Whether the container is made from one of the ancestors or from an image on top of it.
    fn descends(&self, container: &Container) -> bool {
        self.filters.values("ancestor").is_empty()
            || self.ancestors.iter().any(|(id, layers)| {
                container.record.image_id == *id
                    || (!layers.is_empty() && container.record.layers.starts_with(layers))
            })
    }
}

/// Docker matches names anywhere, with `^` and `$` as anchors.
fn name_fits(name: &str, pattern: &str) -> bool {
    let slashed = format!("/{name}");
    let (start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, rest) = match rest.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    [name, slashed.as_str()]
        .iter()
        .any(|name| match (start, end) {
            (true, true) => *name == rest,
            (true, false) => name.starts_with(rest),
            (false, true) => name.ends_with(rest),
            (false, false) => name.contains(rest),
        })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Starts a container and takes part in its streams.
pub fn start(engine: &Engine, container: &str, options: &StartOptions) -> Result<Session, Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    Ok(containers.start(&found.record.id, options)?)
}

/// Begins the start of a container that is still to be made: see [`super::create`].
pub fn prepare(engine: &Engine, options: &StartOptions) -> Result<Prepared, Error> {
    Ok(engine.containers()?.prepare(options)?)
}

/// Starts the container that was made for a prepared monitor.
pub fn start_prepared(
    engine: &Engine,
    prepared: Prepared,
    record: &Record,
) -> Result<Session, Error> {
    Ok(prepared.start(&engine.containers()?, record)?)
}

/// Asks the container to end, with its own signal or this one; after `timeout` it is killed.
pub fn stop(
    engine: &Engine,
    container: &str,
    signal: Option<&str>,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    match signal {
        Some(signal) => containers.stop_with(&found.record.id, signal, timeout)?,
        None => containers.stop(&found.record.id, timeout)?,
    }
    Ok(())
}

/// Sends a signal to the container's first process.
pub fn kill(engine: &Engine, container: &str, signal: &str) -> Result<(), Error> {
    use lapstrake_container::Error as Failed;
    let containers = engine.containers()?;
    let killed = containers
        .find(container)
        .and_then(|found| containers.kill(&found.record.id, signal));
    killed.map_err(|error| match error {
        // Named as typed, as docker does.
        Failed::KillNotRunning { id, .. } => Error::from(Failed::KillNotRunning {
            typed: container.to_owned(),
            id,
        }),
        Failed::NotFound(_) => Error::new(
            ErrorKind::NotFound,
            format!("Cannot kill container: {container}: {error}"),
        ),
        other => Error::from(other),
    })
}

/// Waits until the container has ended; the status it ended with.
pub fn wait(engine: &Engine, container: &str) -> Result<i32, Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    Ok(containers.wait(&found.record.id)?)
}

/// Freezes the container's processes.
pub fn pause(engine: &Engine, container: &str) -> Result<(), Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    Ok(containers.pause(&found.record.id)?)
}

/// Lets them go on.
pub fn unpause(engine: &Engine, container: &str) -> Result<(), Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    Ok(containers.unpause(&found.record.id)?)
}

/// Removes a container, a running one only by force; with its anonymous volumes when asked.
pub fn remove(engine: &Engine, container: &str, options: RemoveOptions) -> Result<(), Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    containers.remove(&found.record.id, options)?;
    let store = engine.store()?;
    if store.images()?.by_id(&found.record.image_id).is_none() {
        // The image went before its container: the layers it left are garbage from now on.
        store.collect(&[])?;
    }
    Ok(())
}

/// Reads what a container has written.
pub fn logs(engine: &Engine, container: &str, options: &LogOptions) -> Result<Logs, Error> {
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    Ok(containers.logs(&found.record.id, options)?)
}

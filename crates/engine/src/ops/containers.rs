//! The life of containers: listing, starting, ending.

use super::container_filter::{Filter, exposed_ports};
use super::filter::Filters;
use crate::Engine;
use crate::error::{Error, ErrorKind};
use crate::lookup;
use lapstrake_container::{
    Container, LogOptions, Logs, Prepared, Record, RemoveOptions, Session, Sizes, StartOptions,
};
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
    /// `id`, `name`, `label`, `status`, `ancestor`, `exited`, `before`, `since`, `volume`, `network` and so
    /// on, as docker takes them.
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
    /// Ports that it exposes while it runs, as `80/tcp`.
    pub ports: Vec<String>,
}

/// Containers, and those whose record cannot be read.
#[derive(Debug, Clone, Default)]
pub struct ContainerList {
    /// Those that fit, newest first.
    pub rows: Vec<ContainerRow>,
    /// Ids, and why they are not among the rows.
    pub unreadable: Vec<(String, String)>,
}

/// Lists containers.
pub fn list_containers(engine: &Engine, request: &ListContainers) -> Result<ContainerList, Error> {
    let (list, unreadable) = engine.containers()?.list_readable()?;
    let unreadable = unreadable.into_iter();
    Ok(ContainerList {
        rows: rows(engine, request, list)?,
        unreadable: unreadable
            .map(|(id, error)| (id.to_string(), Error::from(error).message().to_owned()))
            .collect(),
    })
}

/// Lists containers, newest first. One that cannot be read is passed over.
pub fn container_rows(
    engine: &Engine,
    request: &ListContainers,
) -> Result<Vec<ContainerRow>, Error> {
    Ok(list_containers(engine, request)?.rows)
}

fn rows(
    engine: &Engine,
    request: &ListContainers,
    list: Vec<Container>,
) -> Result<Vec<ContainerRow>, Error> {
    let containers = engine.containers()?;
    let images = engine.store()?.images()?;
    let filter = Filter::new(engine, &images, &list, &request.filters)?;
    let by_state = !request.filters.values("status").is_empty();
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
            ports: exposed_ports(&container),
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
    use lapstrake_container::Error as Failed;
    let containers = engine.containers()?;
    let found = containers.find(container)?;
    let removed = containers.remove(&found.record.id, options);
    removed.map_err(|error| match error {
        // Named as typed, as docker does.
        Failed::RemoveRunning(_) => Error::from(Failed::RemoveRunning(container.to_owned())),
        Failed::RemovePaused(_) => Error::from(Failed::RemovePaused(container.to_owned())),
        other => Error::from(other),
    })?;
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

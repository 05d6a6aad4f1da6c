//! The containers of a store: the one entrance for callers.

use crate::create::CreateSpec;
use crate::error::{Context, Error, Result};
use crate::home::{self, Home};
use crate::lifecycle::{Held, Prepared};
use crate::logs::{LogOptions, Logs};
use crate::record::{ContainerId, Record, State};
use crate::session::{Session, StartOptions};
use crate::volumes::{self, Volume};
use crate::{create, lifecycle, logs, remove, rename};
use lapstrake_snapshot::{Layer, Snapshot};
use lapstrake_store::Store;
use std::path::PathBuf;
use std::time::Duration;

/// A container as it is found on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// What was decided when it was made.
    pub record: Record,
    /// Where it is in its life, with a dead monitor already taken into account.
    pub state: State,
}

/// A container whose record cannot be read, and why.
pub type Unreadable = (ContainerId, Error);

/// What a container takes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Bytes in files of its writable layer (docker's `SizeRw`).
    pub writable: u64,
    /// The same with the image's layers (docker's `SizeRootFs`).
    pub total: u64,
}

/// What `rm` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemoveOptions {
    /// Kill it first when it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

/// The containers of a store.
#[derive(Debug, Clone)]
pub struct Containers {
    store: Store,
}

impl Containers {
    /// The containers of this store.
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.store.root().join("containers")
    }

    pub(crate) fn home(&self, id: &ContainerId) -> Home {
        Home::new(self.folder().join(id.as_str()))
    }

    /// Makes a container. Its image's layers must be protected by a lease until this returns.
    pub fn create(&self, spec: CreateSpec) -> Result<Record> {
        create::create(self, spec)
    }

    /// Every container, newest first. One that cannot be read is an error: whoever removes what no container needs
    /// must know them all.
    pub fn list(&self) -> Result<Vec<Container>> {
        let (found, unreadable) = self.list_readable()?;
        match unreadable.into_iter().next() {
            None => Ok(found),
            Some((_, error)) => Err(error),
        }
    }

    /// Every container that can be read, newest first, and those that cannot.
    pub fn list_readable(&self) -> Result<(Vec<Container>, Vec<Unreadable>)> {
        let mut found = Vec::new();
        let mut unreadable = Vec::new();
        for id in home::ids(&self.folder())? {
            match self.get(&id) {
                Ok(container) => found.push(container),
                // Being made, being removed, or left half-made by a crash.
                Err(Error::NotFound(_)) => {}
                Err(error) => unreadable.push((id, error)),
            }
        }
        unreadable.sort_by(|a, b| a.0.cmp(&b.0));
        found.sort_by(|a, b| {
            b.record
                .created
                .cmp(&a.record.created)
                .then_with(|| a.record.id.cmp(&b.record.id))
        });
        Ok((found, unreadable))
    }

    /// The container with this id.
    pub fn get(&self, id: &ContainerId) -> Result<Container> {
        let home = self.home(id);
        let record = home
            .record()?
            .ok_or_else(|| Error::NotFound(id.to_string()))?;
        let state = home.state()?;
        Ok(Container { record, state })
    }

    /// The container that was meant: by whole id, by name (with or without a slash), or by the beginning
    /// of its id.
    pub fn find(&self, typed: &str) -> Result<Container> {
        self.get(&home::resolve(&self.folder(), typed)?)
    }

    /// Starts a container that does not run. The session is attached as `options` say; dropping it leaves
    /// the container running.
    pub fn start(&self, id: &ContainerId, options: &StartOptions) -> Result<Session> {
        lifecycle::start(self, id, options)
    }

    /// Begins the start of a container that is still to be made, with the id that the result tells.
    pub fn prepare(&self, options: &StartOptions) -> Result<Prepared> {
        lifecycle::prepare(self, &create::new_id()?, options)
    }

    /// Connects with a running container.
    pub fn attach(&self, id: &ContainerId, options: &StartOptions) -> Result<Session> {
        lifecycle::attach(self, id, options)
    }

    /// Asks the container to stop with its stop signal, kills it after `timeout` (the configured one, or ten
    /// seconds, when `None`). Nothing happens when it does not run.
    pub fn stop(&self, id: &ContainerId, timeout: Option<Duration>) -> Result<()> {
        lifecycle::stop(self, id, None, timeout)
    }

    /// Like [`Self::stop`], with a signal by name or number instead of the container's own.
    pub fn stop_with(
        &self,
        id: &ContainerId,
        signal: &str,
        timeout: Option<Duration>,
    ) -> Result<()> {
        lifecycle::stop(self, id, Some(signal), timeout)
    }

    /// Sends a signal by name or number.
    pub fn kill(&self, id: &ContainerId, signal: &str) -> Result<()> {
        lifecycle::kill(self, id, signal)
    }

    /// Waits for the end of a container; at once when it does not run.
    pub fn wait(&self, id: &ContainerId) -> Result<i32> {
        lifecycle::wait(self, id)
    }

    /// Freezes every process of a running container.
    pub fn pause(&self, id: &ContainerId) -> Result<()> {
        lifecycle::pause(self, id)
    }

    /// Freezes every process of a running container until the result is dropped, however this process ends. Nothing
    /// when it does not run.
    pub fn hold(&self, id: &ContainerId) -> Result<Option<Held>> {
        lifecycle::hold(self, id)
    }

    /// Lets the processes of a paused container go on.
    pub fn unpause(&self, id: &ContainerId) -> Result<()> {
        lifecycle::unpause(self, id)
    }

    /// Removes a container.
    pub fn remove(&self, id: &ContainerId, options: RemoveOptions) -> Result<()> {
        remove::remove(self, id, options)
    }

    /// Gives a container another name.
    pub fn rename(&self, id: &ContainerId, name: &str) -> Result<()> {
        rename::rename(self, id, name)
    }

    /// What the container has written.
    pub fn logs(&self, id: &ContainerId, options: &LogOptions) -> Result<Logs> {
        logs::open(self, id, options)
    }

    /// What a container takes on disk.
    pub fn sizes(&self, container: &Container) -> Result<Sizes> {
        let writable = lapstrake_snapshot::writable_size(self.home(&container.record.id).path())?;
        let mut total = writable;
        for diff_id in &container.record.layers {
            total = total.saturating_add(self.store.layer_size(diff_id)?);
        }
        Ok(Sizes { writable, total })
    }

    /// The container's file system, to be read or turned into a layer.
    pub fn snapshot(&self, id: &ContainerId) -> Result<Snapshot> {
        let container = self.get(id)?;
        self.snapshot_of(&container.record)
    }

    pub(crate) fn snapshot_of(&self, record: &Record) -> Result<Snapshot> {
        let home = self.home(&record.id);
        Ok(Snapshot::prepare(
            &self.store,
            home.path(),
            &layers(record)?,
        )?)
    }

    /// The volumes that no container has a mount of, sorted by name. The containers with the ids `without`
    /// do not count.
    pub fn unused_volumes(&self, without: &[String]) -> Result<Vec<Volume>> {
        let mut list = self.list()?;
        list.retain(|container| {
            let id = container.record.id.as_str();
            !without.iter().any(|other| other == id)
        });
        let mounts = list.iter().flat_map(|container| &container.record.mounts);
        volumes::unused(&self.volumes(), mounts)
    }

    /// Removes a volume that is among the [`unused_volumes`](Self::unused_volumes).
    pub fn remove_volume(&self, volume: &Volume) -> Result<()> {
        volumes::remove(&self.volumes(), &volume.name)
    }

    fn volumes(&self) -> PathBuf {
        self.store.root().join("volumes")
    }

    /// Removes what crashes left: folders without a record, names without a container. Cheap when there is
    /// nothing to do.
    pub fn reap(&self) -> Result<()> {
        remove::reap(self)
    }

    /// Takes the lock under which names are taken and given back.
    pub(crate) fn lock(&self) -> Result<lapstrake_sys::lock::Lock> {
        home::lock_names(&self.folder()).context(|| "locking the containers".to_owned())
    }
}

/// The record's layers as the snapshot wants them.
pub(crate) fn layers(record: &Record) -> Result<Vec<Layer>> {
    if record.layers.len() != record.layer_blobs.len() {
        let id = &record.id;
        return Err(Error::Invalid(format!(
            "the record of container {id} does not name its layers"
        )));
    }
    let pairs = record
        .layers
        .iter()
        .cloned()
        .zip(record.layer_blobs.iter().cloned());
    Ok(pairs
        .map(|(diff_id, blob)| Layer { diff_id, blob })
        .collect())
}

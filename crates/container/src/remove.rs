//! Removing containers, and what crashes left of them.
//!
//! A container goes in one rename of its folder into the store's trash; emptying that takes its time later.

use crate::clock;
use crate::containers::{Containers, RemoveOptions};
use crate::error::{Context, Error, Result};
use crate::home::{self, Home};
use crate::lifecycle;
use crate::lower;
use crate::record::{ContainerId, Record, Status};
use crate::volumes;
use lapstrake_sys::dir::Dir;
use lapstrake_sys::lock::Lock;
use rustix::fs::CWD;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long somebody else's work on the container (a start, a creation) is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) fn remove(
    containers: &Containers,
    id: &ContainerId,
    options: RemoveOptions,
) -> Result<()> {
    let container = containers.get(id)?;
    if container.state.status.is_alive() {
        if !options.force {
            return Err(match container.state.status {
                Status::Paused => Error::RemovePaused(id.to_string()),
                _ => Error::RemoveRunning(id.to_string()),
            });
        }
        lifecycle::kill_and_wait(containers, id)?;
    }
    let record = container.record;
    let home = containers.home(id);
    let lock = match wait_for_lock(&home, id) {
        Ok(lock) => lock,
        // Its monitor, or somebody else, has removed it meanwhile.
        Err(_) if !home.path().exists() => return gone(&record),
        Err(error) => return Err(error),
    };
    // The lock of a folder that is in the trash already says nothing.
    if !lock.is_at(CWD, home.lock_path()).unwrap_or(true) {
        return gone(&record);
    }
    if home.ended_state()?.is_some() {
        drop_groups(&record);
    }
    let trash = discard(containers.store().root(), &record, options.volumes)?;
    if !record.host_config.auto_remove {
        sync(&containers.folder())?;
    }
    drop(lock);
    empty(&trash);
    Ok(())
}

/// Somebody else was faster: that a container vanishes at its end is no failure to remove it.
fn gone(record: &Record) -> Result<()> {
    if record.host_config.auto_remove {
        return Ok(());
    }
    Err(Error::NotFound(record.id.to_string()))
}

fn wait_for_lock(home: &Home, id: &ContainerId) -> Result<Lock> {
    let deadline = clock::monotonic().saturating_add(LOCK_PATIENCE);
    loop {
        if let Some(lock) = home.try_lock()? {
            return Ok(lock);
        }
        if clock::monotonic() >= deadline {
            return Err(Error::RemoveRunning(id.to_string()));
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
}

fn sync(folder: &Path) -> Result<()> {
    Dir::open(folder)
        .and_then(|dir| dir.sync())
        .context(|| format!("writing {}", folder.display()))
}

/// Gives the name back and moves the folder into the trash; the lock of the container is held. The result
/// is where the rest of it is.
pub(crate) fn discard(root: &Path, record: &Record, anonymous_volumes: bool) -> Result<PathBuf> {
    let folder = root.join("containers");
    let lock = home::lock_names(&folder).context(|| "locking the containers".to_owned())?;
    home::release_name(&folder, &record.name, &record.id)?;
    let trash = move_to_trash(root, &record.id)?;
    drop(lock);
    if anonymous_volumes {
        volumes::remove_anonymous(&record.mounts)?;
    }
    Ok(trash)
}

fn move_to_trash(root: &Path, id: &ContainerId) -> Result<PathBuf> {
    let from = root.join("containers").join(id.as_str());
    let trash = root.join("trash");
    let to = trash.join(format!("container-{id}"));
    let moved = std::fs::rename(&from, &to).or_else(|error| match error.kind() {
        ErrorKind::NotFound if !trash.exists() => {
            std::fs::create_dir_all(&trash).and_then(|()| std::fs::rename(&from, &to))
        }
        _ => Err(error),
    });
    moved.context(|| format!("removing {}", from.display()))?;
    Ok(to)
}

/// Removes a tree in the trash. What cannot be removed now is left to the next one who empties the trash.
pub(crate) fn empty(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    Dir::open(parent).and_then(|dir| dir.remove_tree(name)).ok();
}

/// Removes folders without a record and names without a container, mends the states of containers whose
/// monitor was killed, and removes those of them that were to vanish at their end.
pub(crate) fn reap(containers: &Containers) -> Result<()> {
    let folder = containers.folder();
    if !folder.exists() {
        return Ok(());
    }
    for trash in sweep(containers, &folder)? {
        empty(&trash);
    }
    for id in home::ids(&folder)? {
        let home = containers.home(&id);
        if let (Some(lock), Some(record)) = (home.try_lock()?, home.record()?) {
            mend(containers, &home, &record)?;
            drop(lock);
        }
    }
    Ok(())
}

/// Moves folders without a record into the trash and frees names without a container. Creation takes name
/// and lock of a container under the same lock of names, so nothing that is being made is swept.
fn sweep(containers: &Containers, folder: &Path) -> Result<Vec<PathBuf>> {
    let names = containers.lock()?;
    let mut trash = Vec::new();
    for id in home::ids(folder)? {
        let home = containers.home(&id);
        // Looked at again under the lock: it may have been finished between the two looks.
        if home.record()?.is_none()
            && let Some(lock) = home.try_lock()?
            && home.record()?.is_none()
        {
            trash.push(move_to_trash(containers.store().root(), &id)?);
            drop(lock);
        }
    }
    for (name, owner) in home::names(folder)? {
        if !folder.join(owner.as_str()).exists() {
            home::release_name(folder, &name, &owner)?;
        }
    }
    drop(names);
    Ok(trash)
}

/// Control groups are all that a killed monitor leaves; those that cannot be removed harm nobody.
fn drop_groups(record: &Record) {
    lapstrake_runtime::cleanup(record.id.as_str(), lower::cgroups_path(record).as_deref()).ok();
}

/// The container's lock is held, so a state that says it lives is wrong.
fn mend(containers: &Containers, home: &Home, record: &Record) -> Result<()> {
    let state = home.ended_state()?;
    let Some(state) = state else {
        return Ok(());
    };
    drop_groups(record);
    if record.host_config.auto_remove {
        empty(&discard(containers.store().root(), record, true)?);
        return Ok(());
    }
    home.write_state(&state, true)
}

//! A container's folder: its record, its state, its lock. And the folder of all containers: names.

use crate::clock;
use crate::error::{Context, Error, Result};
use crate::record::{ContainerId, Record, State, Status};
use lapstrake_sys::lock::{Lock, is_locked, open_lock_file};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

const RECORD: &str = "config.json";
const STATE: &str = "state.json";
const MONITOR_LOCK: &str = "monitor.lock";
const NAMES: &str = ".names";
const NAMES_LOCK: &str = ".lock";

/// The longest record that is read.
const RECORD_LIMIT: u64 = 16 << 20;

/// The status of a container whose monitor was killed, and the container with it.
const KILLED: i32 = 137;

/// A container's folder.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    path: PathBuf,
}

impl Home {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The record; `None` when there is none, or not a whole one.
    pub(crate) fn record(&self) -> Result<Option<Record>> {
        let path = self.file(RECORD);
        let Some(bytes) = read_limited(&path)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            // Being written, or cut off by a crash (which may leave a hole of zero bytes).
            Err(error) if error.is_eof() || bytes.first() == Some(&0) => Ok(None),
            Err(source) => Err(Error::Damaged {
                path: path.display().to_string(),
                source,
            }),
        }
    }

    /// Writes the record of a new container in place: it counts when it is whole.
    pub(crate) fn write_new_record(&self, record: &Record, durable: bool) -> Result<()> {
        let path = self.file(RECORD);
        let context = || format!("writing {}", path.display());
        let mut file = File::create_new(&path).context(context)?;
        file.write_all(&to_json(record)).context(context)?;
        if durable {
            file.sync_all().context(context)?;
        }
        Ok(())
    }

    /// Replaces the record.
    pub(crate) fn replace_record(&self, record: &Record) -> Result<()> {
        self.replace(RECORD, &to_json(record), true)
    }

    /// The state as it is, a dead monitor taken into account.
    pub(crate) fn state(&self) -> Result<State> {
        let state = self.written_state()?;
        if !state.status.is_alive() || self.is_monitored()? {
            return Ok(state);
        }
        // The monitor may have recorded the end between the two looks.
        let state = self.written_state()?;
        if !state.status.is_alive() {
            return Ok(state);
        }
        Ok(self.killed(state))
    }

    /// For the holder of the lock: the state of a container whose monitor was killed while it lived; `None`
    /// when there is nothing to mend.
    pub(crate) fn ended_state(&self) -> Result<Option<State>> {
        let state = self.written_state()?;
        Ok(state.status.is_alive().then(|| self.killed(state)))
    }

    /// Nobody saw the end. The last thing written about the container is the best guess at when it was, but
    /// for file systems whose clock lags behind.
    fn killed(&self, state: State) -> State {
        let finished = std::fs::metadata(self.file(STATE)).and_then(|meta| meta.modified());
        let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
        let finished_at = finished
            .ok()
            .and_then(clock::format)
            .filter(|finished| moment(finished) >= moment(&state.started_at))
            .unwrap_or_else(|| state.started_at.clone());
        State {
            status: Status::Exited,
            pid: 0,
            network: None,
            exit_code: KILLED,
            finished_at,
            ..state
        }
    }

    fn written_state(&self) -> Result<State> {
        let Some(bytes) = read_limited(&self.file(STATE))? else {
            return Ok(State::default());
        };
        // A state that a power loss tore belongs to a container that ran.
        Ok(
            serde_json::from_slice(&bytes).unwrap_or_else(|_torn| State {
                status: Status::Running,
                ..State::default()
            }),
        )
    }

    /// Replaces the state.
    pub(crate) fn write_state(&self, state: &State, durable: bool) -> Result<()> {
        self.replace(STATE, &to_json(state), durable)
    }

    /// Temporary file, rename, then one sync: what counts is whole before it is durable.
    fn replace(&self, name: &str, bytes: &[u8], durable: bool) -> Result<()> {
        let path = self.file(name);
        let context = || format!("writing {}", path.display());
        let temporary = self.file(&format!(".{name}.tmp"));
        let mut file = File::create(&temporary).context(context)?;
        file.write_all(bytes).context(context)?;
        if name == RECORD {
            // A state may be lost to a power loss; without its record the container would be garbage.
            file.sync_all().context(context)?;
        }
        std::fs::rename(&temporary, &path).context(context)?;
        if durable {
            file.sync_all().context(context)?;
        }
        Ok(())
    }

    /// Whether a monitor (or the creator) lives.
    pub(crate) fn is_monitored(&self) -> Result<bool> {
        let path = self.file(MONITOR_LOCK);
        match File::open(&path) {
            Ok(file) => is_locked(&file).context(|| format!("locking {}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context(|| format!("opening {}", path.display())),
        }
    }

    /// Where the monitor's lock lies.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.file(MONITOR_LOCK)
    }

    /// Takes the monitor's lock; `None` when somebody has it. The folder must exist.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>> {
        let path = self.file(MONITOR_LOCK);
        let context = || format!("locking {}", path.display());
        let file = open_lock_file(CWD, path.as_path()).context(context)?;
        Ok(Lock::try_exclusive(file).context(context)?.ok())
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Records have string keys only: nothing in them can fail to be written.
    serde_json::to_vec(value).unwrap_or_default()
}

fn read_limited(path: &Path) -> Result<Option<Vec<u8>>> {
    let context = || format!("reading {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.context(context)?,
    };
    let mut bytes = Vec::with_capacity(8 << 10);
    file.take(RECORD_LIMIT)
        .read_to_end(&mut bytes)
        .context(context)?;
    Ok(Some(bytes))
}

/// The ids that have a folder.
pub(crate) fn ids(folder: &Path) -> Result<Vec<ContainerId>> {
    let context = || format!("reading {}", folder.display());
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(context)?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.context(context)?.file_name();
        ids.extend(name.to_str().and_then(ContainerId::parse));
    }
    Ok(ids)
}

/// Which container was meant: whole id, then name, then the beginning of an id, as docker looks them up.
pub(crate) fn resolve(folder: &Path, typed: &str) -> Result<ContainerId> {
    if let Some(id) = ContainerId::parse(typed)
        && folder.join(id.as_str()).is_dir()
    {
        return Ok(id);
    }
    let name = typed.strip_prefix('/').unwrap_or(typed);
    if let Some(id) = owner_of(folder, name)? {
        return Ok(id);
    }
    let mut found = None;
    if !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        for id in ids(folder)? {
            if !id.as_str().starts_with(typed) {
                continue;
            }
            if found.is_some() {
                return Err(Error::Ambiguous(typed.to_owned()));
            }
            found = Some(id);
        }
    }
    found.ok_or_else(|| Error::NotFound(typed.to_owned()))
}

/// Takes the lock under which names are taken and given back.
pub(crate) fn lock_names(folder: &Path) -> io::Result<Lock> {
    Lock::exclusive(open_lock_file(CWD, folder.join(NAMES_LOCK).as_path())?)
}

/// Makes the folders that creation needs.
pub(crate) fn make_folders(folder: &Path) -> Result<()> {
    let names = folder.join(NAMES);
    if names.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(&names).context(|| format!("making {}", names.display()))
}

/// Who has a name.
pub(crate) fn owner_of(folder: &Path, name: &str) -> Result<Option<ContainerId>> {
    if !crate::names::is_valid(name) {
        return Ok(None);
    }
    let link = folder.join(NAMES).join(name);
    match std::fs::read_link(&link) {
        Ok(target) => Ok(target.to_str().and_then(ContainerId::parse)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("reading {}", link.display())),
    }
}

/// Takes a name, under the lock of names. A name whose container is not there, nor being made, is free.
pub(crate) fn take_name(folder: &Path, name: &str, id: &ContainerId) -> Result<()> {
    let link = folder.join(NAMES).join(name);
    let context = || format!("taking the name {name}");
    match std::os::unix::fs::symlink(id.as_str(), &link) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        other => return other.context(context),
    }
    if let Some(owner) = owner_of(folder, name)? {
        let home = Home::new(folder.join(owner.as_str()));
        if home.record()?.is_some_and(|record| record.name == name) || home.is_monitored()? {
            return Err(Error::NameInUse {
                name: name.to_owned(),
                id: owner.to_string(),
            });
        }
    }
    std::fs::remove_file(&link).context(context)?;
    std::os::unix::fs::symlink(id.as_str(), &link).context(context)
}

/// Gives a name back if this container has it, under the lock of names.
pub(crate) fn release_name(folder: &Path, name: &str, id: &ContainerId) -> Result<()> {
    if owner_of(folder, name)?.as_ref() != Some(id) {
        return Ok(());
    }
    match std::fs::remove_file(folder.join(NAMES).join(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.context(|| format!("giving back the name {name}")),
    }
}

/// Every name and who has it.
pub(crate) fn names(folder: &Path) -> Result<Vec<(String, ContainerId)>> {
    let path = folder.join(NAMES);
    let context = || format!("reading {}", path.display());
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(context)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let Ok(name) = entry.context(context)?.file_name().into_string() else {
            continue;
        };
        if let Some(owner) = owner_of(folder, &name)? {
            names.push((name, owner));
        }
    }
    Ok(names)
}

/// A folder as an open handle, for sockets whose path would be too long.
pub(crate) fn open_folder(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;

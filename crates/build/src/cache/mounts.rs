//! Directories of `RUN --mount=type=cache`, which stay between builds.
//!
//! ```text
//! <root>/build/mounts/<hash of the id>[.<n>]/id      the id
//!                                           /lock    flocked while a step uses it; its time is the last use
//!                                           /data/   what the step sees
//! ```
//!
//! Sharing is the lock: `shared` takes it shared, `locked` waits for it alone, and `private` takes the first
//! of the directories of an id (`.1`, `.2`, … beside the plain one) that it gets alone. A directory is
//! made under another name and renamed when it has its first content, and renamed before any of it is removed,
//! so a name is always whole. One without `data` is garbage all the same.

use super::{Cache, CacheError, Key, make_folder, touch, write};
use crate::cancel::CancelToken;
use crate::graph::Sharing;
use crate::source::Time;
use lapstrake_sys::dir::Dir;
use lapstrake_sys::lock::{self, Lock};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait between two looks at a lock that somebody else has.
const PATIENCE: Duration = Duration::from_millis(20);
/// How many directories one id may have.
const PRIVATE_LIMIT: u32 = 1000;
/// The file that is locked.
const LOCK: &str = "lock";
/// What a step sees.
const DATA: &str = "data";

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) id: &'a str,
    pub(crate) sharing: Sharing,
    pub(crate) now: Time,
    pub(crate) cancel: &'a CancelToken,
}

/// A directory in use.
#[derive(Debug)]
pub(crate) struct CacheMount {
    /// What the step sees.
    pub(crate) path: PathBuf,
    _lock: Lock,
}

/// Takes the directory of an id; a new one gets its content, owner and mode from `fill`, which is given an empty directory.
/// None when the build was cancelled meanwhile.
pub(crate) fn claim<E: From<CacheError>>(
    cache: &Cache,
    wanted: &Wanted<'_>,
    fill: &mut dyn FnMut(&Path) -> Result<(), E>,
) -> Result<Option<CacheMount>, E> {
    let folder = cache.folder().join("mounts");
    let hash = Key::of(wanted.id.as_bytes()).to_string();
    let mut number = 0;
    while !wanted.cancel.is_cancelled() {
        let name = match number {
            0 => hash.clone(),
            n => format!("{hash}.{n}"),
        };
        let home = folder.join(&name);
        if !home.exists() {
            make(&folder, &name, wanted.id, fill)?;
        }
        match take(&home, wanted.sharing)? {
            Taken::Whole(lock) => {
                touch(&home.join(LOCK), wanted.now).ok();
                let path = home.join(DATA);
                return Ok(Some(CacheMount { path, _lock: lock }));
            }
            // It was removed meanwhile, or it was garbage and is removed now.
            Taken::Gone => continue,
            Taken::Broken(lock) => {
                drop(lock);
                if remove(&home)? {
                    continue;
                }
            }
            Taken::Busy => {}
        }
        if wanted.sharing == Sharing::Private && number < PRIVATE_LIMIT {
            number += 1;
        } else {
            std::thread::sleep(PATIENCE);
        }
    }
    Ok(None)
}

/// What a directory turned out to be.
enum Taken {
    /// It is there, and locked.
    Whole(Lock),
    /// It is locked, and has no content: somebody died who was removing it.
    Broken(Lock),
    /// Somebody else has it.
    Busy,
    /// It was removed meanwhile.
    Gone,
}

fn take(home: &Path, sharing: Sharing) -> Result<Taken, CacheError> {
    let failed = || CacheError::at("lock", home);
    let dir = match Dir::open(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::Gone),
        other => other.map_err(failed())?,
    };
    let file = lock::open_lock_file(&dir, LOCK).map_err(failed())?;
    let opened = file.metadata().map_err(failed())?;
    let taken = match sharing {
        Sharing::Shared => Lock::try_shared(file),
        Sharing::Private | Sharing::Locked => Lock::try_exclusive(file),
    };
    let Ok(lock) = taken.map_err(failed())? else {
        return Ok(Taken::Busy);
    };
    // Whoever prunes renames the directory while it has the lock, and another one may have its name by now.
    let named = fs::metadata(home.join(LOCK));
    let is_same =
        named.is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino()));
    Ok(match (is_same, is_whole(home)) {
        (false, _) => Taken::Gone,
        (true, true) => Taken::Whole(lock),
        (true, false) => Taken::Broken(lock),
    })
}

/// Whether a directory of cache mounts has what a step sees.
pub(super) fn is_whole(home: &Path) -> bool {
    home.join(DATA).exists()
}

/// A name beside a directory that this thread alone uses.
fn aside(folder: &Path, name: &str) -> PathBuf {
    let process = rustix::process::getpid().as_raw_nonzero();
    let thread = rustix::thread::gettid().as_raw_nonzero();
    let path = folder.join(format!(".{name}.{process}-{thread}.tmp"));
    // A process of these numbers may have died here.
    discard(&path);
    path
}

fn make<E: From<CacheError>>(
    folder: &Path,
    name: &str,
    id: &str,
    fill: &mut dyn FnMut(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let staged = aside(folder, name);
    let data = staged.join(DATA);
    make_folder(&data)?;
    let filled = fill(&data);
    let done = filled.and_then(|()| {
        write(&staged.join("id"), id.as_bytes())?;
        match fs::rename(&staged, folder.join(name)) {
            // Somebody else was faster.
            Err(_) if folder.join(name).exists() => Ok(()),
            other => Ok(other.map_err(CacheError::at("rename", &staged))?),
        }
    });
    discard(&staged);
    done
}

/// Removes a tree as far as that is possible; the rest is garbage that the next pruning takes.
pub(super) fn discard(path: &Path) {
    fs::remove_dir_all(path).ok();
}

/// Removes a directory that nobody uses. False when somebody does. It loses its name in one step, so whoever dies here
/// leaves all of it or a temporary name.
pub(super) fn remove(home: &Path) -> Result<bool, CacheError> {
    let _lock = match take(home, Sharing::Locked)? {
        Taken::Whole(lock) | Taken::Broken(lock) => lock,
        Taken::Busy => return Ok(false),
        Taken::Gone => return Ok(true),
    };
    let name = home.file_name().unwrap_or_default().to_string_lossy();
    let away = aside(home.parent().unwrap_or(home), &name);
    fs::rename(home, &away).map_err(CacheError::at("rename", home))?;
    discard(&away);
    Ok(true)
}

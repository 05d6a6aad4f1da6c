//! Digests of files that have not changed since they were last read.
//!
//! One file for each context directory: entries sorted by path, behind them a hash of them. An entry holds as long as device,
//! inode, size, time of modification and time of change are the same. A file that was changed only just before it was read may change
//! again within the same tick of the file system's clock, so such a file is not remembered.

use super::{Cache, CacheError, Key, read, write};
use crate::source::{FileIdentity, Metadata, Time};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The first bytes of the file.
const MAGIC: &[u8; 8] = b"lapdig02";

/// Changes less than this before the build's beginning are too young to be remembered. Clocks of file
/// systems tick at least every ten milliseconds.
const YOUNG_NANOSECONDS: i128 = 50_000_000;

/// Bytes of an entry beside its path.
const FIXED: usize = 4 + 8 * 7 + 32;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    identity: FileIdentity,
    size: u64,
    modified: Time,
    digest: Key,
}

/// The digests of one directory.
#[derive(Debug)]
pub(crate) struct Digests {
    path: PathBuf,
    now: Time,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    known: BTreeMap<Vec<u8>, Known>,
    changed: bool,
}

impl Digests {
    pub(crate) fn load(cache: &Cache, name: &str, now: Time) -> Self {
        let path = cache
            .folder()
            .join("digests")
            .join(Key::of(name.as_bytes()).to_string());
        let known = read(&path).and_then(|raw| parse(&raw)).unwrap_or_default();
        Self {
            path,
            now,
            state: Mutex::new(State {
                known,
                changed: false,
            }),
        }
    }

    /// The digest of a file whose metadata is this.
    pub(crate) fn get(&self, path: &[u8], metadata: &Metadata) -> Option<Key> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.known.get(path)?;
        let same = metadata.identity == Some(known.identity)
            && metadata.size == known.size
            && metadata.modified == known.modified;
        same.then_some(known.digest)
    }

    /// Remembers a digest. `metadata` was read before the content was.
    pub(crate) fn put(&self, path: &[u8], metadata: &Metadata, digest: Key) {
        let Some(identity) = metadata.identity else {
            return;
        };
        if nanoseconds(self.now) - nanoseconds(identity.changed) < YOUNG_NANOSECONDS {
            return;
        }
        let known = Known {
            identity,
            size: metadata.size,
            modified: metadata.modified,
            digest,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.changed = true;
        state.known.insert(path.to_vec(), known);
    }

    /// Writes what was learnt. Entries that nobody asked for stay: another step or target may.
    pub(crate) fn save(&self) -> Result<(), CacheError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.changed {
            return Ok(());
        }
        write(&self.path, &print(&state.known))
    }
}

fn nanoseconds(time: Time) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)
}

fn print(known: &BTreeMap<Vec<u8>, Known>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for (path, entry) in known {
        let length = u32::try_from(path.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        for number in [
            entry.identity.device,
            entry.identity.inode,
            entry.identity.changed.seconds.cast_unsigned(),
            entry.identity.changed.nanoseconds.into(),
            entry.size,
            entry.modified.seconds.cast_unsigned(),
            entry.modified.nanoseconds.into(),
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(entry.digest.as_bytes());
        out.extend_from_slice(path);
    }
    let sum = Key::of(&out);
    out.extend_from_slice(sum.as_bytes());
    out
}

fn parse(raw: &[u8]) -> Option<BTreeMap<Vec<u8>, Known>> {
    let (body, sum) = raw.split_at_checked(raw.len().checked_sub(32)?)?;
    if Key::of(body).as_bytes() != sum {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let mut known = BTreeMap::new();
    while !rest.is_empty() {
        let (fixed, after) = rest.split_at_checked(FIXED)?;
        let length = u32::from_le_bytes(fixed.get(..4)?.try_into().ok()?);
        let number = |index: usize| -> Option<u64> {
            let start = 4 + 8 * index;
            Some(u64::from_le_bytes(
                fixed.get(start..start + 8)?.try_into().ok()?,
            ))
        };
        let time = |index| -> Option<Time> {
            Some(Time {
                seconds: number(index)?.cast_signed(),
                nanoseconds: u32::try_from(number(index + 1)?).ok()?,
            })
        };
        let (path, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        let entry = Known {
            identity: FileIdentity {
                device: number(0)?,
                inode: number(1)?,
                changed: time(2)?,
            },
            size: number(4)?,
            modified: time(5)?,
            digest: Key::from_bytes(fixed.get(FIXED - 32..)?.try_into().ok()?),
        };
        known.insert(path.to_vec(), entry);
        rest = after;
    }
    Some(known)
}

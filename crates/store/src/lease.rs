//! Leases: what a living process is about to refer to is not garbage.

use crate::disk::{random, text};
use crate::layout::LEASES;
use crate::{Error, Store};
use lapstrake_spec::Digest;
use lapstrake_sys::lock::Lock;
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// The largest lease that is read.
const LEASE_LIMIT: u64 = 16 << 20;

/// Keeps blobs and trees from being collected until it is dropped, whether they exist yet or not.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    name: String,
    lock: Lock,
    digests: BTreeSet<Digest>,
}

impl Store {
    /// A lease on nothing yet.
    pub fn lease(&self) -> Result<Lease, Error> {
        Ok(self.new_lease())
    }

    /// A lease touches the disk when it first protects something.
    pub(crate) fn new_lease(&self) -> Lease {
        Lease {
            store: self.clone(),
            held: Mutex::new(None),
        }
    }

    /// What living leases name. Those of the dead are removed. To be called under the exclusive lock.
    pub(crate) fn leased(&self) -> Result<BTreeSet<Digest>, Error> {
        let mut digests = BTreeSet::new();
        for entry in self.disk().entries(LEASES)? {
            let path = format!("{LEASES}/{}", text(&entry.name));
            let file = match self.disk().open_file(&path) {
                Err(error) if error.is_not_found() => continue,
                other => other?,
            };
            if Lock::try_exclusive(file)
                .map_err(self.disk().failed("lock", &path))?
                .is_ok()
            {
                self.disk().remove_file(&path)?;
                continue;
            }
            let raw = match self.disk().read(&path, LEASE_LIMIT) {
                Err(error) if error.is_not_found() => continue,
                other => other?,
            };
            let lines = String::from_utf8_lossy(&raw);
            digests.extend(lines.lines().filter_map(|line| Digest::parse(line).ok()));
        }
        Ok(digests)
    }
}

impl Lease {
    /// Adds blobs and diff ids. When this returns, what exists of them stays.
    pub fn protect(&self, digests: &[Digest]) -> Result<(), Error> {
        let mut guard = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = guard.as_ref().map(|held| &held.digests);
        let mut lines = String::new();
        for digest in digests {
            if !known.is_some_and(|known| known.contains(digest)) {
                lines.push_str(digest.as_str());
                lines.push('\n');
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let disk = self.store.disk();
        // A collection sees either this lease or, later, what it names.
        let shared = self.store.lock_shared()?;
        let held = match guard.as_mut() {
            Some(held) => held,
            None => guard.insert(self.create()?),
        };
        disk.step("write", &held.name)?;
        (&mut held.lock.file())
            .write_all(lines.as_bytes())
            .map_err(disk.failed("write", &held.name))?;
        held.digests.extend(digests.iter().cloned());
        drop(shared);
        Ok(())
    }

    fn create(&self) -> Result<Held, Error> {
        let disk = self.store.disk();
        let name = format!("{LEASES}/{}", random()?);
        let lock = Lock::exclusive(disk.create_file(&name)?).map_err(disk.failed("lock", &name))?;
        Ok(Held {
            name,
            lock,
            digests: BTreeSet::new(),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.take() {
            // Without a lock it is garbage, which the next collection takes.
            self.store.disk().remove_file(&held.name).ok();
        }
    }
}

//! A folder for what a build brings in and does not keep.
//!
//! It lies in the store's `ingest/` and is locked as long as its value lives; what is not locked there
//! has no owner and is thrown away by the next sweep, so a crash leaves nothing for long.

use lapstrake_store::Store;
use lapstrake_sys::dir::Dir;
use lapstrake_sys::lock::Lock;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// How often a folder is made anew that was swept away between its making and its locking.
const ATTEMPTS: usize = 16;

/// A folder that is removed when its value is dropped.
#[derive(Debug)]
pub struct Scratch {
    parent: Dir,
    name: String,
    path: PathBuf,
    /// Keeps the sweep away.
    _lock: Lock,
}

impl Scratch {
    /// A new, empty folder in the store.
    pub fn create(store: &Store) -> io::Result<Self> {
        let ingest = store.root().join("ingest");
        let parent = Dir::open(&ingest)?;
        for _ in 0..ATTEMPTS {
            let name = format!("context-{}", random()?);
            parent.create_dir(&name, 0o700)?;
            let dir = match parent.child(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => File::from(OwnedFd::from(other?)),
            };
            let lock = Lock::exclusive(dir)?;
            if lock.is_at(&parent, &name)? {
                let path = ingest.join(&name);
                return Ok(Self {
                    parent,
                    name,
                    path,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::other("new folders vanish"))
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is garbage without an owner, which the next sweep takes.
        self.parent.remove_tree(&self.name).ok();
    }
}

fn random() -> io::Result<String> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

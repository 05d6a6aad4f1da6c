//! One writable layer on a chain of read-only ones.

use crate::error::Error;
use crate::{base, view::View};
use lapstrake_layer::{DiffOptions, DiffStats};
use lapstrake_spec::{Descriptor, Digest};
use lapstrake_store::{LayerMount, Store};
use rustix::fs::{FileType, Mode, OFlags};
use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The most layers an image may have to be run.
pub const MAX_LOWERS: usize = 127;

/// Directories nested deeper than this in a writable layer are not counted by [`writable_size`].
const SIZE_DEPTH: u32 = 512;

/// One layer of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The blob that its tree can be made from.
    pub blob: Descriptor,
}

/// An overlay to be mounted. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlaySpec {
    /// Read-only trees, the top one first.
    pub lowers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// Overlay's scratch directory.
    pub work: PathBuf,
    /// Whether changes need not survive a power loss.
    pub volatile: bool,
}

/// One writable layer on a chain of read-only ones.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Top first; the base tree is the last one.
    lowers: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
}

impl Snapshot {
    /// The snapshot with its writable layer in `dir` (made when missing) on `layers`, bottom first. Trees
    /// that the store has lost are made again from their blobs.
    pub fn prepare(store: &Store, dir: &Path, layers: &[Layer]) -> Result<Self, Error> {
        if layers.len() > MAX_LOWERS {
            return Err(Error::TooDeep);
        }
        for layer in layers {
            store.ensure_layer(&layer.diff_id, &layer.blob)?;
        }
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let mut lowers = Vec::with_capacity(layers.len().saturating_add(1));
        for (mount, diff_id) in store.lowers(&diff_ids)?.into_iter().zip(&diff_ids) {
            lowers.push(tree(mount, diff_id)?);
        }
        lowers.reverse();
        lowers.push(base::ensure(store.root())?);
        let (upper, work) = (dir.join("upper"), dir.join("work"));
        make_dir(&upper, 0o755)?;
        make_dir(&work, 0o700)?;
        Ok(Self {
            lowers,
            upper,
            work,
        })
    }

    /// A snapshot whose trees were found before by [`Self::prepare`]: `lowers` as [`Self::overlay`] told them.
    pub fn prepared(dir: &Path, lowers: Vec<PathBuf>) -> Self {
        Self {
            lowers,
            upper: dir.join("upper"),
            work: dir.join("work"),
        }
    }

    /// What to mount.
    pub fn overlay(&self) -> OverlaySpec {
        OverlaySpec {
            lowers: self.lowers.clone(),
            upper: self.upper.clone(),
            work: self.work.clone(),
            volatile: false,
        }
    }

    /// The merged tree, to be read without a mount.
    pub fn view(&self) -> Result<View, Error> {
        View::open(std::iter::once(&self.upper).chain(&self.lowers))
    }

    /// The writable layer's directory.
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    /// Writes the writable layer as a layer's tar.
    pub fn diff_tar(&self, out: impl Write) -> Result<DiffStats, Error> {
        let upper = open_dir(&self.upper)?;
        Ok(lapstrake_layer::diff(
            upper.as_fd(),
            out,
            &DiffOptions::default(),
        )?)
    }

    /// Bytes in the files of the writable layer.
    pub fn size(&self) -> Result<u64, Error> {
        size_of(&self.upper)
    }
}

/// Bytes in the files of the writable layer in `dir`, as docker counts them: directories are nothing, a
/// file with several names counts once.
pub fn writable_size(dir: &Path) -> Result<u64, Error> {
    size_of(&dir.join("upper"))
}

fn tree(mount: LayerMount, diff_id: &Digest) -> Result<PathBuf, Error> {
    match mount {
        LayerMount::Tree(path) => Ok(path),
        _ => Err(Error::Unmountable(diff_id.to_string())),
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
        Ok(()) => {
            // The process's umask must not show in the root directory of a container.
            rustix::fs::chmod(path, Mode::from_raw_mode(mode))
        }
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(Error::io(format!("making {}", path.display())))
}

pub(crate) fn open_dir(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(Error::io(format!("opening {}", path.display())))
}

fn size_of(upper: &Path) -> Result<u64, Error> {
    let dir = match rustix::fs::open(
        upper,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(dir) => dir,
        // Never prepared: nothing written.
        Err(rustix::io::Errno::NOENT) => return Ok(0),
        Err(error) => return Err(Error::io(format!("opening {}", upper.display()))(error)),
    };
    let mut seen = BTreeSet::new();
    add_sizes(dir.as_fd(), 0, &mut seen)
        .map_err(Error::io(format!("measuring {}", upper.display())))
}

/// The container may be writing meanwhile: what disappears counts nothing.
fn add_sizes(dir: BorrowedFd<'_>, depth: u32, seen: &mut BTreeSet<u64>) -> rustix::io::Result<u64> {
    let mut total = 0_u64;
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let stat = match rustix::fs::statat(dir, name, flags) {
            Err(rustix::io::Errno::NOENT) => continue,
            other => other?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            if stat.st_nlink <= 1 || seen.insert(stat.st_ino) {
                total = total.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
            }
            continue;
        }
        if depth >= SIZE_DEPTH {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(dir, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => {}
            child => total = total.saturating_add(add_sizes(child?.as_fd(), depth + 1, seen)?),
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests;

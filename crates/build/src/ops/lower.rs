//! The merged tree of what a step stands on or reads.

use super::path::{TreePath, bytes};
use crate::source::{Attributes, Metadata, SourceEntry, SourceError, SourceTree};
use lapstrake_snapshot::{Directory, Item, View};
use lapstrake_sys::xattr;
use rustix::fs::Stat;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Attributes that overlay keeps for itself, and the host's labels.
const NOT_CARRIED: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"security.selinux"];

/// A merged tree with a memory of where the last look was, because looks come sorted.
#[derive(Debug)]
pub(crate) struct Lower {
    root: Directory,
    /// Open directories, each below the one before it.
    stack: Vec<(Vec<u8>, Directory)>,
    /// A path that is not there, or is no directory.
    missing: Option<TreePath>,
}

impl Lower {
    pub(crate) fn new(view: &View) -> Self {
        Self {
            root: view.root(),
            stack: Vec::new(),
            missing: None,
        }
    }

    /// The directory at a path without links; none when there is none.
    pub(crate) fn directory(&mut self, path: &TreePath) -> io::Result<Option<Directory>> {
        if self
            .missing
            .as_ref()
            .is_some_and(|missing| path.starts_with(missing))
        {
            return Ok(None);
        }
        let common = path
            .components()
            .zip(&self.stack)
            .take_while(|(name, (open, _))| name == open)
            .count();
        self.stack.truncate(common);
        let mut here = TreePath::root();
        for (depth, name) in path.components().enumerate() {
            here.push(name);
            if depth < common {
                continue;
            }
            match self.top().look_up(name)? {
                Some(Item::Directory(directory, _)) => self.stack.push((name.to_vec(), directory)),
                _ => {
                    self.missing = Some(here);
                    return Ok(None);
                }
            }
        }
        Ok(Some(self.top().clone()))
    }

    fn top(&self) -> &Directory {
        self.stack.last().map_or(&self.root, |(_, dir)| dir)
    }

    /// What is at a path without links in its parents.
    pub(crate) fn item(&mut self, path: &TreePath) -> io::Result<Option<Item>> {
        let Some(parent) = path.parent() else {
            return match self.root.stat() {
                Ok(stat) => Ok(Some(Item::Directory(self.root.clone(), stat))),
                // A tree of no layers.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
        };
        match self.directory(&parent)? {
            Some(directory) => directory.look_up(path.name()),
            None => Ok(None),
        }
    }
}

/// Extended attributes that a layer carries.
pub(crate) fn attributes(item: &Item) -> io::Result<Attributes> {
    let mut carried = Vec::new();
    match item {
        Item::Directory(directory, _) => {
            let top = directory.top()?;
            for name in xattr::list(top)?
                .into_iter()
                .filter(|name| is_carried(name))
            {
                if let Some(value) = xattr::get(top, name.as_slice())? {
                    carried.push((name, value));
                }
            }
        }
        Item::Other(place) => {
            let (dir, file) = place.at()?;
            for name in xattr::list_at(dir, file)?
                .into_iter()
                .filter(|name| is_carried(name))
            {
                if let Some(value) = xattr::get_at(dir, file, name.as_slice())? {
                    carried.push((name, value));
                }
            }
        }
    }
    Ok(carried)
}

/// Whether an attribute of this name can be part of a layer.
pub(crate) fn is_carried(name: &[u8]) -> bool {
    !name.contains(&b'=') && !NOT_CARRIED.iter().any(|prefix| name.starts_with(prefix))
}

/// What a `stat` says, with the size as it is whatever the kind.
pub(crate) fn metadata(stat: &Stat) -> Metadata {
    Metadata {
        size: u64::try_from(stat.st_size).unwrap_or(0),
        ..Metadata::of(stat)
    }
}

pub(crate) fn stat_of(item: &Item) -> &Stat {
    match item {
        Item::Directory(_, stat) => stat,
        Item::Other(place) => &place.stat,
    }
}

/// The file system that another step made, as a source of `COPY`.
#[derive(Debug)]
pub(crate) struct LayersTree {
    name: String,
    lower: Mutex<Lower>,
}

impl LayersTree {
    pub(crate) fn new(name: String, view: &View) -> Self {
        Self {
            name,
            lower: Mutex::new(Lower::new(view)),
        }
    }

    fn item(&self, path: &Path) -> Result<Option<Item>, SourceError> {
        let mut lower = self.lower.lock().unwrap_or_else(PoisonError::into_inner);
        lower
            .item(&TreePath::parse(bytes(path)))
            .map_err(SourceError::io(format!(
                "reading /{} of {}",
                path.display(),
                self.name
            )))
    }

    fn there(&self, path: &Path) -> Result<Item, SourceError> {
        self.item(path)?
            .ok_or_else(|| SourceError::other(format!("\"/{}\" not found", path.display())))
    }

    fn failed(&self, path: &Path) -> impl FnOnce(io::Error) -> SourceError {
        SourceError::io(format!("reading /{} of {}", path.display(), self.name))
    }
}

impl SourceTree for LayersTree {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, SourceError> {
        Ok(self.item(path)?.map(|item| metadata(stat_of(&item))))
    }

    fn list(&self, directory: &Path) -> Result<Vec<SourceEntry>, SourceError> {
        let Some(Item::Directory(found, _)) = self.item(directory)? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        for name in found.names().map_err(self.failed(directory))? {
            let item = found.look_up(&name).map_err(self.failed(directory))?;
            if let Some(item) = item {
                entries.push(SourceEntry {
                    name: OsString::from_vec(name),
                    metadata: metadata(stat_of(&item)),
                });
            }
        }
        Ok(entries)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, SourceError> {
        match self.there(path)? {
            Item::Other(place) => {
                let target = place.read_link().map_err(self.failed(path))?;
                Ok(PathBuf::from(OsStr::from_bytes(&target)))
            }
            Item::Directory(..) => Err(SourceError::other("a directory is no link")),
        }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, SourceError> {
        match self.there(path)? {
            Item::Other(place) => Ok(Box::new(place.open().map_err(self.failed(path))?)),
            Item::Directory(..) => Err(SourceError::other("a directory is no file")),
        }
    }

    fn xattrs(&self, path: &Path) -> Result<Attributes, SourceError> {
        match self.item(path)? {
            Some(item) => attributes(&item).map_err(self.failed(path)),
            None => Ok(Attributes::new()),
        }
    }
}

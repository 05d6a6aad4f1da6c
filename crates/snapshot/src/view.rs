//! The merged tree of an overlay, read without mounting it.
//!
//! Paths come from images and are hostile: they are walked name by name, each symbolic link is resolved
//! within the merged tree, and no directory outside the layers is ever opened.

use crate::copy;
use crate::error::Error;
use crate::snapshot::open_dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

/// How many symbolic links one path may lead through.
const LINK_LIMIT: u32 = 40;
/// How many names one path may have, links included.
const NAME_LIMIT: usize = 4096;
/// The attribute of a directory that hides what is below it.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// The merged tree of an overlay.
#[derive(Debug)]
pub struct View {
    root: Arc<Merged>,
}

/// A directory of the merged tree: the layers' directories that show through, the top one first.
#[derive(Debug)]
pub(crate) struct Merged {
    parts: Vec<OwnedFd>,
}

/// A name in a merged directory.
pub(crate) enum Found {
    Directory(Merged, Stat),
    /// A file, link, device, …: which part of the directory has it.
    Other {
        part: usize,
        stat: Stat,
    },
}

impl View {
    /// The view of these trees, the top one first.
    pub(crate) fn open<'a>(trees: impl Iterator<Item = &'a PathBuf>) -> Result<Self, Error> {
        let parts = trees.map(|path| open_dir(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            root: Arc::new(Merged { parts }),
        })
    }

    pub(crate) fn merged(&self) -> Arc<Merged> {
        Arc::clone(&self.root)
    }

    /// The content of a regular file, links followed; `None` when there is no such file, or it is longer
    /// than `limit`.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let context = || Error::io::<Errno>(format!("reading {path} of the image"));
        let Some((dir, name)) = self.resolve(path).map_err(context())? else {
            return Ok(None);
        };
        let Some(name) = name else {
            return Ok(None);
        };
        let Some(file) = dir.open_file(&name).map_err(context())? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(Error::io(format!("reading {path} of the image")))?;
        Ok((u64::try_from(bytes.len()).is_ok_and(|length| length <= limit)).then_some(bytes))
    }

    /// Copies the content of a directory, with owners, modes, times and extended attributes, into the
    /// existing directory `target`, which gets the directory's own owner and mode. False when the path is
    /// not a directory.
    pub fn copy_dir(&self, path: &str, target: BorrowedFd<'_>) -> Result<bool, Error> {
        let context = || Error::io::<Errno>(format!("copying {path} of the image"));
        match self.resolve(path).map_err(context())? {
            Some((dir, None)) => {
                let Some(part) = dir.parts.first() else {
                    return Ok(false);
                };
                let stat = rustix::fs::fstat(part).map_err(context())?;
                copy::directory(&dir, &stat, target, 0).map_err(context())?;
                Ok(true)
            }
            Some((_, Some(_))) | None => Ok(false),
        }
    }

    /// Walks a path. The result is a directory, or a directory and the name of something else in it.
    fn resolve(&self, path: &str) -> rustix::io::Result<Option<(Arc<Merged>, Option<CString>)>> {
        let mut stack = vec![Arc::clone(&self.root)];
        let mut names = split(OsStr::new(path));
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            if name == ".." {
                if stack.len() > 1 {
                    stack.pop();
                }
                continue;
            }
            let Some(dir) = stack.last().map(Arc::clone) else {
                return Ok(None);
            };
            let Ok(name) = CString::new(name.into_vec()) else {
                return Ok(None);
            };
            match dir.look_up(&name)? {
                None => return Ok(None),
                Some(Found::Directory(child, _)) => stack.push(Arc::new(child)),
                Some(Found::Other { part, stat }) if is_link(&stat) => {
                    links += 1;
                    let target = dir.read_link(part, &name)?;
                    if links > LINK_LIMIT || names.len() > NAME_LIMIT {
                        return Err(Errno::LOOP);
                    }
                    if target.as_bytes().starts_with(b"/") {
                        stack.truncate(1);
                    }
                    for name in split(&target).into_iter().rev() {
                        names.push_front(name);
                    }
                }
                Some(Found::Other { .. }) if names.is_empty() => {
                    return Ok(Some((dir, Some(name))));
                }
                Some(Found::Other { .. }) => return Ok(None),
            }
        }
        Ok(stack.pop().map(|dir| (dir, None)))
    }
}

impl Merged {
    /// What a name in this directory is.
    pub(crate) fn look_up(&self, name: &CString) -> rustix::io::Result<Option<Found>> {
        let mut parts = Vec::new();
        let mut top = None;
        for (index, part) in self.parts.iter().enumerate() {
            let stat = match rustix::fs::statat(part, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                if parts.is_empty() && !is_whiteout(&stat) {
                    return Ok(Some(Found::Other { part: index, stat }));
                }
                break;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(part, name, flags, Mode::empty())?;
            let opaque = is_opaque(fd.as_fd());
            top.get_or_insert(stat);
            parts.push(fd);
            if opaque {
                break;
            }
        }
        Ok(top.map(|stat| Found::Directory(Self { parts }, stat)))
    }

    /// Every name that shows, sorted.
    pub(crate) fn names(&self) -> rustix::io::Result<BTreeSet<CString>> {
        let mut names = BTreeSet::new();
        for part in &self.parts {
            for entry in rustix::fs::Dir::read_from(part)? {
                let entry = entry?;
                if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    names.insert(entry.file_name().to_owned());
                }
            }
        }
        Ok(names)
    }

    /// The layer's directory that has a thing.
    pub(crate) fn part(&self, index: usize) -> rustix::io::Result<BorrowedFd<'_>> {
        self.parts.get(index).map(AsFd::as_fd).ok_or(Errno::NOENT)
    }

    /// The directory that decides on owner, mode and attributes.
    pub(crate) fn top(&self) -> rustix::io::Result<BorrowedFd<'_>> {
        self.part(0)
    }

    fn read_link(&self, part: usize, name: &CString) -> rustix::io::Result<OsString> {
        let target = rustix::fs::readlinkat(self.part(part)?, name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    fn open_file(&self, name: &CString) -> rustix::io::Result<Option<File>> {
        let Some(Found::Other { part, stat }) = self.look_up(name)? else {
            return Ok(None);
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Some(File::from(rustix::fs::openat(
            self.part(part)?,
            name,
            flags,
            Mode::empty(),
        )?)))
    }
}

fn split(path: &OsStr) -> VecDeque<OsString> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect()
}

fn is_link(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

/// A character device 0:0 says that the name is gone.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_opaque(dir: BorrowedFd<'_>) -> bool {
    OPAQUE.iter().any(|name| {
        let mut value = [0_u8; 1];
        matches!(rustix::fs::fgetxattr(dir, *name, &mut value[..]), Ok(1) if value == [b'y'])
    })
}

#[cfg(test)]
pub(crate) mod tests;

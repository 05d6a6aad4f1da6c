//! The directories on the way to the current name, each with the names in it that are still to come.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::vec::IntoIter;

use lapstrake_sys::dir::open_beneath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::error::{Error, Limited};
use crate::limits::Limits;

/// How many directories stay open.
const OPEN_FRAMES: usize = 64;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// A name in a directory, and what the directory says it is.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) bytes: Vec<u8>,
    pub(super) file_type: FileType,
}

#[derive(Debug)]
struct Frame {
    fd: Option<OwnedFd>,
    /// Length of the directory's path.
    end: usize,
    names: IntoIter<Name>,
}

#[derive(Debug)]
pub(super) struct Frames<'a> {
    root: BorrowedFd<'a>,
    limits: &'a Limits,
    path: Vec<u8>,
    /// From the root down.
    open: Vec<Frame>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, limits: &'a Limits) -> Result<Self, Error> {
        let mut frames = Self {
            root,
            limits,
            path: Vec::new(),
            open: Vec::new(),
        };
        let fd = open_beneath(root, ".", DIRECTORY, Mode::empty())
            .map_err(|error| Error::file("open", b".", error))?;
        frames.push(b"", fd)?;
        Ok(frames)
    }

    /// The next name of the current directory, which is left when there is none.
    pub(super) fn next(&mut self) -> Option<Name> {
        loop {
            let frame = self.open.last_mut()?;
            if let Some(name) = frame.names.next() {
                return Some(name);
            }
            self.open.pop();
            self.path
                .truncate(self.open.last().map_or(0, |frame| frame.end));
        }
    }

    /// The path of `name` of the current directory.
    pub(super) fn path_of(&self, name: &[u8]) -> Result<Vec<u8>, Error> {
        let path = match self.path.as_slice() {
            b"" => name.to_vec(),
            path => [path, name].join(&b'/'),
        };
        if path.len() > self.limits.path_bytes {
            return Err(Error::limit(Limited::PathBytes, self.limits.path_bytes));
        }
        Ok(path)
    }

    /// The current directory.
    pub(super) fn fd(&mut self) -> Result<BorrowedFd<'_>, Error> {
        if let Some(frame) = self.open.last_mut()
            && frame.fd.is_none()
        {
            let fd = open_beneath(self.root, self.path.as_slice(), DIRECTORY, Mode::empty())
                .map_err(|error| Error::file("open", &self.path, error))?;
            frame.fd = Some(fd);
        }
        let open = self.open.last().and_then(|frame| frame.fd.as_ref());
        Ok(open.map_or(self.root, AsFd::as_fd))
    }

    /// Makes the directory `name` of the current one, opened as `fd`, the current one.
    pub(super) fn push(&mut self, name: &[u8], fd: OwnedFd) -> Result<(), Error> {
        if self.open.len() > self.limits.depth {
            return Err(Error::limit(Limited::Depth, self.limits.depth));
        }
        self.path = self.path_of(name)?;
        let names = sorted_names(&fd).map_err(|errno| Error::file("readdir", &self.path, errno))?;
        let names = names.into_iter();
        self.open.push(Frame {
            fd: Some(fd),
            end: self.path.len(),
            names,
        });
        // The deep end is where the next names are; a directory above it is opened again when its turn comes.
        let far = self.open.len().checked_sub(OPEN_FRAMES.saturating_add(1));
        if let Some(frame) = far.and_then(|index| self.open.get_mut(index)) {
            frame.fd = None;
        }
        Ok(())
    }
}

fn sorted_names(fd: &OwnedFd) -> rustix::io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(fd)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        let file_type = match entry.file_type() {
            // Not every file system tells the type along with the name.
            FileType::Unknown => {
                let stat = rustix::fs::statat(fd, bytes, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        names.push(Name {
            bytes: bytes.to_vec(),
            file_type,
        });
    }
    names.sort_unstable_by(|a, b| a.bytes.cmp(&b.bytes));
    Ok(names)
}

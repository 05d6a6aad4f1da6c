//! The files of an archive, whether it is a folder or a tar.

use crate::tar::{Table, scan};
use crate::{ArchiveError, path};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files by path.
#[derive(Debug)]
pub(crate) enum Files {
    Folder {
        dir: OwnedFd,
        path: PathBuf,
    },
    Tar {
        file: Arc<File>,
        table: Table,
        name: String,
    },
}

/// One file: a part of an open one.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) file: Arc<File>,
    pub(crate) start: u64,
    pub(crate) size: u64,
}

impl Files {
    pub(crate) fn folder(path: &Path) -> Result<Self, ArchiveError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .map_err(ArchiveError::io(format!("open {}", path.display())))?;
        Ok(Self::Folder {
            dir,
            path: path.to_owned(),
        })
    }

    pub(crate) fn tar(file: File, name: String) -> Result<Self, ArchiveError> {
        let table = scan(&file)?;
        Ok(Self::Tar {
            file: Arc::new(file),
            table,
            name,
        })
    }

    /// What errors call the whole.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Folder { path, .. } => path.display().to_string(),
            Self::Tar { name, .. } => name.clone(),
        }
    }

    /// The file of a path; none when there is none.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Piece>, ArchiveError> {
        match self {
            Self::Folder { dir, path } => in_folder(dir, path, name),
            Self::Tar { file, table, .. } => Ok(table.find(name)?.map(|place| Piece {
                file: Arc::clone(file),
                start: place.start,
                size: place.size,
            })),
        }
    }

    /// The file of a path that something names.
    pub(crate) fn open(&self, name: &str) -> Result<Piece, ArchiveError> {
        self.find(name)?.ok_or_else(|| ArchiveError::Missing {
            path: name.to_owned(),
        })
    }

    /// A small file; none when there is none.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(piece) = self.find(name)? else {
            return Ok(None);
        };
        if piece.size > limit {
            return Err(ArchiveError::Invalid {
                path: name.to_owned(),
                reason: format!("{} bytes are more than {limit}", piece.size),
            });
        }
        let mut bytes = vec![0; usize::try_from(piece.size).unwrap_or_default()];
        piece.read_at(&mut bytes, 0)?;
        Ok(Some(bytes))
    }

    /// Whether files are files of their own.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder { .. })
    }
}

fn in_folder(dir: &OwnedFd, root: &Path, name: &str) -> Result<Option<Piece>, ArchiveError> {
    let bad = |reason| ArchiveError::BadPath {
        path: name.to_owned(),
        reason,
    };
    let clean = path::clean(name).ok_or_else(|| bad("path leads out of the archive"))?;
    // A fifo must not hold us up, and is refused below.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let opened = rustix::fs::openat2(dir, clean.as_str(), flags, Mode::empty(), resolve);
    let file = match opened {
        Ok(fd) => File::from(fd),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(bad("symbolic links are not followed")),
        Err(error) => {
            let action = format!("open {}", root.join(clean).display());
            return Err(ArchiveError::io(action)(error));
        }
    };
    let action = || ArchiveError::io::<io::Error>(format!("stat {}", root.join(&clean).display()));
    let metadata = file.metadata().map_err(action())?;
    if !metadata.is_file() {
        return Err(bad("is not a regular file"));
    }
    Ok(Some(Piece {
        file: Arc::new(file),
        start: 0,
        size: metadata.len(),
    }))
}

impl Piece {
    /// Fills the buffer with what is at an offset of the piece.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ArchiveError> {
        let at = self.start.saturating_add(offset);
        self.file
            .read_exact_at(buffer, at)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => ArchiveError::UnexpectedEof,
                _ => ArchiveError::io("read archive")(error),
            })
    }

    /// At most `limit` bytes from an offset on; nothing at the end.
    pub(crate) fn chunk(&self, offset: u64, limit: usize) -> Result<Vec<u8>, ArchiveError> {
        let left = self.size.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(limit);
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

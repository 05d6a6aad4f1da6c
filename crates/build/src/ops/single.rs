//! Sources of one file: heredocs and downloads.

use crate::cache::Key;
use crate::graph::InlineFile;
use crate::source::{
    FileKind, Metadata, RemoteContent, RemoteFile, SourceEntry, SourceError, SourceTree, Time,
};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Mode of a file that was fetched.
const REMOTE_MODE: u32 = 0o600;

/// A tree of one file.
#[derive(Debug)]
pub(crate) struct SingleFile {
    name: PathBuf,
    mode: u32,
    size: u64,
    modified: Time,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Bytes(Vec<u8>),
    Remote(Arc<dyn RemoteContent>, Option<Key>),
}

impl SingleFile {
    /// A tree without files.
    pub(crate) fn nothing() -> Self {
        Self {
            name: PathBuf::new(),
            mode: 0,
            size: 0,
            modified: Time::default(),
            content: Content::Bytes(Vec::new()),
        }
    }

    pub(crate) fn inline(file: &InlineFile, now: Time) -> Self {
        Self {
            name: super::path::clean(file.path.as_bytes()),
            mode: file.mode,
            size: file.content.len() as u64,
            modified: now,
            content: Content::Bytes(file.content.clone().into_bytes()),
        }
    }

    pub(crate) fn remote(file: RemoteFile) -> Self {
        Self {
            name: super::path::clean(file.name.as_bytes()),
            mode: REMOTE_MODE,
            size: file.size,
            // BuildKit gives a file without the header the epoch's time.
            modified: file.modified.unwrap_or_default(),
            content: Content::Remote(file.content, file.key),
        }
    }

    fn file(&self) -> Metadata {
        Metadata {
            kind: FileKind::File,
            mode: self.mode,
            uid: 0,
            gid: 0,
            size: self.size,
            modified: self.modified,
            device: (0, 0),
            links: 1,
            identity: None,
        }
    }
}

impl SourceTree for SingleFile {
    fn describe(&self) -> String {
        self.name.display().to_string()
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, SourceError> {
        if path == self.name && !self.name.as_os_str().is_empty() {
            return Ok(Some(self.file()));
        }
        let directory = Metadata {
            kind: FileKind::Directory,
            mode: 0o755,
            size: 0,
            ..self.file()
        };
        Ok(self.name.starts_with(path).then_some(directory))
    }

    fn list(&self, _directory: &Path) -> Result<Vec<SourceEntry>, SourceError> {
        Ok(Vec::new())
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, SourceError> {
        Err(SourceError::other(format!("{} is no link", path.display())))
    }

    fn open(&self, _path: &Path) -> Result<Box<dyn Read + Send>, SourceError> {
        match &self.content {
            Content::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            Content::Remote(content, _) => content.open(),
        }
    }

    fn content_key(&self, path: &Path) -> Option<Key> {
        match &self.content {
            Content::Remote(_, key) if path == self.name => *key,
            _ => None,
        }
    }
}

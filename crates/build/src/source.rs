//! The seam to where files come from: build contexts, remote files, git repositories, secrets.
//!
//! The solver asks for as little as it can: a context that no step uses is never opened, and of a file whose
//! identity is known only the metadata is read.

use crate::cache::Key;
use crate::cancel::CancelToken;
use crate::graph::ImageWanted;
use crate::sandbox::SecretBytes;
use lapstrake_snapshot::Layer;
use lapstrake_spec::Digest;
use rustix::fs::{FileType, Stat};
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A tree of files that is only read, as `COPY` sees it: ignore rules are applied already. Paths are relative
/// to its root, without `.` and `..`, and an empty path is the root; no link is ever followed by
/// the implementation, and nothing outside the root is reached.
pub trait SourceTree: Send + Sync {
    /// What the tree is called in messages: `build context`, a named context's name.
    fn describe(&self) -> String;

    /// What is at a path; `None` when there is nothing, or it is ignored.
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, SourceError>;

    /// The entries of a directory, sorted by the bytes of their names. A directory of which nothing but some
    /// descendants are not ignored is listed; one of which nothing is left is not, when it is ignored itself.
    fn list(&self, directory: &Path) -> Result<Vec<SourceEntry>, SourceError>;

    /// The target of a symbolic link, as it is written.
    fn read_link(&self, path: &Path) -> Result<PathBuf, SourceError>;

    /// The content of a regular file.
    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, SourceError>;

    /// Extended attributes that a layer carries, sorted by name. By default there are none.
    fn xattrs(&self, path: &Path) -> Result<Attributes, SourceError> {
        let _ = path;
        Ok(Vec::new())
    }

    /// What a file's content is called, when that is known without reading it: see
    /// [`RemoteFile::key`].
    fn content_key(&self, path: &Path) -> Option<Key> {
        let _ = path;
        None
    }

    /// Whether owners of files are part of the tree: true for what an archive brought, false for
    /// directories of a user.
    fn has_owners(&self) -> bool {
        false
    }

    /// Whether something at this path exists and is left out by an ignore rule: only the words of an error
    /// depend on it.
    fn is_ignored(&self, path: &Path) -> bool {
        let _ = path;
        false
    }

    /// A name under which digests of files may be remembered between builds, when the [`FileIdentity`] of
    /// files is stable: the directory's absolute path.
    fn cache_name(&self) -> Option<String> {
        None
    }
}

/// Extended attributes: names and values, sorted by name.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// A name in a directory of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEntry {
    /// The last component.
    pub name: OsString,
    /// What it is.
    pub metadata: Metadata,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a regular file.
    pub size: u64,
    /// When it was last changed.
    pub modified: Time,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// How many names it has; 1 when that is not known.
    pub links: u64,
    /// What tells it from every other file, when that is known.
    pub identity: Option<FileIdentity>,
}

impl Metadata {
    /// What the kernel says of a file.
    pub(crate) fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            FileType::CharacterDevice => FileKind::CharDevice,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            _ => FileKind::File,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: match kind {
                FileKind::File => u64::try_from(stat.st_size).unwrap_or(0),
                _ => 0,
            },
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            device: (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            ),
            links: widened(stat.st_nlink),
            identity: Some(FileIdentity {
                device: stat.st_dev,
                inode: stat.st_ino,
                changed: time(stat.st_ctime, stat.st_ctime_nsec),
            }),
        }
    }
}

/// The field has another width on another architecture.
fn widened(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

fn time(seconds: i64, nanoseconds: impl TryInto<u32>) -> Time {
    Time {
        seconds,
        nanoseconds: nanoseconds.try_into().unwrap_or(0),
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// Seconds since the epoch, and nanoseconds after that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, less than a thousand million.
    pub nanoseconds: u32,
}

/// A file of a local file system. Together with path, size and time of change equal values mean equal content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileIdentity {
    /// The file system.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// When content or metadata were last changed.
    pub changed: Time,
}

/// Everything that a build takes from outside. Each method may be called from several threads at once, and the
/// implementation remembers its answers: it is asked anew for every step.
pub trait Sources: Send + Sync {
    /// The main build context.
    fn context(&self) -> Result<Arc<dyn SourceTree>, SourceError>;

    /// The directory, archive or git repository behind a named context (`--build-context name=…`) that is not
    /// an image.
    fn named_context(&self, name: &str) -> Result<Arc<dyn SourceTree>, SourceError>;

    /// The diff ids of an image, bottom first: what its configuration says. Fetches nothing more than that.
    fn image(&self, image: &ImageWanted) -> Result<Vec<Digest>, SourceError>;

    /// The layers of an image, bottom first, with their blobs in the store and protected for as long as the
    /// build runs. Asked for only when a step runs on the image, or the result stands on it.
    fn image_layers(&self, image: &ImageWanted) -> Result<Vec<Layer>, SourceError>;

    /// Downloads a file.
    fn http(&self, request: &HttpRequest, cancel: &CancelToken) -> Result<RemoteFile, SourceError>;

    /// Checks a repository out.
    fn git(&self, request: &GitRequest, cancel: &CancelToken) -> Result<RemoteTree, SourceError>;

    /// A secret's content; `None` when the build was given none of this name.
    fn secret(&self, id: &str) -> Result<Option<SecretBytes>, SourceError>;

    /// A socket that leads to an SSH agent, made for one step; `None` when the build was given none
    /// of this name.
    fn ssh(
        &self,
        id: &str,
        owner: SocketOwner,
    ) -> Result<Option<Box<dyn AgentSocket>>, SourceError>;
}

/// To whom a socket belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOwner {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// A socket that is served until it is dropped.
pub trait AgentSocket: Send {
    /// Where it is on the host.
    fn path(&self) -> &Path;
}

/// A file to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// `http` or `https`.
    pub url: String,
    /// What it must be.
    pub checksum: Option<Digest>,
}

/// A file of a server. Its bytes need not be here as long as nobody asks for them.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    /// Its bytes.
    pub content: Arc<dyn RemoteContent>,
    /// How many there are.
    pub size: u64,
    /// What [`crate::cache::ContentHasher`] makes of them, when that is known.
    pub key: Option<Key>,
    /// The name it has when the destination is a directory.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// From the `Last-Modified` header.
    pub modified: Option<Time>,
}

/// The bytes of a file that lies elsewhere.
pub trait RemoteContent: std::fmt::Debug + Send + Sync {
    /// Fetches what is not here.
    fn open(&self) -> Result<Box<dyn Read + Send>, SourceError>;
}

/// A file that is here.
impl RemoteContent for PathBuf {
    fn open(&self) -> Result<Box<dyn Read + Send>, SourceError> {
        let file = std::fs::File::open(self);
        let file = file.map_err(SourceError::io(format!("open {}", self.display())))?;
        Ok(Box::new(file))
    }
}

/// A repository to check out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRequest {
    /// As the Dockerfile has it, with `#ref:subdirectory`.
    pub url: String,
    /// Whether `.git` is part of the result.
    pub keep_git_dir: bool,
    /// The commit it must be.
    pub checksum: Option<String>,
}

/// A repository that was checked out.
#[derive(Clone)]
#[expect(
    missing_debug_implementations,
    reason = "a tree is an object of a trait"
)]
pub struct RemoteTree {
    /// Its files.
    pub tree: Arc<dyn SourceTree>,
    /// The commit: names the content.
    pub commit: String,
}

/// Why something could not be had. Sources speak docker's words themselves.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The build was cancelled meanwhile.
    #[error("context canceled")]
    Cancelled,
    /// A system call failed.
    #[error("{action}")]
    Io {
        /// What was tried, on what.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Something else.
    #[error("{message}")]
    Other {
        /// What went wrong, in docker's words where there are any.
        message: String,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl SourceError {
    /// An error with these words and no cause.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other {
            message: message.into(),
            source: None,
        }
    }

    /// For `map_err`: a failing system call.
    pub fn io<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Io {
            action,
            source: source.into(),
        }
    }
}

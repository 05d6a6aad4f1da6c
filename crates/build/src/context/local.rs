//! A directory of the host as a tree of sources.

use crate::ops::lower::is_carried;
use crate::source::{Attributes, FileKind, Metadata, SourceEntry, SourceError, SourceTree};
use lapstrake_dockerfile::ignore::{MatchInfo, Matcher};
use lapstrake_sys::dir::{Dir, Kind};
use lapstrake_sys::xattr;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Directories nested deeper than this are refused: far more than any path that the kernel takes.
const DEPTH_LIMIT: usize = 2048;

/// Extended attributes that files of a directory bring. The host's labels are its own, and docker loses the capabilities
/// of files when it gives them to root.
const BROUGHT: [&[u8]; 3] = [b"user.", b"trusted.", b"system.posix_acl_"];
/// What an archive brought besides.
const CAPABILITIES: &[u8] = b"security.capability";

/// A directory of the host. Every path is resolved beneath it, without following links.
#[derive(Debug)]
pub struct LocalTree {
    name: String,
    path: PathBuf,
    root: Dir,
    ignore: Option<Arc<Matcher>>,
    exclusive: bool,
    owners: bool,
    /// The directory in which attributes were looked at last: looks come sorted.
    looked_in: Mutex<Option<(PathBuf, Dir)>>,
}

impl LocalTree {
    /// Opens the directory at `path`. `name` is what messages call the tree.
    pub fn open(path: &Path, name: impl Into<String>) -> io::Result<Self> {
        Ok(Self {
            name: name.into(),
            path: path.to_owned(),
            root: Dir::open(path)?,
            ignore: None,
            exclusive: false,
            owners: false,
            looked_in: Mutex::new(None),
        })
    }

    /// The same tree without what these patterns match.
    #[must_use]
    pub fn with_ignore(mut self, matcher: Matcher) -> Self {
        self.ignore = (!matcher.is_empty()).then(|| Arc::new(matcher));
        self
    }

    /// The same tree, of files that nobody else changes and that are gone when the build ends: digests of them are
    /// not worth remembering.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// The same tree, of files whose owners were brought with them.
    #[must_use]
    pub fn with_owners(mut self) -> Self {
        self.owners = true;
        self
    }

    /// The patterns of what is left out, when there are any.
    pub fn ignore(&self) -> Option<&Arc<Matcher>> {
        self.ignore.as_ref()
    }

    /// The directory's own path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A whole small file, whatever the ignore rules say; `None` when there is none. Links are followed
    /// as long as they stay in the tree.
    pub fn read_small(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let opened = lapstrake_sys::dir::open_in_root(
            &self.root,
            path,
            flags | rustix::fs::OFlags::NOCTTY,
            rustix::fs::Mode::empty(),
        );
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => std::fs::File::from(other?),
        };
        if !file.metadata()?.is_file() {
            return Err(Errno::INVAL.into());
        }
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(Some(bytes))
    }

    fn is_brought(&self, name: &[u8]) -> bool {
        let mut brought = BROUGHT.iter();
        is_carried(name)
            && (brought.any(|prefix| name.starts_with(prefix))
                || (self.owners && name == CAPABILITIES))
    }

    /// The attributes of a name in a directory. As for docker, those that cannot be read are not there.
    fn attributes(&self, dir: &Dir, name: &[u8]) -> io::Result<Attributes> {
        let names = match xattr::list_at(dir, name) {
            Err(error) if is_absent(&error) => return Ok(Attributes::new()),
            names => names?,
        };
        let brought = names.into_iter().filter(|name| self.is_brought(name));
        let read = |attribute: Vec<u8>| {
            let value = xattr::get_at(dir, name, attribute.as_slice()).ok()??;
            Some((attribute, value))
        };
        Ok(brought.filter_map(read).collect())
    }

    fn failed(&self, action: &str, path: &Path) -> impl FnOnce(io::Error) -> SourceError {
        SourceError::io(format!("{action} {}", self.path.join(path).display()))
    }

    /// The directory at `path`; `None` when there is none, or a link is on the way.
    fn directory(&self, path: &Path) -> io::Result<Option<Dir>> {
        if path.as_os_str().is_empty() {
            return self.root.try_clone().map(Some);
        }
        match self.root.child(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn stat(&self, path: &Path) -> Result<Option<Metadata>, SourceError> {
        let Some(name) = path.file_name() else {
            let stat = rustix::fs::fstat(&self.root)
                .map_err(|error| self.failed("stat", path)(error.into()))?;
            return Ok(Some(Metadata::of(&stat)));
        };
        let parent = path.parent().unwrap_or(Path::new(""));
        let Some(dir) = self
            .directory(parent)
            .map_err(self.failed("open", parent))?
        else {
            return Ok(None);
        };
        stat_at(&dir, name).map_err(self.failed("lstat", path))
    }

    /// Whether a path is left out, and what that says about the entries below it. The state of the
    /// parents is computed from the root on.
    fn verdict(&self, path: &Path) -> (bool, MatchInfo) {
        let mut below = MatchInfo::default();
        let mut ignored = false;
        let Some(matcher) = &self.ignore else {
            return (false, below);
        };
        let mut so_far = String::new();
        for component in path.components() {
            if !so_far.is_empty() {
                so_far.push('/');
            }
            so_far.push_str(&component.as_os_str().to_string_lossy());
            (ignored, below) = matcher.matches_below(&so_far, &below);
        }
        (ignored, below)
    }

    /// Whether something beneath an ignored directory is not ignored.
    fn has_kept(&self, path: &Path, above: &MatchInfo, depth: usize) -> Result<bool, SourceError> {
        let Some(matcher) = &self.ignore else {
            return Ok(true);
        };
        if depth > DEPTH_LIMIT || matcher.may_skip_dir(&path.to_string_lossy()) {
            return Ok(false);
        }
        let Some(dir) = self.directory(path).map_err(self.failed("open", path))? else {
            return Ok(false);
        };
        for entry in dir.entries().map_err(self.failed("read", path))? {
            let child = path.join(&entry.name);
            let (ignored, below) = matcher.matches_below(&child.to_string_lossy(), above);
            if !ignored {
                return Ok(true);
            }
            if entry.kind == Kind::Directory
                && self.has_kept(&child, &below, depth.saturating_add(1))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a path is in the tree although the rules may ignore it.
    fn is_kept(&self, path: &Path, kind: FileKind) -> Result<bool, SourceError> {
        let (ignored, below) = self.verdict(path);
        if !ignored {
            return Ok(true);
        }
        Ok(kind == FileKind::Directory && self.has_kept(path, &below, 0)?)
    }

    fn entry(
        &self,
        dir: &Dir,
        path: &Path,
        name: OsString,
        above: &MatchInfo,
    ) -> Result<Option<SourceEntry>, SourceError> {
        let child = path.join(&name);
        let found = stat_at(dir, &name).map_err(self.failed("lstat", &child))?;
        // Gone since the directory was read; or a socket, which no layer can hold.
        let Some(metadata) = found.filter(|found| found.kind != FileKind::Socket) else {
            return Ok(None);
        };
        if let Some(matcher) = &self.ignore {
            let (ignored, below) = matcher.matches_below(&child.to_string_lossy(), above);
            let is_directory = metadata.kind == FileKind::Directory;
            if ignored && !(is_directory && self.has_kept(&child, &below, 0)?) {
                return Ok(None);
            }
        }
        Ok(Some(SourceEntry { name, metadata }))
    }
}

impl SourceTree for LocalTree {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, SourceError> {
        let Some(found) = self.stat(path)? else {
            return Ok(None);
        };
        let kept = found.kind != FileKind::Socket && self.is_kept(path, found.kind)?;
        Ok(kept.then_some(found))
    }

    fn list(&self, directory: &Path) -> Result<Vec<SourceEntry>, SourceError> {
        let Some(dir) = self
            .directory(directory)
            .map_err(self.failed("open", directory))?
        else {
            return Err(self.failed("open", directory)(Errno::NOENT.into()));
        };
        let (_, above) = self.verdict(directory);
        let mut entries = Vec::new();
        for entry in dir.entries().map_err(self.failed("read", directory))? {
            entries.extend(self.entry(&dir, directory, entry.name, &above)?);
        }
        Ok(entries)
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, SourceError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or_default();
        let dir = self
            .directory(parent)
            .and_then(|dir| dir.ok_or_else(|| Errno::NOENT.into()))
            .map_err(self.failed("open", parent))?;
        let target = rustix::fs::readlinkat(&dir, name.as_bytes(), Vec::new())
            .map_err(|error| self.failed("readlink", path)(error.into()))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, SourceError> {
        let file = self
            .root
            .open_file(path)
            .map_err(self.failed("open", path))?;
        Ok(Box::new(file))
    }

    /// The root has none: it was made by whoever brought the tree here.
    fn xattrs(&self, path: &Path) -> Result<Attributes, SourceError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Attributes::new());
        };
        let mut looked_in = self
            .looked_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let dir = match looked_in.take() {
            Some((known, dir)) if known == parent => Some((known, dir)),
            _ => {
                let found = self.directory(parent);
                let found = found.map_err(self.failed("open", parent))?;
                found.map(|dir| (parent.to_owned(), dir))
            }
        };
        let found = match &dir {
            Some((_, dir)) => self.attributes(dir, name.as_bytes()),
            None => Ok(Attributes::new()),
        };
        *looked_in = dir;
        found.map_err(self.failed("listxattr", path))
    }

    fn is_ignored(&self, path: &Path) -> bool {
        self.ignore.is_some() && self.verdict(path).0 && matches!(self.stat(path), Ok(Some(_)))
    }

    fn has_owners(&self) -> bool {
        self.owners
    }

    fn cache_name(&self) -> Option<String> {
        let name = self.path.to_str().filter(|_| !self.exclusive);
        name.map(str::to_owned)
    }
}

fn is_absent(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(
        errno,
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV)
    )
}

fn stat_at(dir: &Dir, name: &OsStr) -> io::Result<Option<Metadata>> {
    match rustix::fs::statat(dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Metadata::of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

//! Opening the context and finding the Dockerfile.

use super::remote::{Network, Ssh, absolute, failed};
use super::request::{BuildRequest, Dialect, Stdin};
use super::words::{io_words, prepare, source_error};
use crate::error::{Error, ErrorKind, Origin};
use lapstrake_build::context::{
    Address, GitAddress, LocalTree, Scratch, SentFile, looks_like_archive, sent_size,
    sent_with_files, tar_size, unpack,
};
use lapstrake_dockerfile::SOURCE_LIMIT;
use lapstrake_dockerfile::ignore::Matcher;
use lapstrake_store::Store;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name that is looked for when no other is given.
const DEFAULT_NAME: &str = "Dockerfile";
/// The file with the patterns of what is left out, and what comes behind a Dockerfile's name for one of its own.
const IGNORE_FILE: &str = ".dockerignore";
/// The largest of those.
const IGNORE_LIMIT: u64 = 16 << 20;
/// Bytes that tell an archive from a Dockerfile.
const SNIFF_BYTES: u64 = 1024;
/// Where docker's client puts a Dockerfile that is not in the context: twenty digits follow.
const ADDED_NAME: &str = ".dockerfile.00000000000000000000";

/// A Dockerfile's text.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// What messages call it.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// The main context and the Dockerfile.
pub(super) struct Opened {
    pub(super) tree: Arc<LocalTree>,
    pub(super) text: Text,
    sent: Sent,
    /// Keeps what was unpacked.
    scratch: Option<Scratch>,
}

/// What docker's classic client would have sent.
enum Sent {
    /// The tree, and the Dockerfile and ignore file if those are ignored.
    Tree(Vec<(String, u64)>),
    /// The tree and then files that are not in it.
    TreeAnd(Vec<(String, u64)>),
    /// So many bytes.
    Bytes(u64),
    /// Nothing: the daemon fetches.
    Nothing,
}

/// What opens contexts: the store for what must be unpacked, and the network.
pub(super) struct Opener<'a> {
    pub(super) store: &'a Store,
    pub(super) network: &'a Arc<Network>,
    pub(super) working_directory: &'a Path,
    pub(super) dialect: Dialect,
}

impl Opened {
    /// Whether the tree lies in a folder of this build's own, which has another name each time.
    pub(super) fn is_temporary(&self) -> bool {
        self.scratch.is_some()
    }

    /// The size that docker's classic client tells, when it sends anything.
    pub(super) fn sent_bytes(&self) -> Result<Option<u64>, Error> {
        fn files(list: &[(String, u64)]) -> Vec<SentFile<'_>> {
            list.iter()
                .map(|(name, size)| SentFile { name, size: *size })
                .collect()
        }
        let bytes = match &self.sent {
            Sent::Tree(always) => sent_size(self.tree.as_ref(), &files(always)),
            Sent::TreeAnd(added) => sent_with_files(self.tree.as_ref(), &files(added)),
            Sent::Bytes(bytes) => Ok(*bytes),
            Sent::Nothing => return Ok(None),
        };
        bytes.map(Some).map_err(|error| {
            let text = format!("error checking context: {error}");
            source_error(error).with_message(text)
        })
    }
}

impl Opener<'_> {
    /// Opens what the request names.
    pub(super) fn open(&self, request: &mut BuildRequest) -> Result<Opened, Error> {
        let both = request.context == "-" && request.dockerfile.as_deref() == Some("-");
        if both {
            let text = "invalid argument: can't use stdin for both build context and dockerfile";
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client));
        }
        let path = absolute(self.working_directory, &request.context);
        match Address::parse(&request.context, path.is_dir()) {
            Address::Path(_) => self.directory(&path, request),
            Address::Stdin => {
                let Stdin(reader) = request.stdin.take().ok_or_else(no_stdin)?;
                self.stream(reader, request, true)
            }
            Address::Http(url) => {
                let body = self.network.get(&url).map_err(|error| {
                    let text = format!(
                        "unable to prepare context: unable to download remote context {url}: {error}"
                    );
                    error.with_message(text).with_origin(Origin::Client)
                })?;
                self.stream(Box::new(body), request, false)
            }
            Address::Git(address) => self.repository(&address, request),
        }
    }

    /// A directory of this host.
    fn directory(&self, path: &Path, request: &mut BuildRequest) -> Result<Opened, Error> {
        if !path.is_dir() {
            let text = if path.exists() {
                format!("context must be a directory: {}", path.display())
            } else {
                format!("path {:?} not found", request.context)
            };
            return Err(prepare(text));
        }
        let tree = LocalTree::open(path, "build context")
            .map_err(|error| prepare(format!("open {}: {}", path.display(), io_words(&error))))?;
        let wanted = match request.dockerfile.as_deref() {
            None => None,
            Some("-") => {
                let text = from_stdin(request)?;
                return with_own_text(tree, text, None);
            }
            Some(word) if is_address(word) => {
                let text = self.downloaded(word)?;
                return with_own_text(tree, text, None);
            }
            Some(word) => Some(absolute(self.working_directory, word)),
        };
        match wanted {
            Some(file) => match file.strip_prefix(path) {
                Ok(inside) => {
                    let inside = inside.to_string_lossy().into_owned();
                    self.with_text_inside(tree, &inside)
                }
                Err(_outside) => {
                    let text = self.outside(&file)?;
                    with_own_text(tree, text, Some(&file))
                }
            },
            None => {
                let name = default_name(&tree);
                self.with_text_inside(tree, name)
            }
        }
    }

    /// The Dockerfile is a file of the context.
    fn with_text_inside(&self, tree: LocalTree, name: &str) -> Result<Opened, Error> {
        let bytes = self.read_inside(&tree, name)?;
        let own = format!("{name}{IGNORE_FILE}");
        let mut ignore = read_ignore(&tree, &own)?;
        if ignore.is_none() {
            ignore = read_ignore(&tree, IGNORE_FILE)?;
        }
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut always = Vec::new();
        let tree = match ignore {
            None => tree,
            Some(file) => {
                let matcher = matcher(&file)?;
                let patterns = u64::try_from(file.len()).unwrap_or(u64::MAX);
                for (path, size) in [(name, size), (IGNORE_FILE, patterns)] {
                    if matcher.matches(path) {
                        always.push((path.to_owned(), size));
                    }
                }
                tree.with_ignore(matcher)
            }
        };
        Ok(Opened {
            tree: Arc::new(tree),
            text: Text {
                name: name.to_owned(),
                bytes,
            },
            sent: Sent::Tree(always),
            scratch: None,
        })
    }

    fn read_inside(&self, tree: &LocalTree, name: &str) -> Result<Vec<u8>, Error> {
        let full = tree.path().join(name);
        let limit = u64::try_from(SOURCE_LIMIT).unwrap_or(u64::MAX);
        match tree.read_small(Path::new(name), limit) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(self.no_dockerfile(&full, name)),
            Err(error) => Err(self.unreadable(&full, name, &error)),
        }
    }

    fn outside(&self, file: &Path) -> Result<Text, Error> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let opened = std::fs::File::open(file);
        let bytes = match opened.and_then(|file| read_limited(file, "Dockerfile")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.no_dockerfile(file, &name));
            }
            Err(error) => return Err(self.unreadable(file, &name, &error)),
        };
        Ok(Text {
            name: name.into_owned(),
            bytes,
        })
    }

    fn no_dockerfile(&self, full: &Path, name: &str) -> Error {
        match self.dialect {
            Dialect::Classic => prepare(format!(
                "unable to evaluate symlinks in Dockerfile path: lstat {}: no such file or directory",
                full.display()
            )),
            Dialect::BuildKit => Error::new(
                ErrorKind::NotFound,
                format!(
                    "failed to solve: failed to read dockerfile: open {name}: no such file or directory"
                ),
            )
            .with_origin(Origin::Stream),
        }
    }

    fn unreadable(&self, full: &Path, name: &str, error: &io::Error) -> Error {
        let words = io_words(error);
        match self.dialect {
            Dialect::Classic => prepare(format!(
                "unable to open Dockerfile: open {}: {words}",
                full.display()
            )),
            Dialect::BuildKit => Error::new(
                ErrorKind::InvalidArgument,
                format!("failed to solve: failed to read dockerfile: open {name}: {words}"),
            )
            .with_origin(Origin::Stream),
        }
    }

    /// An archive or a bare Dockerfile, from standard input or from an address.
    fn stream(
        &self,
        mut reader: Box<dyn Read + Send>,
        request: &mut BuildRequest,
        counted: bool,
    ) -> Result<Opened, Error> {
        let unreadable = |error: io::Error| {
            prepare(format!(
                "failed to peek context header from STDIN: {}",
                io_words(&error)
            ))
        };
        let mut start = Vec::new();
        (&mut reader)
            .take(SNIFF_BYTES)
            .read_to_end(&mut start)
            .map_err(unreadable)?;
        let is_archive = looks_like_archive(&start);
        let mut whole = Counted {
            inner: Cursor::new(start).chain(reader),
            bytes: 0,
        };
        let scratch =
            Scratch::create(self.store).map_err(|error| failed("make a folder", error))?;
        if is_archive {
            let dir = lapstrake_sys::dir::Dir::open(scratch.path())
                .map_err(|error| failed("open a folder", error))?;
            unpack(&mut whole, &dir).map_err(|error| {
                let text = format!("failed to unpack the context: {error}");
                Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Stream)
            })?;
            io::copy(&mut whole, &mut io::sink()).map_err(unreadable)?;
            let sent = if counted {
                Sent::Bytes(whole.bytes)
            } else {
                Sent::Nothing
            };
            let mut tree = open_scratch(&scratch)?;
            // The classic builder sends on what it unpacks, as everything root's.
            if self.dialect == Dialect::BuildKit {
                tree = as_brought(tree);
            }
            return self.unpacked((scratch, tree), sent, request);
        }
        if request.dockerfile.is_some() {
            let text = "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles";
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client));
        }
        let bytes = read_limited(whole, DEFAULT_NAME).map_err(unreadable)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let file = SentFile {
            name: DEFAULT_NAME,
            size,
        };
        let tree = open_scratch(&scratch)?;
        Ok(Opened {
            tree: Arc::new(tree),
            text: Text {
                name: DEFAULT_NAME.to_owned(),
                bytes,
            },
            sent: if counted {
                Sent::Bytes(tar_size(&[file]))
            } else {
                Sent::Nothing
            },
            scratch: Some(scratch),
        })
    }

    /// A tree that was brought here. Ignore files count for nothing in it, as in docker.
    fn unpacked(
        &self,
        (scratch, tree): (Scratch, LocalTree),
        sent: Sent,
        request: &mut BuildRequest,
    ) -> Result<Opened, Error> {
        let text = match request.dockerfile.as_deref() {
            Some("-") => from_stdin(request)?,
            Some(word) if is_address(word) => self.downloaded(word)?,
            other => {
                let name = other.unwrap_or_else(|| default_name(&tree));
                let name = name.trim_start_matches("./").trim_start_matches('/');
                let limit = u64::try_from(SOURCE_LIMIT).unwrap_or(u64::MAX);
                let bytes = tree
                    .read_small(Path::new(name), limit)
                    .map_err(|error| self.unreadable(Path::new(name), name, &error))?
                    .ok_or_else(|| self.absent_in_stream(name))?;
                Text {
                    name: name.to_owned(),
                    bytes,
                }
            }
        };
        Ok(Opened {
            tree: Arc::new(tree),
            text,
            sent,
            scratch: Some(scratch),
        })
    }

    fn absent_in_stream(&self, name: &str) -> Error {
        match self.dialect {
            Dialect::Classic => Error::new(
                ErrorKind::NotFound,
                format!("Cannot locate specified Dockerfile: {name}"),
            ),
            Dialect::BuildKit => self.no_dockerfile(Path::new(name), name),
        }
    }

    fn repository(
        &self,
        address: &GitAddress,
        request: &mut BuildRequest,
    ) -> Result<Opened, Error> {
        let checked_out = self
            .network
            .checkout(self.store, address, false, &Ssh::User);
        let (scratch, _commit) = checked_out.map_err(|error| {
            let text = format!("unable to prepare context: unable to 'git clone': {error}");
            match self.dialect {
                Dialect::Classic => error.with_message(text).with_origin(Origin::Client),
                Dialect::BuildKit => {
                    let text = format!("failed to solve: {error}");
                    error.with_message(text).with_origin(Origin::Stream)
                }
            }
        })?;
        // The classic client clones and then sends what it has, without what is ignored.
        if self.dialect == Dialect::Classic && request.dockerfile.is_none() {
            let tree = open_scratch(&scratch)?;
            let name = default_name(&tree);
            let mut opened = self.with_text_inside(tree, name)?;
            opened.scratch = Some(scratch);
            return Ok(opened);
        }
        let tree = open_scratch(&scratch)?;
        self.unpacked((scratch, tree), Sent::Nothing, request)
    }

    fn downloaded(&self, url: &str) -> Result<Text, Error> {
        let body = self.network.get(url).map_err(|error| {
            let text = format!(
                "unable to prepare context: unable to download remote Dockerfile {url}: {error}"
            );
            error.with_message(text).with_origin(Origin::Client)
        })?;
        let bytes = read_limited(body, DEFAULT_NAME)
            .map_err(|error| failed(&format!("read {url}"), error))?;
        let name = url.rsplit('/').next().filter(|name| !name.is_empty());
        Ok(Text {
            name: name.unwrap_or(DEFAULT_NAME).to_owned(),
            bytes,
        })
    }
}

/// The Dockerfile comes from elsewhere; `file` is where it lies, if it lies anywhere.
fn with_own_text(tree: LocalTree, text: Text, file: Option<&Path>) -> Result<Opened, Error> {
    let beside = file.map(|file| {
        let mut name = file.as_os_str().to_owned();
        name.push(IGNORE_FILE);
        PathBuf::from(name)
    });
    let ignore = match beside.filter(|beside| beside.is_file()) {
        Some(path) => {
            let file = std::fs::read(&path)
                .map_err(|error| failed(&format!("read {}", path.display()), error))?;
            Some(file)
        }
        None => read_ignore(&tree, IGNORE_FILE)?,
    };
    let size = u64::try_from(text.bytes.len()).unwrap_or(u64::MAX);
    // Docker adds the Dockerfile, and an ignore file that leaves out both.
    let patterns = ignore.as_ref().map_or(0, Vec::len);
    let names = IGNORE_FILE.len().saturating_add(ADDED_NAME.len());
    let ignored = patterns.saturating_add(names).saturating_add(2);
    let added = vec![
        (ADDED_NAME.to_owned(), size),
        (
            IGNORE_FILE.to_owned(),
            u64::try_from(ignored).unwrap_or(u64::MAX),
        ),
    ];
    let tree = match ignore {
        None => tree,
        Some(file) => tree.with_ignore(matcher(&file)?),
    };
    Ok(Opened {
        tree: Arc::new(tree),
        text,
        sent: Sent::TreeAnd(added),
        scratch: None,
    })
}

/// The same tree without what its own ignore file names.
pub(super) fn with_own_ignore(tree: LocalTree) -> Result<LocalTree, Error> {
    Ok(match read_ignore(&tree, IGNORE_FILE)? {
        None => tree,
        Some(file) => tree.with_ignore(matcher(&file)?),
    })
}

/// Opens what a scratch folder holds.
pub(super) fn open_scratch(scratch: &Scratch) -> Result<LocalTree, Error> {
    let tree = LocalTree::open(scratch.path(), "build context");
    tree.map(LocalTree::temporary)
        .map_err(|error| failed("open a folder", error))
}

/// What an archive brought keeps its owners, where it could get them.
pub(super) fn as_brought(tree: LocalTree) -> LocalTree {
    if rustix::process::geteuid().is_root() {
        tree.with_owners()
    } else {
        tree
    }
}

fn default_name(tree: &LocalTree) -> &'static str {
    /// Docker looks for it too, to be nice.
    const OTHER: &str = "dockerfile";
    let is_there = |name: &str| tree.path().join(name).symlink_metadata().is_ok();
    if !is_there(DEFAULT_NAME) && is_there(OTHER) {
        OTHER
    } else {
        DEFAULT_NAME
    }
}

fn is_address(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

fn no_stdin() -> Error {
    Error::new(ErrorKind::InvalidArgument, "standard input is not open").with_origin(Origin::Client)
}

fn from_stdin(request: &mut BuildRequest) -> Result<Text, Error> {
    let Stdin(reader) = request.stdin.take().ok_or_else(no_stdin)?;
    let bytes = read_limited(reader, DEFAULT_NAME)
        .map_err(|error| prepare(format!("read stdin: {}", io_words(&error))))?;
    Ok(Text {
        name: DEFAULT_NAME.to_owned(),
        bytes,
    })
}

fn read_limited(reader: impl Read, name: &str) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(SOURCE_LIMIT).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > SOURCE_LIMIT {
        let text = format!("{name} is larger than {SOURCE_LIMIT} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

fn read_ignore(tree: &LocalTree, name: &str) -> Result<Option<Vec<u8>>, Error> {
    tree.read_small(Path::new(name), IGNORE_LIMIT)
        .map_err(|error| failed(&format!("open {}", tree.path().join(name).display()), error))
}

fn matcher(file: &[u8]) -> Result<Matcher, Error> {
    Matcher::parse(file).map_err(|error| {
        let text = format!("error checking context: {error}");
        Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
    })
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

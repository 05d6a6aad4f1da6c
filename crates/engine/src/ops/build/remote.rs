//! Files and repositories from elsewhere: the network side of a build's sources.

use super::cancelled;
use super::connect::{connect, is_ssh};
use crate::error::{Error, ErrorKind};
use crate::{Engine, transfer};
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::context::git::{
    self, CheckoutOptions, Http, ObjectId, Objects, Remote, Repository,
};
use lapstrake_build::context::{GitAddress, Scratch};
use lapstrake_registry::client::{Client, FetchRequest, Fetched};
use lapstrake_store::Store;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// The largest file that is downloaded.
const FILE_LIMIT: u64 = 64 << 30;
/// The answer to a condition that does not hold.
const NOT_MODIFIED: u16 = 304;
/// Submodules in submodules.
const SUBMODULE_DEPTH: usize = 8;
/// The largest `.gitmodules`.
const MODULES_LIMIT: u64 = 1 << 20;
/// How often a wait for the network looks whether the build was cancelled.
const CANCEL_PERIOD: Duration = Duration::from_millis(50);

/// With whose keys repositories are fetched over ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ssh {
    /// With the user's, as ssh finds them: the user has typed the address.
    User,
    /// With those of the agent behind this socket alone.
    Agent(PathBuf),
    /// With nobody's: the address is from a Dockerfile, and `--ssh default` gives no agent.
    Refused,
}

/// A client and the means to wait for it.
#[derive(Debug)]
pub(super) struct Network {
    client: Client,
    handle: Handle,
    cancel: CancelToken,
}

impl Network {
    pub(super) fn new(engine: &Engine, handle: Handle, cancel: CancelToken) -> Result<Self, Error> {
        Ok(Self {
            client: transfer::client(engine)?,
            handle,
            cancel,
        })
    }

    /// Waits for something, unless the build is cancelled.
    pub(super) fn wait<T, E: From<Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.handle.block_on(async {
            let stopped = async {
                while !self.cancel.is_cancelled() {
                    tokio::time::sleep(CANCEL_PERIOD).await;
                }
            };
            tokio::select! {
                result = work => result,
                () = stopped => Err(cancelled().into()),
            }
        })
    }

    /// The same network for work that is of no use once `cancel` is raised.
    pub(super) fn until(&self, cancel: &CancelToken) -> Arc<Self> {
        Arc::new(Self {
            client: self.client.clone(),
            handle: self.handle.clone(),
            cancel: cancel.clone(),
        })
    }

    /// Downloads a file.
    pub(super) fn get(self: &Arc<Self>, url: &str) -> Result<Body, Error> {
        self.ask(&FetchRequest {
            url: url.to_owned(),
            limit: FILE_LIMIT,
            ..FetchRequest::default()
        })
    }

    /// Downloads a file unless it is the one that the headers name; nothing then.
    pub(super) fn get_changed(
        self: &Arc<Self>,
        url: &str,
        headers: Vec<(String, String)>,
    ) -> Result<Option<Body>, Error> {
        if headers.is_empty() {
            return self.get(url).map(Some);
        }
        let request = FetchRequest {
            url: url.to_owned(),
            headers,
            limit: FILE_LIMIT,
            ..FetchRequest::default()
        };
        let answer = self.wait(async { self.client.ask(&request).await.map_err(Error::from) })?;
        match answer {
            Ok(fetched) => Ok(Some(self.body(fetched))),
            Err(refusal) if refusal.status == NOT_MODIFIED => Ok(None),
            // Without conditions it may be another answer, and its error has the words that are usual.
            Err(_) => self.get(url).map(Some),
        }
    }

    fn ask(self: &Arc<Self>, request: &FetchRequest) -> Result<Body, Error> {
        let fetched = self.wait(async { self.client.fetch(request).await.map_err(Error::from) })?;
        Ok(self.body(fetched))
    }

    fn body(self: &Arc<Self>, fetched: Fetched) -> Body {
        Body {
            network: Arc::clone(self),
            fetched,
            chunk: bytes::Bytes::new(),
        }
    }

    /// A repository's tree, checked out in a new folder of the store; the commit.
    pub(super) fn checkout(
        self: &Arc<Self>,
        store: &Store,
        address: &GitAddress,
        keep_git: bool,
        ssh: &Ssh,
    ) -> Result<(Scratch, ObjectId), Error> {
        let scratch = Scratch::create(store).map_err(|error| failed("make a folder", error))?;
        let source = Repositories {
            network: self,
            store,
            ssh,
        };
        let commit = source.fill(address, scratch.path(), keep_git, 0)?;
        Ok((scratch, commit))
    }
}

/// A failing system call around sources.
pub(super) fn failed(action: &str, error: io::Error) -> Error {
    let error = lapstrake_build::source::SourceError::io(action)(error);
    super::words::source_error(error)
}

/// The body of an answer, as a stream to be read.
pub(super) struct Body {
    network: Arc<Network>,
    /// Head of the answer.
    pub(super) fetched: Fetched,
    chunk: bytes::Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let fetched = &mut self.fetched;
            let next = self
                .network
                .wait(async { fetched.chunk().await.map_err(Error::from) })
                .map_err(io::Error::other)?;
            match next {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        let head = self.chunk.split_to(count);
        if let Some(buffer) = buffer.get_mut(..count) {
            buffer.copy_from_slice(&head);
        }
        Ok(count)
    }
}

/// Fetches repositories and those in them.
struct Repositories<'a> {
    network: &'a Arc<Network>,
    store: &'a Store,
    ssh: &'a Ssh,
}

impl Repositories<'_> {
    fn fill(
        &self,
        address: &GitAddress,
        folder: &Path,
        keep_git: bool,
        depth: usize,
    ) -> Result<ObjectId, Error> {
        let (objects, id) = self.objects(address)?;
        let dir = lapstrake_sys::dir::Dir::open(folder)
            .map_err(|error| failed("open a folder", error))?;
        let options = CheckoutOptions {
            directory: address.directory.as_deref().unwrap_or_default(),
            keep_git,
            origin: &address.remote,
        };
        let out = git::checkout(objects.as_ref(), &id, &dir, &options)
            .map_err(|e| git_error(address, e))?;
        if !out.submodules.is_empty() && address.directory.is_none() {
            self.submodules(address, folder, &out.submodules, depth)?;
        }
        Ok(out.commit)
    }

    fn objects(&self, address: &GitAddress) -> Result<(Box<dyn Objects>, ObjectId), Error> {
        let reference = address.reference.as_deref();
        let wrong = |error| git_error(address, error);
        if let Some(path) = address.remote.strip_prefix("file://") {
            let missing = || {
                let text = format!("repository '{}' does not exist", address.remote);
                Error::new(ErrorKind::NotFound, text)
            };
            let repository = Repository::open(Path::new(path))
                .map_err(wrong)?
                .ok_or_else(missing)?;
            let id = repository.resolve(reference).map_err(wrong)?;
            return Ok((Box::new(repository), id));
        }
        let file = self.pack_file()?;
        let http = HttpGit {
            network: self.network,
            moved: Mutex::default(),
        };
        if *self.ssh == Ssh::Refused && is_ssh(&address.remote) {
            let text = format!(
                "failed to fetch remote {}: no SSH key \"default\" forwarded from the client",
                address.remote
            );
            return Err(Error::new(ErrorKind::Denied, text)
                .with_hint("give `--ssh default` to let the Dockerfile use your keys"));
        }
        let connect = || connect(address, self.ssh, &self.network.cancel);
        let is_http = address.remote.starts_with("http");
        let remote = if is_http {
            Remote::Http {
                http: &http,
                url: &address.remote,
            }
        } else {
            Remote::Stream(&connect)
        };
        let fetched = git::fetch(&remote, reference, &file).map_err(wrong)?;
        Ok((Box::new(fetched.pack), fetched.id))
    }

    /// A file without a name in a folder that a crash cleans.
    fn pack_file(&self) -> Result<std::fs::File, Error> {
        let scratch =
            Scratch::create(self.store).map_err(|error| failed("make a folder", error))?;
        let path = scratch.path().join("pack");
        std::fs::File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| failed(&format!("open {}", path.display()), error))
    }

    fn submodules(
        &self,
        address: &GitAddress,
        folder: &Path,
        wanted: &[(String, ObjectId)],
        depth: usize,
    ) -> Result<(), Error> {
        if depth >= SUBMODULE_DEPTH {
            let text = "submodules are nested too deeply";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let dir = lapstrake_sys::dir::Dir::open(folder)
            .map_err(|error| failed("open a folder", error))?;
        let file = match dir.read(".gitmodules", MODULES_LIMIT) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("read .gitmodules", error)),
        };
        let listed = git::submodules(&String::from_utf8_lossy(&file), &address.remote);
        for (path, commit) in wanted {
            let Some(submodule) = listed.iter().find(|listed| listed.path == *path) else {
                continue;
            };
            let mut inner = GitAddress::parse(&submodule.url).unwrap_or_else(|| GitAddress {
                remote: submodule.url.clone(),
                ..GitAddress::default()
            });
            // A repository that came from elsewhere must not name what only this host sees.
            if inner.remote.starts_with("file://") && !address.remote.starts_with("file://") {
                let text = format!("submodule {path}: transport 'file' not allowed");
                return Err(Error::new(ErrorKind::Denied, text));
            }
            inner.reference = Some(commit.to_string());
            // The checkout made these folders itself, beneath its own.
            self.fill(&inner, &folder.join(path), false, depth.saturating_add(1))?;
        }
        Ok(())
    }
}

fn git_error(address: &GitAddress, error: git::Error) -> Error {
    let kind = match &error {
        git::Error::NoReference(_) | git::Error::NoDirectory(_) => ErrorKind::NotFound,
        git::Error::Invalid(_) | git::Error::Missing(_) => ErrorKind::Corrupt,
        git::Error::TooLarge(_) => ErrorKind::InvalidArgument,
        git::Error::Dumb => ErrorKind::Unsupported,
        git::Error::Remote(_) | git::Error::Io { .. } => ErrorKind::Unavailable,
    };
    let mut text = format!("failed to fetch remote {}: {error}", address.remote);
    if let Some(source) = std::error::Error::source(&error) {
        text.push_str(": ");
        text.push_str(&source.to_string());
    }
    let is_dumb = matches!(error, git::Error::Dumb);
    let made = Error::new(kind, text).with_source(error);
    if is_dumb {
        return made.with_hint(
            "the server has to run `git http-backend`; git:// and ssh addresses work too",
        );
    }
    made
}

/// HTTP for git. Where the first answer came from by a redirect, the rest is asked for too.
struct HttpGit<'a> {
    network: &'a Arc<Network>,
    moved: Mutex<Option<(String, String)>>,
}

impl HttpGit<'_> {
    fn ask(&self, request: &FetchRequest) -> Result<Body, git::Error> {
        self.network.ask(request).map_err(|error| git::Error::Io {
            action: format!("unable to access {}", request.url),
            source: io::Error::other(error),
        })
    }
}

impl Http for HttpGit<'_> {
    fn get(&self, url: &str) -> Result<Box<dyn Read + Send>, git::Error> {
        /// What follows the repository's address.
        const PAGE: &str = "/info/refs";
        let body = self.ask(&FetchRequest {
            url: url.to_owned(),
            limit: FILE_LIMIT,
            ..FetchRequest::default()
        })?;
        let base = |url: &str| {
            url.find(PAGE)
                .and_then(|at| url.get(..at))
                .map(str::to_owned)
        };
        if let (Some(from), Some(to)) = (base(url), base(&body.fetched.url)) {
            let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
            *moved = (from != to).then_some((from, to));
        }
        Ok(Box::new(body))
    }

    fn post(
        &self,
        url: &str,
        content_type: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<Box<dyn Read + Send>, git::Error> {
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let url = match moved.as_ref() {
            Some((from, to)) => url.replacen(from.as_str(), to, 1),
            None => url.to_owned(),
        };
        drop(moved);
        let headers = vec![
            ("content-type".to_owned(), content_type.to_owned()),
            ("accept".to_owned(), accept.to_owned()),
        ];
        let answer = self.ask(&FetchRequest {
            url,
            headers,
            body: Some(body),
            limit: FILE_LIMIT,
        })?;
        Ok(Box::new(answer))
    }
}

/// The path of a context's address made absolute.
pub(super) fn absolute(working_directory: &Path, path: &str) -> PathBuf {
    let mut out = PathBuf::new();
    for component in working_directory.join(path).components() {
        match component {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

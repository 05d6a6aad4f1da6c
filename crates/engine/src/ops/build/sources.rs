//! What the steps of a build take from outside, opened when a step first asks.

use super::download::Downloads;
use super::images::ResolvedImages;
use super::open::{as_brought, open_scratch, with_own_ignore};
use super::remote::{Network, Ssh, absolute, failed};
use super::request::{BuildRequest, SecretSource, SshSource};
use super::words::{io_words, to_source};
use crate::error::{Error, ErrorKind};
use crate::ssh::{Agent, Owner, StepSocket};
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::context::{Address, GitAddress, LocalTree, Scratch};
use lapstrake_build::graph::ImageWanted;
use lapstrake_build::sandbox::SecretBytes;
use lapstrake_build::source::{
    AgentSocket, GitRequest, HttpRequest, RemoteFile, RemoteTree, SocketOwner, SourceError,
    SourceTree, Sources, Time,
};
use lapstrake_snapshot::Layer;
use lapstrake_spec::Digest;
use lapstrake_store::Store;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The largest secret, as in BuildKit.
const SECRET_LIMIT: u64 = 500 << 10;

/// Answers that are found once; whoever asks meanwhile waits.
struct Memo<T>(Mutex<BTreeMap<String, Slot<T>>>);

type Slot<T> = Arc<Mutex<Option<T>>>;

impl<T: Clone> Memo<T> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn get<E>(&self, key: &str, find: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = Arc::clone(slots.entry(key.to_owned()).or_default());
        drop(slots);
        let mut known = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(known.clone());
        }
        Ok(known.insert(find()?).clone())
    }
}

/// A tree and the folder that it lies in.
#[derive(Clone)]
struct Kept {
    tree: Arc<LocalTree>,
    commit: String,
    _scratch: Option<Arc<Scratch>>,
}

/// The sources of one build.
pub(super) struct BuildSources {
    store: Store,
    network: Arc<Network>,
    main: Arc<LocalTree>,
    working_directory: PathBuf,
    named: BTreeMap<String, String>,
    secrets: BTreeMap<String, SecretSource>,
    /// By the ids of `--ssh`.
    agents: BTreeMap<String, Arc<Agent>>,
    images: Arc<ResolvedImages>,
    contexts: Memo<Kept>,
    repositories: Memo<Kept>,
    files: Memo<RemoteFile>,
    now: Time,
}

impl BuildSources {
    pub(super) fn new(
        store: &Store,
        network: &Arc<Network>,
        main: &Arc<LocalTree>,
        images: &Arc<ResolvedImages>,
        request: &BuildRequest,
        now: Time,
    ) -> Result<Self, Error> {
        Ok(Self {
            store: store.clone(),
            network: Arc::clone(network),
            main: Arc::clone(main),
            working_directory: request.working_directory.clone(),
            named: request.named_contexts.clone(),
            secrets: request.secrets.clone(),
            agents: agents(&request.ssh, &request.working_directory)?,
            images: Arc::clone(images),
            contexts: Memo::new(),
            repositories: Memo::new(),
            files: Memo::new(),
            now,
        })
    }

    fn open_named(&self, name: &str) -> Result<Kept, Error> {
        let text = self.named.get(name).ok_or_else(|| {
            let text = format!("build context {name} is not defined");
            Error::new(ErrorKind::NotFound, text)
        })?;
        let path = absolute(&self.working_directory, text);
        match Address::parse(text, path.is_dir()) {
            Address::Git(address) => self.checkout(&self.network, &address, false, &Ssh::User),
            Address::Path(_) if path.is_dir() => {
                let tree = LocalTree::open(&path, name)
                    .map_err(|error| failed(&format!("open {}", path.display()), error))?;
                Ok(Kept {
                    tree: Arc::new(with_own_ignore(tree)?),
                    commit: String::new(),
                    _scratch: None,
                })
            }
            Address::Path(_) | Address::Stdin => {
                let text = format!("failed to get build context {name}: path {text:?} not found");
                Err(Error::new(ErrorKind::NotFound, text))
            }
            Address::Http(url) => self.archive(&url),
        }
    }

    fn archive(&self, url: &str) -> Result<Kept, Error> {
        let scratch =
            Scratch::create(&self.store).map_err(|error| failed("make a folder", error))?;
        let dir = lapstrake_sys::dir::Dir::open(scratch.path())
            .map_err(|error| failed("open a folder", error))?;
        let body = self.network.get(url)?;
        lapstrake_build::context::unpack(body, &dir).map_err(|error| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("failed to unpack {url}: {error}"),
            )
        })?;
        Ok(Kept {
            tree: Arc::new(as_brought(open_scratch(&scratch)?)),
            commit: String::new(),
            _scratch: Some(Arc::new(scratch)),
        })
    }

    fn checkout(
        &self,
        network: &Arc<Network>,
        address: &GitAddress,
        keep_git: bool,
        ssh: &Ssh,
    ) -> Result<Kept, Error> {
        let (scratch, commit) = network.checkout(&self.store, address, keep_git, ssh)?;
        Ok(Kept {
            tree: Arc::new(open_scratch(&scratch)?),
            commit: commit.to_string(),
            _scratch: Some(Arc::new(scratch)),
        })
    }

    /// Checks out for a Dockerfile, with what `--ssh default` gives.
    fn checkout_with_agent(
        &self,
        address: &GitAddress,
        keep_git: bool,
        cancel: &CancelToken,
    ) -> Result<Kept, Error> {
        let network = self.network.until(cancel);
        let Some(agent) = self.agents.get("default") else {
            return self.checkout(&network, address, keep_git, &Ssh::Refused);
        };
        let owner = Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            mode: 0o600,
        };
        let socket = StepSocket::serve(agent, &self.store, owner)
            .map_err(|error| failed("make a socket for ssh", error))?;
        let ssh = Ssh::Agent(socket.path().to_owned());
        self.checkout(&network, address, keep_git, &ssh)
    }
}

/// Who signs, by the ids of `--ssh`. Keys are read before anything runs, as docker's client does.
fn agents(
    given: &BTreeMap<String, SshSource>,
    working_directory: &Path,
) -> Result<BTreeMap<String, Arc<Agent>>, Error> {
    let mut agents = BTreeMap::new();
    for (id, source) in given {
        let agent = match source {
            SshSource::Unset => continue,
            SshSource::Agent(socket) => Agent::Socket(working_directory.join(socket)),
            SshSource::Keys(paths) => {
                let whole: Vec<PathBuf> = paths
                    .iter()
                    .map(|path| working_directory.join(path))
                    .collect();
                Agent::of_keys(id, &whole)?
            }
        };
        agents.insert(id.clone(), Arc::new(agent));
    }
    Ok(agents)
}

/// What failed because the build was stopped did not fail.
fn stopped(cancel: &CancelToken, error: Error) -> SourceError {
    if cancel.is_cancelled() {
        return SourceError::Cancelled;
    }
    to_source(error)
}

impl Sources for BuildSources {
    fn context(&self) -> Result<Arc<dyn SourceTree>, SourceError> {
        let tree: Arc<LocalTree> = Arc::clone(&self.main);
        Ok(tree)
    }

    fn named_context(&self, name: &str) -> Result<Arc<dyn SourceTree>, SourceError> {
        let kept = self
            .contexts
            .get(name, || self.open_named(name).map_err(to_source))?;
        Ok(Arc::new(Held(kept)))
    }

    fn image(&self, image: &ImageWanted) -> Result<Vec<Digest>, SourceError> {
        let layers = self.image_layers(image)?;
        Ok(layers.into_iter().map(|layer| layer.diff_id).collect())
    }

    fn image_layers(&self, image: &ImageWanted) -> Result<Vec<Layer>, SourceError> {
        let found = self.images.layers(image);
        found.ok_or_else(|| SourceError::other(format!("image {} was not resolved", image.name)))
    }

    fn http(&self, request: &HttpRequest, cancel: &CancelToken) -> Result<RemoteFile, SourceError> {
        let key = format!("{} {:?}", request.url, request.checksum);
        let downloads = Downloads {
            network: self.network.until(cancel),
            store: self.store.clone(),
            now: self.now,
        };
        self.files.get(&key, || {
            let file = downloads.file(request);
            file.map_err(|error| stopped(cancel, error))
        })
    }

    fn git(&self, request: &GitRequest, cancel: &CancelToken) -> Result<RemoteTree, SourceError> {
        let address = GitAddress::parse(&request.url)
            .ok_or_else(|| SourceError::other(format!("{} is no git repository", request.url)))?;
        let key = format!("{} {}", request.keep_git_dir, request.url);
        let kept = self.repositories.get(&key, || {
            self.checkout_with_agent(&address, request.keep_git_dir, cancel)
                .map_err(|error| stopped(cancel, error))
        })?;
        let commit = kept.commit.clone();
        if let Some(wanted) = &request.checksum
            && !commit.starts_with(wanted.as_str())
        {
            let text = format!("expected checksum to match {wanted}, got {commit}");
            return Err(SourceError::other(text));
        }
        let tree = Arc::new(Held(kept));
        Ok(RemoteTree { tree, commit })
    }

    fn secret(&self, id: &str) -> Result<Option<SecretBytes>, SourceError> {
        let path = match self.secrets.get(id) {
            None | Some(SecretSource::Unset(_)) => return Ok(None),
            Some(SecretSource::Value(value)) => {
                return Ok(Some(SecretBytes::new(value.clone())));
            }
            Some(SecretSource::File(path)) => self.working_directory.join(path),
        };
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&path).and_then(|file| {
            file.take(SECRET_LIMIT.saturating_add(1))
                .read_to_end(&mut bytes)
        });
        read.map_err(|error| {
            let words = io_words(&error);
            SourceError::other(format!(
                "failed to read secret {id}: open {}: {words}",
                path.display()
            ))
        })?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > SECRET_LIMIT {
            let text = format!("invalid secret size for {id}: more than {SECRET_LIMIT} bytes");
            return Err(SourceError::other(text));
        }
        Ok(Some(SecretBytes::new(bytes)))
    }

    fn ssh(
        &self,
        id: &str,
        owner: SocketOwner,
    ) -> Result<Option<Box<dyn AgentSocket>>, SourceError> {
        let Some(agent) = self.agents.get(id) else {
            return Ok(None);
        };
        let owner = Owner {
            uid: owner.uid,
            gid: owner.gid,
            mode: owner.mode,
        };
        let socket = StepSocket::serve(agent, &self.store, owner)
            .map_err(SourceError::io(format!("make a socket for ssh {id}")))?;
        Ok(Some(Box::new(socket)))
    }
}

/// A tree that keeps its folder.
struct Held(Kept);

impl SourceTree for Held {
    fn describe(&self) -> String {
        self.0.tree.describe()
    }

    fn metadata(
        &self,
        path: &std::path::Path,
    ) -> Result<Option<lapstrake_build::source::Metadata>, SourceError> {
        self.0.tree.metadata(path)
    }

    fn list(
        &self,
        directory: &std::path::Path,
    ) -> Result<Vec<lapstrake_build::source::SourceEntry>, SourceError> {
        self.0.tree.list(directory)
    }

    fn read_link(&self, path: &std::path::Path) -> Result<PathBuf, SourceError> {
        self.0.tree.read_link(path)
    }

    fn open(&self, path: &std::path::Path) -> Result<Box<dyn Read + Send>, SourceError> {
        self.0.tree.open(path)
    }

    fn is_ignored(&self, path: &std::path::Path) -> bool {
        self.0.tree.is_ignored(path)
    }

    fn has_owners(&self) -> bool {
        self.0.tree.has_owners()
    }

    fn cache_name(&self) -> Option<String> {
        self.0.tree.cache_name()
    }
}

//! The client: registries as a source and a sink of images.
//!
//! A [`Client`] lives for one command. It holds what is worth keeping between requests: connections,
//! tokens, which scheme a host speaks, which mirror is down. Nothing of it is persistent. Locks guard
//! maps and are never held across a request, but for the one around fetching a token, so that layers
//! fetched at once share it.
//!
//! Requests that change nothing are retried with growing pauses; a `Retry-After` of up to a minute is
//! waited for. A blob whose body breaks is the consumer's to ask for again at an offset.

mod blob;
mod buffers;
mod call;
mod etc_hosts;
mod failure;
mod fetch;
mod gate;
mod login;
mod manifest;
mod referrers;
mod registry;
mod remote;
mod reply;
mod retry;
mod search;
mod sink;
mod source;
mod tags;
mod tls;
mod token;
mod transport;
mod upload;

#[cfg(test)]
mod tests;

use crate::credentials::{Anonymous, Credential, Credentials};
use crate::hosts::HostSettings;
use crate::hosts::insecure::InsecureList;
use lapstrake_image::{Error, Trace};
use lapstrake_spec::{Descriptor, Digest, Reference};
use registry::{Registry, Shared};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use crate::hosts::proxy::Proxy;
pub use fetch::{FetchRequest, Fetched, Refusal};
pub use login::LoginOutcome;
pub use search::SearchResult;
pub use sink::Sink;
pub use source::Source;

/// How a [`Client`] behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folders with `HOST/hosts.toml` and `HOST/*.crt`, in order.
    pub certs_dirs: Vec<PathBuf>,
    /// Registries (`host[:port]` or CIDR block) that may be insecure. This machine always is.
    pub insecure_registries: Vec<String>,
    /// Mirrors of docker.io, in order.
    pub mirrors: Vec<String>,
    /// Proxies.
    pub proxies: Proxy,
    /// What requests say they come from.
    pub user_agent: String,
    /// Tries for one request, and for one upload.
    pub max_attempts: u32,
    /// Who the user is.
    pub credentials: Arc<dyn Credentials>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long the other end may be silent.
    pub idle_timeout: Duration,
    /// The first pause before another try; the following ones grow.
    pub retry_delay: Duration,
    /// The first pause before another try of an upload, which the user is told about.
    pub upload_retry_delay: Duration,
    /// Sends blobs in chunks of this many bytes. None sends each whole, and in chunks only when the
    /// registry finds that too much.
    pub upload_chunk: Option<u64>,
    /// Is told of every request.
    pub trace: Trace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            certs_dirs: Vec::new(),
            insecure_registries: Vec::new(),
            mirrors: Vec::new(),
            proxies: Proxy::default(),
            user_agent: concat!("lapstrake/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_attempts: 5,
            credentials: Arc::new(Anonymous),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            retry_delay: Duration::from_millis(250),
            upload_retry_delay: Duration::from_secs(5),
            upload_chunk: None,
            trace: Trace::default(),
        }
    }
}

/// Talks to registries. Clones share everything.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    registries: Arc<Mutex<BTreeMap<String, Arc<Registry>>>>,
}

impl Client {
    /// A client. Opens nothing yet: certificates and mirror files are read when a registry is first
    /// asked for something.
    pub fn new(options: Options) -> Result<Self, Error> {
        let settings = HostSettings {
            mirrors: options.mirrors.clone(),
            insecure: InsecureList::new(&options.insecure_registries),
            certs_dirs: options.certs_dirs.clone(),
        };
        let shared = Arc::new(Shared::new(options, settings)?);
        Ok(Self {
            shared,
            registries: Arc::default(),
        })
    }

    /// The repository of a name as a source. Mirrors are asked before the registry itself.
    pub fn source(&self, name: &Reference) -> Arc<Source> {
        Arc::new(Source::new(self.registry(name.domain()), name))
    }

    /// The repository of a name as a sink. A name with a tag is what the top manifest is put under.
    /// `mounts` names, by blob, other repositories of the registry that may have it.
    pub fn sink(&self, name: &Reference, mounts: BTreeMap<Digest, Vec<String>>) -> Arc<Sink> {
        Arc::new(Sink::new(self.registry(name.domain()), name, mounts))
    }

    /// The tags of a repository, in the registry's order.
    pub async fn tags(&self, name: &Reference) -> Result<Vec<String>, Error> {
        tags::list(&self.registry(name.domain()), name).await
    }

    /// What the index of a registry, named as in references (`docker.io`), finds for a term.
    pub async fn search(
        &self,
        domain: &str,
        term: &str,
        limit: usize,
    ) -> Result<Vec<SearchResult>, Error> {
        search::search(&self.shared, domain, term, limit).await
    }

    /// The manifests that name `digest` as their subject.
    pub async fn referrers(
        &self,
        name: &Reference,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        referrers::list(&self.registry(name.domain()), name, digest).await
    }

    /// Shows a password to a registry, named as the user types it.
    pub async fn login(
        &self,
        server: &str,
        username: &str,
        password: &str,
    ) -> Result<LoginOutcome, Error> {
        self.login_with(server, &Credential::password(username, password))
            .await
    }

    /// Shows credentials of any kind to a registry, named as the user types it.
    pub async fn login_with(
        &self,
        server: &str,
        credential: &Credential,
    ) -> Result<LoginOutcome, Error> {
        login::login(&self.shared, server, credential).await
    }

    fn registry(&self, domain: &str) -> Arc<Registry> {
        let mut registries = self
            .registries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = registries
            .entry(domain.to_owned())
            .or_insert_with(|| Arc::new(Registry::new(Arc::clone(&self.shared), domain)));
        Arc::clone(known)
    }
}

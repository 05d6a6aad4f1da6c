//! One registry as references name it, and the hosts behind it.

use super::Options;
use super::failure::{Doing, Failure, LostKind};
use super::remote::Remote;
use super::transport::Transport;
use crate::hosts::{Capabilities, HostSettings};
use lapstrake_image::{Error, ErrorKind};
use std::sync::{Arc, OnceLock};

/// What all registries of a client share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) transport: Transport,
    pub(super) settings: HostSettings,
    pub(super) options: Options,
}

impl Shared {
    pub(super) fn new(options: Options, settings: HostSettings) -> Result<Self, Error> {
        let transport = Transport::new(options.clone())?;
        Ok(Self {
            transport,
            settings,
            options,
        })
    }
}

/// One registry.
#[derive(Debug)]
pub(super) struct Registry {
    shared: Arc<Shared>,
    domain: String,
    hosts: OnceLock<Vec<Arc<Remote>>>,
}

/// What a host is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Resolve,
    Pull,
}

impl Purpose {
    fn is_served_by(self, capabilities: Capabilities) -> bool {
        match self {
            Self::Resolve => capabilities.resolve,
            Self::Pull => capabilities.pull,
        }
    }
}

impl Registry {
    pub(super) fn new(shared: Arc<Shared>, domain: &str) -> Self {
        Self {
            shared,
            domain: domain.to_owned(),
            hosts: OnceLock::new(),
        }
    }

    /// The hosts, in the order to ask them.
    pub(super) fn hosts(&self) -> Result<&[Arc<Remote>], Error> {
        if let Some(hosts) = self.hosts.get() {
            return Ok(hosts);
        }
        let found = self.shared.settings.hosts(&self.domain).map_err(|error| {
            Error::new(ErrorKind::InvalidContent, error.to_string().trim_end())
                .with_hint("correct the file, or remove it")
                .with_source(error)
        })?;
        let remote = |host| Arc::new(Remote::new(Arc::clone(&self.shared), host));
        Ok(self
            .hosts
            .get_or_init(|| found.into_iter().map(remote).collect()))
    }

    /// The host that is written to: the registry itself if it may be, else the first that may.
    pub(super) fn writable(&self) -> Result<Arc<Remote>, Error> {
        let hosts = self.hosts()?;
        let may = |remote: &&Arc<Remote>| remote.host.capabilities.push;
        let origin = hosts
            .iter()
            .filter(may)
            .find(|remote| remote.host.is_origin);
        origin
            .or_else(|| hosts.iter().find(may))
            .cloned()
            .ok_or_else(|| {
                let text = format!("no host of {} has the capability to push", self.domain);
                Error::new(ErrorKind::Denied, text)
            })
    }

    /// Does something at the first host where it works. The failure is that of the last one, with a
    /// hint about those before. `skip` leaves hosts out by their place.
    pub(super) async fn first<T, Work>(
        &self,
        purpose: Purpose,
        doing: Doing<'_>,
        skip: impl Fn(usize) -> bool,
        work: impl Fn(Arc<Remote>, bool) -> Work,
    ) -> Result<(usize, T), Error>
    where
        Work: Future<Output = Result<T, Failure>>,
    {
        let candidates = self.candidates(purpose, skip)?;
        let mut earlier: Vec<String> = Vec::new();
        let count = candidates.len();
        for (place, (index, remote)) in candidates.into_iter().enumerate() {
            let is_last = place.saturating_add(1) == count;
            match Box::pin(work(Arc::clone(&remote), is_last)).await {
                Ok(value) => {
                    tracing::debug!(host = %remote.host.authority, ?purpose, "answered");
                    return Ok((index, value));
                }
                Err(failure) if is_last => {
                    return Err(with_earlier(failure.into_error(doing), &earlier));
                }
                Err(failure) => {
                    let words = failure.brief();
                    tracing::debug!(host = %remote.host.authority, %words, "trying the next host");
                    if matches!(failure.lost_kind(), Some(kind) if kind != LostKind::Broken) {
                        remote.mark_down();
                    }
                    earlier.push(format!("{}: {words}", remote.host.authority));
                }
            }
        }
        let text = format!("no host of {} can serve this", self.domain);
        Err(with_earlier(
            Error::new(ErrorKind::Unavailable, text),
            &earlier,
        ))
    }

    /// The hosts to ask; those that are down only when nobody else is left.
    fn candidates(
        &self,
        purpose: Purpose,
        skip: impl Fn(usize) -> bool,
    ) -> Result<Vec<(usize, Arc<Remote>)>, Error> {
        let mut candidates: Vec<(usize, Arc<Remote>)> = self
            .hosts()?
            .iter()
            .enumerate()
            .filter(|(index, remote)| {
                purpose.is_served_by(remote.host.capabilities) && !skip(*index)
            })
            .map(|(index, remote)| (index, Arc::clone(remote)))
            .collect();
        if candidates.iter().any(|(_, remote)| !remote.is_down()) {
            candidates.retain(|(_, remote)| !remote.is_down());
        }
        Ok(candidates)
    }
}

fn with_earlier(error: Error, earlier: &[String]) -> Error {
    if earlier.is_empty() {
        return error;
    }
    let mirrors = format!("mirrors were tried first: {}", earlier.join("; "));
    let hint = match error.hint() {
        Some(hint) => format!("{hint}; {mirrors}"),
        None => mirrors,
    };
    error.with_hint(hint)
}

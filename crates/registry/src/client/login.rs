//! Showing credentials to a registry.

use super::call::Call;
use super::failure::{Doing, Failure};
use super::registry::Shared;
use super::remote::Remote;
use super::reply::words;
use crate::credentials::{Credential, HUB_KEY, hostname, server_key};
use lapstrake_image::{Error, ErrorKind};
use reqwest::Method;
use std::sync::Arc;

/// What a registry said to credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOutcome {
    /// What the user is told: `Login Succeeded`.
    pub status: String,
    /// A token to keep instead of the password, when the registry gave one.
    pub identity_token: Option<String>,
}

/// Tries credentials at the registry itself, never at a mirror.
pub(super) async fn login(
    shared: &Arc<Shared>,
    server: &str,
    credential: &Credential,
) -> Result<LoginOutcome, Error> {
    let key = server_key(server);
    let domain = if key == HUB_KEY {
        "docker.io"
    } else {
        hostname(&key)
    };
    let hosts = shared.settings.hosts(domain).map_err(|error| {
        Error::new(ErrorKind::InvalidContent, error.to_string()).with_source(error)
    })?;
    let host = hosts.into_iter().next_back().ok_or_else(|| {
        Error::new(
            ErrorKind::Unavailable,
            format!("no host is known for {domain}"),
        )
    })?;
    let remote = Remote::for_login(Arc::clone(shared), host, credential);
    match remote.send(&Call::new(Method::GET, "/")).await {
        Ok(_) => Ok(LoginOutcome {
            status: "Login Succeeded".to_owned(),
            identity_token: remote.identity_token(),
        }),
        Err(failure) => Err(refused(&remote, failure).await),
    }
}

async fn refused(remote: &Remote, mut failure: Failure) -> Error {
    if let Failure::Auth(refused) = &mut failure {
        // To log in is what was tried.
        refused.hint = None;
    }
    let Failure::Reply(reply) = &failure else {
        return failure.into_error(Doing::Other);
    };
    let kind = reply.kind();
    let status = words(reply.status);
    let scheme = remote
        .scheme()
        .await
        .map_or("https", crate::hosts::Scheme::name);
    let host = &remote.host;
    let text = format!(
        "login attempt to {scheme}://{}{}/ failed with status: {status}",
        host.authority, host.prefix
    );
    Error::new(kind, text)
}

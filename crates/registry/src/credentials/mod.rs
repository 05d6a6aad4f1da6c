//! Who the user is at which registry: `config.json` as docker keeps it, and helper programs.

mod file;
mod helper;

#[cfg(test)]
mod tests;

use base64::Engine as _;
use std::fmt;
use std::path::PathBuf;

pub use file::{DockerConfig, Kept};

/// The key under which credentials of Docker Hub are kept.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The user name with which helpers mark a secret that is an identity token.
const TOKEN_USER: &str = "<token>";

/// Finds credentials. Called on a thread that may block.
pub trait Credentials: Send + Sync + fmt::Debug {
    /// The credentials for a registry, named as in a reference (`docker.io`, `host:5000`) or as a
    /// user types it. None when there are none.
    fn get(&self, server: &str) -> Result<Option<Credential>, CredentialsError>;
}

/// No credentials for anybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

impl Credentials for Anonymous {
    fn get(&self, _server: &str) -> Result<Option<Credential>, CredentialsError> {
        Ok(None)
    }
}

/// What a user shows to a registry.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credential {
    username: String,
    password: String,
    identity_token: Option<String>,
    registry_token: Option<String>,
}

impl Credential {
    /// A user with a password.
    pub fn password(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
            ..Self::default()
        }
    }

    /// A user with a token that the registry's token server gave instead of the password.
    pub fn identity_token(username: &str, token: &str) -> Self {
        Self {
            username: username.to_owned(),
            identity_token: Some(token.to_owned()),
            ..Self::default()
        }
    }

    /// A token that is shown to the registry itself.
    pub fn registry_token(token: &str) -> Self {
        Self {
            registry_token: Some(token.to_owned()),
            ..Self::default()
        }
    }

    /// The user's name; may be empty.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The identity token, if this is one.
    pub fn as_identity_token(&self) -> Option<&str> {
        self.identity_token.as_deref()
    }

    /// The registry token, if this is one.
    pub fn as_registry_token(&self) -> Option<&str> {
        self.registry_token.as_deref()
    }

    /// The password, if this is a user with one.
    pub fn as_password(&self) -> Option<&str> {
        let usable = self.identity_token.is_none()
            && self.registry_token.is_none()
            && !(self.username.is_empty() && self.password.is_empty());
        usable.then_some(self.password.as_str())
    }

    /// `user:password` as Basic authentication and `config.json` encode it.
    pub(crate) fn basic(&self) -> String {
        let text = format!("{}:{}", self.username, self.password);
        base64::engine::general_purpose::STANDARD.encode(text)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Debug for Credential {
    /// The secrets stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Why credentials could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("Error loading config file: {path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: String,
    },
    /// The file cannot be written.
    #[error("error saving credentials: {path}: {error}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: String,
    },
    /// A helper program failed.
    #[error("error {action} credentials - err: {error}, out: `{output}`")]
    Helper {
        /// `getting`, `storing` or `erasing`.
        action: &'static str,
        /// Why.
        error: String,
        /// What the program said.
        output: String,
    },
}

/// The key in `config.json` for a registry as a reference or a user names it.
pub fn server_key(server: &str) -> String {
    let host = hostname(server);
    match host {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "" => HUB_KEY.to_owned(),
        other => other.to_owned(),
    }
}

/// A registry without scheme and path.
pub fn hostname(server: &str) -> &str {
    let bare = server
        .strip_prefix("https://")
        .or_else(|| server.strip_prefix("http://"))
        .unwrap_or(server);
    bare.split('/').next().unwrap_or(bare)
}

/// Whether two names of a registry mean the same one.
fn same_server(one: &str, other: &str) -> bool {
    server_key(one) == server_key(other)
}

//! `login` and `logout`: credentials for a registry.

use crate::error::Error;
use crate::{Engine, transfer};
use lapstrake_registry::credentials::{Credential, DockerConfig};

/// What `login` asks for.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    /// The registry; `None` is Docker Hub.
    pub server: Option<String>,
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

/// What `login` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginResult {
    /// The registry's answer, `Login Succeeded`.
    pub status: String,
    /// The file that now holds the password in clear, when no helper keeps it.
    pub unencrypted_file: Option<std::path::PathBuf>,
}

/// The key under which credentials of Docker Hub are kept.
const HUB: &str = lapstrake_registry::credentials::HUB_KEY;

/// Checks the credentials with the registry and keeps them.
pub async fn login(engine: &Engine, request: &LoginRequest) -> Result<LoginResult, Error> {
    let server = request.server.as_deref().unwrap_or(HUB);
    let client = transfer::client(engine)?;
    let outcome = client
        .login(server, &request.username, &request.password)
        .await?;
    let credential = match outcome.identity_token {
        Some(token) => Credential::identity_token(&request.username, &token),
        None => Credential::password(&request.username, &request.password),
    };
    let config = DockerConfig::load(&engine.settings().config_dir)?;
    let kept = config.store(server, &credential)?;
    Ok(LoginResult {
        status: outcome.status,
        unencrypted_file: kept.unencrypted_file,
    })
}

/// Forgets the credentials of a registry.
pub fn logout(engine: &Engine, server: Option<&str>) -> Result<(), Error> {
    let config = DockerConfig::load(&engine.settings().config_dir)?;
    Ok(config.erase(server.unwrap_or(HUB))?)
}

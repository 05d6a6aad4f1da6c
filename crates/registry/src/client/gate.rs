//! What it takes to be let in at one host: its challenges, the user's credentials, the tokens.

use super::failure::{Failure, Refused, login_hint};
use super::registry::Shared;
use super::reply::challenges;
use super::token::{self, Token, Wanted, basic_header, secret};
use crate::auth::{Challenge, Scope, merge_scopes};
use crate::credentials::Credential;
use crate::hosts::{Host, Scheme};
use lapstrake_image::ErrorKind;
use reqwest::Response;
use reqwest::header::HeaderValue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// A token this close to its end is not used any more.
const TOKEN_MARGIN: Duration = Duration::from_secs(5);
/// Tokens kept per host.
const TOKENS_LIMIT: usize = 256;

/// The way in at one host.
#[derive(Debug, Default)]
pub(super) struct Gate {
    challenges: Mutex<Arc<[Challenge]>>,
    credential: OnceCell<Found>,
    tokens: tokio::sync::Mutex<BTreeMap<String, Cached>>,
    /// Set for a login: then an identity token is asked for, and kept here.
    identity: Option<Mutex<Option<String>>>,
}

/// What looking for credentials found.
#[derive(Debug, Clone, Default)]
struct Found {
    credential: Option<Credential>,
    problem: Option<String>,
}

#[derive(Debug)]
struct Cached {
    value: HeaderValue,
    until: Instant,
}

impl Gate {
    /// A gate where these credentials are shown and no others.
    pub(super) fn for_login(credential: &Credential) -> Self {
        let found = Found {
            credential: Some(credential.clone()),
            problem: None,
        };
        Self {
            credential: OnceCell::new_with(Some(found)),
            identity: Some(Mutex::new(None)),
            ..Self::default()
        }
    }

    /// The identity token that a login brought.
    pub(super) fn identity_token(&self) -> Option<String> {
        let identity = self.identity.as_ref()?;
        identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Remembers challenges.
    pub(super) fn learn(&self, found: Vec<Challenge>) {
        *self
            .challenges
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::from(found);
    }

    /// Takes in the challenges of a 401. The scopes to try again with; None when that cannot help.
    pub(super) async fn challenged(
        &self,
        response: &Response,
        scopes: &[Scope],
        was_authorized: bool,
    ) -> Option<Vec<Scope>> {
        let found = challenges(response.headers());
        let bearer = found.iter().find(|challenge| challenge.scheme == "bearer");
        let has_basic = found.iter().any(|challenge| challenge.scheme == "basic");
        if bearer.is_none() && (was_authorized || !has_basic) {
            return None;
        }
        let merged = bearer.map_or_else(
            || scopes.to_vec(),
            |challenge| merge_scopes(scopes, &Scope::of_challenge(challenge)),
        );
        let is_refusal =
            bearer.and_then(|challenge| challenge.parameter("error")) == Some("insufficient_scope");
        if was_authorized && is_refusal && merged == scopes {
            return None;
        }
        self.learn(found);
        self.tokens.lock().await.clear();
        Some(merged)
    }

    /// The header that proves who the user is, by the challenges seen so far.
    pub(super) async fn authorization(
        &self,
        shared: &Shared,
        host: &Host,
        scheme: Scheme,
        scopes: &[Scope],
    ) -> Result<Option<HeaderValue>, Failure> {
        let known = {
            let challenges = self
                .challenges
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&challenges)
        };
        if known.is_empty() {
            return Ok(None);
        }
        let found = self.credential(shared, host).await;
        let credential = found.credential.as_ref();
        if let Some(token) = credential.and_then(Credential::as_registry_token) {
            return Ok(Some(secret(&format!("Bearer {token}"))));
        }
        if let Some(challenge) = known.iter().find(|challenge| challenge.scheme == "bearer") {
            let wanted = Wanted {
                challenge,
                scopes,
                credential,
                offline: self.identity.is_some(),
                over_tls: scheme == Scheme::Https,
            };
            return Box::pin(self.bearer(shared, host, &wanted)).await.map(Some);
        }
        if !known.iter().any(|challenge| challenge.scheme == "basic") {
            return Ok(None);
        }
        match credential.filter(|credential| credential.as_password().is_some()) {
            Some(credential) => Ok(Some(basic_header(credential))),
            None => Err(no_credentials(host, found)),
        }
    }

    /// A token for these scopes. Held while one is fetched, so that several requests share it.
    async fn bearer(
        &self,
        shared: &Shared,
        host: &Host,
        wanted: &Wanted<'_>,
    ) -> Result<HeaderValue, Failure> {
        let scopes: Vec<&str> = wanted.scopes.iter().map(Scope::as_str).collect();
        let part = |name| wanted.challenge.parameter(name).unwrap_or_default();
        let key = format!("{} {} {}", part("realm"), part("service"), scopes.join(" "));
        let mut tokens = self.tokens.lock().await;
        if let Some(cached) = tokens.get(&key)
            && cached.until > Instant::now()
        {
            return Ok(cached.value.clone());
        }
        let token = fetch_token(shared, host, wanted).await?;
        if let (Some(identity), Some(refresh)) = (&self.identity, token.refresh) {
            *identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(refresh);
        }
        let value = secret(&format!("Bearer {}", token.value));
        let lifetime = token.lifetime.saturating_sub(TOKEN_MARGIN);
        let now = Instant::now();
        let until = now.checked_add(lifetime).unwrap_or(now);
        if tokens.len() >= TOKENS_LIMIT {
            tokens.clear();
        }
        tokens.insert(
            key,
            Cached {
                value: value.clone(),
                until,
            },
        );
        Ok(value)
    }

    /// The credentials for this host. Looking may start a program, so it happens once, and only when
    /// the host wants credentials. A failure is not fatal: the request may work without.
    async fn credential(&self, shared: &Shared, host: &Host) -> &Found {
        self.credential
            .get_or_init(|| async {
                let store = Arc::clone(&shared.options.credentials);
                let key = host.credentials_key.clone();
                let looked = tokio::task::spawn_blocking(move || store.get(&key)).await;
                match looked {
                    Ok(Ok(credential)) => Found {
                        credential,
                        problem: None,
                    },
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "no credentials");
                        Found {
                            credential: None,
                            problem: Some(error.to_string()),
                        }
                    }
                    Err(error) => Found {
                        credential: None,
                        problem: Some(error.to_string()),
                    },
                }
            })
            .await
    }
}

fn no_credentials(host: &Host, found: &Found) -> Failure {
    let hint = match &found.problem {
        Some(problem) => problem.clone(),
        None => login_hint(&host.credentials_key),
    };
    Failure::Auth(Box::new(Refused {
        kind: ErrorKind::Unauthorized,
        message: "no basic auth credentials".to_owned(),
        request: None,
        hint: Some(hint),
        is_transient: false,
    }))
}

async fn fetch_token(shared: &Shared, host: &Host, wanted: &Wanted<'_>) -> Result<Token, Failure> {
    let fetched = token::fetch(shared, wanted).await;
    let hint = || login_hint(&host.credentials_key);
    fetched.map_err(|failure| match failure {
        Failure::Auth(mut refused) if refused.kind == ErrorKind::Unauthorized => {
            refused.hint.get_or_insert_with(hint);
            Failure::Auth(refused)
        }
        other => other,
    })
}

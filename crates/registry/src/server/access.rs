//! Who may do what: nothing asked, a password, or tokens from the built-in token endpoint.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::error::{Answer, ApiError, Code};
use super::handle::{BodyError, read_body};
use super::name::{RepositoryName, random_hex};
use super::query::Query;
use super::route::Route;
use super::tokens::{Grant, Tokens};

/// The name that tokens are issued for.
const SERVICE: &str = "lapstrake-registry";
/// Largest form that the token endpoint reads.
const FORM_LIMIT: usize = 64 * 1024;

/// How clients prove who they are.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everyone may do everything.
    #[default]
    Open,
    /// A user and password with every request.
    Basic(Login),
    /// Tokens, which the registry's own `/token` issues.
    Bearer(Bearer),
}

/// A user and password.
#[derive(Clone)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
}

/// How [`Access::Bearer`] issues tokens.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Who gets tokens that allow everything asked for.
    pub login: Login,
    /// Whether those who say no name get tokens to pull.
    pub anonymous_pull: bool,
    /// How long a token is good for.
    pub lifetime: Duration,
    /// Where clients reach this registry, `https://registry.example.com`, when something stands before it that
    /// ends TLS or has another name. Without it they are sent to the host that they asked for, by plain HTTP.
    /// It is given and not taken from `X-Forwarded-Proto` or `X-Forwarded-Host`: anyone can send those, and a
    /// client sends its password to the address that is told here.
    pub external_url: Option<String>,
}

impl Bearer {
    /// Where the sender of `headers` gets tokens.
    fn realm(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.external_url {
            return format!("{}/token", url.trim_end_matches('/'));
        }
        let host = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .filter(|host| is_host(host));
        format!("http://{}/token", host.unwrap_or("localhost"))
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Login {
    fn matches(&self, user: &str, password: &str) -> bool {
        // No early exit: the time taken tells nothing of where the first difference is.
        same(self.user.as_bytes(), user.as_bytes())
            & same(self.password.as_bytes(), password.as_bytes())
    }
}

fn same(left: &[u8], right: &[u8]) -> bool {
    let differences = left
        .iter()
        .zip(right)
        .fold(0_u8, |sum, (left, right)| sum | (left ^ right));
    left.len() == right.len() && differences == 0
}

/// Checks requests and issues tokens.
#[derive(Debug)]
pub(super) struct Authority {
    access: Access,
    tokens: Mutex<Tokens>,
}

impl Authority {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            tokens: Mutex::default(),
        }
    }

    /// Lets a request through, or says what it lacks.
    pub(super) fn check(
        &self,
        route: &Route,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        match &self.access {
            Access::Open => Ok(()),
            Access::Basic(login) => check_basic(login, headers),
            Access::Bearer(options) => self.check_token(options, &need(route, method), headers),
        }
    }

    /// Whether the sender of `headers`, whom [`check`](Self::check) passed, may read `name` too.
    pub(super) fn may_pull(&self, name: &RepositoryName, headers: &HeaderMap) -> bool {
        match &self.access {
            Access::Open | Access::Basic(_) => true,
            Access::Bearer(_) => bearer(headers)
                .and_then(|token| self.tokens().grant(token))
                .is_some_and(|grant| grant.allows(&format!("repository:{name}"), "pull")),
        }
    }

    fn check_token(
        &self,
        options: &Bearer,
        need: &Need,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        let challenge = |error| challenge(&options.realm(headers), need, error);
        let Some(token) = bearer(headers) else {
            return Err(challenge(None));
        };
        let Some(grant) = self.tokens().grant(token) else {
            return Err(challenge(Some("invalid_token")));
        };
        let enough = need.resource.as_ref().is_none_or(|resource| {
            need.actions
                .iter()
                .all(|action| grant.allows(resource, action))
        });
        if enough {
            Ok(())
        } else {
            Err(challenge(Some("insufficient_scope")))
        }
    }

    /// `GET /token` and `POST /token`.
    pub(super) async fn token(&self, request: Request) -> Answer {
        let Access::Bearer(options) = &self.access else {
            return Err(ApiError::new(Code::Unsupported).status(StatusCode::NOT_FOUND));
        };
        let (parts, body) = request.into_parts();
        match parts.method {
            Method::GET => {
                let query = Query::new(parts.uri.query().unwrap_or_default().as_bytes());
                let offline = query
                    .get("offline_token")
                    .is_some_and(|value| value == "true");
                let user = basic(&parts.headers);
                self.issue(options, user.as_ref(), &query, offline)
            }
            Method::POST => {
                let form = read_form(body).await?;
                self.issue_for_form(options, &Query::new(&form))
            }
            _ => Err(Code::Unsupported.into()),
        }
    }

    fn issue_for_form(&self, options: &Bearer, form: &Query<'_>) -> Answer {
        let text = |key| form.get(key).unwrap_or_default().into_owned();
        let offline = form
            .get("access_type")
            .is_some_and(|value| value == "offline");
        match form.get("grant_type").as_deref() {
            Some("password") => {
                let user = (text("username"), text("password"));
                self.issue(options, Some(&user), form, offline)
            }
            Some("refresh_token") => {
                let refresh = text("refresh_token");
                if !self.tokens().knows_refresh(&refresh) {
                    return Err(ApiError::new(Code::Unauthorized).message("refresh token unknown"));
                }
                let grant = grant(form, |_| true);
                self.grant_token(options, grant, Some(refresh))
            }
            _ => Err(ApiError::new(Code::Unsupported).status(StatusCode::BAD_REQUEST)),
        }
    }

    fn issue(
        &self,
        options: &Bearer,
        user: Option<&(String, String)>,
        query: &Query<'_>,
        offline: bool,
    ) -> Answer {
        let known = match user {
            Some((user, password)) if options.login.matches(user, password) => true,
            None if options.anonymous_pull => false,
            Some(_) | None => {
                return Err(ApiError::new(Code::Unauthorized)
                    .message("incorrect username or password")
                    .header(WWW_AUTHENTICATE, basic_challenge()));
            }
        };
        let refresh = if known && offline {
            Some(random_hex()?)
        } else {
            None
        };
        if let Some(token) = &refresh {
            self.tokens().add_refresh(token.clone());
        }
        self.grant_token(
            options,
            grant(query, |action| known || action == "pull"),
            refresh,
        )
    }

    fn grant_token(&self, options: &Bearer, grant: Grant, refresh: Option<String>) -> Answer {
        let token = random_hex()?;
        self.tokens()
            .add_access(token.clone(), grant, options.lifetime);
        let mut answer = json!({
            "token": token,
            "access_token": token,
            "expires_in": options.lifetime.as_secs(),
        });
        if let (Some(members), Some(refresh)) = (answer.as_object_mut(), refresh) {
            members.insert("refresh_token".to_owned(), refresh.into());
        }
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        Ok((headers, Body::from(answer.to_string())).into_response())
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request needs: nothing but a valid token when there is no resource.
struct Need {
    resource: Option<String>,
    actions: &'static [&'static str],
}

fn need(route: &Route, method: &Method) -> Need {
    if *route == Route::Catalog {
        return Need {
            resource: Some("registry:catalog".to_owned()),
            actions: &["*"],
        };
    }
    let actions: &[&str] = match (method, route) {
        (&Method::GET | &Method::HEAD, _) => &["pull"],
        (&Method::DELETE, Route::Manifest(..) | Route::Blob(..)) => &["delete"],
        _ => &["pull", "push"],
    };
    Need {
        resource: route.repository().map(|name| format!("repository:{name}")),
        actions,
    }
}

fn check_basic(login: &Login, headers: &HeaderMap) -> Result<(), ApiError> {
    match basic(headers) {
        Some((user, password)) if login.matches(&user, &password) => Ok(()),
        Some(_) | None => {
            Err(ApiError::new(Code::Unauthorized).header(WWW_AUTHENTICATE, basic_challenge()))
        }
    }
}

fn basic_challenge() -> HeaderValue {
    HeaderValue::from_static("Basic realm=\"lapstrake-registry\"")
}

fn challenge(realm: &str, need: &Need, error: Option<&str>) -> ApiError {
    let mut text = format!("Bearer realm=\"{realm}\",service=\"{SERVICE}\"");
    if let Some(resource) = &need.resource {
        text.push_str(",scope=\"");
        text.push_str(resource);
        text.push(':');
        text.push_str(&need.actions.join(","));
        text.push('"');
    }
    if let Some(error) = error {
        text.push_str(",error=\"");
        text.push_str(error);
        text.push('"');
    }
    let refusal = ApiError::new(Code::Unauthorized);
    match HeaderValue::from_str(&text) {
        Ok(value) => refusal.header(WWW_AUTHENTICATE, value),
        Err(_) => refusal,
    }
}

/// Whether a `Host` header is fit to be repeated inside quotes.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte))
}

fn grant(query: &Query<'_>, allowed: impl Fn(&str) -> bool) -> Grant {
    let scopes: Vec<_> = query.all("scope").collect();
    Grant::from_scopes(scopes.iter().map(AsRef::as_ref), allowed)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    authorization(headers, "bearer")
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = STANDARD.decode(authorization(headers, "basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (sent, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    sent.eq_ignore_ascii_case(scheme).then(|| value.trim())
}

async fn read_form(body: Body) -> Result<Bytes, ApiError> {
    read_body(body, FORM_LIMIT).await.map_err(|error| {
        ApiError::new(Code::Denied)
            .status(StatusCode::BAD_REQUEST)
            .message(match error {
                BodyError::TooLong => "form too long".to_owned(),
                BodyError::Cut(why) => why,
            })
    })
}

//! Why a request came to nothing, and the words the user gets for it.

use super::reply::Reply;
use lapstrake_image::{Error, ErrorKind};
use lapstrake_spec::Reference;

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The registry refused.
    Reply(Box<Reply>),
    /// No answer came, or none that can be understood.
    Transport(Box<Lost>),
    /// Credentials are missing, or the token server refused.
    Auth(Box<Refused>),
    /// Something else, worded already.
    Plain(Box<Error>),
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) kind: LostKind,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// `Get "http://host/v2/"`.
    pub(super) request: Option<String>,
}

/// How the answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LostKind {
    /// Nobody could be reached: refused, unroutable, no such name.
    Unreachable,
    /// The other end did not prove who it is, or refused us.
    Tls,
    /// The other end answered a handshake with something else.
    NoTls,
    /// The other end was silent for too long.
    Silent,
    /// The connection broke.
    Broken,
    /// What came is no HTTP.
    Garbage,
}

/// A request that could not be authorized.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    /// `Head "http://host/v2/name/manifests/tag"`.
    pub(super) request: Option<String>,
    /// Why no credentials were at hand, if that was an error.
    pub(super) hint: Option<String>,
    /// Whether another try may help.
    pub(super) is_transient: bool,
}

/// What was being done, which decides the words.
#[derive(Debug, Clone, Copy)]
pub(super) enum Doing<'a> {
    /// Reading this name.
    Pull(&'a Reference),
    /// Writing to the registry with this name in logins.
    Push(&'a str),
    /// Anything else.
    Other,
}

impl Failure {
    /// An answer that was lost.
    pub(super) fn lost(kind: LostKind, message: impl Into<String>) -> Self {
        Self::Transport(Box::new(Lost {
            kind,
            message: message.into(),
            hint: None,
            request: None,
        }))
    }

    /// The same failure, if it is a lost answer, with a hint.
    pub(super) fn or_hint(mut self, text: impl FnOnce() -> String) -> Self {
        if let Self::Transport(lost) = &mut self {
            lost.hint.get_or_insert_with(text);
        }
        self
    }

    /// The same failure with the request it belongs to, unless that is known.
    pub(super) fn of_request(mut self, text: impl FnOnce() -> String) -> Self {
        let request = match &mut self {
            Self::Transport(lost) => &mut lost.request,
            Self::Auth(refused) => &mut refused.request,
            Self::Reply(_) | Self::Plain(_) => return self,
        };
        request.get_or_insert_with(text);
        self
    }

    /// The refusal's status, if it is one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Reply(reply) => Some(reply.status.as_u16()),
            _ => None,
        }
    }

    /// How the answer was lost, if it was.
    pub(super) fn lost_kind(&self) -> Option<LostKind> {
        match self {
            Self::Transport(lost) => Some(lost.kind),
            _ => None,
        }
    }

    /// The words without the request, for a log.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Reply(reply) => reply.message(),
            Self::Transport(lost) => lost.message.clone(),
            Self::Auth(refused) => refused.message.clone(),
            Self::Plain(error) => error.message().to_owned(),
        }
    }

    /// The error that the user sees.
    pub(super) fn into_error(self, doing: Doing<'_>) -> Error {
        match self {
            Self::Plain(error) => *error,
            Self::Transport(lost) => {
                let message = with_request(lost.request.as_deref(), &lost.message);
                hinted(Error::new(ErrorKind::Unavailable, message), lost.hint)
            }
            Self::Auth(refused) => {
                let request = match doing {
                    Doing::Push(_) => None,
                    Doing::Pull(_) | Doing::Other => refused.request.as_deref(),
                };
                let message = with_request(request, &refused.message);
                hinted(Error::new(refused.kind, message), refused.hint)
            }
            Self::Reply(reply) => reply_error(&reply, doing),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Plain(Box::new(error))
    }
}

fn with_request(request: Option<&str>, message: &str) -> String {
    request.map_or_else(
        || message.to_owned(),
        |request| format!("{request}: {message}"),
    )
}

fn hinted(error: Error, hint: Option<String>) -> Error {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// A refusal in docker's words: those for a pull name the image.
fn reply_error(reply: &Reply, doing: Doing<'_>) -> Error {
    let kind = reply.kind();
    let message = match doing {
        Doing::Pull(name) => pull_message(reply, name),
        Doing::Push(_) | Doing::Other => reply.message(),
    };
    let error = Error::new(kind, message);
    match (kind, doing) {
        (ErrorKind::RateLimited, _) => error.with_hint(reply.rate_limit_hint()),
        (ErrorKind::Denied | ErrorKind::Unauthorized, Doing::Pull(name)) => {
            error.with_hint(login_hint(name.domain()))
        }
        (ErrorKind::Denied | ErrorKind::Unauthorized, Doing::Push(domain)) => {
            error.with_hint(login_hint(domain))
        }
        _ => error,
    }
}

/// What to do about missing credentials.
pub(super) fn login_hint(domain: &str) -> String {
    let server = if domain == "docker.io" {
        String::new()
    } else {
        format!(" {domain}")
    };
    format!("check the name, or log in with `lap login{server}`")
}

fn pull_message(reply: &Reply, name: &Reference) -> String {
    let message = reply.message();
    match reply.code() {
        "DENIED" if !reply.is_bare() => format!(
            "pull access denied for {}, repository does not exist or may require 'docker login': \
             {message}",
            name.familiar_name()
        ),
        "MANIFEST_UNKNOWN" => format!("manifest for {} not found: {message}", name.familiar()),
        "NAME_UNKNOWN" => format!("repository {} not found: {message}", name.familiar_name()),
        "" | "UNKNOWN" if reply.status.as_u16() == 404 => {
            format!("manifest for {} not found: {message}", name.familiar())
        }
        _ => message,
    }
}

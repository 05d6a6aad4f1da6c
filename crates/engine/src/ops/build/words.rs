//! From the errors of the build crates to the one error of operations, in docker's words.

use super::request::Dialect;
use super::result::FailedBuild;
use crate::error::{Error, ErrorKind, Origin};
use lapstrake_build::source::SourceError;
use lapstrake_dockerfile::{Excerpts, ParseError, Point, Points, Position, Span};
use std::io;

/// The build was stopped.
pub(in crate::ops) fn cancelled() -> Error {
    Error::new(ErrorKind::Interrupted, "context canceled").with_origin(Origin::Stream)
}

/// What the client finds before anything is sent.
pub(super) fn prepare(text: impl std::fmt::Display) -> Error {
    let text = format!("unable to prepare context: {text}");
    Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client)
}

/// What the system says, as Go says it.
pub(super) fn io_words(error: &io::Error) -> String {
    lapstrake_image::ErrorKind::io_words(error).into_owned()
}

/// An error of a source.
pub(super) fn source_error(error: SourceError) -> Error {
    match error {
        SourceError::Cancelled => cancelled(),
        SourceError::Io { action, source } => {
            let error = lapstrake_image::Error::io(&action, source);
            Error::from(error).with_origin(Origin::Stream)
        }
        SourceError::Other { message, source } => {
            let known = source
                .as_deref()
                .and_then(|source| source.downcast_ref::<Error>());
            let kind = known.map_or(ErrorKind::InvalidArgument, Error::kind);
            let made = Error::new(kind, message).with_origin(Origin::Stream);
            match known.and_then(Error::hint) {
                Some(hint) => made.with_hint(hint),
                None => made,
            }
        }
        other => Error::new(ErrorKind::Internal, other.to_string()).with_origin(Origin::Stream),
    }
}

/// The other way: an error of the engine where the build wants one of a source.
pub(super) fn to_source(error: Error) -> SourceError {
    if error.kind() == ErrorKind::Interrupted {
        return SourceError::Cancelled;
    }
    SourceError::Other {
        message: error.message().to_owned(),
        source: Some(Box::new(error)),
    }
}

/// The Dockerfile that errors point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) dialect: Dialect,
    pub(super) name: &'a str,
    pub(super) source: &'a [u8],
}

impl Place<'_> {
    /// An error with the lines it stands in. BuildKit says `failed to solve` first; classic docker shows no lines.
    pub(super) fn error(self, kind: ErrorKind, text: &str, spans: &[Span]) -> Error {
        self.error_at(kind, text, spans, None)
    }

    /// The same with the exact place.
    pub(super) fn error_at(
        self,
        kind: ErrorKind,
        text: &str,
        spans: &[Span],
        point: Option<Position>,
    ) -> Error {
        match self.dialect {
            Dialect::Classic => Error::new(kind, text).with_origin(Origin::Stream),
            Dialect::BuildKit => {
                let excerpt = Excerpts::new(self.name, self.source).lines(spans, point);
                let error = Error::new(kind, format!("failed to solve: {text}"))
                    .with_origin(Origin::Stream);
                error.with_failed_build(FailedBuild {
                    excerpt,
                    ..FailedBuild::default()
                })
            }
        }
    }

    /// A Dockerfile that cannot be read.
    pub(super) fn parse_error(self, error: &ParseError) -> Error {
        match self.dialect {
            Dialect::Classic => Error::new(ErrorKind::InvalidArgument, error.classic()),
            Dialect::BuildKit => self.error_at(
                ErrorKind::InvalidArgument,
                &error.to_string(),
                error.spans(),
                error.position(),
            ),
        }
    }

    /// Where the word of an instruction stands, or where the instruction begins.
    pub(super) fn find(self, instruction: Option<Span>, point: &Point) -> Option<Position> {
        Points::of(self.source).find(instruction?, point)
    }
}

//! What is wrong with a Dockerfile, in docker's words.

use std::fmt;

use crate::{Excerpts, Position, Span};

/// An error with its place. `Display` prints BuildKit's words; [`ParseError::classic`] those of
/// the classic builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    kind: ErrorKind,
    spans: Vec<Span>,
    /// The exact place, if it is known.
    place: Option<Position>,
    /// The line that the message names.
    line: Option<usize>,
    suggestion: Option<String>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The file has no instruction.
    #[error("file with no instructions")]
    Empty,
    /// More than [`crate::SOURCE_LIMIT`] bytes.
    #[error("dockerfile greater than max allowed size of {}", crate::SOURCE_LIMIT)]
    TooLarge,
    /// More than [`crate::LINE_LIMIT`] bytes in a line.
    #[error(
        "dockerfile line greater than max allowed size of {}",
        crate::LINE_LIMIT
    )]
    LineTooLong,
    /// No such instruction.
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    /// An instruction before the first `FROM`.
    #[error("no build stage in current context")]
    NoStage,
    /// Directives, flags, arguments or here-documents are wrong; the text is docker's.
    #[error("{0}")]
    Syntax(String),
}

impl ParseError {
    pub(crate) fn new(kind: ErrorKind, spans: Vec<Span>) -> Self {
        Self {
            kind,
            spans,
            place: None,
            line: None,
            suggestion: None,
        }
    }

    /// The same with the exact place.
    pub(crate) fn pointing_at(self, place: Option<Position>) -> Self {
        Self { place, ..self }
    }

    /// Wrong in one instruction: the message names its line.
    pub(crate) fn of_instruction(
        kind: ErrorKind,
        span: Span,
        place: Option<Position>,
        suggestion: Option<String>,
    ) -> Self {
        Self {
            kind,
            spans: vec![span],
            place,
            line: Some(span.start.line),
            suggestion,
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Where; empty when the whole file is meant.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The point: the flag, or where the instruction begins. Nothing when the whole file is meant.
    pub fn position(&self) -> Option<Position> {
        self.place
            .or_else(|| self.spans.first().map(|span| span.start))
    }

    /// The nearest instruction or flag, if one is near.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// The classic builder's words: `dockerfile parse error line 2: unknown instruction: FOO`.
    pub fn classic(&self) -> String {
        let text = match &self.kind {
            ErrorKind::UnknownInstruction(name) => {
                format!("unknown instruction: {}", name.to_uppercase())
            }
            kind => kind.to_string(),
        };
        match self.line {
            Some(line) => format!("dockerfile parse error line {line}: {text}"),
            None => text,
        }
    }

    /// The lines around the place, as BuildKit shows them, with the point; nothing without a place.
    pub fn excerpt(&self, file_name: &str, source: &[u8]) -> Option<String> {
        Excerpts::new(file_name, source).lines(&self.spans, self.position())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "dockerfile parse error on line {line}: ")?;
        }
        write!(f, "{}", self.kind)?;
        match &self.suggestion {
            Some(near) => write!(f, " (did you mean {near}?)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

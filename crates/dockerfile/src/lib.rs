//! Dockerfiles: text to instructions, words, ignore patterns, lint rules. Pure.
//!
//! Three steps, each a function of its input: [`parse()`] turns bytes into nodes (directives,
//! continuation lines, here-documents), [`Dockerfile::interpret`] turns nodes into typed
//! instructions in stages, and [`words`] replaces variables when the planner knows their values.
//! Beside them stand the matcher of `.dockerignore` ([`ignore`]) and the checks ([`lint`]).
//! The behaviour, down to the words of errors, is that of docker's BuildKit frontend, stable and
//! labs channels together; no file is read, no frontend image is ever fetched.
//!
//! The input is hostile: [`SOURCE_LIMIT`], [`LINE_LIMIT`], [`words::DEPTH_LIMIT`],
//! [`words::RESULT_LIMIT`] and [`ignore::PATTERN_LIMIT`] bound what it can cost, and all of it
//! takes time linear in the input.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::cast_possible_truncation,
        clippy::arithmetic_side_effects
    )
)]

mod span;

pub mod parse;

pub mod instruction;
pub mod interpret;

pub mod ignore;
pub mod lint;
pub mod words;

mod error;
mod excerpt;
mod point;
mod quote;
mod suggest;

pub use error::{ErrorKind, ParseError};
pub use excerpt::Excerpts;
pub use instruction::{Command, Dockerfile, Instruction, Stage};
pub use interpret::parse_trigger;
pub use parse::{Directives, Flag, Heredoc, LINE_LIMIT, Node, SOURCE_LIMIT, Syntax, parse};
pub use point::{Point, Points};
pub use span::{Position, Span};
pub use suggest::nearest;

//! Builds of the same Dockerfile by several engines, and what they made as one comparable text.
//!
//! A case is a folder of `testing/it/build-corpus`:
//!
//! - `Dockerfile`, where `@HTTP@`, `@REGISTRY@`, `@DIGEST@` and `@DIR@` stand for what differs from run to run,
//!   and `@TIME@` for the time of the context's files;
//! - `Dockerfile.docker`, optional, is what docker builds instead: its own frontend cannot do what is in
//!   the labs channel;
//! - `case`, optional, says how the context looks and how it is built, see [`Case`];
//! - `expected`, what docker 28 or newer makes of it; `expected.20`, where docker 20.10's BuildKit makes
//!   something else; `expected.classic`, what docker's classic builder makes of it. Recorded, never written by hand.
//!
//! An engine's result is right when it equals `expected` or `expected.20` as a whole.
//!
//! The text of an image has the configuration without what differs from build to build (times, ids), then the
//! merged tree without what is as in the base image: kind, mode, owners, seconds of the time or `now`,
//! size and digest of the content, extended attributes, links.

mod agent;
mod base;
mod case;
mod engine;
mod layout;
mod listing;
mod parts;
mod run;
mod server;

pub use case::{Case, Part, Second};
pub use engine::{Builder, Dialect};
pub use run::{Difference, Session, corpus_folder};

//! What tests share: random images, registries with faults, temporary directories, a harness for the binary.
//!
//! - [`Directory`] goes when dropped; every other thing here lives in one.
//! - [`RandomImage`] is made from a seed, with all that layers can hold, and knows the tree that
//!   unpacking must give.
//! - [`TestRegistry`] is the embedded registry on a free port; its [`Faults`] break answers and
//!   count bytes.
//! - [`Signer`] signs images as cosign does.
//! - [`builds`] compares what engines make of Dockerfiles.
//! - [`Cli`] runs a `lap` with nothing of the tester's environment.
//!
//! The contract of endpoints is `lapstrake_image::contract`, the endpoint in memory
//! `lapstrake_image::memory`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "for tests alone: what goes wrong here should fail the test on the spot"
)]

pub mod builds;
mod cli;
mod directory;
mod faults;
mod pack;
mod random;
mod registry;
mod rng;
mod signer;
mod tree;

pub use cli::{Cli, Outcome, levelled};
pub use directory::Directory;
pub use faults::{Fault, Faults, Seen, When};
pub use pack::{Compression, tar_of};
pub use random::{RandomImage, RandomLayer, Shape};
pub use registry::TestRegistry;
pub use rng::Rng;
pub use signer::{KeyKind, Signer};
pub use tree::{Change, Changes, Kind, Node, Tree};

#[cfg(test)]
mod tests;

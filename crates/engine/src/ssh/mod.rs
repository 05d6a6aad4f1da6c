//! Agents for `RUN --mount=type=ssh`: a socket made for one step, behind it the user's agent or keys
//! from files.
//!
//! A step may list keys and have data signed, and nothing else: it can neither add keys to the
//! user's agent nor remove them, whatever it sends. Messages are read one by one and are at most
//! [`wire::MESSAGE_LIMIT`] bytes long.
//!
//! Signing is done by the library that TLS uses; the form of the files and the protocol are read
//! here, because the available crates bring a second set of cryptographic libraries.

mod agent;
mod der;
mod key;
mod socket;
mod wire;

pub(crate) use agent::Agent;
pub(crate) use socket::{Owner, StepSocket};

#[cfg(test)]
mod tests;

//! The distribution protocol: a client endpoint and a server.
//!
//! [`client`] is an endpoint of the transfer seam: a source and a sink of images. [`server`] is the
//! other end of the same protocol. [`auth`], [`credentials`] and [`hosts`] hold what is pure or
//! local of the client: challenges, `config.json` with its helper programs, and which host with which
//! certificates and mirrors stands behind a name.
//!
//! What is absent: the environment (proxies and folders are values) and printing. Every body that is
//! read into memory has a named limit, every wait has an end.
#![warn(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects
)]

pub mod client;

pub mod auth;
pub mod credentials;
pub mod hosts;

pub mod server;

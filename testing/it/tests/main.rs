#![cfg(test)]
//! The integration tests, one binary: the crates against each other, and the built `lap`.

mod bad_input;
mod compat;
mod containers;
mod crash;
mod registry;
mod run;
mod surface;

#![cfg(test)]
//! The integration tests, one binary: the crates against each other, and the built `lap`.

mod registry;
mod surface;

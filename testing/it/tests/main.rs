#![cfg(test)]
//! The integration tests, one binary: the crates against each other, and the built `lap`.

mod bad_input;
mod build_corpus;
mod compat;
mod configuration;
mod containers;
mod crash;
mod docs;
mod files;
mod help;
mod prune_search;
mod registry;
mod rows;
mod run;
mod surface;
mod trust;

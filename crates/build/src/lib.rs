//! Builds: a Dockerfile to a graph, and the graph to layers.

pub mod cache;
pub mod cancel;
pub mod context;
pub mod error;
pub mod event;
pub mod graph;
mod ops;
pub mod plan;
pub mod sandbox;
pub mod solve;
pub mod source;

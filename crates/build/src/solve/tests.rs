//! Tests of the solver with a sandbox that only writes files. Each has a folder of its own.

mod cache;
mod classic;
mod copy;
mod crash;
mod fixture;
mod mounted;
mod run;

pub(crate) use fixture::Folder;

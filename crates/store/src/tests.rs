//! Tests of the store as a whole. Each has a folder of its own.

mod builds;
mod collect;
mod crash;
mod feed;
mod fixture;
mod layout;
mod processes;
mod produce;
mod transfer;
mod trees;
mod verify;

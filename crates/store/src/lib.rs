//! The image store: an OCI layout with unpacked layers beside it, shared by any number of processes.
//!
//! # On disk
//!
//! ```text
//! <root>/VERSION                  "1"; written last when a store is made
//! <root>/lock                     flock, see below
//! <root>/image/                   an OCI image layout, readable by any OCI tool
//!     oci-layout  index.json      index.json is the list of images and their names
//!     blobs/<alg>/<hex>           whole, verified, durable from the moment they have this name
//! <root>/layers/<hex of diff id>/
//!     fs/                         the unpacked layer, in overlay's form
//!     layer.json                  size, entries, blob, and the boot that wrote it
//! <root>/containers/<id>/config.json   only `ImageID`, `Layers`, `LayerBlobs` are read, as roots
//! <root>/build/records/*         cached build steps: `Layers` and `LayerBlobs` are read, as roots
//! <root>/ingest/<alg>-<hex>.partial    a download, resumed by whoever wants the blob next
//! <root>/ingest/new-*  tree-*     blobs and trees being made
//! <root>/leases/<id>              digests that a living process is about to refer to
//! <root>/trash/                   what is to be removed when there is time
//! <root>/links                    cache of what each manifest refers to; may be deleted at any time
//! ```
//!
//! An image in Docker's manifest format is listed in `index.json` by an OCI manifest of the same
//! configuration and layers (its *twin*), because other tools refuse the former in a layout; both are
//! blobs, and what is pushed is the original.
//!
//! # Who locks
//!
//! - `lock`, exclusively: a change of `index.json`, and a collection. Shared: entering a digest into a
//!   lease. Never held across the network or an unpacking.
//! - Each file in `leases/`, and each file or folder in `ingest/`, is flocked by its owner as long as it
//!   lives. What is not locked has no owner. Whoever gets such a lock checks that the name still
//!   stands for what was locked.
//! - Two processes that want the same blob meet at its partial file: the second waits, then finds the
//!   blob. Trees are renamed to a name that must be free; whoever comes second throws his own away.
//!
//! # What a collection keeps
//!
//! Everything reachable from `index.json` (also entries of other tools), the documents named by the
//! repo digests of an entry, what containers and cached build steps name, and what living leases name. Everything else among
//! blobs and trees is renamed into `trash/` under the lock and removed later.
//!
//! # What a crash leaves
//!
//! A tag is changed by replacing `index.json`; everything it refers to was durable before. So each tag
//! is whole or absent, and garbage is all that a crash adds. Trees are caches: they are not synced
//! while pulling. A tree is trusted by the boot that made it, and by later ones once [`Store::settle`]
//! has synced it and said so in `layer.json`; any other tree is thrown away and made again from its blob.
//!
//! What is absent: mounts, the network, clocks, knowledge of how containers run.

mod blobs;
mod build;
mod check;
mod disk;
mod endpoint;
mod error;
mod faults;
mod feed;
mod gc;
mod images;
mod ingest;
mod layers;
mod layout;
mod lease;
mod links;
mod pipeline;
mod produce;
mod store;
mod twin;
mod usage;

pub use build::{LayerTree, NewBlob};
pub use check::{CheckReport, Problem};
pub use endpoint::{StoreEndpoint, Unpack};
pub use error::Error;
pub use faults::{FaultPlan, Faults};
pub use gc::{Reclaimed, Without};
pub use images::{Entry, Found, Images, LookupError};
pub use layers::{LayerMount, LayerRecord};
pub use lease::Lease;
pub use produce::NewLayer;
pub use store::{OpenOptions, Store};
pub use usage::Usage;

#[cfg(test)]
mod tests;

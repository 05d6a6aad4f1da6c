//! What the nodes of a graph do: each operation is a function from trees to a new layer.
//!
//! `COPY`, `ADD` and `WORKDIR` first become a [`draft`] of the layer in memory, which [`write`] then turns into
//! tree and tar in one pass over the content. `RUN` prepares directories for the sandbox and takes what it leaves.

pub(crate) mod collect;
pub(crate) mod copy;
pub(crate) mod draft;
pub(crate) mod layer;
pub(crate) mod lower;
pub(crate) mod owner;
pub(crate) mod path;
pub(crate) mod pattern;
pub(crate) mod run;
pub(crate) mod single;
pub(crate) mod snapshot;
pub(crate) mod unpack;
pub(crate) mod write;

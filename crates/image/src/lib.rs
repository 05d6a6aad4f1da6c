//! The transfer seam: content sources, content sinks, and one copy between them.
//!
//! Pull, push, save, load and registry-to-registry copy are [`copy()`] with other endpoints. An
//! endpoint implements [`ContentSource`] (it can be read), [`ContentSink`] (it can be written) or
//! both. Raw bytes travel; parsed forms are views of them. A digest is checked where bytes enter a
//! process, once: a source checks manifests, whoever consumes a blob stream checks the blob.
//!
//! What is absent: names (the caller resolves one, below it only digests travel), printing, clocks,
//! recompression, and tasks that outlive the future that started them.

mod blob;
pub mod contract;
mod copy;
mod endpoint;
mod error;
mod event;
pub mod memory;
mod trace;
mod validate;

pub use blob::{BlobReader, RetryPolicy, read_blob};
pub use copy::{Copied, CopyOptions, Direction, INDEX_DEPTH_LIMIT, LAYERS_LIMIT, choose, copy};
pub use endpoint::{BlobStream, ContentSink, ContentSource, LayerPlan, Plan, Put};
pub use error::{Error, ErrorKind};
pub use event::{LayerEvent, LayerState, Observer, Silent};
pub use trace::Trace;
pub use validate::{Validated, validate};

#[cfg(test)]
mod tests;

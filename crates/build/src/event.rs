//! What happens during a build, told to whoever shows it. Events carry no times: there is no clock here, and
//! whoever shows them knows when they came.
//!
//! A *vertex* is one line of the picture: a step of the graph, or something that the engine does around it (loading the
//! context, resolving an image, exporting). For each vertex the order is `Started`, any number of `Output`, `Progress`,
//! `Explained`, and one `Finished`. Vertices run at the same time; in the classic dialect one after the other,
//! with the events of [`Classic`] beside them.

use crate::sandbox::Stream;
use lapstrake_spec::Digest;

/// Where events go.
pub trait Progress: Send + Sync {
    /// Takes an event. Called from several threads at once; must not wait for long.
    fn event(&self, event: BuildEvent);
}

/// Takes events and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: BuildEvent) {}
}

/// Names a vertex within one build. The solver uses the numbers of the graph's nodes, the engine
/// those from [`VertexId::ENGINE`] on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VertexId(pub u64);

impl VertexId {
    /// The first number that no node has.
    pub const ENGINE: u64 = 1 << 32;
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildEvent {
    /// Work on a vertex begins.
    Started {
        /// Which.
        vertex: VertexId,
        /// As BuildKit writes it: `[stage 2/4] RUN make`, `[internal] load build context`.
        name: String,
    },
    /// Output of the vertex's process. Whole bytes as they came, not lines.
    Output {
        /// Which vertex.
        vertex: VertexId,
        /// Which stream.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// How far a part of the vertex's work is, as in `transferring context: 2B`, `extracting sha256:…`.
    Progress {
        /// Which vertex.
        vertex: VertexId,
        /// The part.
        item: String,
        /// What is done.
        current: u64,
        /// What is to be done, when known.
        total: Option<u64>,
        /// Whether the part is complete.
        done: bool,
    },
    /// Why a step was not taken from the cache.
    Explained {
        /// Which vertex.
        vertex: VertexId,
        /// One reason: `ARG REV changed`, `1 of 812 files changed: src/version.txt`.
        /// [`Explanation`](crate::cache::Explanation) for the parts.
        reason: String,
        /// Nobody would ask: the step is new, or one below it ran.
        is_obvious: bool,
    },
    /// The vertex is done.
    Finished {
        /// Which.
        vertex: VertexId,
        /// How it ended.
        end: VertexEnd,
    },
    /// Something of which the user should know; a line without the word `warning`.
    Warning {
        /// The vertex it concerns.
        vertex: Option<VertexId>,
        /// The text.
        text: String,
    },
    /// What the classic builder prints.
    Classic(Classic),
}

/// How a vertex ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VertexEnd {
    /// It was done.
    Done,
    /// It was not done because its result was there.
    Cached,
    /// The text of the error.
    Failed(String),
    /// Stopped because the build was.
    Cancelled,
}

/// What the classic builder prints, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Classic {
    /// `Step 2/4 : RUN make`
    Step {
        /// From one on.
        number: usize,
        /// Of all.
        total: usize,
        /// The instruction, on one line, as written.
        text: String,
    },
    /// `# Executing 2 build triggers`
    Triggers {
        /// How many.
        count: usize,
    },
    /// A line of its own that comes before a step.
    Note {
        /// The line.
        text: String,
    },
    /// ` ---> Using cache`
    UsingCache,
    /// ` ---> Running in 0123456789ab`
    Running {
        /// Identifier of the step's container, 64 digits.
        id: String,
    },
    /// Output of a step's process.
    Output {
        /// Which stream.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// `Removing intermediate container 0123456789ab`
    Removed {
        /// Identifier of the step's container, 64 digits.
        id: String,
    },
    /// ` ---> 0123456789ab`
    Image {
        /// Identifier of the step's image.
        id: Digest,
    },
}

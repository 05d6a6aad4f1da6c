//! The solver: a graph becomes layers.
//!
//! Every node whose inputs are there may run; threads take them in the order of the graph, so that what is written
//! first runs first. A node that the cache has costs a few small files: its trees are not even looked for until
//! something runs on them. Identical nodes run once. The tar and the digest of what a program left are
//! made beside the next steps; nothing is compressed.
//!
//! # What makes a key
//!
//! The content below (diff ids), the words of the instruction with variables expanded, environment and options, and for files
//! their names, modes and contents: [`crate::cache::Inputs`]. While the layer below is still being hashed, because its
//! step has just run, the step above runs without a look into the cache.
//!
//! # What a crash leaves
//!
//! Trees and blobs in the store's `ingest/`, which the next sweep takes, and finished steps, which the next
//! build finds. A lease keeps what this build has found and made until [`Solved`] is dropped.

mod classic;
mod copying;
mod describe;
mod finish;
mod node;
mod schedule;
mod times;

use crate::cache::{Cache, Imports, Key};
use crate::cancel::CancelToken;
use crate::error::{SolveError, StepError};
use crate::event::Progress;
use crate::graph::{Graph, ImageWanted, NodeId, StageId};
use crate::ops::layer::{Chain, Held};
use crate::plan::Dialect;
use crate::sandbox::Sandbox;
use crate::source::{SourceError, Sources};
use lapstrake_snapshot::Layer;
use lapstrake_spec::{Digest, ImageConfig, Platform};
use lapstrake_store::{Lease, Store};
use std::path::PathBuf;
use std::sync::Arc;

/// What is to be solved, and with what.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "of objects of traits")]
pub struct SolveRequest<'a> {
    /// The plan.
    pub graph: &'a Graph,
    /// Where layers go.
    pub store: &'a Store,
    /// What runs programs.
    pub sandbox: &'a dyn Sandbox,
    /// What the build takes from outside.
    pub sources: Arc<dyn Sources>,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// How.
    pub options: &'a SolveOptions,
    /// Raised to stop.
    pub cancel: CancelToken,
    /// Caches of other places.
    pub imports: Option<&'a dyn Imports>,
}

/// How a graph is solved. `Default` is a build of BuildKit's dialect at the epoch.
#[derive(Debug, Clone, Default)]
pub struct SolveOptions {
    /// Whose words.
    pub dialect: Dialect,
    /// Tells this Dockerfile from others when a step is explained: its path, for instance.
    pub scope: String,
    /// Now: the time of the new image, and of directories that get a new name.
    pub now: jiff::Timestamp,
    /// Fail at the first step that is not cached.
    pub expect_cached: bool,
    /// `SOURCE_DATE_EPOCH`: stands for now in the image.
    pub source_date_epoch: Option<i64>,
    /// No file of a new layer is younger than the epoch.
    pub rewrite_timestamps: bool,
    /// How many nodes run at the same time; 0 lets the solver choose.
    pub parallelism: usize,
    /// Make a layer of what a failed program left, see [`crate::error::FailedStep::layers`].
    pub keep_failed: bool,
    /// So many steps of the classic builder were announced already.
    pub announced: usize,
    /// The classic builder removes the container of a failed step too.
    pub force_rm: bool,
}

/// A solved graph. What it names is safe from collection as long as it lives.
#[derive(Debug)]
pub struct Solved {
    /// The results, in the order of [`Graph::targets`].
    pub targets: Vec<SolvedTarget>,
    /// Nodes that the cache had, and nodes that make layers in all.
    pub cached: (usize, usize),
    /// The cache records of all steps, in the order of the graph.
    pub records: Vec<Key>,
    /// Protects layers and blobs.
    pub lease: Lease,
}

/// The result for one platform.
#[derive(Debug)]
pub struct SolvedTarget {
    /// The platform.
    pub platform: Platform,
    /// The complete configuration.
    pub config: ImageConfig,
    /// The layers, bottom first. The blobs are in the store and durable.
    pub layers: Vec<Layer>,
    /// How many of them are the base image's.
    pub inherited: usize,
    chain: Chain,
    store: Store,
}

/// Trees of a result. The paths hold as long as this lives.
#[derive(Debug)]
pub struct Trees {
    /// The top one first; none for an empty image.
    pub paths: Vec<PathBuf>,
    _held: Vec<Held>,
}

impl SolvedTarget {
    /// The trees of the layers, made from their blobs where they are missing.
    pub fn trees(&self) -> Result<Trees, StepError> {
        let (paths, held) = self.chain.trees(&self.store)?;
        Ok(Trees { paths, _held: held })
    }
}

/// What the classic builder makes of each step.
pub trait StepImages: Send + Sync {
    /// The id of an image that FROM names.
    fn base(&self, image: &ImageWanted) -> Result<Digest, SourceError>;

    /// The configuration of an image that a step made before, when it is still there.
    fn known(&self, id: &Digest) -> Result<Option<ImageConfig>, SourceError>;

    /// Makes a step's image; its id.
    fn make(&self, image: &StepImage<'_>) -> Result<Digest, SourceError>;
}

/// The image of one step.
#[derive(Debug, Clone)]
pub struct StepImage<'a> {
    /// The stage.
    pub stage: StageId,
    /// The complete configuration after the step.
    pub config: ImageConfig,
    /// Its layers, bottom first.
    pub layers: &'a [Layer],
    /// The image before the step; none at the beginning of `FROM scratch`.
    pub parent: Option<&'a Digest>,
    /// The last one of the target's: the result of the build.
    pub last: bool,
    /// Protects the layers.
    pub lease: &'a Lease,
}

/// Solves a graph.
pub fn solve(request: &SolveRequest<'_>) -> Result<Solved, SolveError> {
    let solver = schedule::Solver::new(request)?;
    solver.solve_all()?;
    solver.solved()
}

/// Solves a graph one step after the other, in the order of the Dockerfile, with an image for each step. The results' configurations
/// are those of the last images; their ids come second.
pub fn solve_classic(
    request: &SolveRequest<'_>,
    images: &dyn StepImages,
) -> Result<(Solved, Vec<Digest>), SolveError> {
    let solver = schedule::Solver::new(request)?;
    classic::run(solver, images)
}

/// What a node made.
#[derive(Debug, Clone)]
struct Made {
    chain: Chain,
    /// Names what it is within this build, also while digests are missing.
    token: Key,
    /// Whether it was found rather than made.
    cached: bool,
    /// The step's own name when it ran, for those that stand on it.
    ran: Option<String>,
    /// The image when it is one, for explanations.
    image: Option<String>,
}

impl Made {
    fn nothing() -> Self {
        Self {
            chain: Chain::default(),
            token: Key::of(b"nothing"),
            cached: true,
            ran: None,
            image: None,
        }
    }
}

/// The cache of a store, for those who list, remove or exchange records.
pub fn cache_of(store: &Store) -> Cache {
    Cache::of(store)
}

/// Numbers of nodes as ids of what is shown.
fn vertex(node: NodeId) -> crate::event::VertexId {
    crate::event::VertexId(node.0 as u64)
}

#[cfg(test)]
pub(crate) mod tests;

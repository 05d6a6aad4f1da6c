//! What a build is to do: nodes that make trees, and the steps of each stage over them.
//!
//! The planner writes a [`Graph`] and nobody changes it. A node makes one file system from its parent
//! and its inputs; configuration makes no nodes, it stands in the [`Step`]s of a stage. Ids are places
//! in [`Graph::nodes`], and whatever a node reads has a smaller id than the node itself, so a walk in
//! order never meets an unknown one. Stages that no target needs are not here.
//!
//! The printed form ([`std::fmt::Display`]) is for people and for tests; nothing parses it.

mod operation;
mod print;

use std::sync::Arc;

use lapstrake_dockerfile::Span;
use lapstrake_spec::{ContainerConfig, ImageConfig, Platform};

use crate::plan::PlanError;
pub use crate::sandbox::{Network, Resources, Ulimit};

pub use operation::{
    Bind, Cache, Copy, CopyKind, CopySource, Git, Http, ImageWanted, InlineFile, MakeDirectory,
    Mount, MountKind, Operation, Origin, Run, Secret, Security, Sharing, Ssh, Tree, Variable,
};

/// Stands in the history of classic COPY and ADD for what is known only when the files are read:
/// `file:`, `dir:` or `multi:` and the hash of the sources. Whoever runs the step replaces it.
pub const SOURCE_MARK: &str = "\u{fffc}";

/// The place of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// The place of a stage in [`Graph::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub usize);

/// All that a build is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Nodes; whatever one reads stands before it.
    pub nodes: Vec<Node>,
    /// ARG instructions before the first FROM: steps of classic that only count.
    pub preamble: Vec<Step>,
    /// Stages that are needed; a stage that another one stands on comes before it.
    pub stages: Vec<StageResult>,
    /// What is built: one for every platform that was asked for, in that order.
    pub targets: Vec<TargetResult>,
}

/// One operation that makes a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its place in [`Graph::nodes`].
    pub id: NodeId,
    /// What is done.
    pub operation: Operation,
    /// The file system that it changes; nothing for a base.
    pub parent: Option<NodeId>,
    /// File systems that it reads beside its parent, each once, in order of first mention.
    pub inputs: Vec<NodeId>,
    /// What people see of it.
    pub step: StepInfo,
}

/// What people see of a node, and what a rebuild is explained with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// As BuildKit prints it: `[builder 2/5] RUN make`.
    pub name: String,
    /// The instruction with its variables expanded, without the bracket: `RUN make`.
    pub instruction: String,
    /// The stage whose instruction it is; nothing for an image that `--from` names.
    pub stage: Option<StageId>,
    /// Where the instruction stands; nothing for triggers of a base image.
    pub span: Option<Span>,
    /// Run it even when the cache has it (`--no-cache`, `--no-cache-filter`).
    pub ignore_cache: bool,
    /// Build arguments that have a part in it: for RUN those in its environment, else those that its
    /// words name. In order of their names.
    pub arguments: Vec<(String, String)>,
}

/// One stage of the Dockerfile on one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageResult {
    /// Its place in [`Graph::stages`].
    pub id: StageId,
    /// Its number in the Dockerfile, from 0.
    pub index: usize,
    /// Its name as written after AS, in lower case.
    pub name: Option<String>,
    /// What FROM names, expanded: an image, a stage or `scratch`.
    pub base: String,
    /// The stage that it stands on.
    pub base_stage: Option<StageId>,
    /// What it is built for.
    pub platform: Platform,
    /// Run its steps even when the cache has them (`--no-cache`, `--no-cache-filter`).
    pub ignore_cache: bool,
    /// Instructions one after the other, FROM first.
    pub steps: Vec<Step>,
    /// Its file system.
    pub node: NodeId,
    /// The configuration after its last instruction. New history entries have no time yet; layers of
    /// nodes are not in `rootfs` yet, those of the base image are.
    pub config: ImageConfig,
    /// How many entries of the history come from a base image and have their times.
    pub inherited_history: usize,
}

/// One instruction, as the classic builder counts and prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The first step is 1, and the count goes on through all stages; triggers have their FROM's.
    pub number: usize,
    /// How many there are in the whole build.
    pub total: usize,
    /// As classic prints it after `Step 1/4 : `.
    pub text: String,
    /// What there is to do.
    pub kind: StepKind,
    /// Where it stands; nothing for triggers and for labels of the command line.
    pub span: Option<Span>,
    /// A line that classic prints before it runs the step.
    pub note: Option<String>,
    /// How many entries of the stage's history there are after it.
    pub history: usize,
    /// How containers run after it. With the classic dialect only, for its intermediate images; see
    /// [`StageResult::config_after`].
    pub run_config: Option<Arc<ContainerConfig>>,
    /// The configuration of the container that classic commits: the command is the history's.
    pub commit_config: Option<Arc<ContainerConfig>>,
}

/// What there is to do for a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// The stage begins: the base's file system, and how many triggers of the base follow as steps.
    From {
        /// The base's file system.
        node: NodeId,
        /// How many of the following steps are the base image's ONBUILD triggers.
        triggers: usize,
    },
    /// A layer.
    Filesystem(NodeId),
    /// Configuration alone.
    Config {
        /// Classic docker makes a container to commit such a step (`Running in …`); ARG and FROM
        /// before all stages are merely noted.
        container: bool,
    },
    /// The build ends here with this error. Classic runs and prints the steps before it first.
    Refused(Box<PlanError>),
}

/// What a platform of the build results in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetResult {
    /// The platform.
    pub platform: Platform,
    /// The stage.
    pub stage: StageId,
    /// The file system.
    pub node: NodeId,
    /// The configuration with the labels of the command line, as [`StageResult::config`].
    pub config: ImageConfig,
    /// How many entries of the history come from a base image and have their times.
    pub inherited_history: usize,
}

impl Graph {
    /// A node; nothing for an id of another graph.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// A stage; nothing for an id of another graph.
    pub fn stage(&self, id: StageId) -> Option<&StageResult> {
        self.stages.get(id.0)
    }
}

impl StageResult {
    /// The image that classic makes of this step: the configuration as far as the stage has come.
    /// Layers of nodes and times are not in it, as in [`StageResult::config`].
    pub fn config_after(&self, step: &Step) -> ImageConfig {
        let history = self.config.history.get(..step.history).unwrap_or_default();
        let author = match history.get(self.inherited_history..) {
            Some([.., last]) => last.author.clone(),
            _ => String::new(),
        };
        ImageConfig {
            author,
            config: step.run_config.as_deref().cloned(),
            container_config: step.commit_config.as_deref().cloned(),
            history: history.to_vec(),
            ..self.config.clone()
        }
    }
}

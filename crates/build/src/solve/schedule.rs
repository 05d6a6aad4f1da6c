//! Which node runs when.

use super::{Made, SolveRequest, Solved, SolvedTarget, times, vertex};
use crate::cache::{Cache, Digests, Key};
use crate::cancel::CancelToken;
use crate::error::{FailedStep, SolveError, StepError};
use crate::event::{BuildEvent, VertexEnd};
use crate::graph::{Graph, Node, NodeId, Operation, Tree};
use crate::ops::collect::Reading;
use crate::ops::layer::Chain;
use crate::ops::lower::LayersTree;
use crate::ops::snapshot::Snapshots;
use crate::source::{SourceTree, Time};
use lapstrake_snapshot::View;
use lapstrake_store::Lease;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

/// As many nodes at the same time at least: most of a step is waiting.
const LEAST_WORKERS: usize = 4;

/// A solver of one graph.
pub(super) struct Solver<'a> {
    pub(super) request: &'a SolveRequest<'a>,
    pub(super) graph: &'a Graph,
    pub(super) cache: Cache,
    pub(super) lease: Lease,
    /// Raised from outside, or when a step has failed: the others are of no use then.
    pub(super) cancel: CancelToken,
    /// Names of the places of steps, for explanations.
    pub(super) places: Vec<Key>,
    /// The time of what is new in layers.
    pub(super) now: Time,
    /// Who reads a node, once for each time it does.
    readers: Vec<Vec<usize>>,
    state: Mutex<State>,
    wake: Condvar,
    flights: Mutex<BTreeMap<Key, Arc<Flight>>>,
    digests: Mutex<BTreeMap<String, Arc<Digests>>>,
    /// What programs see of contexts.
    pub(super) snapshots: Snapshots,
}

#[derive(Default)]
struct State {
    made: Vec<Option<Made>>,
    /// How many inputs of a node are missing.
    missing: Vec<usize>,
    ready: BTreeSet<usize>,
    running: usize,
    workers: usize,
    failure: Option<SolveError>,
    /// Nodes that make layers: found, and all.
    counts: (usize, usize),
    records: BTreeMap<usize, Key>,
}

/// A node that is being made, for those that are the same.
#[derive(Default)]
struct Flight {
    done: Mutex<Option<Result<Made, String>>>,
    landed: Condvar,
}

impl<'a> Solver<'a> {
    pub(super) fn new(request: &'a SolveRequest<'a>) -> Result<Self, SolveError> {
        let graph = request.graph;
        let options = request.options;
        Ok(Self {
            request,
            graph,
            cache: Cache::of(request.store),
            lease: request.store.lease().map_err(StepError::from)?,
            cancel: request
                .cancel
                .child()
                .map_err(StepError::io("making a token to cancel steps".to_owned()))?,
            places: super::describe::places(graph, &options.scope),
            now: moment(options.now),
            readers: readers(graph),
            state: Mutex::new(State {
                made: vec![None; graph.nodes.len()],
                ..State::default()
            }),
            wake: Condvar::new(),
            flights: Mutex::default(),
            digests: Mutex::default(),
            snapshots: Snapshots::default(),
        })
    }

    /// The real time, whatever stands for it in the image.
    pub(super) fn clock(&self) -> Time {
        moment(self.request.options.now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn event(&self, event: BuildEvent) {
        self.request.progress.event(event);
    }

    /// Makes everything that the targets need.
    pub(super) fn solve_all(&self) -> Result<(), SolveError> {
        self.prepare();
        std::thread::scope(|scope| {
            self.state().workers = 1;
            self.work(scope);
        });
        self.save_digests();
        match self.state().failure.take() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    pub(super) fn save_digests(&self) {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        for digests in digests.values() {
            // Without them files are read anew.
            digests.save().ok();
        }
    }

    /// Marks what is needed, and what has no inputs.
    fn prepare(&self) {
        let mut needed = BTreeSet::new();
        let mut stack: Vec<usize> = self.graph.targets.iter().map(|t| t.node.0).collect();
        while let Some(index) = stack.pop() {
            if needed.insert(index)
                && let Some(node) = self.graph.nodes.get(index)
            {
                stack.extend(inputs(node).map(|id| id.0));
            }
        }
        let mut state = self.state();
        state.missing = vec![usize::MAX; self.graph.nodes.len()];
        for index in needed {
            if let Some(node) = self.graph.nodes.get(index) {
                let count = inputs(node).count();
                if let Some(missing) = state.missing.get_mut(index) {
                    *missing = count;
                }
                if count == 0 {
                    state.ready.insert(index);
                }
            }
        }
    }

    /// One thread's life: takes nodes until there are none.
    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let mut state = self.state();
        loop {
            if state.failure.is_some() || (state.ready.is_empty() && state.running == 0) {
                break;
            }
            let Some(index) = state.ready.pop_first() else {
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.running += 1;
            self.hire(&mut state, scope);
            drop(state);
            let result = self.run(NodeId(index), Some(scope));
            state = self.state();
            state.running -= 1;
            match result {
                Ok(made) => self.complete(&mut state, index, made),
                Err(error) => self.fail_in(&mut state, error),
            }
            self.wake.notify_all();
        }
        state.workers -= 1;
        drop(state);
        self.wake.notify_all();
    }

    /// Starts a thread when there is more to do than this one can.
    fn hire<'scope>(&'scope self, state: &mut State, scope: &'scope Scope<'scope, '_>) {
        let most = match self.request.options.parallelism {
            0 => std::thread::available_parallelism()
                .map_or(1, usize::from)
                .max(LEAST_WORKERS),
            given => given,
        };
        let idle = state.workers.saturating_sub(state.running);
        if state.ready.len() > idle && state.workers < most {
            let started = std::thread::Builder::new()
                .name("solve".to_owned())
                .spawn_scoped(scope, move || self.work(scope));
            // With fewer threads it takes longer.
            if started.is_ok() {
                state.workers += 1;
            }
        }
    }

    fn complete(&self, state: &mut State, index: usize, made: Made) {
        self.note(state, index, made);
        for child in self.readers.get(index).into_iter().flatten() {
            let Some(missing) = state.missing.get_mut(*child) else {
                continue;
            };
            // A node that no target needs is not waited for.
            if *missing != usize::MAX {
                *missing = missing.saturating_sub(1);
                if *missing == 0 {
                    state.ready.insert(*child);
                }
            }
        }
    }

    fn note(&self, state: &mut State, index: usize, made: Made) {
        let makes_layer =
            self.graph.nodes.get(index).is_some_and(|node| {
                !matches!(node.operation, Operation::Base(_) | Operation::Scratch)
            });
        if makes_layer {
            state.counts.0 += usize::from(made.cached);
            state.counts.1 += 1;
        }
        if let Some(slot) = state.made.get_mut(index) {
            *slot = Some(made);
        }
    }

    /// Makes a node and what it needs, one after the other.
    pub(super) fn ensure(&self, id: NodeId) -> Result<Made, SolveError> {
        let mut stack = vec![id];
        while let Some(&top) = stack.last() {
            let node = self.node(top)?;
            let missing = inputs(node).find(|input| self.made(*input).is_none());
            match missing {
                Some(input) => stack.push(input),
                None => {
                    if self.made(top).is_none() {
                        let made = std::thread::scope(|scope| {
                            let made = self.run(top, Some(scope))?;
                            for cell in &made.chain.own {
                                cell.wait()?;
                            }
                            Ok::<_, SolveError>(made)
                        });
                        if let Some(failure) = self.state().failure.take() {
                            return Err(failure);
                        }
                        let made = made?;
                        self.note(&mut self.state(), top.0, made);
                    }
                    stack.pop();
                }
            }
        }
        self.made(id)
            .ok_or_else(|| StepError::invalid("a node that was not made").into())
    }

    /// Takes the layer of a node away again. The file system stays what it is: the layer is empty.
    pub(super) fn drop_layer(&self, id: NodeId) {
        if let Some(Some(made)) = self.state().made.get_mut(id.0) {
            made.chain.own.pop();
        }
    }

    pub(super) fn node(&self, id: NodeId) -> Result<&'a Node, StepError> {
        self.graph
            .node(id)
            .ok_or_else(|| StepError::invalid("a node that is not in the graph"))
    }

    pub(super) fn made(&self, id: NodeId) -> Option<Made> {
        self.state().made.get(id.0).cloned().flatten()
    }

    /// The record that a node has made or found.
    pub(super) fn recorded(&self, id: NodeId) -> Option<Key> {
        self.state().records.get(&id.0).copied()
    }

    /// Says that the build has failed; the first failure is the one to report.
    pub(super) fn fail(&self, error: SolveError) {
        self.fail_in(&mut self.state(), error);
        self.wake.notify_all();
    }

    /// Notes a failure, and stops what runs beside it.
    fn fail_in(&self, state: &mut State, error: SolveError) {
        fail(state, error);
        self.cancel.cancel();
    }

    pub(super) fn record(&self, id: NodeId, key: Key) {
        self.state().records.insert(id.0, key);
    }

    /// Runs a node, with what is shown of it.
    fn run<'scope>(
        &'scope self,
        id: NodeId,
        scope: Option<&'scope Scope<'scope, '_>>,
    ) -> Result<Made, SolveError> {
        let node = self.node(id)?;
        if self.cancel.is_cancelled() {
            return Err(SolveError::Cancelled);
        }
        self.event(BuildEvent::Started {
            vertex: vertex(id),
            name: node.step.name.clone(),
        });
        let result = self.fly(node, scope);
        let end = match &result {
            // It is done when it is kept: `finish_new` says so.
            Ok(made) if !made.cached && matches!(node.operation, Operation::Run(_)) => {
                return result;
            }
            Ok(made) if made.cached && !matches!(node.operation, Operation::Base(_)) => {
                VertexEnd::Cached
            }
            Ok(_) => VertexEnd::Done,
            Err(SolveError::Cancelled) => VertexEnd::Cancelled,
            Err(error) => VertexEnd::Failed(error.to_string()),
        };
        self.event(BuildEvent::Finished {
            vertex: vertex(id),
            end,
        });
        result
    }

    /// Makes a node, or waits for one that is the same.
    fn fly<'scope>(
        &'scope self,
        node: &'a Node,
        scope: Option<&'scope Scope<'scope, '_>>,
    ) -> Result<Made, SolveError> {
        let token = self.token(node);
        let (flight, first) = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(&token) {
                Some(flight) => (Arc::clone(flight), false),
                None => {
                    let flight = Arc::<Flight>::default();
                    flights.insert(token, Arc::clone(&flight));
                    (flight, true)
                }
            }
        };
        if !first {
            let made = flight.wait().map_err(|text| {
                if self.cancel.is_cancelled() {
                    SolveError::Cancelled
                } else {
                    Self::failed(node, StepError::Same(text), None)
                }
            })?;
            return Ok(Made {
                cached: true,
                ..made
            });
        }
        let result = self.make(node, token, scope);
        flight.land(match &result {
            Ok(made) => Ok(made.clone()),
            Err(error) => Err(error.to_string()),
        });
        result
    }

    /// Names what a node does within this build.
    fn token(&self, node: &Node) -> Key {
        let mut hasher = crate::cache::KeyHasher::new("token");
        hasher.field(format!("{:?} {}", node.operation, node.step.ignore_cache).as_bytes());
        for input in inputs(node) {
            let token = self.made(input).map_or(Key::of(b""), |made| made.token);
            hasher.field(token.as_bytes());
        }
        hasher.finish()
    }

    pub(super) fn failed(
        node: &Node,
        error: StepError,
        layers: Option<Vec<lapstrake_snapshot::Layer>>,
    ) -> SolveError {
        if error.is_cancelled() {
            return SolveError::Cancelled;
        }
        SolveError::Step(Box::new(FailedStep {
            node: node.id,
            name: node.step.name.clone(),
            instruction: node.step.instruction.clone(),
            span: node.step.span,
            error,
            layers,
        }))
    }

    /// What another node made.
    pub(super) fn chain(&self, tree: &Tree) -> Result<Chain, StepError> {
        match tree {
            Tree::Node(id) => self
                .made(*id)
                .map(|made| made.chain)
                .ok_or_else(|| StepError::invalid("a node that was not made")),
            _ => Ok(Chain::default()),
        }
    }

    /// A tree of files to copy from. That of a node needs the second value as long as it is read.
    pub(super) fn reading(&self, tree: &Tree) -> Result<(Reading, super::Trees), StepError> {
        let mut held = super::Trees {
            paths: Vec::new(),
            _held: Vec::new(),
        };
        let stage = matches!(tree, Tree::Node(_) | Tree::Scratch);
        let (tree, owners): (Arc<dyn SourceTree>, bool) = match tree {
            Tree::Context => {
                let tree = self.request.sources.context()?;
                let owners = tree.has_owners();
                (tree, owners)
            }
            Tree::Named(name) => {
                let tree = self.request.sources.named_context(name)?;
                let owners = tree.has_owners();
                (tree, owners)
            }
            Tree::Node(_) | Tree::Scratch => {
                let (paths, keep) = self.chain(tree)?.trees(self.request.store)?;
                let view = View::of(&paths)?;
                held = super::Trees { paths, _held: keep };
                (Arc::new(LayersTree::new("stage".to_owned(), &view)), true)
            }
        };
        let digests = tree.cache_name().map(|name| self.digests(name));
        let reading = Reading {
            tree,
            digests,
            owners,
            stage,
        };
        Ok((reading, held))
    }

    fn digests(&self, name: String) -> Arc<Digests> {
        let mut all = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&name) {
            return Arc::clone(known);
        }
        let loaded = Arc::new(Digests::load(&self.cache, &name, self.clock()));
        all.insert(name, Arc::clone(&loaded));
        loaded
    }

    /// The results, once everything is made.
    pub(super) fn solved(self) -> Result<Solved, SolveError> {
        let mut targets = Vec::new();
        for target in &self.graph.targets {
            let made = self
                .made(target.node)
                .ok_or_else(|| StepError::invalid("a target that was not made"))?;
            let layers = made.chain.layers()?;
            let mut config = target.config.clone();
            let options = self.request.options;
            times::complete(&mut config, &made.chain, target.inherited_history, options)?;
            config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
            targets.push(SolvedTarget {
                platform: target.platform.clone(),
                config,
                inherited: layers.len().saturating_sub(made.chain.own.len()),
                layers,
                chain: made.chain,
                store: self.request.store.clone(),
            });
        }
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Solved {
            targets,
            cached: state.counts,
            records: state.records.into_values().collect(),
            lease: self.lease,
        })
    }
}

/// The first failure is the one to report; being cancelled is none beside another, and neither is what was only waiting
/// for a step that failed.
fn fail(state: &mut State, error: SolveError) {
    let known = state.failure.as_ref().map(weight);
    if known.is_none_or(|known| known < weight(&error)) {
        state.failure = Some(error);
    }
}

fn weight(error: &SolveError) -> u8 {
    match error {
        SolveError::Cancelled => 0,
        SolveError::Step(failed) if matches!(failed.error, StepError::Same(_)) => 1,
        _ => 2,
    }
}

fn moment(time: jiff::Timestamp) -> Time {
    Time {
        seconds: time.as_second(),
        nanoseconds: time.subsec_nanosecond().try_into().unwrap_or(0),
    }
}

fn readers(graph: &Graph) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); graph.nodes.len()];
    for node in &graph.nodes {
        for input in inputs(node) {
            if let Some(list) = readers.get_mut(input.0) {
                list.push(node.id.0);
            }
        }
    }
    readers
}

/// What a node reads.
pub(super) fn inputs(node: &Node) -> impl Iterator<Item = NodeId> {
    node.parent.into_iter().chain(node.inputs.iter().copied())
}

impl Flight {
    fn wait(&self) -> Result<Made, String> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = &*done {
                return result.clone();
            }
            done = self
                .landed
                .wait(done)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn land(&self, result: Result<Made, String>) {
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.landed.notify_all();
    }
}

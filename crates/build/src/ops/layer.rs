//! Layers of a build: usable from the moment their tree is there, finished when their tar is.
//!
//! The tree of a new layer lies in the store's `ingest/` until its digest is known and no step is using it under that name; then it
//! is renamed to its place among the layers. A build that dies before loses the tree and, if the blob was not
//! written either, the step.

use crate::cache::{Key, KeyHasher};
use crate::error::StepError;
use crate::graph::ImageWanted;
use crate::source::Sources;
use lapstrake_snapshot::Layer;
use lapstrake_spec::Digest;
use lapstrake_store::{LayerMount, LayerTree, Store};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A layer whose digest is known.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) layer: Layer,
    /// Bytes of its files.
    pub(crate) size: u64,
    pub(crate) entries: u64,
    /// When it was made, RFC 3339.
    pub(crate) created: String,
    /// What classic docker's history says of the sources of `COPY` and `ADD`.
    pub(crate) mark: Option<String>,
}

/// A layer that a step made.
#[derive(Debug)]
pub(crate) struct LayerCell {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug)]
struct State {
    /// The tree, as long as it is not the store's.
    tree: Option<LayerTree>,
    users: usize,
    done: Option<Result<Finished, String>>,
}

/// A tree in use: it keeps its path.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) path: PathBuf,
    cell: Option<Arc<LayerCell>>,
}

impl LayerCell {
    /// A layer that the store has.
    pub(crate) fn stored(finished: Finished) -> Arc<Self> {
        Self::with(None, Some(Ok(finished)))
    }

    /// A layer whose tree is there and whose digest is being computed.
    pub(crate) fn pending(tree: LayerTree) -> Arc<Self> {
        Self::with(Some(tree), None)
    }

    fn with(tree: Option<LayerTree>, done: Option<Result<Finished, String>>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                tree,
                users: 0,
                done,
            }),
            ready: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what became of it.
    pub(crate) fn finish(&self, result: Result<Finished, String>) {
        let mut state = self.state();
        state.done = Some(result);
        state.adopt();
        drop(state);
        self.ready.notify_all();
    }

    /// The layer, when its digest is known.
    pub(crate) fn finished(&self) -> Option<Finished> {
        self.state().done.clone()?.ok()
    }

    /// The layer; waits until its digest is known.
    pub(crate) fn wait(&self) -> Result<Finished, StepError> {
        let mut state = self.state();
        loop {
            if let Some(done) = &state.done {
                return done.clone().map_err(StepError::Same);
            }
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Its tree, made from the blob when the store has lost it.
    pub(crate) fn hold(self: &Arc<Self>, store: &Store) -> Result<Held, StepError> {
        let mut state = self.state();
        if let Some(tree) = &state.tree {
            let path = tree.path();
            state.users += 1;
            let cell = Some(Arc::clone(self));
            return Ok(Held { path, cell });
        }
        let done = state.done.clone();
        drop(state);
        match done {
            Some(Ok(finished)) => hold_stored(store, &finished.layer),
            Some(Err(text)) => Err(StepError::Same(text)),
            None => Err(StepError::invalid("a layer without a tree")),
        }
    }
}

fn hold_stored(store: &Store, layer: &Layer) -> Result<Held, StepError> {
    store.ensure_layer(&layer.diff_id, &layer.blob)?;
    let mounts = store.lowers(std::slice::from_ref(&layer.diff_id))?;
    match mounts.into_iter().next() {
        Some(LayerMount::Tree(path)) => Ok(Held { path, cell: None }),
        _ => Err(StepError::Invalid(format!(
            "layer {} cannot be mounted",
            layer.diff_id
        ))),
    }
}

impl State {
    /// Hands the tree to the store when nobody needs its path any more.
    fn adopt(&mut self) {
        let Some(Ok(finished)) = &self.done else {
            return;
        };
        if self.users == 0
            && let Some(tree) = self.tree.take()
        {
            let counts = (finished.size, finished.entries);
            let layer = &finished.layer;
            // A tree that could not be kept is made again from the blob when somebody needs it.
            tree.adopt(&layer.diff_id, &layer.blob.digest, counts).ok();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(cell) = &self.cell {
            let mut state = cell.state();
            state.users = state.users.saturating_sub(1);
            state.adopt();
        }
    }
}

/// The layers of an image. Only their diff ids are asked for until somebody needs more.
pub(crate) struct ImageLayers {
    image: ImageWanted,
    diff_ids: Vec<Digest>,
    sources: Arc<dyn Sources>,
    layers: Mutex<Option<Vec<Layer>>>,
}

impl std::fmt::Debug for ImageLayers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageLayers")
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

impl ImageLayers {
    pub(crate) fn new(sources: Arc<dyn Sources>, image: &ImageWanted) -> Result<Self, StepError> {
        Ok(Self {
            diff_ids: sources.image(image)?,
            image: image.clone(),
            sources,
            layers: Mutex::new(None),
        })
    }

    fn layers(&self) -> Result<Vec<Layer>, StepError> {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layers) = &*layers {
            return Ok(layers.clone());
        }
        let found = self.sources.image_layers(&self.image)?;
        Ok(layers.insert(found).clone())
    }
}

/// The layers of a file system, bottom first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    pub(crate) base: Option<Arc<ImageLayers>>,
    pub(crate) own: Vec<Arc<LayerCell>>,
}

impl Chain {
    pub(crate) fn with(&self, cell: Arc<LayerCell>) -> Self {
        let mut chain = self.clone();
        chain.own.push(cell);
        chain
    }

    fn base_diff_ids(&self) -> &[Digest] {
        self.base.as_ref().map_or(&[], |base| &base.diff_ids)
    }

    /// Names the content; none as long as a digest is missing.
    pub(crate) fn identity(&self) -> Option<Key> {
        let mut hasher = KeyHasher::new("chain");
        for diff_id in self.base_diff_ids() {
            hasher.field(diff_id.as_str().as_bytes());
        }
        for cell in &self.own {
            let finished = cell.finished()?;
            hasher.field(finished.layer.diff_id.as_str().as_bytes());
        }
        Some(hasher.finish())
    }

    /// The same, waiting for digests.
    pub(crate) fn wait_identity(&self) -> Result<Key, StepError> {
        for cell in &self.own {
            cell.wait()?;
        }
        self.identity()
            .ok_or_else(|| StepError::invalid("a layer without a digest"))
    }

    /// All layers; waits for digests.
    pub(crate) fn layers(&self) -> Result<Vec<Layer>, StepError> {
        let mut layers = match &self.base {
            None => Vec::new(),
            Some(base) => base.layers()?,
        };
        for cell in &self.own {
            layers.push(cell.wait()?.layer);
        }
        Ok(layers)
    }

    /// All trees, the top one first. Their paths hold as long as the second value lives.
    pub(crate) fn trees(&self, store: &Store) -> Result<(Vec<PathBuf>, Vec<Held>), StepError> {
        let mut held = Vec::new();
        if let Some(base) = &self.base {
            for layer in base.layers()? {
                held.push(hold_stored(store, &layer)?);
            }
        }
        for cell in &self.own {
            held.push(cell.hold(store)?);
        }
        let paths = held.iter().rev().map(|held| held.path.clone()).collect();
        Ok((paths, held))
    }
}

//! Making one node: look for it, or do it.

use super::describe::Patience;
use super::finish::New;
use super::schedule::Solver;
use super::{Made, vertex};
use crate::cache::{Explanation, Inputs, Key, Record};
use crate::error::{SolveError, StepError};
use crate::event::{BuildEvent, Classic};
use crate::graph::{MakeDirectory, Node, Operation, Run};
use crate::ops::draft::{Draft, IMPLICIT_MODE, Missing};
use crate::ops::layer::{Chain, Finished, ImageLayers, LayerCell};
use crate::ops::owner::{self, Owner};
use crate::ops::run::Making;
use crate::ops::write;
use crate::plan::Dialect;
use crate::sandbox::{Output, Stream};
use crate::source::Time;
use lapstrake_snapshot::{Layer, View};
use lapstrake_spec::Digest;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::Scope;

impl<'a> Solver<'a> {
    /// Makes a node whose inputs are made.
    pub(super) fn make<'scope>(
        &'scope self,
        node: &'a Node,
        token: Key,
        scope: Option<&'scope Scope<'scope, '_>>,
    ) -> Result<Made, SolveError> {
        let parent = node
            .parent
            .and_then(|id| self.made(id))
            .unwrap_or_else(Made::nothing);
        match &node.operation {
            Operation::Scratch => Ok(Made {
                token,
                ..Made::nothing()
            }),
            Operation::Base(image) => {
                let sources = Arc::clone(&self.request.sources);
                let layers = ImageLayers::new(sources, image)
                    .map_err(|error| Self::failed(node, error, None))?;
                let chain = Chain {
                    base: Some(Arc::new(layers)),
                    own: Vec::new(),
                };
                Ok(Made {
                    chain,
                    token,
                    image: Some(image.name.clone()),
                    ..Made::nothing()
                })
            }
            Operation::Run(run) => self.make_run(node, (run, token), &parent, scope),
            Operation::Copy(copy) => self.make_copy(node, (copy, token), &parent),
            Operation::Context(name) => {
                let whole = super::copying::whole_context(name);
                self.make_copy(node, (&whole, token), &parent)
            }
            Operation::MakeDirectory(directory) => {
                self.make_directory(node, (directory, token), &parent)
            }
        }
    }

    pub(super) fn made_of(parent: &Made, token: Key, finished: Finished) -> Made {
        Made {
            chain: parent.chain.with(LayerCell::stored(finished)),
            token,
            cached: true,
            ran: None,
            image: None,
        }
    }

    pub(super) fn ran(node: &Node, parent: &Made, token: Key, cell: Arc<LayerCell>) -> Made {
        Made {
            chain: parent.chain.with(cell),
            token,
            cached: false,
            ran: Some(node.step.name.clone()),
            image: None,
        }
    }

    /// The layer of a key, when it is known and its blob is here.
    pub(super) fn find(&self, node: &Node, key: &Key) -> Result<Option<Finished>, StepError> {
        if let Some(found) = self.find_here(node, key)? {
            return Ok(Some(found));
        }
        let imports = self.request.imports;
        if !imports.map_or(Ok(false), |imports| imports.fetch(key, &self.cancel))? {
            return Ok(None);
        }
        self.find_here(node, key)
    }

    fn find_here(&self, node: &Node, key: &Key) -> Result<Option<Finished>, StepError> {
        let Some(record) = self.cache.record(key) else {
            return Ok(None);
        };
        let Some(finished) = self.trust(&record)? else {
            return Ok(None);
        };
        self.cache.touch(key, self.clock());
        self.cache.point(self.place(node), key)?;
        self.record(node.id, *key);
        Ok(Some(finished))
    }

    fn place(&self, node: &Node) -> &Key {
        // One for every node.
        self.places.get(node.id.0).unwrap_or(&NO_PLACE)
    }

    /// Protects what a record names, then looks whether it is there.
    fn trust(&self, record: &Record) -> Result<Option<Finished>, StepError> {
        let ([diff_id], [blob]) = (record.layers.as_slice(), record.blobs.as_slice()) else {
            return Ok(None);
        };
        self.lease
            .protect(&[diff_id.clone(), blob.digest.clone()])?;
        if !self.request.store.has_blob(&blob.digest)? {
            return Ok(None);
        }
        Ok(Some(Finished {
            layer: Layer {
                diff_id: diff_id.clone(),
                blob: blob.clone(),
            },
            size: record.size,
            entries: record.entries,
            created: record.created.clone(),
            mark: record.mark.clone(),
        }))
    }

    pub(super) fn using_cache(&self) {
        if self.request.options.dialect == Dialect::Classic {
            self.event(BuildEvent::Classic(Classic::UsingCache));
        }
    }

    /// Says why a step runs; refuses when it must not.
    pub(super) fn explain(
        &self,
        node: &Node,
        parent: &Made,
        inputs: &Inputs,
    ) -> Result<(), SolveError> {
        let reason = self.reason(node, parent, inputs);
        if self.request.options.expect_cached {
            return Err(SolveError::NotCached {
                node: node.id,
                name: node.step.name.clone(),
                reason,
            });
        }
        self.event(BuildEvent::Explained {
            vertex: vertex(node.id),
            is_obvious: reason.is_obvious(),
            reason: reason.to_string(),
        });
        Ok(())
    }

    fn reason(&self, node: &Node, parent: &Made, inputs: &Inputs) -> Explanation {
        if node.step.ignore_cache {
            return Explanation::CacheOff;
        }
        let old = self
            .cache
            .pointed(self.place(node))
            .and_then(|key| self.cache.record(&key));
        match old {
            None => match &parent.ran {
                Some(step) => Explanation::ParentRan(step.clone()),
                None => Explanation::New,
            },
            Some(old) => {
                let new = Self::record_of(node, inputs.clone(), Vec::new(), String::new());
                crate::cache::explain(&self.cache, &old, &new, parent.ran.as_deref())
            }
        }
    }

    /// A record without its result.
    pub(super) fn record_of(
        node: &Node,
        inputs: Inputs,
        layers: Vec<Digest>,
        created: String,
    ) -> Record {
        Record {
            version: crate::cache::VERSION,
            key: inputs.key(),
            name: node.step.name.clone(),
            instruction: node.step.instruction.clone(),
            created,
            size: 0,
            entries: 0,
            inputs,
            arguments: node.step.arguments.iter().cloned().collect(),
            mark: None,
            layers,
            blobs: Vec::new(),
        }
    }

    /// What the cache has of a node; says why not, when it has nothing.
    fn look_up(
        &self,
        node: &Node,
        parent: &Made,
        contexts: &[String],
    ) -> Result<LookedUp, SolveError> {
        let wrong = |error| Self::failed(node, error, None);
        let (inputs, complete) = self
            .describe(node, parent, contexts, Patience::AsIs)
            .map_err(wrong)?;
        if complete
            && !node.step.ignore_cache
            && let Some(found) = self.find(node, &inputs.key()).map_err(wrong)?
        {
            self.using_cache();
            return Ok(LookedUp::Found(found));
        }
        self.explain(node, parent, &inputs)?;
        Ok(LookedUp::Missing(inputs))
    }

    fn make_run<'scope>(
        &'scope self,
        node: &'a Node,
        (run, token): (&'a Run, Key),
        parent: &Made,
        scope: Option<&'scope Scope<'scope, '_>>,
    ) -> Result<Made, SolveError> {
        let wrong = |error| Self::failed(node, error, None);
        let contexts = self.context_mounts(run).map_err(wrong)?;
        if let LookedUp::Found(found) = self.look_up(node, parent, &contexts)? {
            return Ok(Self::made_of(parent, token, found));
        }
        let tree = self.request.store.new_layer_tree();
        let tree = tree.map_err(|error| wrong(error.into()))?;
        let status = self.run_program(node, run, parent, &tree).map_err(wrong)?;
        // The files that it found are what the record is about.
        let contexts = self.context_mounts(run).map_err(wrong)?;
        let new = New {
            node,
            parent: parent.clone(),
            contexts,
            path: tree.path(),
        };
        if !status.is_success() {
            let layers = if self.request.options.keep_failed {
                self.keep_failed(&new, tree).ok()
            } else {
                None
            };
            let error = StepError::Program {
                display: run.display.clone(),
                status,
            };
            return Err(Self::failed(node, error, layers));
        }
        self.clamp_tree(&new.path).map_err(wrong)?;
        let cell = LayerCell::pending(tree);
        self.finish_later(new, Arc::clone(&cell), scope);
        Ok(Self::ran(node, parent, token, cell))
    }

    fn run_program(
        &self,
        node: &Node,
        run: &Run,
        parent: &Made,
        tree: &lapstrake_store::LayerTree,
    ) -> Result<crate::sandbox::ExitStatus, StepError> {
        let options = self.request.options;
        let making = Making {
            store: self.request.store,
            cache: &self.cache,
            sources: &self.request.sources,
            lease: &self.lease,
            cancel: &self.cancel,
            now: self.now,
            clock: self.clock(),
            chain: &|tree| self.chain(tree),
            snapshots: &self.snapshots,
            reading: &|tree| Ok(self.reading(tree)?.0),
        };
        let (request, keep) = making.request(run, &parent.chain, tree)?;
        let classic = options.dialect == Dialect::Classic;
        let id = container_id(node, tree.path().as_os_str().as_encoded_bytes());
        if classic {
            self.event(BuildEvent::Classic(Classic::Running { id: id.clone() }));
        }
        let mut output = Shown {
            solver: self,
            node,
            classic,
        };
        let status = self.request.sandbox.run(&request, &mut output);
        drop(keep);
        if classic && (options.force_rm || status.as_ref().is_ok_and(|status| status.is_success()))
        {
            self.event(BuildEvent::Classic(Classic::Removed { id }));
        }
        Ok(status?)
    }

    pub(super) fn write_draft(
        &self,
        draft: &Draft,
    ) -> Result<(Finished, lapstrake_store::LayerTree, BTreeMap<usize, Key>), StepError> {
        let tree = self.request.store.new_layer_tree()?;
        let place = write::Place {
            store: self.request.store,
            tree: &tree,
            lease: &self.lease,
            latest: self.latest(),
            cancel: &self.cancel,
        };
        let written = write::write(draft, place)?;
        let finished = Finished {
            layer: Layer {
                diff_id: written.blob.digest.clone(),
                blob: written.blob,
            },
            size: written.size,
            entries: written.entries,
            created: super::times::now(self.request.options),
            mark: None,
        };
        Ok((finished, tree, written.digests))
    }

    fn make_directory(
        &self,
        node: &Node,
        (directory, token): (&MakeDirectory, Key),
        parent: &Made,
    ) -> Result<Made, SolveError> {
        let wrong = |error| Self::failed(node, error, None);
        let inputs = match self.look_up(node, parent, &[])? {
            LookedUp::Found(found) => return Ok(Self::made_of(parent, token, found)),
            LookedUp::Missing(inputs) => inputs,
        };
        if self.request.options.dialect == Dialect::Classic {
            let id = container_id(node, inputs.key().as_bytes());
            self.event(BuildEvent::Classic(Classic::Running { id: id.clone() }));
            self.event(BuildEvent::Classic(Classic::Removed { id }));
        }
        let (finished, tree, _) = self
            .draft_directory(directory, parent)
            .and_then(|draft| self.write_draft(&draft))
            .map_err(wrong)?;
        let (inputs, _) = self
            .describe(node, parent, &[], Patience::Wait)
            .map_err(wrong)?;
        let cell = self.finish_now(node, inputs, &finished, tree);
        Ok(Self::ran(node, parent, token, cell))
    }

    fn draft_directory(
        &self,
        directory: &MakeDirectory,
        parent: &Made,
    ) -> Result<Draft, StepError> {
        let (paths, _held) = parent.chain.trees(self.request.store)?;
        let view = View::of(&paths)?;
        let owner = match directory.owner.as_deref() {
            None | Some("") => None,
            Some(text) => Some(owner::resolve(text, Some(&view), false)?),
        };
        // The classic builder names the owner always, BuildKit leaves it to the kernel.
        let classic = self.request.options.dialect == Dialect::Classic;
        let missing = Missing {
            owner: owner.or(classic.then(Owner::default)),
            mode: IMPLICIT_MODE,
        };
        let below = (!paths.is_empty()).then_some(&view);
        let mut draft = Draft::new(below, self.now);
        let path = draft.resolve(directory.path.as_bytes(), true)?;
        let is_new = draft.kind(&path)?.is_none();
        draft.make_directories(&path, missing)?;
        // Those above it have changed since they were made.
        if let Some(seconds) = self.request.options.source_date_epoch.filter(|_| is_new) {
            let time = Time {
                seconds,
                nanoseconds: 0,
            };
            draft.set_time(&path, time)?;
        }
        Ok(draft)
    }

    /// The latest time that files of new layers may have.
    pub(super) fn latest(&self) -> Option<i64> {
        let options = self.request.options;
        options
            .source_date_epoch
            .filter(|_| options.rewrite_timestamps)
    }
}

/// What the cache has of a node.
enum LookedUp {
    Found(Finished),
    /// Nothing under a key of these.
    Missing(Inputs),
}

/// For a node that the graph does not have.
static NO_PLACE: std::sync::LazyLock<Key> = std::sync::LazyLock::new(|| Key::of(b"no place"));

/// 64 digits that stand for the container of a step.
pub(super) fn container_id(node: &Node, salt: &[u8]) -> String {
    let mut hasher = crate::cache::KeyHasher::new("container");
    hasher.field(salt).number(node.id.0 as u64);
    hasher.finish().to_string()
}

/// Passes on what a program prints.
struct Shown<'a, 'b> {
    solver: &'a Solver<'b>,
    node: &'a Node,
    classic: bool,
}

impl Output for Shown<'_, '_> {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.solver.event(if self.classic {
            BuildEvent::Classic(Classic::Output { stream, bytes })
        } else {
            BuildEvent::Output {
                vertex: vertex(self.node.id),
                stream,
                bytes,
            }
        });
    }
}

//! The classic builder's way: one step after the other, an image for each.

use super::schedule::Solver;
use super::times::Mark;
use super::{Made, Solved, StepImage, StepImages, times};
use crate::cache::{Key, KeyHasher};
use crate::error::{SolveError, StepError};
use crate::event::{BuildEvent, Classic};
use crate::graph::{NodeId, Operation, StageId, StageResult, Step, StepKind};
use crate::ops::layer::Finished;
use crate::plan::{LAYER_LIMIT, PlanError, PlanErrorKind};
use lapstrake_snapshot::Layer;
use lapstrake_spec::{Digest, History, ImageConfig};
use std::collections::BTreeMap;

/// The image that a stage has come to.
#[derive(Debug, Clone, Default)]
struct Reached {
    id: Option<Digest>,
    history: Vec<History>,
    /// The layers; steps that changed nothing have none.
    layers: Vec<Layer>,
    /// Of the steps since the base image that could have layers.
    marks: Vec<Mark>,
    made: Option<Made>,
    /// The complete configuration, when a step has made or found one.
    config: Option<ImageConfig>,
}

/// Runs all steps. The second value are the ids of the targets' images.
pub(super) fn run(
    solver: Solver<'_>,
    images: &dyn StepImages,
) -> Result<(Solved, Vec<Digest>), SolveError> {
    let mut stages: BTreeMap<StageId, Reached> = BTreeMap::new();
    let mut configs = BTreeMap::new();
    for step in &solver.graph.preamble {
        announce(&solver, step);
    }
    for stage in &solver.graph.stages {
        let mut walk = Walk {
            solver: &solver,
            images,
            stage,
            reached: Reached::default(),
            triggers: 0,
        };
        for step in &stage.steps {
            walk.step(step, &stages)?;
        }
        let config = walk.reached.config.clone();
        configs.insert(stage.id, config.unwrap_or_else(|| stage.config.clone()));
        stages.insert(stage.id, walk.reached);
    }
    solver.save_digests();
    let mut ids = Vec::new();
    let targets: Vec<StageId> = solver.graph.targets.iter().map(|t| t.stage).collect();
    for target in &targets {
        let id = stages.get(target).and_then(|reached| reached.id.clone());
        ids.push(id.ok_or_else(|| {
            StepError::invalid("No image was generated. Is your Dockerfile empty?")
        })?);
    }
    let mut solved = solver.solved()?;
    for (target, stage) in solved.targets.iter_mut().zip(&targets) {
        if let Some(config) = configs.remove(stage) {
            target.config = config;
        }
    }
    Ok((solved, ids))
}

/// `Step 2/4 : RUN make`, unless that was said before the images were looked for.
fn announce(solver: &Solver<'_>, step: &Step) {
    if step.number > solver.request.options.announced {
        solver.event(BuildEvent::Classic(Classic::Step {
            number: step.number,
            total: step.total,
            text: step.text.clone(),
        }));
    }
}

struct Walk<'a, 'b> {
    solver: &'a Solver<'b>,
    images: &'a dyn StepImages,
    stage: &'a StageResult,
    reached: Reached,
    /// Triggers of the base image that are still to come.
    triggers: usize,
}

impl Walk<'_, '_> {
    fn say(&self, event: Classic) {
        self.solver.event(BuildEvent::Classic(event));
    }

    fn step(&mut self, step: &Step, stages: &BTreeMap<StageId, Reached>) -> Result<(), SolveError> {
        if self.solver.cancel.is_cancelled() {
            return Err(SolveError::Cancelled);
        }
        let triggered = self.triggers > 0;
        if !triggered {
            announce(self.solver, step);
        }
        if let Some(text) = &step.note {
            self.say(Classic::Note { text: text.clone() });
        }
        match &step.kind {
            StepKind::Refused(error) => return Err(SolveError::Refused(error.clone())),
            StepKind::From { node, triggers } => {
                let made = self.solver.ensure(*node)?;
                self.begin(step, stages, made)?;
                if *triggers > 0 {
                    self.say(Classic::Triggers { count: *triggers });
                }
                self.triggers = *triggers;
            }
            StepKind::Filesystem(node) => {
                let made = self.solver.ensure(*node)?;
                if let Some(cell) = made.chain.own.last() {
                    self.layer(*node, cell.wait()?);
                }
                if self.reached.layers.len() > LAYER_LIMIT {
                    let error = PlanError::from(PlanErrorKind::MaxDepth);
                    return Err(SolveError::Refused(Box::new(error)));
                }
                let cached = made.cached;
                self.reached.made = Some(made);
                self.image(step, cached)?;
            }
            StepKind::Config { container } => self.configure(step, *container)?,
        }
        if triggered {
            self.triggers -= 1;
        }
        if self.triggers == 0
            && let Some(id) = &self.reached.id
        {
            self.say(Classic::Image { id: id.clone() });
        }
        Ok(())
    }

    /// The layer of a step, which is none when nothing was changed.
    fn layer(&mut self, node: NodeId, finished: Finished) {
        let is_empty = finished.entries == 0;
        if is_empty {
            self.solver.drop_layer(node);
        } else {
            self.reached.layers.push(finished.layer);
        }
        self.reached.marks.push(Mark {
            text: finished.mark,
            is_empty,
        });
    }

    /// FROM: the image that the stage starts with.
    fn begin(
        &mut self,
        step: &Step,
        stages: &BTreeMap<StageId, Reached>,
        made: Made,
    ) -> Result<(), SolveError> {
        if let Some(stage) = self.stage.base_stage {
            self.reached = stages.get(&stage).cloned().unwrap_or_default();
            return Ok(());
        }
        let node = match step.kind {
            StepKind::From { node, .. } => self.solver.node(node)?,
            _ => return Ok(()),
        };
        if let Operation::Base(image) = &node.operation {
            self.reached.id = Some(self.images.base(image).map_err(StepError::from)?);
        }
        self.reached.layers = made.chain.layers()?;
        self.reached.history = self.stage.config_after(step).history;
        self.reached.made = Some(made);
        Ok(())
    }

    /// A step that changes the configuration alone.
    fn configure(&mut self, step: &Step, container: bool) -> Result<(), SolveError> {
        let name = self.name(step);
        if let Some(known) = self.known(&name)? {
            self.say(Classic::UsingCache);
            self.reach(known);
            return Ok(());
        }
        if container {
            let id = name.to_string();
            self.say(Classic::Running { id: id.clone() });
            self.say(Classic::Removed { id });
        }
        self.new_image(step, &name)
    }

    /// A step that has made or found a layer.
    fn image(&mut self, step: &Step, cached: bool) -> Result<(), SolveError> {
        let name = self.name(step);
        if cached && let Some(known) = self.known(&name)? {
            self.reach(known);
            return Ok(());
        }
        self.new_image(step, &name)
    }

    /// Names what an image is made from.
    fn name(&self, step: &Step) -> Key {
        let mut config = self.stage.config_after(step);
        config.created = None;
        for entry in &mut config.history {
            entry.created = None;
        }
        let mut hasher = KeyHasher::new("classic image");
        let parent = self.reached.id.as_ref().map_or("", Digest::as_str);
        hasher.field(parent.as_bytes()).field(&config.to_bytes());
        for layer in &self.reached.layers {
            hasher.field(layer.diff_id.as_str().as_bytes());
        }
        let mark = self
            .reached
            .marks
            .last()
            .and_then(|mark| mark.text.as_ref());
        hasher.field(mark.map_or("", String::as_str).as_bytes());
        hasher.finish()
    }

    fn known(&self, name: &Key) -> Result<Option<(Digest, ImageConfig)>, SolveError> {
        let ignore =
            self.stage.ignore_cache || self.reached.made.as_ref().is_some_and(|made| !made.cached);
        let note = self.solver.cache.note(name);
        let Some(id) = note
            .filter(|_| !ignore)
            .and_then(|text| Digest::parse(&text).ok())
        else {
            return Ok(None);
        };
        let config = self.images.known(&id).map_err(StepError::from)?;
        Ok(config.map(|config| (id, config)))
    }

    fn reach(&mut self, (id, config): (Digest, ImageConfig)) {
        self.reached.id = Some(id);
        self.reached.history.clone_from(&config.history);
        self.reached.config = Some(config);
    }

    fn new_image(&mut self, step: &Step, name: &Key) -> Result<(), SolveError> {
        let now = times::now(self.solver.request.options);
        let mut config = self.stage.config_after(step);
        let inherited = self.stage.inherited_history;
        times::put_marks(&mut config, &self.reached.marks, inherited);
        for (entry, old) in config.history.iter_mut().zip(&self.reached.history) {
            entry.created.clone_from(&old.created);
        }
        for entry in config.history.iter_mut().skip(self.reached.history.len()) {
            entry.created = Some(now.clone());
        }
        config.created = Some(now);
        let layers = self.reached.layers.iter();
        config.rootfs.diff_ids = layers.map(|layer| layer.diff_id.clone()).collect();
        let last = self
            .stage
            .steps
            .last()
            .is_some_and(|other| std::ptr::eq(other, step));
        let target = self.solver.graph.targets.iter();
        let id = self
            .images
            .make(&StepImage {
                stage: self.stage.id,
                config: config.clone(),
                layers: &self.reached.layers,
                parent: self.reached.id.as_ref(),
                last: last && target.clone().any(|target| target.stage == self.stage.id),
                lease: &self.solver.lease,
            })
            .map_err(StepError::from)?;
        // Without it the next build makes another image.
        self.solver.cache.put_note(name, id.as_str()).ok();
        self.reach((id, config));
        Ok(())
    }
}

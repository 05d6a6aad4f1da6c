//! From drafts of stages to the graph, for one platform.

use std::collections::{BTreeMap, BTreeSet};

use lapstrake_dockerfile::instruction::KeyValue;
use lapstrake_dockerfile::{Command, Instruction, Span};
use lapstrake_spec::Platform;

use super::lints::Lints;
use super::names::{Names, shown, target_of};
use super::stage::State;
use super::stages::{Base, Context, Draft, Drafts, Planned};
use super::{BaseImage, CONFIG_WEIGHT_LIMIT, Dialect, LAYER_LIMIT, PlanError, PlanErrorKind};
use crate::graph::{
    Graph, Node, NodeId, Operation, StageId, StageResult, Step, StepInfo, StepKind, TargetResult,
};

/// The graph in the making, and what all platforms share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) graph: Graph,
    pub(super) lints: Lints,
    /// Build arguments that the Dockerfile declares.
    pub(super) declared: BTreeSet<String>,
    pub(super) bases: BTreeMap<(Base, String), NodeId>,
    pub(super) weight: usize,
}

/// Plans the stages of one platform.
pub(super) struct Assembly<'a, 'b> {
    pub(super) context: &'b Context<'a, 'b>,
    pub(super) shared: &'b mut Shared,
    pub(super) drafts: &'b Drafts<'a>,
    states: BTreeMap<usize, (State, StageId)>,
    number: usize,
    total: usize,
}

/// The stage that is being planned.
pub(super) struct Current<'b, 'a> {
    pub(super) draft: &'b Draft<'a>,
    pub(super) index: usize,
    pub(super) id: StageId,
    pub(super) state: State,
    pub(super) names: Names,
    pub(super) ignore_cache: bool,
    steps: Vec<Step>,
}

/// A node before it is in the graph.
pub(super) struct NewNode {
    pub(super) operation: Operation,
    pub(super) inputs: Vec<NodeId>,
    /// The instruction's text for people; nothing is the command's own.
    pub(super) text: Option<String>,
    pub(super) arguments: Vec<(String, String)>,
}

/// What an instruction came to.
pub(super) enum Outcome {
    Config { note: Option<String> },
    Node(NodeId),
}

impl<'a, 'b> Assembly<'a, 'b> {
    pub(super) fn new(
        context: &'b Context<'a, 'b>,
        shared: &'b mut Shared,
        drafts: &'b Drafts<'a>,
    ) -> Self {
        Self {
            context,
            shared,
            drafts,
            states: BTreeMap::new(),
            number: context.input.dockerfile.global_args.len(),
            total: drafts.steps(context.input),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.context.input.options.dialect
    }

    pub(super) fn escape(&self) -> char {
        self.context.input.dockerfile.directives.escape
    }

    /// Plans what is needed. Nothing comes back when classic ends with a refused step.
    pub(super) fn run(mut self) -> Result<(), PlanError> {
        self.preamble();
        for &index in &self.drafts.needed {
            if !self.stage(index)? {
                return Ok(());
            }
        }
        let Some((state, stage)) = self.states.remove(&self.drafts.target) else {
            return Ok(());
        };
        let options = self.context.input.options;
        let mut config = state.config();
        if !options.platforms.is_empty() {
            let platform = self.context.platform;
            let same = config.os == platform.os && config.architecture == platform.architecture;
            config.os.clone_from(&platform.os);
            config.architecture.clone_from(&platform.architecture);
            if platform.variant.is_some() || !same {
                config.variant = platform.variant.clone().unwrap_or_default();
            }
        }
        if self.dialect() == Dialect::BuildKit && !options.labels.is_empty() {
            let run = config.config.get_or_insert_default();
            let labels = run.labels.get_or_insert_default();
            labels.extend(options.labels.clone());
        }
        self.shared.graph.targets.push(TargetResult {
            platform: self.context.platform.clone(),
            stage,
            node: state.node,
            config,
            inherited_history: state.inherited_history(),
        });
        Ok(())
    }

    /// Classic counts the ARGs before the first FROM.
    fn preamble(&mut self) {
        if !self.shared.graph.preamble.is_empty() {
            return;
        }
        for (index, command) in self.context.input.dockerfile.global_args.iter().enumerate() {
            self.shared.graph.preamble.push(Step {
                number: index + 1,
                total: self.total,
                text: command.text.clone(),
                kind: StepKind::Config { container: false },
                span: Some(command.span),
                note: None,
                history: 0,
                run_config: None,
                commit_config: None,
            });
        }
    }

    fn stage(&mut self, index: usize) -> Result<bool, PlanError> {
        let Some(draft) = self.drafts.stages.get(index) else {
            return Ok(true);
        };
        let mut current = self.begin(index, draft)?;
        let refused = self.commands(&mut current)?;
        let Current {
            state,
            steps,
            id,
            ignore_cache,
            ..
        } = current;
        let result = StageResult {
            id,
            index,
            name: draft.stage.name.clone(),
            base: draft.base_name.clone(),
            base_stage: match draft.base {
                Base::Stage(base) => self.states.get(&base).map(|(_, id)| *id),
                _ => None,
            },
            platform: draft.platform.clone(),
            ignore_cache,
            steps,
            node: state.node,
            config: state.config(),
            inherited_history: state.inherited_history(),
        };
        self.shared.graph.stages.push(result);
        self.states.insert(index, (state, id));
        Ok(!refused)
    }

    /// FROM.
    fn begin(&mut self, index: usize, draft: &'b Draft<'a>) -> Result<Current<'b, 'a>, PlanError> {
        let options = self.context.input.options;
        let files = draft
            .commands
            .iter()
            .filter(|planned| makes_vertex(&planned.command));
        let own_base = !matches!(draft.base, Base::Stage(_) | Base::Scratch);
        let platform = Some(draft.platform.clone()).filter(|_| options.platforms.len() > 1);
        let names = Names::new(
            &draft.label,
            platform,
            files.count() + usize::from(own_base),
        );
        let id = StageId(self.shared.graph.stages.len());
        let mut current = Current {
            draft,
            index,
            id,
            state: State::empty(self.dialect(), NodeId(0), &draft.platform),
            names,
            ignore_cache: options.no_cache
                || options
                    .no_cache_filter
                    .contains(draft.stage.name.as_deref().unwrap_or_default()),
            steps: Vec::new(),
        };
        let node = self.base(&draft.base, Some(&mut current));
        current.state = self.first_state(draft, node);
        self.weigh(current.state.weight(), draft.stage.span)?;
        self.number += 1;
        let kind = StepKind::From {
            node,
            triggers: draft.triggers,
        };
        self.push_step(
            &mut current,
            &draft.stage.text,
            Some(draft.stage.span),
            kind,
            None,
        );
        Ok(current)
    }

    fn first_state(&mut self, draft: &Draft<'a>, node: NodeId) -> State {
        let dialect = self.dialect();
        match &draft.base {
            Base::Stage(base) => match self.states.get(base) {
                Some((state, _)) => State::on_stage(state),
                None => State::empty(dialect, node, &draft.platform),
            },
            Base::Image(image) => match self.context.input.images.get(image) {
                Some(base) => {
                    let state = State::on_image(dialect, node, base);
                    let (name, span) = (&draft.base_name, draft.stage.span);
                    let actual = state.image_platform();
                    self.shared
                        .lints
                        .base_platform(name, &draft.platform, &actual, span);
                    state
                }
                None => State::empty(dialect, node, &draft.platform),
            },
            Base::Scratch | Base::Tree(_) => State::empty(dialect, node, &draft.platform),
        }
    }

    /// The node of a base. One that is there already keeps its name.
    pub(super) fn base(&mut self, base: &Base, current: Option<&mut Current<'_, '_>>) -> NodeId {
        if let Base::Stage(stage) = base
            && let Some((state, _)) = self.states.get(stage)
        {
            return state.node;
        }
        let platform = current
            .as_ref()
            .map_or(self.context.platform, |c| &c.draft.platform);
        let key = (base.clone(), platform.to_string());
        let known = self.shared.bases.get(&key).copied();
        let (operation, text) = match base {
            Base::Image(image) => {
                let digest = self.context.input.images.get(image).and_then(digest_suffix);
                let digest = digest
                    .filter(|_| !image.name.contains('@'))
                    .unwrap_or_default();
                let text = format!("FROM {}{digest}", image.name);
                (Operation::Base(image.clone()), text)
            }
            Base::Tree(name) => {
                let text = format!("[context {name}] load from client");
                (Operation::Context(name.clone()), text)
            }
            Base::Scratch | Base::Stage(_) => (Operation::Scratch, "FROM scratch".to_owned()),
        };
        let (stage, span) = current.as_ref().map_or((None, None), |current| {
            (Some(current.id), Some(current.draft.stage.span))
        });
        let name = match (current, base) {
            (Some(current), Base::Image(_)) => current.names.next(&text, false, None),
            (Some(current), Base::Tree(_)) => {
                current.names.next("", false, None);
                text.clone()
            }
            _ => text.clone(),
        };
        known.unwrap_or_else(|| {
            let id = NodeId(self.shared.graph.nodes.len());
            self.shared.graph.nodes.push(Node {
                id,
                operation,
                parent: None,
                inputs: Vec::new(),
                step: StepInfo {
                    name,
                    instruction: text,
                    stage,
                    span,
                    ignore_cache: false,
                    arguments: Vec::new(),
                },
            });
            self.shared.bases.insert(key, id);
            id
        })
    }

    /// All instructions of a stage, and the labels of the command line. True when one was refused.
    fn commands(&mut self, current: &mut Current<'b, 'a>) -> Result<bool, PlanError> {
        let draft = current.draft;
        for (position, planned) in draft.commands.iter().enumerate() {
            let trigger = position < draft.triggers;
            if self.command(current, planned, trigger)? {
                return Ok(true);
            }
        }
        if self.dialect() == Dialect::BuildKit || current.index != self.drafts.target {
            return Ok(false);
        }
        for (key, value) in &self.context.input.options.labels {
            let pair = KeyValue {
                key: key.clone(),
                value: value.clone(),
                legacy: false,
            };
            let note = current.label(&[pair]);
            self.number += 1;
            let kind = StepKind::Config { container: true };
            self.push_step(current, &format!("LABEL {key}={value}"), None, kind, note);
        }
        Ok(false)
    }

    fn command(
        &mut self,
        current: &mut Current<'b, 'a>,
        planned: &Planned<'a>,
        trigger: bool,
    ) -> Result<bool, PlanError> {
        let command = planned.command.as_ref();
        self.number += usize::from(!trigger);
        let span = Some(command.span);
        let (kind, note) = match self.dispatch(current, planned, trigger) {
            Ok(Outcome::Node(node)) => (StepKind::Filesystem(node), None),
            Ok(Outcome::Config { note }) => (StepKind::Config { container: true }, note),
            Err(kind) if self.dialect() == Dialect::Classic => {
                let error = Box::new(PlanError::at(span, kind));
                self.push_step(current, &command.text, span, StepKind::Refused(error), None);
                return Ok(true);
            }
            Err(kind) => return Err(PlanError::at(span, kind)),
        };
        let shown_span = span.filter(|_| !trigger);
        self.push_step(current, &command.text, shown_span, kind, note);
        self.weigh(0, command.span)?;
        Ok(false)
    }

    fn push_step(
        &mut self,
        current: &mut Current<'b, 'a>,
        text: &str,
        span: Option<Span>,
        kind: StepKind,
        note: Option<String>,
    ) {
        let configs = current.state.step_configs();
        self.shared.weight = self.shared.weight.saturating_add(configs.weight);
        current.steps.push(Step {
            number: self.number,
            total: self.total,
            text: text.to_owned(),
            kind,
            span,
            note,
            history: current.state.history_len(),
            run_config: configs.run,
            commit_config: configs.commit,
        });
    }

    /// Copies of configurations must not eat the memory.
    fn weigh(&mut self, weight: usize, span: Span) -> Result<(), PlanError> {
        self.shared.weight = self.shared.weight.saturating_add(weight);
        if self.shared.weight > CONFIG_WEIGHT_LIMIT {
            return Err(PlanError::at(Some(span), PlanErrorKind::TooLarge));
        }
        Ok(())
    }

    /// Puts an instruction's node on the stage.
    pub(super) fn push_node(
        &mut self,
        current: &mut Current<'_, '_>,
        command: &Command,
        trigger: bool,
        new: NewNode,
    ) -> Result<NodeId, PlanErrorKind> {
        // Classic's empty layers do not count, and only running the steps shows which are empty.
        if self.dialect() == Dialect::BuildKit && current.state.layers >= LAYER_LIMIT {
            return Err(PlanErrorKind::MaxDepth);
        }
        let text = new.text.as_deref().unwrap_or(&command.text);
        let instruction = shown(command, text, &current.state.environment, self.escape());
        let target = target_of(&current.state.environment, &current.draft.platform);
        let target: Option<&Platform> = target.as_ref();
        let id = NodeId(self.shared.graph.nodes.len());
        self.shared.graph.nodes.push(Node {
            id,
            operation: new.operation,
            parent: Some(current.state.node),
            inputs: distinct(new.inputs),
            step: StepInfo {
                name: current.names.next(&instruction, trigger, target),
                instruction,
                stage: Some(current.id),
                span: Some(command.span),
                ignore_cache: current.ignore_cache,
                arguments: new.arguments,
            },
        });
        current.state.node = id;
        current.state.layers += 1;
        Ok(id)
    }
}

/// Whether BuildKit counts this instruction in its brackets.
fn makes_vertex(command: &Command) -> bool {
    matches!(
        command.instruction,
        Instruction::Add(_) | Instruction::Copy(_) | Instruction::Run(_) | Instruction::Workdir(_)
    )
}

fn digest_suffix(base: &BaseImage) -> Option<String> {
    base.digest.as_ref().map(|digest| format!("@{digest}"))
}

fn distinct(inputs: Vec<NodeId>) -> Vec<NodeId> {
    let mut seen = BTreeSet::new();
    inputs.into_iter().filter(|id| seen.insert(*id)).collect()
}

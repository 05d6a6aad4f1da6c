//! Which stage stands on what, which ones are needed, and the triggers of their bases.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use lapstrake_dockerfile::instruction::RunMount;
use lapstrake_dockerfile::words::{self, Options};
use lapstrake_dockerfile::{Command, Instruction, Stage, nearest, parse_trigger};
use lapstrake_spec::{Platform, Reference, ReferenceError};

use super::scope::Environment;
use super::{Dialect, NamedContext, PlanError, PlanErrorKind, PlanInput, TRIGGER_LIMIT};
use crate::graph::ImageWanted;

const SCRATCH: &str = "scratch";

/// What a stage stands on, or what `--from` reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Base {
    Scratch,
    /// Another stage, by its number.
    Stage(usize),
    Image(ImageWanted),
    /// A named context without an image's configuration.
    Tree(String),
}

/// A stage before its instructions are looked at.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) stage: &'a Stage,
    /// As BuildKit calls it in brackets.
    pub(super) label: String,
    /// What FROM names, expanded.
    pub(super) base_name: String,
    pub(super) base: Base,
    pub(super) platform: Platform,
    pub(super) commands: Vec<Planned<'a>>,
    /// How many of the commands are triggers; they come first.
    pub(super) triggers: usize,
    expanded_triggers: bool,
}

/// One instruction and what its `--from` names.
#[derive(Clone, Debug)]
pub(super) struct Planned<'a> {
    pub(super) command: Cow<'a, Command>,
    /// By the name as written; `Err` is said when the instruction's turn comes.
    pub(super) sources: BTreeMap<String, Result<Base, PlanErrorKind>>,
}

impl Planned<'_> {
    /// What a name of the instruction was resolved to.
    pub(super) fn source(&self, from: &str) -> Result<&Base, PlanErrorKind> {
        match self.sources.get(from) {
            Some(Ok(base)) => Ok(base),
            Some(Err(kind)) => Err(kind.clone()),
            None => Err(PlanErrorKind::FromVariable),
        }
    }
}

/// All stages, for one platform.
#[derive(Debug)]
pub(super) struct Drafts<'a> {
    pub(super) stages: Vec<Draft<'a>>,
    pub(super) target: usize,
    /// Which ones the target needs, in order.
    pub(super) needed: BTreeSet<usize>,
    names: BTreeMap<String, usize>,
}

/// What resolves names while stages are drafted.
pub(super) struct Context<'a, 'b> {
    pub(super) input: &'b PlanInput<'a>,
    pub(super) globals: &'b Environment,
    pub(super) platform: &'b Platform,
}

impl<'a> Drafts<'a> {
    /// Reads the FROMs and finds the target.
    pub(super) fn new(context: &Context<'a, '_>) -> Result<Self, PlanError> {
        let mut drafts = Self {
            stages: Vec::new(),
            target: 0,
            needed: BTreeSet::new(),
            names: BTreeMap::new(),
        };
        for stage in &context.input.dockerfile.stages {
            drafts.add(context, stage)?;
        }
        drafts.target = drafts.find_target(context.input)?;
        let classic = context.input.options.dialect == Dialect::Classic;
        for index in 0..drafts.stages.len() {
            let stage = drafts.stages.get(index).map(|draft| draft.stage);
            let commands = stage
                .map(|stage| stage.commands.as_slice())
                .unwrap_or_default();
            let planned: Result<Vec<_>, _> = commands
                .iter()
                .map(|command| drafts.planned(context, index, Cow::Borrowed(command)))
                .collect();
            if let Some(draft) = drafts.stages.get_mut(index) {
                // A stage that a named context replaces has no instructions left.
                if !context.replaces(draft.stage) {
                    draft.commands = planned?;
                }
            }
        }
        if !classic {
            drafts.refuse_circles()?;
        }
        drafts.relabel();
        drafts.reach(context.input.options.all_stages);
        Ok(drafts)
    }

    fn add(&mut self, context: &Context<'a, '_>, stage: &'a Stage) -> Result<(), PlanError> {
        let index = self.stages.len();
        let base_name = context.base_name(stage)?;
        let platform = context.stage_platform(stage)?;
        let label = stage
            .name
            .clone()
            .unwrap_or_else(|| format!("stage-{index}"));
        let wanted = platform.as_ref().unwrap_or(context.platform);
        let key = match context.input.options.dialect {
            Dialect::Classic => base_name.to_lowercase(),
            Dialect::BuildKit => base_name.clone(),
        };
        let named = stage.name.as_deref();
        let base = match named.and_then(|name| context.named(name, wanted)) {
            Some(base) => base,
            None => match self.names.get(&key) {
                Some(&earlier) => Base::Stage(earlier),
                None => context
                    .image_or_context(&base_name, wanted)
                    .map_err(|kind| PlanError::at(Some(stage.span), kind))?,
            },
        };
        // A stage on a stage has that one's platform, whatever its own FROM says.
        let platform = match &base {
            Base::Stage(earlier) => self
                .stages
                .get(*earlier)
                .map(|draft| draft.platform.clone()),
            _ => platform,
        };
        self.stages.push(Draft {
            stage,
            label,
            base_name,
            base,
            platform: platform.unwrap_or_else(|| context.platform.clone()),
            commands: Vec::new(),
            triggers: 0,
            expanded_triggers: false,
        });
        let Some(name) = named else { return Ok(()) };
        let taken = self.names.insert(name.to_lowercase(), index).is_some();
        if taken && context.input.options.dialect == Dialect::Classic {
            let kind = PlanErrorKind::StageTaken(name.to_owned());
            return Err(PlanError::at(Some(stage.span), kind));
        }
        Ok(())
    }

    fn find_target(&self, input: &PlanInput<'_>) -> Result<usize, PlanError> {
        let Some(last) = self.stages.len().checked_sub(1) else {
            return Err(PlanErrorKind::NoStages.into());
        };
        let Some(target) = input
            .options
            .target
            .as_deref()
            .filter(|target| !target.is_empty())
        else {
            return Ok(last);
        };
        let by_name = self.names.get(&target.to_lowercase()).copied();
        by_name.ok_or_else(|| match input.options.dialect {
            Dialect::Classic => PlanErrorKind::TargetUnreachable(target.to_owned()).into(),
            Dialect::BuildKit => PlanError {
                span: None,
                kind: PlanErrorKind::TargetMissing(target.to_owned()),
                suggestion: nearest(target, &self.known_names(), false),
            },
        })
    }

    fn known_names(&self) -> Vec<&str> {
        self.names.keys().map(String::as_str).collect()
    }

    fn planned(
        &self,
        context: &Context<'a, '_>,
        index: usize,
        command: Cow<'a, Command>,
    ) -> Result<Planned<'a>, PlanError> {
        let mut sources = BTreeMap::new();
        for name in source_names(&command.instruction) {
            let is_copy = matches!(command.instruction, Instruction::Copy(_));
            if is_copy && has_variable(&name, context.input.dockerfile.directives.escape) {
                let kind = PlanErrorKind::FromVariable;
                return Err(PlanError::at(Some(command.span), kind));
            }
            let source = self.source(context, index, &name, is_copy);
            // BuildKit looks at all stages before it runs one; classic fails when it gets there.
            if let (Err(kind), Dialect::BuildKit) = (&source, context.input.options.dialect) {
                return Err(PlanError::at(Some(command.span), kind.clone()));
            }
            sources.insert(name, source);
        }
        Ok(Planned { command, sources })
    }

    fn source(
        &self,
        context: &Context<'a, '_>,
        index: usize,
        name: &str,
        is_copy: bool,
    ) -> Result<Base, PlanErrorKind> {
        if context.input.options.dialect == Dialect::Classic {
            return self.classic_source(context, index, name);
        }
        if let Some(&stage) = self.names.get(&name.to_lowercase()) {
            return Ok(Base::Stage(stage));
        }
        match name.parse::<u64>() {
            Ok(number) if is_copy => match usize::try_from(number) {
                Ok(stage) if stage < self.stages.len() => Ok(Base::Stage(stage)),
                _ => Err(PlanErrorKind::StageIndex(number)),
            },
            _ => context.image_or_context(name, context.platform),
        }
    }

    fn classic_source(
        &self,
        context: &Context<'a, '_>,
        index: usize,
        name: &str,
    ) -> Result<Base, PlanErrorKind> {
        let refused = |reason: &str| PlanErrorKind::FromFlag {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        match self.names.get(&name.to_lowercase()) {
            Some(&stage) if stage < index => return Ok(Base::Stage(stage)),
            _ => {}
        }
        match name.parse::<i64>().map(usize::try_from) {
            Ok(Ok(stage)) if stage < index => Ok(Base::Stage(stage)),
            Ok(Ok(stage)) if stage == index => Err(refused("refers to current build stage")),
            Ok(_) => Err(refused("index out of bounds")),
            Err(_) => context.image_or_context(name, context.platform),
        }
    }

    /// BuildKit follows `--from` alone: a stage always stands on an earlier one.
    fn refuse_circles(&self) -> Result<(), PlanError> {
        let mut done = vec![false; self.stages.len()];
        let mut on_path = vec![false; self.stages.len()];
        for start in 0..self.stages.len() {
            // The path, each stage with those that are still to be followed.
            let mut path = vec![(start, self.sources_of(start))];
            set(&mut on_path, start, true);
            while let Some((stage, left)) = path.last_mut() {
                let stage = *stage;
                let Some((next, span)) = left.pop() else {
                    set(&mut on_path, stage, false);
                    set(&mut done, stage, true);
                    path.pop();
                    continue;
                };
                if on_path.get(next) == Some(&true) {
                    let label = self.stages.get(start).map(|draft| draft.label.clone());
                    let kind = PlanErrorKind::Circular(label.unwrap_or_default());
                    return Err(PlanError::at(Some(span), kind));
                }
                if done.get(next) == Some(&false) {
                    set(&mut on_path, next, true);
                    path.push((next, self.sources_of(next)));
                }
            }
        }
        Ok(())
    }

    fn sources_of(&self, stage: usize) -> Vec<(usize, lapstrake_dockerfile::Span)> {
        let commands = self
            .stages
            .get(stage)
            .map(|draft| draft.commands.as_slice());
        let mut sources = Vec::new();
        for planned in commands.unwrap_or_default() {
            for base in planned.sources.values() {
                if let Ok(Base::Stage(source)) = base {
                    sources.push((*source, planned.command.span));
                }
            }
        }
        sources
    }

    /// The only stage of a build has no name in brackets.
    fn relabel(&mut self) {
        let images = self.stages.iter().flat_map(|draft| &draft.commands);
        let reads_images = images
            .flat_map(|planned| planned.sources.values())
            .any(|source| !matches!(source, Ok(Base::Stage(_))));
        if let ([only], false) = (self.stages.as_mut_slice(), reads_images) {
            only.label = String::new();
        }
    }

    /// Finds what the target needs.
    fn reach(&mut self, all: bool) {
        let mut open = vec![self.target];
        if all {
            open.extend(0..self.stages.len());
        }
        while let Some(index) = open.pop() {
            if !self.needed.insert(index) {
                continue;
            }
            if let Some(Base::Stage(base)) = self.stages.get(index).map(|draft| &draft.base) {
                open.push(*base);
            }
            open.extend(self.sources_of(index).into_iter().map(|(source, _)| source));
        }
    }

    /// Puts the triggers of known bases in front, and finds what they need. Says how many it found.
    pub(super) fn expand_triggers(
        &mut self,
        context: &Context<'a, '_>,
    ) -> Result<usize, PlanError> {
        let mut found = 0;
        for index in self.needed.clone() {
            let Some(triggers) = self.open_triggers(context, index) else {
                continue;
            };
            let Some(span) = self.stages.get(index).map(|draft| draft.stage.span) else {
                continue;
            };
            found += triggers.len();
            if found > TRIGGER_LIMIT {
                return Err(PlanErrorKind::TriggerCount.into());
            }
            let mut planned = Vec::with_capacity(triggers.len());
            for trigger in &triggers {
                let mut command = parse_trigger(trigger).map_err(|error| {
                    PlanError::at(Some(span), PlanErrorKind::Trigger(error.to_string()))
                })?;
                command.span = span;
                planned.push(self.planned(context, index, Cow::Owned(command))?);
            }
            if let Some(draft) = self.stages.get_mut(index) {
                draft.triggers = planned.len();
                draft.commands.splice(0..0, planned);
                draft.expanded_triggers = true;
            }
        }
        self.needed.clear();
        self.reach(context.input.options.all_stages);
        Ok(found)
    }

    /// Triggers of a stage's base that are known and not expanded yet.
    fn open_triggers(&self, context: &Context<'a, '_>, index: usize) -> Option<Vec<String>> {
        let draft = self.stages.get(index)?;
        if draft.expanded_triggers || context.replaces(draft.stage) {
            return None;
        }
        match &draft.base {
            Base::Stage(base) => {
                let commands = self.stages.get(*base)?.commands.iter();
                let triggers = commands.filter_map(|planned| match &planned.command.instruction {
                    Instruction::Onbuild(text) => Some(text.clone()),
                    _ => None,
                });
                Some(triggers.collect())
            }
            Base::Image(image) => {
                let base = context.input.images.get(image)?;
                let config = base.config.config.as_ref()?;
                config.on_build.clone()
            }
            Base::Scratch | Base::Tree(_) => None,
        }
    }

    /// How many steps classic counts: the ARGs before the first FROM, the instructions of the needed stages without
    /// triggers, and the labels of the command line.
    pub(super) fn steps(&self, input: &PlanInput<'_>) -> usize {
        let needed = self.needed.iter();
        let stages = needed.filter_map(|index| self.stages.get(*index));
        let steps = stages.map(|draft| 1 + draft.commands.len() - draft.triggers);
        let labels = match input.options.dialect {
            Dialect::Classic => input.options.labels.len(),
            Dialect::BuildKit => 0,
        };
        input.dockerfile.global_args.len() + steps.sum::<usize>() + labels
    }

    /// FROM of the first stage that is needed, if that stands on an image.
    pub(super) fn first_on_image(&self) -> Option<&'a String> {
        let draft = self.stages.get(*self.needed.first()?)?;
        matches!(draft.base, Base::Image(_)).then_some(&draft.stage.text)
    }

    /// Images that are needed and not known.
    pub(super) fn missing(&self, input: &PlanInput<'_>) -> Vec<ImageWanted> {
        let needed = self
            .needed
            .iter()
            .filter_map(|index| self.stages.get(*index));
        let mut missing = Vec::new();
        let mut seen = BTreeSet::new();
        for draft in needed {
            let sources = draft
                .commands
                .iter()
                .flat_map(|planned| planned.sources.values());
            let sources = sources.filter_map(|source| source.as_ref().ok());
            for base in std::iter::once(&draft.base).chain(sources) {
                if let Base::Image(image) = base
                    && !input.images.contains_key(image)
                    && seen.insert(image)
                {
                    missing.push(image.clone());
                }
            }
        }
        missing
    }
}

fn set(flags: &mut [bool], index: usize, value: bool) {
    if let Some(flag) = flags.get_mut(index) {
        *flag = value;
    }
}

/// What the flags of an instruction name as sources.
fn source_names(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => {
            let as_written = |mount: &lapstrake_dockerfile::instruction::MountText| {
                // What is wrong with a mount is said when its variables are known.
                let mount = mount.resolve(&mut |text| Ok(text.to_owned())).ok()?;
                match mount {
                    RunMount::Bind(bind) => bind.from,
                    RunMount::Cache(cache) => cache.from,
                    RunMount::Tmpfs(_) | RunMount::Secret(_) | RunMount::Ssh(_) => None,
                }
            };
            run.mounts.iter().filter_map(as_written).collect()
        }
        _ => Vec::new(),
    }
}

fn has_variable(text: &str, escape: char) -> bool {
    let nothing = BTreeMap::<String, String>::new();
    words::expand_with(text, &nothing, Options::new(escape))
        .map_or(true, |expansion| expansion.text != text)
}

impl Context<'_, '_> {
    /// Whether a named context stands in for the whole stage.
    pub(super) fn replaces(&self, stage: &Stage) -> bool {
        let name = stage.name.as_deref();
        name.is_some_and(|name| self.named(name, self.platform).is_some())
    }

    fn base_name(&self, stage: &Stage) -> Result<String, PlanError> {
        let escape = self.input.dockerfile.directives.escape;
        let at = |kind| PlanError::at(Some(stage.span), kind);
        let expansion =
            words::expand(&stage.base, self.globals, escape).map_err(|error| at(error.into()))?;
        if expansion.text.is_empty() {
            return Err(at(PlanErrorKind::BlankBase(stage.base.clone())));
        }
        Ok(expansion.text)
    }

    fn stage_platform(&self, stage: &Stage) -> Result<Option<Platform>, PlanError> {
        let Some(text) = stage.platform.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let escape = self.input.dockerfile.directives.escape;
        let at = |kind| PlanError::at(Some(stage.span), kind);
        let expansion =
            words::expand(text, self.globals, escape).map_err(|error| at(error.into()))?;
        let near = || {
            let known = self.globals.names();
            let mut undefined = expansion.undefined.iter();
            undefined.find_map(|name| nearest(name, &known, true))
        };
        if expansion.text.is_empty() {
            return Err(PlanError {
                suggestion: near(),
                ..at(PlanErrorKind::BlankPlatform(text.to_owned()))
            });
        }
        match Platform::parse(&expansion.text) {
            Ok(platform) => Ok(Some(platform)),
            Err(error) => Err(PlanError {
                suggestion: near(),
                ..at(PlanErrorKind::Platform {
                    text: text.to_owned(),
                    reason: error.to_string(),
                })
            }),
        }
    }

    fn image_or_context(&self, name: &str, platform: &Platform) -> Result<Base, PlanErrorKind> {
        if name == SCRATCH {
            return Ok(Base::Scratch);
        }
        if let Some(base) = self.named(name, platform) {
            return Ok(base);
        }
        let name = match (Reference::parse(name), self.input.options.dialect) {
            (Ok(reference), _) => reference.or_latest().canonical(),
            // Classic takes an image's whole id.
            (Err(ReferenceError::Hexadecimal(id)), Dialect::Classic) => id,
            (Err(error), _) => {
                return Err(PlanErrorKind::BaseName {
                    name: name.to_owned(),
                    reason: error.to_string(),
                });
            }
        };
        let platform = platform.clone();
        Ok(Base::Image(ImageWanted { name, platform }))
    }

    /// What `--build-context` puts in the place of a name. Docker tries it as written, then as an
    /// image's name in its short and long forms.
    fn named(&self, name: &str, platform: &Platform) -> Option<Base> {
        let contexts = &self.input.options.named_contexts;
        if contexts.is_empty() || ["scratch", "context"].contains(&name.to_lowercase().as_str()) {
            return None;
        }
        let mut forms = vec![name.to_owned(), name.to_lowercase()];
        if let Ok(reference) = Reference::parse(name) {
            let reference = reference.or_latest();
            let familiar = reference.familiar();
            forms.extend(familiar.strip_suffix(":latest").map(str::to_owned));
            forms.push(familiar);
            forms.push(reference.canonical());
        }
        let (key, context) = forms
            .iter()
            .find_map(|form| contexts.get_key_value(form.as_str()))?;
        Some(match context {
            NamedContext::Scratch => Base::Scratch,
            NamedContext::Tree => Base::Tree(key.clone()),
            NamedContext::Image(text) => {
                let whole = Reference::parse(text).map(|name| name.or_latest().canonical());
                Base::Image(ImageWanted {
                    name: whole.unwrap_or_else(|_| text.clone()),
                    platform: platform.clone(),
                })
            }
        })
    }
}

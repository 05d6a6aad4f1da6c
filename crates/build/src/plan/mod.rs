//! The planner: a Dockerfile, options and configurations of base images make a [`Graph`].
//!
//! Pure: it opens nothing and asks nobody. Where it needs the configuration of an image that
//! [`PlanInput::images`] does not hold it answers [`Planning::Missing`] with all that it can name by
//! then; the caller gets them and plans again. A trigger of a base image may bring new names, so that
//! can happen more than once, at most as often as the Dockerfile has stages.
//!
//! The rules are docker's: expansion, scopes of ARG, the configuration after each instruction and the
//! text of each history entry follow the classic builder (20.10) or BuildKit (28.5), as [`Dialect`] says.

mod error;

mod stages;

mod assemble;
mod dispatch;
mod files;
mod run;
mod stage;

mod history;
mod names;
mod scope;
mod text;

mod lints;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lapstrake_dockerfile::ignore::Matcher;
use lapstrake_dockerfile::words::Lookup;
use lapstrake_dockerfile::{Dockerfile, Instruction, lint};
use lapstrake_spec::{Digest, ImageConfig, Platform};

use crate::event::Classic;
use crate::graph::{Graph, ImageWanted, Origin};
use crate::sandbox::{Network, Resources, Ulimit};

use assemble::{Assembly, Shared};
use scope::Environment;
use stages::{Context, Drafts};

pub use error::{PlanError, PlanErrorKind};

/// The most layers that an image may have, its base's included.
///
/// With BuildKit's rules each node is a layer and the planner refuses. The classic builder leaves
/// empty layers out, which only running the steps shows: there whoever runs them refuses.
pub const LAYER_LIMIT: usize = 127;

/// The most instructions that ONBUILD triggers of base images may add to one build.
pub const TRIGGER_LIMIT: usize = 10_000;

/// The most texts (variables, labels, history entries, …) that all copies of configurations in a plan
/// may hold: classic has one for each instruction, and each stage has its base's.
pub const CONFIG_WEIGHT_LIMIT: usize = 512 << 10;

/// Whose history, configuration details and order of errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The builder of `DOCKER_BUILDKIT=0`.
    Classic,
    /// BuildKit.
    #[default]
    BuildKit,
}

/// All that a plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The Dockerfile.
    pub dockerfile: &'a Dockerfile,
    /// What the command line says.
    pub options: &'a PlanOptions,
    /// Images that are known already.
    pub images: &'a BTreeMap<ImageWanted, BaseImage>,
}

/// What the command line says about a build, as far as it changes the plan.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Docker's classic builder or BuildKit.
    pub dialect: Dialect,
    /// `--target`: a stage's name; nothing is the last stage.
    pub target: Option<String>,
    /// Plan every stage, needed or not (`--check` without a target).
    pub all_stages: bool,
    /// `--build-arg`, values resolved: an argument without a value that the environment has not
    /// either is not here.
    pub build_args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--platform`; empty is [`PlanOptions::build_platform`], with the platform of a base image that
    /// exists for another one only.
    pub platforms: Vec<Platform>,
    /// The machine's own platform.
    pub build_platform: Platform,
    /// `--build-context`, except `context` itself.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--no-cache-filter`: names of stages.
    pub no_cache_filter: BTreeSet<String>,
    /// `--network`: for every RUN that does not say otherwise.
    pub network: Network,
    /// Name of the sandboxes' host.
    pub hostname: String,
    /// `--add-host`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// `--shm-size`, bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// The rules of `.dockerignore`: a check names sources that they hide.
    pub ignore: Option<Arc<Matcher>>,
    /// `--memory`, `--cpu-shares` and their like.
    pub resources: Resources,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            dialect: Dialect::default(),
            target: None,
            all_stages: false,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platforms: Vec::new(),
            build_platform: Platform::host(),
            named_contexts: BTreeMap::new(),
            no_cache: false,
            no_cache_filter: BTreeSet::new(),
            network: Network::default(),
            hostname: String::new(),
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            ignore: None,
            resources: Resources::default(),
        }
    }
}

/// What `--build-context name=…` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// `docker-image://reference` (the reference alone) or `oci-layout://…` (all of it): an image
    /// with a configuration, asked for as [`ImageWanted::name`].
    Image(String),
    /// A directory, an archive or a repository: files only.
    Tree,
    /// `scratch`, or a target of the same bake: nothing.
    Scratch,
}

/// An image that the build stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// Digest of the manifest or index that the name stands for; nothing when only this store knows
    /// the image.
    pub digest: Option<Digest>,
    /// Its configuration.
    pub config: ImageConfig,
}

/// The answer of the planner.
#[derive(Clone, Debug)]
pub enum Planning {
    /// These images are needed and not known; plan again with them.
    Missing(Vec<ImageWanted>),
    /// The plan.
    Ready(Box<Plan>),
}

/// A complete plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to do.
    pub graph: Graph,
    /// What docker's build checks found, [`Dockerfile::warnings`] included.
    pub warnings: Vec<lint::Warning>,
    /// Messages that docker prints after the build: arguments that no ARG consumed.
    pub unused_arguments: Vec<String>,
    /// `SOURCE_DATE_EPOCH` as it holds for the result; seconds.
    pub source_date_epoch: Option<i64>,
    /// `BUILDKIT_INLINE_CACHE`.
    pub inline_cache: bool,
    /// `BUILDKIT_CONTEXT_KEEP_GIT_DIR`.
    pub keep_git_dir: bool,
    /// `BUILDKIT_MULTI_PLATFORM`: an index even for one platform.
    pub multi_platform: bool,
}

/// Makes a plan, or says which images it needs first.
pub fn plan(input: &PlanInput<'_>) -> Result<Planning, PlanError> {
    let options = input.options;
    let mut shared = Shared::default();
    let platforms = match options.platforms.as_slice() {
        [] => std::slice::from_ref(&options.build_platform),
        platforms => platforms,
    };
    let mut missing = Vec::new();
    let mut epoch = None;
    let mut needed = BTreeSet::new();
    for platform in platforms {
        let globals = globals(input, platform, &mut shared)?;
        epoch = source_date_epoch(options, &globals)?.or(epoch);
        let context = Context {
            input,
            globals: &globals,
            platform,
        };
        let mut drafts = Drafts::new(&context)?;
        while drafts.expand_triggers(&context)? > 0 {}
        missing.extend(drafts.missing(input));
        needed.extend(drafts.needed.iter().copied());
        if missing.is_empty() {
            Assembly::new(&context, &mut shared, &drafts).run()?;
        }
    }
    if !missing.is_empty() {
        let mut seen = BTreeSet::new();
        missing.retain(|image| seen.insert(image.clone()));
        return Ok(Planning::Missing(missing));
    }
    let is_set = |name| {
        options
            .build_args
            .get(name)
            .is_some_and(|value| is_true(value))
    };
    Ok(Planning::Ready(Box::new(Plan {
        unused_arguments: unused_arguments(options, &shared.declared),
        warnings: shared.lints.all(input.dockerfile, &needed),
        graph: shared.graph,
        source_date_epoch: epoch,
        inline_cache: is_set("BUILDKIT_INLINE_CACHE"),
        keep_git_dir: is_set("BUILDKIT_CONTEXT_KEEP_GIT_DIR"),
        multi_platform: is_set("BUILDKIT_MULTI_PLATFORM"),
    })))
}

/// What the classic builder says before it looks for its first image: the ARGs before the first FROM, and that
/// FROM. Nothing when the first stage stands on no image.
pub fn opening(input: &PlanInput<'_>) -> Result<Vec<Classic>, PlanError> {
    let options = input.options;
    let platform = options.platforms.first().unwrap_or(&options.build_platform);
    let globals = globals(input, platform, &mut Shared::default())?;
    let context = Context {
        input,
        globals: &globals,
        platform,
    };
    let drafts = Drafts::new(&context)?;
    let Some(from) = drafts.first_on_image() else {
        return Ok(Vec::new());
    };
    let total = drafts.steps(input);
    let arguments = input.dockerfile.global_args.iter();
    let texts = arguments.map(|command| &command.text).chain([from]);
    let step = |(index, text): (usize, &String)| Classic::Step {
        number: index + 1,
        total,
        text: text.clone(),
    };
    Ok(texts.enumerate().map(step).collect())
}

/// What FROM can name: automatic arguments, and those before the first FROM.
fn globals(
    input: &PlanInput<'_>,
    platform: &Platform,
    shared: &mut Shared,
) -> Result<Environment, PlanError> {
    let options = input.options;
    let escape = input.dockerfile.directives.escape;
    let last = input.dockerfile.stages.last();
    let last = last.and_then(|stage| stage.name.as_deref());
    let target = options.target.as_deref().or(last).unwrap_or_default();
    let start = match options.dialect {
        Dialect::BuildKit => scope::automatic(options, platform, target),
        Dialect::Classic => scope::proxies(options, false).into_iter().fold(
            Environment::default(),
            |mut environment, (name, value)| {
                environment.set(&name, &value, Origin::Proxy);
                environment
            },
        ),
    };
    for command in &input.dockerfile.global_args {
        if let Instruction::Arg(arguments) = &command.instruction {
            let names = arguments.iter().map(|argument| argument.key.clone());
            shared.declared.extend(names);
        }
    }
    scope::declare(
        &input.dockerfile.global_args,
        &start,
        &options.build_args,
        escape,
    )
}

/// The argument of this name, as a number of seconds; an ARG need not declare it.
fn source_date_epoch(
    options: &PlanOptions,
    globals: &Environment,
) -> Result<Option<i64>, PlanError> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    let given = options.build_args.get(NAME).map(String::as_str);
    match given.or_else(|| globals.get(NAME)) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(PlanErrorKind::Epoch(text.to_owned()).into()),
        },
    }
}

/// Go's idea of a true value.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn unused_arguments(options: &PlanOptions, declared: &BTreeSet<String>) -> Vec<String> {
    let names = options.build_args.keys();
    let is_builtin = |name: &str| {
        let automatic = ["BUILD", "TARGET"]
            .iter()
            .any(|part| name.starts_with(part));
        scope::is_proxy(name)
            || (options.dialect == Dialect::BuildKit && (automatic || name == "SOURCE_DATE_EPOCH"))
    };
    let unused = names.filter(|name| !declared.contains(*name) && !is_builtin(name));
    unused.cloned().collect()
}

#[cfg(test)]
mod tests;

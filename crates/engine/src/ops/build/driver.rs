//! One build from its request to its result, on a thread of its own.

use super::entitlement::Entitlements;
use super::images::{ResolvedImages, Resolver};
use super::open::{Opened, Opener};
use super::remote::Network;
use super::request::{BuildRequest, Call, Dialect, OnFail};
use super::result::{Answer, BuildResult, Warning};
use super::sources::BuildSources;
use super::words::{Place, cancelled};
use super::{classic, download, failure, finish, imports, kept, options};
use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink};
use lapstrake_build::cache::Imports;
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::event::{BuildEvent, Progress, VertexEnd, VertexId};
use lapstrake_build::plan::{Plan, PlanError, PlanInput, Planning, opening, plan};
use lapstrake_build::sandbox::{Sandbox, Stream};
use lapstrake_build::solve::{SolveOptions, SolveRequest, Solved, solve, solve_classic};
use lapstrake_dockerfile::lint;
use lapstrake_dockerfile::{Dockerfile, Excerpts, Points, parse};
use lapstrake_spec::Digest;
use lapstrake_store::{Lease, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The vertices of what comes before the plan.
const LOAD_DOCKERFILE: VertexId = VertexId(VertexId::ENGINE);
const LOAD_CONTEXT: VertexId = VertexId(VertexId::ENGINE + 1);

/// What a build works with.
pub(super) struct Build<'a> {
    pub(super) engine: &'a Engine,
    pub(super) store: &'a Store,
    pub(super) network: &'a Arc<Network>,
    pub(super) events: &'a dyn EventSink,
    pub(super) cancel: &'a CancelToken,
    pub(super) dialect: Dialect,
    pub(super) lease: Lease,
    pub(super) sandbox: &'a dyn Sandbox,
}

/// As much of what a program writes to one stream is shown, as in BuildKit.
const OUTPUT_LIMIT: usize = 2 << 20;
/// What stands in the place of the rest.
const CLIPPED: &[u8] = b"\n[output clipped, log limit 2MiB reached]\n";

/// Events of the solver as events of the engine, the output of each step clipped. Classic docker shows all
/// of it.
pub(super) struct Told<'a> {
    events: &'a dyn EventSink,
    /// Bytes shown so far.
    shown: Mutex<BTreeMap<(VertexId, Stream), usize>>,
}

impl<'a> Told<'a> {
    pub(super) fn new(events: &'a dyn EventSink) -> Self {
        Self {
            events,
            shown: Mutex::default(),
        }
    }

    /// Shortens output; false when none of it is to be shown.
    fn clip(&self, key: (VertexId, Stream), bytes: &mut Vec<u8>) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.entry(key).or_default();
        if *shown > OUTPUT_LIMIT {
            return false;
        }
        let room = OUTPUT_LIMIT.saturating_sub(*shown);
        *shown = shown.saturating_add(bytes.len());
        if bytes.len() > room {
            bytes.truncate(room);
            bytes.extend_from_slice(CLIPPED);
        }
        true
    }
}

impl Progress for Told<'_> {
    fn event(&self, mut event: BuildEvent) {
        if let BuildEvent::Output {
            vertex,
            stream,
            bytes,
        } = &mut event
            && !self.clip((*vertex, *stream), bytes)
        {
            return;
        }
        self.events.event(Event::Build(event));
    }
}

/// Bytes of lines that are shown with findings; those that come later only name their lines.
const EXCERPTS_LIMIT: usize = 4 << 20;

/// What was planned.
pub(super) struct Planned {
    pub(super) opened: Opened,
    pub(super) dockerfile: Dockerfile,
    pub(super) plan: Plan,
    pub(super) images: Arc<ResolvedImages>,
    /// Steps of the classic builder that were announced before the images were resolved.
    announced: usize,
}

impl Planned {
    pub(super) fn place(&self, dialect: Dialect) -> Place<'_> {
        Place {
            dialect,
            name: &self.opened.text.name,
            source: &self.opened.text.bytes,
        }
    }
}

impl Build<'_> {
    /// Does everything.
    pub(super) fn run(&self, mut request: BuildRequest) -> Result<BuildResult, Error> {
        let allowed = Entitlements::of(&request)?;
        let planned = self.plan(&mut request)?;
        let warnings = warnings(&planned, &request);
        if request.call != Call::Build {
            let mut answer = answer(&planned, request.call);
            if request.call == Call::Check {
                answer.error = violation(&planned, &warnings);
            }
            return Ok(BuildResult {
                answer: Some(answer),
                warnings,
                ..BuildResult::default()
            });
        }
        self.check_directive(&planned, &warnings)?;
        allowed.check(self, &planned)?;
        finish::check_outputs(self.engine, &request)?;
        let imported = imports::Imported::read(self, &request)?;
        let (solved, ids) = self.solve(&request, &planned, imported.as_imports())?;
        let scope = scope(&request, &planned);
        let mut result = finish::finish(self, request, &planned, solved, &ids)?;
        kept::replace(self, &scope, None);
        result.warnings = warnings;
        result
            .unused_build_args
            .clone_from(&planned.plan.unused_arguments);
        Ok(result)
    }

    /// Tells something in BuildKit's picture; classic builds have none.
    pub(super) fn vertex<T>(
        &self,
        vertex: VertexId,
        name: &str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.dialect == Dialect::Classic {
            return work();
        }
        let tell = |event| self.events.event(Event::Build(event));
        tell(BuildEvent::Started {
            vertex,
            name: name.to_owned(),
        });
        let done = work();
        let end = match &done {
            Ok(_) => VertexEnd::Done,
            Err(error) if error.kind() == ErrorKind::Interrupted => VertexEnd::Cancelled,
            Err(error) => VertexEnd::Failed(error.message().to_owned()),
        };
        tell(BuildEvent::Finished { vertex, end });
        done
    }

    /// From the context to a plan.
    fn plan(&self, request: &mut BuildRequest) -> Result<Planned, Error> {
        let opener = Opener {
            store: self.store,
            network: self.network,
            working_directory: &request.working_directory.clone(),
            dialect: self.dialect,
        };
        let name = request.dockerfile.as_deref().unwrap_or("Dockerfile");
        let name = name.rsplit('/').next().unwrap_or(name);
        let name = format!("[internal] load build definition from {name}");
        let (opened, dockerfile) = self.vertex(LOAD_DOCKERFILE, &name, || {
            let opened = opener.open(request)?;
            let check = request.build_args.iter().rev();
            let check = check.filter(|(name, _)| name == "BUILDKIT_DOCKERFILE_CHECK");
            let dockerfile = self.definition(&opened, check.map(|(_, text)| text).next())?;
            Ok((opened, dockerfile))
        })?;
        // Its files are read when a step wants them.
        self.vertex(LOAD_CONTEXT, "[internal] load build context", || Ok(()))?;
        let images = Arc::new(ResolvedImages::default());
        let (plan, announced) = self.plan_with(request, &opened, &dockerfile, &images)?;
        Ok(Planned {
            opened,
            dockerfile,
            plan,
            images,
            announced,
        })
    }

    /// Reads the Dockerfile of an opened context; `check` stands for its directive of that name.
    fn definition(&self, opened: &Opened, check: Option<&String>) -> Result<Dockerfile, Error> {
        if self.dialect == Dialect::Classic
            && let Some(bytes) = opened.sent_bytes()?
        {
            self.events.event(Event::BuildContext { bytes });
        }
        let place = Place {
            dialect: self.dialect,
            name: &opened.text.name,
            source: &opened.text.bytes,
        };
        self.read(place, check)
    }

    fn read(&self, place: Place<'_>, check: Option<&String>) -> Result<Dockerfile, Error> {
        if place.source.is_empty() && self.dialect == Dialect::Classic {
            let text = format!("the Dockerfile ({}) cannot be empty", place.name);
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        if place.source.is_empty() {
            let text = "failed to solve: the Dockerfile cannot be empty";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let dockerfile = parse(place.source).and_then(|mut syntax| {
            if check.is_some() {
                syntax.directives.check = check.cloned();
            }
            Dockerfile::interpret(&syntax)
        });
        dockerfile.map_err(|error| place.parse_error(&error))
    }

    fn plan_with(
        &self,
        request: &BuildRequest,
        opened: &Opened,
        dockerfile: &Dockerfile,
        images: &ResolvedImages,
    ) -> Result<(Plan, usize), Error> {
        let options = options::plan_options(self, request, opened)?;
        let place = Place {
            dialect: self.dialect,
            name: &opened.text.name,
            source: &opened.text.bytes,
        };
        let resolver = Resolver {
            engine: self.engine,
            network: self.network,
            events: self.events,
            lease: &self.lease,
            dialect: self.dialect,
            always: request.pull,
            explicit: !request.platforms.is_empty(),
            images,
        };
        let mut announced = None;
        loop {
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let input = PlanInput {
                dockerfile,
                options: &options,
                images: &images.bases(),
            };
            match plan(&input).map_err(|error| failure::plan(place, &error))? {
                Planning::Ready(plan) => return Ok((*plan, announced.unwrap_or(0))),
                Planning::Missing(missing) => {
                    if announced.is_none() && request.call == Call::Build {
                        let steps = self.announce(&input);
                        let refused = |error: PlanError| failure::plan(place, &error);
                        announced = Some(steps.map_err(refused)?);
                    }
                    resolver.resolve(missing).map_err(|failed| {
                        let (wanted, error) = *failed;
                        failure::image(place, dockerfile, &wanted, error)
                    })?;
                }
            }
        }
    }

    /// Classic docker names the step before it pulls the step's image. Says how many steps were named.
    fn announce(&self, input: &PlanInput<'_>) -> Result<usize, PlanError> {
        if self.dialect != Dialect::Classic {
            return Ok(0);
        }
        let steps = opening(input)?;
        let count = steps.len();
        for step in steps {
            self.events.event(Event::Build(BuildEvent::Classic(step)));
        }
        Ok(count)
    }

    /// `# check=error=true`: findings fail the build.
    fn check_directive(&self, planned: &Planned, warnings: &[Warning]) -> Result<(), Error> {
        match violation(planned, warnings) {
            Some(text) if self.dialect == Dialect::BuildKit => {
                let text = format!("failed to solve: {text}");
                Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Stream))
            }
            _ => Ok(()),
        }
    }

    fn solve(
        &self,
        request: &BuildRequest,
        planned: &Planned,
        imports: Option<&dyn Imports>,
    ) -> Result<(Solved, Vec<Digest>), Error> {
        let sources = BuildSources::new(
            self.store,
            self.network,
            &planned.opened.tree,
            &planned.images,
            request,
            download::moment(self.engine.now()),
        )?;
        let epoch = planned.plan.source_date_epoch.or(request.source_date_epoch);
        let solve_options = SolveOptions {
            dialect: options::dialect(self.dialect),
            scope: scope(request, planned),
            now: self.engine.now(),
            expect_cached: request.cache.expected,
            source_date_epoch: epoch,
            rewrite_timestamps: request.rewrites_timestamps(),
            keep_failed: request.on_fail != OnFail::Discard,
            force_rm: request.force_rm,
            announced: planned.announced,
            ..SolveOptions::default()
        };
        let told = Told::new(self.events);
        let solving = SolveRequest {
            imports,
            graph: &planned.plan.graph,
            store: self.store,
            sandbox: self.sandbox,
            sources: Arc::new(sources),
            progress: &told,
            options: &solve_options,
            cancel: self.cancel.clone(),
        };
        let solved = match self.dialect {
            Dialect::BuildKit => solve(&solving).map(|solved| (solved, Vec::new())),
            Dialect::Classic => {
                let images = classic::Images::new(self, planned);
                solve_classic(&solving, &images)
            }
        };
        solved.map_err(|error| {
            let error = failure::solve(self, planned, error);
            let image = error.failed_build().and_then(|known| known.image.as_ref());
            if image.is_some() {
                kept::replace(self, &solve_options.scope, image);
            }
            error
        })
    }
}

/// What fails a build by `error=true` among the checks.
fn violation(planned: &Planned, warnings: &[Warning]) -> Option<String> {
    let directive = planned.dockerfile.directives.check.as_deref();
    let options = directive.and_then(|text| lint::CheckOptions::parse(text).ok())?;
    if !options.error || warnings.is_empty() {
        return None;
    }
    let rules = warnings.iter().map(|warning| warning.rule.as_str());
    let mut rules: Vec<&str> = rules.collect();
    rules.sort_unstable();
    rules.dedup();
    let rules = rules.join(", ");
    Some(format!("lint violation found for rules: {rules}"))
}

/// The findings of the rules, those of the text first. The answer to `--check` names the Dockerfile as it was typed.
fn warnings(planned: &Planned, request: &BuildRequest) -> Vec<Warning> {
    let mut found = planned.dockerfile.warnings.clone();
    for warning in &planned.plan.warnings {
        if !found.contains(warning) {
            found.push(warning.clone());
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let text = &planned.opened.text;
    let typed = request.dockerfile.clone().filter(|path| path != "-");
    let is_folder = request.context != "-" && !planned.opened.is_temporary();
    let name = match typed {
        _ if request.call != Call::Check => text.name.clone(),
        Some(path) => path,
        None if is_folder && request.dockerfile.is_none() => {
            let path = Path::new(&request.context).join(&text.name);
            let path: PathBuf = path.components().collect();
            path.display().to_string()
        }
        None => text.name.clone(),
    };
    let excerpts = Excerpts::new(&name, &text.bytes);
    let points = Points::of(&text.bytes);
    let mut shown = 0_usize;
    let told = found.iter().map(|warning| {
        let mut excerpt = None;
        if shown < EXCERPTS_LIMIT {
            let point = points.find(warning.span, &warning.point);
            // The answer to `--check` is docker's, letter by letter.
            let point = point.filter(|_| request.call != Call::Check);
            excerpt = excerpts.lines(std::slice::from_ref(&warning.span), point);
            shown = shown.saturating_add(excerpt.as_ref().map_or(0, String::len));
        }
        Warning {
            rule: warning.rule.name().to_owned(),
            description: warning.rule.description().to_owned(),
            url: warning.rule.url().unwrap_or_default(),
            detail: warning.detail.clone(),
            line: warning.span.start.line,
            end_line: warning.span.end.line,
            excerpt: excerpt.unwrap_or_default(),
        }
    });
    told.collect()
}

/// What tells this Dockerfile from others.
fn scope(request: &BuildRequest, planned: &Planned) -> String {
    let name = &planned.opened.text.name;
    if request.context == "-" || planned.opened.is_temporary() {
        return format!("{} {name}", request.context);
    }
    format!("{} {name}", planned.opened.tree.path().to_string_lossy())
}

/// What there is to say of a Dockerfile without building it.
fn answer(planned: &Planned, call: Call) -> Answer {
    let stages = &planned.dockerfile.stages;
    let last = stages.len().saturating_sub(1);
    let targets = stages.iter().enumerate().filter_map(|(number, stage)| {
        let is_default = number == last;
        let name = stage
            .name
            .clone()
            .or_else(|| is_default.then(String::new))?;
        Some((name, is_default, stage.doc.clone().unwrap_or_default()))
    });
    let mut arguments = Vec::new();
    let commands = stages.iter().flat_map(|stage| &stage.commands);
    for command in planned.dockerfile.global_args.iter().chain(commands) {
        if let lapstrake_dockerfile::Instruction::Arg(arg) = &command.instruction {
            let words = arg.iter();
            arguments.extend(words.map(|one| {
                let doc = one.doc.clone().unwrap_or_default();
                (one.key.clone(), one.value.clone(), doc)
            }));
        }
    }
    Answer {
        call,
        targets: targets.collect(),
        arguments,
        error: None,
    }
}

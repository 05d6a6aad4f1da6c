//! Errors of plans and steps, in the words of the dialect and with what is known of them.

use super::driver::{Build, Planned};
use super::request::Dialect;
use super::result::FailedBuild;
use super::words::{Place, cancelled, source_error};
use crate::error::{Error, ErrorKind, Origin};
use crate::transfer;
use lapstrake_build::error::{FailedStep, SolveError, StepError};
use lapstrake_build::graph::{Graph, ImageWanted, NodeId, Step, StepKind};
use lapstrake_build::plan::{PlanError, PlanErrorKind};
use lapstrake_dockerfile::{Dockerfile, Instruction, Point, Points, Position, Span};
use lapstrake_snapshot::Layer;
use lapstrake_spec::{Digest, ImageConfig, RootFs};

/// The Dockerfile cannot be planned.
pub(super) fn plan(place: Place<'_>, error: &PlanError) -> Error {
    let spans: Vec<Span> = error.span.iter().copied().collect();
    let point = place.find(error.span, &error.kind.point());
    let kind = ErrorKind::InvalidArgument;
    let made = place.error_at(kind, &error.to_string(), &spans, point);
    match error.kind {
        PlanErrorKind::MaxDepth => made.with_hint(
            "an image has at most 127 layers, those of its base included: join some instructions",
        ),
        _ if place.dialect == Dialect::Classic && error.span.is_none() => {
            made.with_origin(Origin::Engine)
        }
        _ => made,
    }
}

/// An image cannot be had.
pub(super) fn image(
    place: Place<'_>,
    dockerfile: &Dockerfile,
    wanted: &ImageWanted,
    error: Error,
) -> Error {
    if place.dialect == Dialect::Classic || error.kind() == ErrorKind::Interrupted {
        return error;
    }
    let user = user_of(dockerfile, &wanted.name);
    let spans: Vec<Span> = user.iter().map(|(span, _)| *span).collect();
    let point = user.and_then(|(span, word)| place.find(Some(span), &word));
    let name = &wanted.name;
    let reason = match error.kind() {
        ErrorKind::NotFound => format!("{name}: not found"),
        _ => error.message().to_owned(),
    };
    let text = format!("{name}: failed to resolve source metadata for {name}: {reason}");
    let made = place.error_at(error.kind(), &text, &spans, point);
    let made = match error.hint() {
        Some(hint) => made.with_hint(hint),
        None => made,
    };
    made.with_source(error)
}

/// The instruction that wants an image: a FROM, or else a COPY of it.
fn user_of(dockerfile: &Dockerfile, image: &str) -> Option<(Span, Point)> {
    let bare = |name: &'_ str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
    let means = |name: &str| bare(image).ends_with(&bare(name));
    let mut stages = dockerfile.stages.iter();
    if let Some(stage) = stages.find(|stage| means(&stage.base)) {
        return Some((stage.span, Point::Word(stage.base.clone())));
    }
    let mut commands = dockerfile.stages.iter().flat_map(|stage| &stage.commands);
    commands.find_map(|command| match &command.instruction {
        Instruction::Copy(copy) if copy.from.as_deref().is_some_and(means) => {
            Some((command.span, Point::Flag("from".to_owned())))
        }
        _ => None,
    })
}

/// The graph cannot be solved.
pub(super) fn solve(build: &Build<'_>, planned: &Planned, error: SolveError) -> Error {
    let place = planned.place(build.dialect);
    match error {
        SolveError::Cancelled => cancelled(),
        SolveError::Step(failed) => step(build, planned, *failed),
        SolveError::Refused(error) => plan(place, &error),
        SolveError::NotCached { node, name, reason } => {
            let text = format!("step is not cached: {name}: {reason}");
            let spans: Vec<Span> = span_of(&planned.plan.graph, node).into_iter().collect();
            place
                .error(ErrorKind::Conflict, &text, &spans)
                .with_hint("without --expect-cached the step runs")
        }
        SolveError::Other(error) => plain(place, error, &[]),
        other => place.error(ErrorKind::Internal, &other.to_string(), &[]),
    }
}

fn span_of(graph: &Graph, node: NodeId) -> Option<Span> {
    graph.node(node)?.step.span
}

/// What is wrong, without regard to where.
fn plain(place: Place<'_>, error: StepError, spans: &[Span]) -> Error {
    if error.is_cancelled() {
        return cancelled();
    }
    let text = match place.dialect {
        Dialect::Classic => error.classic_text(),
        Dialect::BuildKit => chain(&error),
    };
    let inner = match error {
        StepError::Source(error) => source_error(error),
        StepError::Store(error) => error.into(),
        StepError::Program { .. } | StepError::Invalid(_) => {
            Error::new(ErrorKind::InvalidArgument, "")
        }
        StepError::Io { action, source } => lapstrake_image::Error::io(action, source).into(),
        other => Error::new(ErrorKind::Internal, other.to_string()),
    };
    let point = spans.first().and_then(|span| missing(place, *span, &text));
    let made = place.error_at(inner.kind(), &text, spans, point);
    match inner.hint() {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Where the path stands that `"/path": not found` is about.
fn missing(place: Place<'_>, instruction: Span, text: &str) -> Option<Position> {
    let (_, path) = text.strip_suffix("\": not found")?.rsplit_once('"')?;
    let relative = path.trim_start_matches('/');
    let points = Points::of(place.source);
    let start = points.find(instruction, &Point::Start);
    let spellings = [path, relative, &format!("./{relative}")].map(str::to_owned);
    let mut found = spellings
        .into_iter()
        .map(|word| points.find(instruction, &Point::Word(word)));
    found.find(|at| *at != start).flatten()
}

/// An error and those that caused it, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = match next.downcast_ref::<std::io::Error>() {
            Some(error) => super::words::io_words(error),
            None => next.to_string(),
        };
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}

fn step(build: &Build<'_>, planned: &Planned, failed: FailedStep) -> Error {
    let place = planned.place(build.dialect);
    let spans: Vec<Span> = failed.span.iter().copied().collect();
    let status = match &failed.error {
        StepError::Program { status, .. } => Some(i32::from(status.code())),
        StepError::Sandbox(lapstrake_build::sandbox::SandboxError::Exec { code, .. }) => {
            Some(i32::from(*code))
        }
        _ => None,
    };
    let config = config_of(&planned.plan.graph, failed.node);
    let shell = config
        .and_then(|config| config.config.as_ref())
        .and_then(|config| config.shell.clone())
        .unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
    // Without it only the way into the failed step is missing.
    let image = failed
        .layers
        .as_deref()
        .and_then(|layers| keep(build, config?, layers).ok());
    let error = plain(place, failed.error, &spans);
    let known = FailedBuild {
        status,
        image,
        shell,
        excerpt: error.failed_build().and_then(|known| known.excerpt.clone()),
    };
    error.with_failed_build(known)
}

/// The configuration in force at a node.
fn config_of(graph: &Graph, node: NodeId) -> Option<&ImageConfig> {
    let stage = graph.stage(graph.node(node)?.step.stage?)?;
    let is_it = |step: &Step| matches!(step.kind, StepKind::Filesystem(own) if own == node);
    stage.steps.iter().any(is_it).then_some(&stage.config)
}

/// An image of the file system that a program left, for those who want to look around in it.
fn keep(build: &Build<'_>, config: &ImageConfig, layers: &[Layer]) -> Result<Digest, Error> {
    let now = build.engine.now().to_string();
    let mut config = config.clone();
    config.created = Some(now.clone());
    config.rootfs = RootFs::layers(layers.iter().map(|layer| layer.diff_id.clone()).collect());
    config.history = layers
        .iter()
        .map(|_| lapstrake_spec::History {
            created: Some(now.clone()),
            created_by: "failed step".to_owned(),
            ..lapstrake_spec::History::default()
        })
        .collect();
    let new = transfer::NewImage {
        config,
        size: size(build, layers)?,
        layers: layers.iter().map(|layer| layer.blob.clone()).collect(),
        family: super::images::family(layers),
        parent: None,
        name: None,
    };
    transfer::record(build.engine, new, &build.lease)
}

/// Bytes of the files in layers.
pub(super) fn size(build: &Build<'_>, layers: &[Layer]) -> Result<u64, Error> {
    let mut size = 0_u64;
    for layer in layers {
        size = size.saturating_add(build.store.layer_size(&layer.diff_id)?);
    }
    Ok(size)
}

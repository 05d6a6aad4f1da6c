//! From solved targets to images, names, outputs and files.

use super::driver::{Build, Planned};
use super::request::{BuildRequest, Dialect, SecretSource, Stdout};
use super::result::{BuildResult, BuiltImage};
use super::words::{io_words, source_error};
use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use crate::event::Event;
use crate::ops::export::{self, CacheTarget, ExportRequest, Exported, Output, Product};
use lapstrake_build::cache::Record;
use lapstrake_build::event::{BuildEvent, VertexId};
use lapstrake_build::solve::{Solved, SolvedTarget};
use lapstrake_spec::Digest;
use std::collections::BTreeMap;

const EXPORT: VertexId = VertexId(VertexId::ENGINE + 2);
const CACHE: VertexId = VertexId(VertexId::ENGINE + 3);

/// What can be refused before any work.
pub(super) fn check_outputs(engine: &Engine, request: &BuildRequest) -> Result<(), Error> {
    if engine.has_content_trust() && request.outputs.iter().any(Output::is_pushed) {
        let text = "content trust is on, and a build signs nothing that it pushes";
        return Err(Error::new(ErrorKind::Unsupported, text)
            .with_origin(Origin::Client)
            .with_hint(
                "build without `--push`, then `lap push`, which signs; or add `--disable-content-trust`",
            ));
    }
    let stdout = request.outputs.iter().any(Output::uses_stdout);
    if stdout && request.stdout.is_none() {
        let text = "output to standard output is not possible here";
        return Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client));
    }
    for source in request.secrets.values() {
        let SecretSource::File(path) = source else {
            continue;
        };
        let path = request.working_directory.join(path);
        if let Err(error) = std::fs::metadata(&path) {
            let (path, words) = (path.display(), io_words(&error));
            let text = format!("failed to stat {path}: stat {path}: {words}");
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client));
        }
    }
    for target in &request.cache.to {
        export::parse_cache_to(target, &request.working_directory)?;
    }
    Ok(())
}

/// Everything after the last step.
pub(super) fn finish(
    build: &Build<'_>,
    mut request: BuildRequest,
    planned: &Planned,
    solved: Solved,
    ids: &[Digest],
) -> Result<BuildResult, Error> {
    let records = export::known_records(build.engine, &solved.records)?;
    let mut products = Vec::with_capacity(solved.targets.len());
    for (number, target) in solved.targets.iter().enumerate() {
        let mut product = product(build, target)?;
        if let Some(id) = ids.get(number) {
            let images = build.store.images()?;
            product.parent = images.by_id(id).and_then(|entry| entry.parent.clone());
        }
        if request.squash {
            super::squash::squash(build, target, &planned.images, &mut product)?;
        }
        if planned.plan.inline_cache || wants_inline(&request)? {
            export::inline_cache(&mut product, &records)?;
        }
        products.push(product);
    }
    let mut result = BuildResult {
        cached: solved.cached,
        ..BuildResult::default()
    };
    let stdout = request.stdout.take();
    let epoch = planned.plan.source_date_epoch.or(request.source_date_epoch);
    let exported = build.vertex(EXPORT, "exporting to image", || {
        outputs(build, &request, (&products, epoch), stdout)
    });
    let (exported, written) = match exported {
        Ok(exported) => exported,
        Err(error) => return Err(failed_to_solve(build, error)),
    };
    describe(&mut result, &products, &exported);
    result.outputs = written;
    cache(build, &request, &records, &products)?;
    files(&request, &mut result, &exported)?;
    drop(solved);
    Ok(result)
}

fn failed_to_solve(build: &Build<'_>, error: Error) -> Error {
    if build.dialect == Dialect::Classic || error.origin() == Origin::Client {
        return error;
    }
    let text = format!("failed to solve: {}", error.message());
    error.with_message(text).with_origin(Origin::Stream)
}

fn product(build: &Build<'_>, target: &SolvedTarget) -> Result<Product, Error> {
    Ok(Product {
        platform: target.platform.clone(),
        config: target.config.clone(),
        layers: target.layers.clone(),
        size: super::failure::size(build, &target.layers)?,
        parent: None,
        annotations: BTreeMap::new(),
    })
}

fn wants_inline(request: &BuildRequest) -> Result<bool, Error> {
    for location in &request.cache.to {
        let target = export::parse_cache_to(location, &request.working_directory)?;
        if target == CacheTarget::Inline {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes every output.
fn outputs(
    build: &Build<'_>,
    request: &BuildRequest,
    (products, epoch): (&[Product], Option<i64>),
    mut stdout: Option<Stdout>,
) -> Result<(Vec<Exported>, Vec<String>), Error> {
    let default = [Output::image()];
    let wanted = match request.outputs.as_slice() {
        [] => &default[..],
        outputs => outputs,
    };
    let mut exported = Vec::with_capacity(wanted.len());
    let mut written = Vec::new();
    let notes = std::sync::Mutex::new(Vec::new());
    for output in wanted {
        let note = |text: &str| {
            let mut notes = notes
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            notes.push(text.to_owned());
            if build.dialect == Dialect::BuildKit {
                build.events.event(Event::Build(BuildEvent::Progress {
                    vertex: EXPORT,
                    item: text.to_owned(),
                    current: 0,
                    total: None,
                    done: true,
                }));
            }
        };
        let work = ExportRequest {
            products,
            output,
            names: &request.tags,
            annotations: &request.annotations,
            epoch,
            directory: request.working_directory.clone(),
            stdout: stdout
                .take_if(|_| output.uses_stdout())
                .map(|Stdout(writer)| writer),
            lease: &build.lease,
            notes: &note,
        };
        let done = build
            .network
            .wait(export::export(build.engine, work, build.events))?;
        exported.push(done);
    }
    written.extend(notes.into_inner().unwrap_or_default());
    Ok((exported, written))
}

fn describe(result: &mut BuildResult, products: &[Product], exported: &[Exported]) {
    for one in exported {
        if result.images.is_empty() {
            let pairs = products.iter().zip(&one.images);
            let image = |(product, (manifest, id)): (&Product, &(_, Digest))| BuiltImage {
                id: id.clone(),
                manifest: Clone::clone(manifest),
                platform: product.platform.clone(),
            };
            result.images = pairs.map(image).collect();
        }
        for name in &one.names {
            if !result.names.contains(name) {
                result.names.push(name.clone());
            }
        }
    }
}

/// Writes `--cache-to`.
fn cache(
    build: &Build<'_>,
    request: &BuildRequest,
    records: &[Record],
    products: &[Product],
) -> Result<(), Error> {
    for location in &request.cache.to {
        let target = export::parse_cache_to(location, &request.working_directory)?;
        let written = build.vertex(CACHE, &target.describe(), || {
            let work = export::export_cache(
                build.engine,
                &target,
                records,
                products,
                &build.lease,
                build.events,
            );
            build.network.wait(work)
        });
        match written {
            Ok(_) => {}
            Err(error) if target.ignores_errors() && error.kind() != ErrorKind::Interrupted => {
                build.events.event(Event::Build(BuildEvent::Warning {
                    vertex: Some(CACHE),
                    text: format!("failed to export cache: {error}"),
                }));
            }
            Err(error) => return Err(failed_to_solve(build, error)),
        }
    }
    Ok(())
}

/// Writes `--iidfile` and `--metadata-file`.
fn files(
    request: &BuildRequest,
    result: &mut BuildResult,
    exported: &[Exported],
) -> Result<(), Error> {
    result.metadata = export::build_metadata(exported, "");
    if let Some(path) = &request.iidfile
        && let Some(id) = result.id()
    {
        export::write_iidfile(&request.working_directory.join(path), id)?;
    }
    if let Some(path) = &request.metadata_file {
        export::write_metadata(&request.working_directory.join(path), &result.metadata)?;
    }
    Ok(())
}

/// What a result's trees cannot be read for.
pub(super) fn step_error(error: lapstrake_build::error::StepError) -> Error {
    match error {
        lapstrake_build::error::StepError::Source(error) => source_error(error),
        other => Error::new(ErrorKind::Internal, other.to_string()),
    }
}

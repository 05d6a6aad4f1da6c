//! `--cache-from`: the records of other places are read before the first step, their layers when a step is found.

use super::driver::Build;
use super::request::BuildRequest;
use super::words::to_source;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::ops::export::{self, ImportedCache};
use lapstrake_build::cache::{Imports, Key};
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::event::{BuildEvent, VertexId};
use lapstrake_build::source::SourceError;
use std::sync::atomic::{AtomicBool, Ordering};

const IMPORT: VertexId = VertexId(VertexId::ENGINE + 4);

/// The caches of `--cache-from`, in order.
pub(super) struct Imported<'a> {
    build: &'a Build<'a>,
    caches: Vec<Place>,
}

struct Place {
    name: String,
    cache: ImportedCache,
    /// Raised once something could not be fetched: the rest is not asked for.
    failed: AtomicBool,
}

impl<'a> Imported<'a> {
    /// Reads records. A place that cannot be read is told and passed over, as in docker.
    pub(super) fn read(build: &'a Build<'_>, request: &BuildRequest) -> Result<Self, Error> {
        let mut caches = Vec::new();
        for location in &request.cache.from {
            let from = export::parse_cache_from(location, &request.working_directory)?;
            let name = from.describe();
            let vertex = format!("importing cache manifest from {name}");
            let found = build.vertex(IMPORT, &vertex, || {
                build
                    .network
                    .wait(async { export::import_cache(build.engine, &from).await })
            });
            match found {
                Ok(cache) => caches.push(Place {
                    name,
                    cache,
                    failed: AtomicBool::new(false),
                }),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => warn(
                    build,
                    format!("failed to configure cache importer: {error}"),
                ),
            }
        }
        Ok(Self { build, caches })
    }

    /// For the solver; nothing when there is nothing.
    pub(super) fn as_imports(&self) -> Option<&dyn Imports> {
        let any = self.caches.iter().any(|place| !place.cache.is_empty());
        any.then_some(self)
    }
}

impl Imports for Imported<'_> {
    fn fetch(&self, key: &Key, cancel: &CancelToken) -> Result<bool, SourceError> {
        let network = self.build.network.until(cancel);
        for place in &self.caches {
            if place.failed.load(Ordering::Relaxed) {
                continue;
            }
            let fetching = place.cache.fetch(self.build.store, key, &self.build.lease);
            match network.wait(fetching) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    return Err(to_source(error));
                }
                Err(error) => {
                    place.failed.store(true, Ordering::Relaxed);
                    let text = format!("failed to import cache from {}: {error}", place.name);
                    warn(self.build, text);
                }
            }
        }
        Ok(false)
    }
}

fn warn(build: &Build<'_>, text: String) {
    build.events.event(Event::Build(BuildEvent::Warning {
        vertex: Some(IMPORT),
        text,
    }));
}

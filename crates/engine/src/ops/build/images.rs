//! The images that a build stands on: from the store, else from a registry.

use super::layout;
use super::options::LAYOUT;
use super::remote::Network;
use super::request::Dialect;
use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink};
use crate::ops::pull::{PullRequest, pull};
use crate::trust::local;
use crate::{Engine, transfer};
use lapstrake_build::event::{BuildEvent, VertexEnd, VertexId};
use lapstrake_build::graph::ImageWanted;
use lapstrake_build::plan::BaseImage;
use lapstrake_build::sandbox::Stream;
use lapstrake_image::LayerState;
use lapstrake_snapshot::Layer;
use lapstrake_spec::{Digest, Platform, Reference};
use lapstrake_store::{Entry, Images, Lease};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The vertex of the first image; the next ones follow.
const FIRST_VERTEX: u64 = VertexId::ENGINE + 100;

/// An image that was found.
#[derive(Debug, Clone)]
pub(super) struct ResolvedImage {
    /// What the planner needs.
    pub(super) base: BaseImage,
    /// The image id.
    pub(super) id: Digest,
    /// The layers, bottom first.
    pub(super) layers: Vec<Layer>,
}

/// The images of one build, by what the plan calls them.
#[derive(Debug, Default)]
pub(super) struct ResolvedImages(Mutex<BTreeMap<ImageWanted, ResolvedImage>>);

impl ResolvedImages {
    /// The layers of an image.
    pub(super) fn layers(&self, wanted: &ImageWanted) -> Option<Vec<Layer>> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.get(wanted).map(|image| image.layers.clone())
    }

    /// The image that the plan calls so.
    pub(super) fn id(&self, wanted: &ImageWanted) -> Option<Digest> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.get(wanted).map(|image| image.id.clone())
    }

    /// The image that has these layers and no more.
    pub(super) fn id_with(&self, diff_ids: &[Digest]) -> Option<Digest> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |image: &&ResolvedImage| {
            let layers = image.layers.iter().map(|layer| &layer.diff_id);
            layers.eq(diff_ids)
        };
        images.values().find(has).map(|image| image.id.clone())
    }

    /// What the planner knows.
    pub(super) fn bases(&self) -> BTreeMap<ImageWanted, BaseImage> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bases = images
            .iter()
            .map(|(wanted, image)| (wanted.clone(), image.base.clone()));
        bases.collect()
    }

    fn insert(&self, wanted: ImageWanted, image: ResolvedImage) {
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.insert(wanted, image);
    }
}

/// Finds images.
pub(super) struct Resolver<'a> {
    pub(super) engine: &'a Engine,
    pub(super) network: &'a Arc<Network>,
    pub(super) events: &'a dyn EventSink,
    pub(super) lease: &'a Lease,
    pub(super) dialect: Dialect,
    /// `--pull`
    pub(super) always: bool,
    /// Whether `--platform` was given.
    pub(super) explicit: bool,
    pub(super) images: &'a ResolvedImages,
}

impl Resolver<'_> {
    /// Finds what the planner misses. The failure names the image.
    pub(super) fn resolve(
        &self,
        missing: Vec<ImageWanted>,
    ) -> Result<(), Box<(ImageWanted, Error)>> {
        for wanted in missing {
            let number = u64::try_from(self.images.bases().len()).unwrap_or(0);
            let vertex = VertexId(FIRST_VERTEX.saturating_add(number));
            self.tell(BuildEvent::Started {
                vertex,
                name: format!("[internal] load metadata for {}", wanted.name),
            });
            let found = self.one(&wanted, vertex);
            let end = match &found {
                Ok(_) => VertexEnd::Done,
                Err(error) => VertexEnd::Failed(error.message().to_owned()),
            };
            self.tell(BuildEvent::Finished { vertex, end });
            match found {
                Ok(image) => self.images.insert(wanted, image),
                Err(error) => return Err(Box::new((wanted, error))),
            }
        }
        Ok(())
    }

    fn tell(&self, event: BuildEvent) {
        if self.dialect == Dialect::BuildKit {
            self.events.event(Event::Build(event));
        }
    }

    fn one(&self, wanted: &ImageWanted, vertex: VertexId) -> Result<ResolvedImage, Error> {
        if let Some(place) = wanted.name.strip_prefix(LAYOUT) {
            local::check_folder(self.engine, place)
                .map_err(|error| error.with_origin(Origin::Stream))?;
            let read = layout::read(self.engine, self.lease, place, &wanted.platform);
            return self
                .network
                .wait(read)
                .map_err(|error| error.with_origin(Origin::Stream));
        }
        let reference = Reference::parse(&wanted.name).map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, error.to_string()).with_origin(Origin::Stream)
        })?;
        let store = self.engine.store()?;
        let local = local(&store.images()?, &reference);
        let fits = |entry: &Entry| {
            let found = entry.platform.as_ref();
            found.is_none_or(|found| wanted.platform.preference(found).is_some())
        };
        if let Some((entry, by_id)) = &local
            && (*by_id || !self.always)
            && (fits(entry) || *by_id)
        {
            self.check(entry, &reference, *by_id)?;
            return self.found(entry, &reference);
        }
        match self.pulled(&reference, wanted, vertex) {
            Ok(id) => {
                let images = store.images()?;
                let entry = images
                    .by_id(&id)
                    .ok_or_else(|| Error::no_such_image(&wanted.name))?;
                self.found(entry, &reference)
            }
            // It is here for another platform only, and nobody asked for this one in particular.
            Err(error) => match local.filter(|_| !self.explicit && !self.always) {
                Some((entry, _)) if !self.engine.has_content_trust() => {
                    self.found(&entry, &reference)
                }
                _ => Err(error),
            },
        }
    }

    /// Content trust is about images that are here, too.
    fn check(&self, entry: &Entry, reference: &Reference, by_id: bool) -> Result<(), Error> {
        if !self.engine.has_content_trust() {
            return Ok(());
        }
        let name = (!by_id).then_some(reference);
        let checked = local::check(self.engine, name, &entry.id);
        self.network
            .wait(checked)
            .map_err(|error| error.with_origin(Origin::Stream))
    }

    fn pulled(
        &self,
        reference: &Reference,
        wanted: &ImageWanted,
        vertex: VertexId,
    ) -> Result<Digest, Error> {
        let ask = self.explicit || !Platform::host().matches(&wanted.platform);
        let request = PullRequest {
            reference: reference.familiar(),
            all_tags: false,
            platform: ask.then(|| wanted.platform.clone()),
        };
        let told = Told {
            events: self.events,
            vertex,
        };
        let events: &dyn EventSink = match self.dialect {
            Dialect::Classic => self.events,
            Dialect::BuildKit => &told,
        };
        let pulled = self
            .network
            .wait(pull(self.engine, &request, events))
            .map_err(|error| error.with_origin(Origin::Stream))?;
        let first = pulled.ids.into_iter().next();
        first.ok_or_else(|| Error::no_such_image(&wanted.name))
    }

    /// Reads what is known of an image of the store, and keeps it from being collected.
    fn found(&self, entry: &Entry, reference: &Reference) -> Result<ResolvedImage, Error> {
        let store = self.engine.store()?;
        self.lease
            .protect(&[entry.id.clone(), entry.manifest.digest.clone()])?;
        let manifest = store.manifest(&entry.manifest)?;
        let (config, _raw) = store.image_config(&entry.id)?;
        let layers: Vec<Layer> = config
            .rootfs
            .diff_ids
            .iter()
            .zip(&manifest.layers)
            .map(|(diff_id, blob)| Layer {
                diff_id: diff_id.clone(),
                blob: blob.clone(),
            })
            .collect();
        let all: Vec<Digest> = layers
            .iter()
            .flat_map(|layer| [layer.blob.digest.clone(), layer.diff_id.clone()])
            .collect();
        self.lease.protect(&all)?;
        if store.images()?.by_id(&entry.id).is_none() {
            return Err(Error::no_such_image(&reference.familiar()));
        }
        let digest = entry
            .repo_digests
            .iter()
            .find(|known| known.same_repository(reference))
            .and_then(|known| known.digest().cloned());
        Ok(ResolvedImage {
            base: BaseImage { digest, config },
            id: entry.id.clone(),
            layers,
        })
    }
}

/// The image of the store with this name, and whether the name is an id.
fn local(images: &Images, reference: &Reference) -> Option<(Entry, bool)> {
    let full = reference.canonical();
    if let Ok(found) = images.find(&full) {
        let entry = found
            .name
            .as_ref()
            .and_then(|name| images.by_name(name))
            .or_else(|| images.by_id(&found.id));
        return entry.cloned().map(|entry| (entry, false));
    }
    // A plan writes out the names that it reads; this one may have been an id.
    let short = reference.familiar();
    let short = short.strip_suffix(":latest").unwrap_or(&short);
    let found = images
        .find(short)
        .ok()
        .filter(|found| found.name.is_none())?;
    images.by_id(&found.id).cloned().map(|entry| (entry, true))
}

/// A pull as progress of a vertex.
struct Told<'a> {
    events: &'a dyn EventSink,
    vertex: VertexId,
}

impl EventSink for Told<'_> {
    fn event(&self, event: Event) {
        match event {
            Event::Layer(layer) => {
                let (current, total, done) = match layer.state {
                    LayerState::Downloading { done, total } => (done, Some(total), false),
                    LayerState::PullComplete | LayerState::AlreadyExists => (0, None, true),
                    _ => return,
                };
                self.events.event(Event::Build(BuildEvent::Progress {
                    vertex: self.vertex,
                    item: layer.digest.to_string(),
                    current,
                    total,
                    done,
                }));
            }
            Event::Verified { keys } => self.events.event(Event::Build(BuildEvent::Output {
                vertex: self.vertex,
                stream: Stream::Stderr,
                bytes: format!("signature verified with {}\n", keys.join(" and ")).into_bytes(),
            })),
            Event::Warning { text } => self.events.event(Event::Warning { text }),
            _ => {}
        }
    }
}

/// The image's family of media types: what a child of it speaks.
pub(super) fn family(layers: &[Layer]) -> transfer::Family {
    layers.first().map_or(transfer::Family::Docker, |layer| {
        transfer::Family::of(&layer.blob.media_type)
    })
}

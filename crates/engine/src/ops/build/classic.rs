//! The images that the classic builder makes of each step.

use super::driver::{Build, Planned};
use super::words::to_source;
use crate::error::Error;
use crate::transfer;
use lapstrake_build::graph::ImageWanted;
use lapstrake_build::solve::{StepImage, StepImages};
use lapstrake_build::source::SourceError;
use lapstrake_spec::{Digest, ImageConfig};

/// Enters an image for each step into the store, each with its parent.
pub(super) struct Images<'a> {
    build: &'a Build<'a>,
    planned: &'a Planned,
}

impl<'a> Images<'a> {
    pub(super) fn new(build: &'a Build<'a>, planned: &'a Planned) -> Self {
        Self { build, planned }
    }

    fn record(&self, image: &StepImage<'_>) -> Result<Digest, Error> {
        let new = transfer::NewImage {
            config: image.config.clone(),
            size: super::failure::size(self.build, image.layers)?,
            layers: image
                .layers
                .iter()
                .map(|layer| layer.blob.clone())
                .collect(),
            family: super::images::family(image.layers),
            parent: image.parent.cloned(),
            name: None,
        };
        transfer::record(self.build.engine, new, image.lease)
    }
}

impl StepImages for Images<'_> {
    fn base(&self, image: &ImageWanted) -> Result<Digest, SourceError> {
        let id = self.planned.images.id(image);
        id.ok_or_else(|| SourceError::other(format!("image {} was not resolved", image.name)))
    }

    fn known(&self, id: &Digest) -> Result<Option<ImageConfig>, SourceError> {
        let known = || -> Result<Option<ImageConfig>, Error> {
            self.build.lease.protect(std::slice::from_ref(id))?;
            let images = self.build.store.images()?;
            if images.by_id(id).is_none() {
                return Ok(None);
            }
            Ok(Some(self.build.store.image_config(id)?.0))
        };
        known().map_err(to_source)
    }

    fn make(&self, image: &StepImage<'_>) -> Result<Digest, SourceError> {
        self.record(image).map_err(to_source)
    }
}

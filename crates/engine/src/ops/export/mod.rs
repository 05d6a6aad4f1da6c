//! What a build leaves behind: an image in the store, a folder, an archive, an image in a registry;
//! and the files that tell of it (`--iidfile`, `--metadata-file`).
//!
//! A build hands over [`Product`]s, one per platform: a configuration and the layers, whose blobs the
//! store has. [`export`] brings them to one [`Output`]. Nothing here knows how a product was made.
//!
//! [`export_cache`] writes what a build knows of its steps to a place that other hosts can read, and
//! [`import_cache`] reads it there (`--cache-to`, `--cache-from`).

mod annotation;
mod archive;
mod cache;
mod image;
mod metadata;
mod open;
mod output;
mod tree;

pub use annotation::{Annotation, AnnotationPlace, parse_annotation};
pub(in crate::ops) use cache::manifest_for;
pub use cache::{
    CacheMode, CacheSource, CacheTarget, ImportedCache, export_cache, import_cache, inline_cache,
    known_records, parse_cache_from, parse_cache_to,
};
pub use metadata::{build_metadata, write_iidfile, write_metadata};
pub use open::{ArchiveInput, open_archive};
pub(in crate::ops) use open::{PAGE_BYTES, told_of_page};
pub use output::{
    Destination, ImageForm, LayerCompression, Output, csv_fields, parse_output, parse_outputs,
};

pub(super) use tree::merged_tar;

use crate::error::{Error, ErrorKind};
use crate::event::EventSink;
use crate::{Engine, lookup};
use lapstrake_snapshot::Layer;
use lapstrake_spec::{Descriptor, Digest, ImageConfig, Platform, Reference};
use lapstrake_store::Lease;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// What a build made for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// What it runs on.
    pub platform: Platform,
    /// The configuration, complete: its bytes decide the image id.
    pub config: ImageConfig,
    /// The layers, the lowest first, one per diff id of the configuration. The store has their blobs.
    pub layers: Vec<Layer>,
    /// Bytes of the files in the layers.
    pub size: u64,
    /// The image that it was built on, as far as the store knows it.
    pub parent: Option<Digest>,
    /// Annotations of the manifest that the build itself makes.
    pub annotations: BTreeMap<String, String>,
}

/// What [`export`] is to do.
pub struct ExportRequest<'a> {
    /// What was built, one per platform.
    pub products: &'a [Product],
    /// Where it goes.
    pub output: &'a Output,
    /// The names of `-t`.
    pub names: &'a [Reference],
    /// The annotations of the command line.
    pub annotations: &'a [Annotation],
    /// `SOURCE_DATE_EPOCH`: the time of all files in a folder or a tar.
    pub epoch: Option<i64>,
    /// What relative paths start from.
    pub directory: PathBuf,
    /// Standard output, for an output that goes there.
    pub stdout: Option<Box<dyn Write + Send>>,
    /// Keeps the layers' blobs, and what is made on the way.
    pub lease: &'a Lease,
    /// Takes the lines that BuildKit shows meanwhile: `exporting layers`, `naming to …`.
    pub notes: &'a (dyn Fn(&str) + Send + Sync),
}

impl std::fmt::Debug for ExportRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportRequest")
            .field("output", self.output)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl ExportRequest<'_> {
    /// The names that the result gets: those of `-t`, else the output's own.
    fn names(&self) -> Result<Vec<Reference>, Error> {
        if !self.names.is_empty() {
            return Ok(self.names.iter().map(Reference::or_latest).collect());
        }
        let own = self.output.names().iter();
        own.map(|name| Ok(lookup::parse(name)?.or_latest()))
            .collect()
    }

    /// The annotations of the command line and of the output.
    fn annotations(&self) -> Result<Vec<&Annotation>, Error> {
        let own = self.output.form().map(|form| &form.annotations);
        let all: Vec<_> = own.into_iter().flatten().chain(self.annotations).collect();
        annotation::check(&all, self.products.len() > 1)?;
        Ok(all)
    }

    fn path(&self, path: &std::path::Path) -> PathBuf {
        self.directory.join(path)
    }

    fn take_stdout(&mut self) -> Result<Box<dyn Write + Send>, Error> {
        self.stdout.take().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "output to standard output is not possible here",
            )
        })
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exported {
    /// The image id: the digest of the configuration. None when no image was made.
    pub id: Option<Digest>,
    /// The manifest, or the index of several platforms.
    pub manifest: Option<Descriptor>,
    /// The names that it has now.
    pub names: Vec<Reference>,
    /// The manifest and the image id of each platform, in the products' order.
    pub images: Vec<(Descriptor, Digest)>,
}

/// Brings products to an output.
pub async fn export(
    engine: &Engine,
    mut request: ExportRequest<'_>,
    events: &dyn EventSink,
) -> Result<Exported, Error> {
    let output = request.output;
    match output {
        Output::Image {
            push, store, form, ..
        } => {
            let (push, store) = (*push, *store);
            let to = image::To { push, store, form };
            image::export(engine, &request, to, events).await
        }
        Output::Registry { form, .. } => {
            let to = image::To {
                push: true,
                store: true,
                form,
            };
            image::export(engine, &request, to, events).await
        }
        Output::Docker {
            dest: None, form, ..
        } => {
            let to = image::To {
                push: false,
                store: true,
                form,
            };
            image::export(engine, &request, to, events).await
        }
        Output::Docker {
            dest: Some(dest),
            tar,
            ..
        } => {
            let form = match tar {
                true => archive::Form::Docker,
                false => archive::Form::Folder,
            };
            archive::export(engine, &mut request, dest, form).await
        }
        Output::Oci { dest, tar, .. } => {
            let form = match tar {
                true => archive::Form::Oci,
                false => archive::Form::Folder,
            };
            archive::export(engine, &mut request, dest, form).await
        }
        Output::Local { dest, split } => {
            let dest = request.path(dest);
            tree::to_folder(engine, &request, &dest, *split).await?;
            Ok(Exported::default())
        }
        Output::Tar { dest } => {
            tree::to_tar(engine, &mut request, dest).await?;
            Ok(Exported::default())
        }
        Output::Nothing => Ok(Exported::default()),
    }
}

/// What stdout is called in errors.
const STDOUT: &str = "/dev/stdout";

/// A failed system call on something that a user named.
fn failed(action: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Error {
    move |error| lapstrake_image::Error::io(action, error).into()
}

#[cfg(test)]
mod tests;

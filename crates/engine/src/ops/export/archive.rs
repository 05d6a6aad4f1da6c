//! Products as OCI layouts and docker archives.

use super::image::{Style, assemble, exported, index};
use super::{
    Destination, ExportRequest, Exported, ImageForm, LayerCompression, Output, STDOUT, failed,
};
use crate::Engine;
use crate::error::Error;
use crate::transfer::Family;
use lapstrake_archive::{ArchiveError, LayoutSink, TarFormat, TarOutput, TarSink};
use lapstrake_image::{ContentSink, CopyOptions, Silent};
use lapstrake_spec::{Descriptor, Platform, Reference};
use lapstrake_store::{Store, Unpack};
use std::fs::File;
use std::path::{Path, PathBuf};

/// When what is listed was made.
const CREATED: &str = "org.opencontainers.image.created";

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A tar with docker's tables.
    Docker,
    /// A tar of an OCI layout.
    Oci,
    /// An OCI layout in a folder.
    Folder,
}

/// Writes products to an archive.
pub(super) async fn export(
    engine: &Engine,
    request: &mut ExportRequest<'_>,
    dest: &Destination,
    form: Form,
) -> Result<Exported, Error> {
    let store = engine.store()?;
    let names = request.names()?;
    let annotations = request.annotations()?;
    let family = match request.output {
        Output::Docker { .. } => Family::Docker,
        _ => Family::Oci,
    };
    let style = Style::of(
        request.output.form().unwrap_or(&ImageForm::default()),
        (family, LayerCompression::Gzip),
        &annotations,
        request.products.len() > 1,
    );
    let mut assembled = Vec::with_capacity(request.products.len());
    (request.notes)("exporting layers");
    for product in request.products {
        assembled.push(assemble(store, product, style, request.lease)?);
    }
    let (mut top, platforms) = match &*assembled {
        [made] => (made.manifest.clone(), vec![None]),
        several => {
            let top = index(store, several, style, request.lease)?;
            let platforms = request
                .products
                .iter()
                .map(|product| product.platform.clone());
            (top, platforms.map(Some).collect())
        }
    };
    if let Some(created) = request
        .products
        .iter()
        .find_map(|one| one.config.created.clone())
    {
        top.annotations.insert(CREATED.to_owned(), created);
    }
    (request.notes)(&format!("exporting manifest {}", top.digest));
    let content = Content {
        store,
        top: &top,
        platforms,
        names: &names,
    };
    match (dest, form) {
        (Destination::Path(path), Form::Folder) => {
            let sink = LayoutSink::create(&request.path(path)).map_err(from_archive)?;
            let sink = sink.trusting().listing(content.top.clone());
            content.copy(&sink).await?;
        }
        (Destination::Path(path), _) => {
            let file = TarFile::create(&request.path(path))?;
            let name = file.target.display().to_string();
            let output = TarOutput::file(file.file.try_clone().map_err(failed("dup"))?, name);
            content.tar(output, form).await?;
            file.keep()?;
        }
        (Destination::Stdout, _) => {
            let output = TarOutput::stream(request.take_stdout()?, STDOUT);
            content.tar(output, form).await?;
        }
    }
    Ok(exported(assembled, top, names))
}

fn from_archive(error: ArchiveError) -> Error {
    lapstrake_image::Error::from(error).into()
}

/// What is copied.
struct Content<'a> {
    store: &'a Store,
    top: &'a Descriptor,
    /// The platforms of an index; nothing to choose where there is one manifest.
    platforms: Vec<Option<Platform>>,
    names: &'a [Reference],
}

impl Content<'_> {
    async fn tar(&self, output: TarOutput, form: Form) -> Result<(), Error> {
        let format = match form {
            Form::Docker => TarFormat::Docker,
            Form::Oci | Form::Folder => TarFormat::Oci,
        };
        let sink = TarSink::new(output, format)
            .trusting()
            .listing(self.top.clone());
        self.copy(&sink).await?;
        Ok(sink.finish().await?)
    }

    async fn copy(&self, sink: &dyn ContentSink) -> Result<(), Error> {
        let source = self.store.endpoint(Unpack::Later);
        for platform in &self.platforms {
            let options = CopyOptions {
                platform: platform.clone(),
                // One after the other: the same image gives the same tar.
                concurrency: 1,
                ..CopyOptions::push()
            };
            lapstrake_image::copy(&source, sink, self.top, &options, &Silent).await?;
        }
        for name in self.names {
            sink.tag(name, self.top).await?;
        }
        Ok(())
    }
}

/// A file that has its name when it is whole; removed when it is dropped before. A device or a pipe is
/// written to as it is.
pub(super) struct TarFile {
    pub(super) file: File,
    pub(super) target: PathBuf,
    temporary: Option<PathBuf>,
}

impl TarFile {
    pub(super) fn create(target: &Path) -> Result<Self, Error> {
        let special = std::fs::metadata(target).is_ok_and(|found| !found.is_file());
        let mut name = target.as_os_str().to_owned();
        name.push(format!(
            ".{}.tmp",
            rustix::process::getpid().as_raw_nonzero()
        ));
        let temporary = (!special).then(|| PathBuf::from(name));
        let path = temporary.as_deref().unwrap_or(target);
        let mut options = File::options();
        options.write(true).create(!special).truncate(!special);
        let file = options
            .open(path)
            .map_err(failed(format!("open {}", target.display())))?;
        Ok(Self {
            file,
            target: target.to_owned(),
            temporary,
        })
    }

    pub(super) fn keep(mut self) -> Result<(), Error> {
        if let Some(temporary) = &self.temporary {
            std::fs::rename(temporary, &self.target)
                .map_err(failed(format!("rename {}", self.target.display())))?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for TarFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Best effort: the error that matters is on its way.
            std::fs::remove_file(temporary).ok();
        }
    }
}

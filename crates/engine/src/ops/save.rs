//! `save`: images out of the store into an archive that any `docker load` takes.
//!
//! Stored bytes are copied as they are, so every digest is the same where the archive is loaded.

use super::push::hold;
use super::target::OpenTarget;
use crate::Engine;
use crate::error::{Error, ErrorKind, Origin};
use crate::ops::ArchiveTarget;
use lapstrake_archive::{TarFormat, TarOutput, TarSink};
use lapstrake_image::{ContentSink, CopyOptions, Silent};
use lapstrake_spec::{Platform, Reference};
use lapstrake_store::{Entry, Images, LookupError, Unpack};

/// What `save` asks for.
#[derive(Debug)]
pub struct SaveRequest {
    /// Names and ids. A name without a tag stands for all tags of the repository.
    pub images: Vec<String>,
    /// What the images have to run on.
    pub platform: Option<Platform>,
    /// Where the archive goes.
    pub target: ArchiveTarget,
}

/// Writes images to an archive.
pub async fn save(engine: &Engine, request: SaveRequest) -> Result<(), Error> {
    let target = OpenTarget::open(request.target, "failed to save image")?;
    let store = engine.store()?;
    let chosen = chosen(&store.images()?, &request.images)?;
    let lease = store.lease()?;
    for image in &chosen {
        check_platform(&image.entry, request.platform.as_ref())?;
        if !hold(store, &image.entry, &lease)? {
            return Err(Error::no_such_image(&image.typed));
        }
    }
    let sink = tar_sink(&target, TarFormat::Docker, true)?;
    let written = write(&store.endpoint(Unpack::Later), sink, &chosen).await;
    written.map_err(writing)?;
    target.keep()
}

/// A sink that writes an archive. What a trusted source has as files, as the store does, was checked when
/// it came in.
pub(super) fn tar_sink(
    target: &OpenTarget,
    format: TarFormat,
    trusted: bool,
) -> Result<TarSink, Error> {
    let (file, name) = (target.descriptor()?, target.name());
    let output = if target.is_file() {
        TarOutput::file(file, name)
    } else {
        TarOutput::pipe(file, name)
    };
    let sink = TarSink::new(output, format);
    Ok(if trusted { sink.trusting() } else { sink })
}

/// A failure when the archive had been begun.
pub(super) fn writing(error: lapstrake_image::Error) -> Error {
    let error = Error::from(error).with_origin(Origin::Stream);
    match error.kind() {
        ErrorKind::NoSpace => error.with_hint("make room where the archive is written to"),
        _ => error,
    }
}

async fn write(
    source: &lapstrake_store::StoreEndpoint,
    sink: TarSink,
    chosen: &[Chosen],
) -> Result<(), lapstrake_image::Error> {
    for image in chosen {
        let top = &image.entry.manifest;
        lapstrake_image::copy(source, &sink, top, &one_by_one(), &Silent).await?;
        for name in &image.names {
            sink.tag(name, top).await?;
        }
    }
    sink.finish().await
}

/// One layer after the other: the same image gives the same tar.
pub(super) fn one_by_one() -> CopyOptions {
    CopyOptions {
        concurrency: 1,
        ..CopyOptions::push()
    }
}

/// An image to be saved, and the names that it has in the archive.
#[derive(Debug)]
struct Chosen {
    entry: Entry,
    names: Vec<Reference>,
    typed: String,
}

/// What the words stand for, each image once.
fn chosen(images: &Images, typed: &[String]) -> Result<Vec<Chosen>, Error> {
    let mut all: Vec<Chosen> = Vec::new();
    for typed in typed {
        for (entry, name) in meant(images, typed)? {
            let same = |known: &&mut Chosen| {
                known.entry.manifest.digest == entry.manifest.digest && known.entry.id == entry.id
            };
            let names = name.into_iter();
            match all.iter_mut().find(same) {
                Some(known) => {
                    let new: Vec<_> = names.filter(|name| !known.names.contains(name)).collect();
                    known.names.extend(new);
                }
                None => all.push(Chosen {
                    entry,
                    names: names.collect(),
                    typed: typed.clone(),
                }),
            }
        }
    }
    Ok(all)
}

/// The images that one word stands for, and the name each has by it.
fn meant(images: &Images, typed: &str) -> Result<Vec<(Entry, Option<Reference>)>, Error> {
    if let Ok(reference) = Reference::parse(typed)
        && reference.is_name_only()
    {
        let named = images.entries().iter().filter_map(|entry| {
            let name = entry.name.clone()?;
            name.same_repository(&reference)
                .then(|| (entry.clone(), Some(name)))
        });
        let mut named: Vec<_> = named.collect();
        if !named.is_empty() {
            named.sort_by(|(_, one), (_, other)| one.cmp(other));
            return Ok(named);
        }
    }
    entry(images, typed).map(|found| vec![found])
}

/// The image that a word stands for, and the name that it has by it.
pub(super) fn entry(images: &Images, typed: &str) -> Result<(Entry, Option<Reference>), Error> {
    let found = match images.find(typed) {
        Ok(found) => found,
        Err(LookupError::Invalid(error)) => {
            return Err(Error::new(ErrorKind::InvalidArgument, error.to_string()));
        }
        // As typed: docker adds no tag here.
        Err(LookupError::NotFound) => return Err(Error::no_such_image(typed)),
        Err(LookupError::Ambiguous) => {
            return Err(
                Error::no_such_image(typed).with_hint("several ids begin so: give more digits")
            );
        }
    };
    let name = found.name.filter(|name| name.digest().is_none());
    let fits =
        |entry: &&Entry| entry.id == found.id && entry.manifest.digest == found.manifest.digest;
    let entry = images.entries().iter().find(|entry| match &name {
        Some(name) => entry.name.as_ref() == Some(name),
        None => fits(entry),
    });
    let entry = entry.ok_or_else(|| Error::no_such_image(typed))?;
    Ok((entry.clone(), name))
}

fn check_platform(entry: &Entry, wanted: Option<&Platform>) -> Result<(), Error> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let offered = entry.platform.as_ref();
    if offered.is_some_and(|offered| wanted.preference(offered).is_some()) {
        return Ok(());
    }
    let text = format!("no suitable export target found for platform {wanted}");
    Err(Error::new(ErrorKind::NotFound, text))
}

#[cfg(test)]
pub(super) mod tests;

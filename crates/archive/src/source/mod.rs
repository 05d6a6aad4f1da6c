//! Reading an archive.

use crate::files::{Files, Piece};
use crate::{ArchiveError, index};
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_image::{BlobStream, ContentSource, Error as TransferError, ErrorKind};
use lapstrake_spec::{
    Descriptor, Digest, Document, Hasher, MANIFEST_LIMIT, Manifest, MediaType, Reference,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use tokio::task::spawn_blocking;

mod docker;
mod layout;

/// Bytes of one chunk of a blob that is read.
const CHUNK_BYTES: usize = 256 << 10;

/// What kind of archive it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An OCI layout in a folder.
    OciFolder,
    /// An OCI layout in a tar.
    OciTar,
    /// What `docker save` writes, old or new.
    Docker,
}

/// One image of an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct ArchivedImage {
    /// Its manifest, or the index of several platforms.
    pub descriptor: Descriptor,
    /// Its complete names.
    pub names: Vec<Reference>,
    /// What an OCI layout calls it when that is no complete name: a tag, or any word.
    pub label: Option<String>,
}

/// An archive that is open for reading.
#[derive(Debug)]
pub struct Archive {
    files: Files,
    format: Format,
    images: Vec<ArchivedImage>,
    /// Manifests that were made from docker's tables.
    made: BTreeMap<Digest, Bytes>,
    /// Blobs that are not where a layout has them.
    elsewhere: BTreeMap<Digest, String>,
}

impl Archive {
    /// Opens an OCI layout in a folder. Reads files: not for a thread that others wait for.
    pub fn open_folder(path: &Path) -> Result<Self, ArchiveError> {
        Self::open(Files::folder(path)?, Format::OciFolder)
    }

    /// Opens a tar, of which every byte has to be reachable: a stream, or a compressed archive, goes
    /// through a file first. `name` is what errors call it. Reads files: not for a thread that others
    /// wait for.
    pub fn open_tar(file: File, name: impl Into<String>) -> Result<Self, ArchiveError> {
        Self::open(Files::tar(file, name.into())?, Format::OciTar)
    }

    fn open(files: Files, format: Format) -> Result<Self, ArchiveError> {
        let mut archive = Self {
            files,
            format,
            images: Vec::new(),
            made: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
        };
        let listed = layout::read(&archive.files)?;
        let docker = match format {
            // A folder that has docker's table as well is a layout all the same.
            Format::OciFolder => None,
            Format::OciTar | Format::Docker => docker::read(&archive.files)?,
        };
        match (docker, listed) {
            (Some(items), listed) => {
                archive.format = Format::Docker;
                docker::take(&mut archive, items, &listed.unwrap_or_default())?;
            }
            (None, Some(listed)) => archive.images = listed,
            (None, None) => {
                return Err(ArchiveError::Unrecognized {
                    place: archive.files.name(),
                });
            }
        }
        Ok(archive)
    }

    /// What kind of archive it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The images, in the archive's order.
    pub fn images(&self) -> &[ArchivedImage] {
        &self.images
    }

    /// The image that a word stands for: a complete name, or what an OCI layout calls it.
    pub fn find(&self, word: &str) -> Option<&ArchivedImage> {
        let named = Reference::parse(word).ok().map(|name| name.or_latest());
        let complete = |image: &&ArchivedImage| {
            named
                .as_ref()
                .is_some_and(|name| image.names.contains(name))
        };
        let labelled = |image: &&ArchivedImage| image.label.as_deref() == Some(word);
        let mut images = self.images.iter();
        images
            .find(complete)
            .or_else(|| self.images.iter().find(labelled))
    }

    fn piece(&self, digest: &Digest) -> Result<Option<Piece>, ArchiveError> {
        match self.elsewhere.get(digest) {
            Some(path) => self.files.open(path).map(Some),
            None => self.files.find(&index::blob_path(digest)),
        }
    }

    /// The bytes of a document; none when it is not here. Not verified.
    fn document(&self, digest: &Digest) -> Result<Option<Bytes>, ArchiveError> {
        if let Some(raw) = self.made.get(digest) {
            return Ok(Some(raw.clone()));
        }
        let raw = self
            .files
            .read(&index::blob_path(digest), MANIFEST_LIMIT as u64)?;
        Ok(raw.map(Bytes::from))
    }

    fn by_digest(&self, digest: &Digest) -> Result<Option<Descriptor>, TransferError> {
        let Some(raw) = self.document(digest)? else {
            return Ok(None);
        };
        let listed = self.images.iter().map(|image| &image.descriptor);
        let mut listed = listed.filter(|desc| desc.digest == *digest);
        let kind = listed.next().map(|desc| desc.media_type.clone());
        let document = Document::parse(kind.as_ref(), &raw).map_err(|error| {
            TransferError::new(ErrorKind::InvalidContent, error.to_string()).with_source(error)
        })?;
        let kind = document.media_type();
        Ok(Some(Descriptor::new(
            kind,
            digest.clone(),
            raw.len() as u64,
        )))
    }

    fn by_name(&self, name: &Reference) -> Option<&ArchivedImage> {
        let tag_alone = |image: &&ArchivedImage| {
            image.names.is_empty() && image.label.is_some() && image.label.as_deref() == name.tag()
        };
        let mut images = self.images.iter();
        images
            .find(|image| image.names.contains(name))
            .or_else(|| self.images.iter().find(tag_alone))
    }
}

/// How a layer's first bytes say that it is compressed; the media type in Docker's words.
fn layer_type(start: &[u8]) -> Result<MediaType, &'static str> {
    match start {
        [0x1f, 0x8b, ..] => Ok(MediaType::DOCKER_LAYER_GZIP),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(MediaType::DOCKER_LAYER_ZSTD),
        [b'B', b'Z', b'h', ..] => Err("layer is compressed with bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Err("layer is compressed with xz"),
        _ => Ok(MediaType::DOCKER_LAYER_TAR),
    }
}

/// Whether everything that a manifest names is there.
fn is_whole(files: &Files, manifest: &Manifest) -> Result<bool, ArchiveError> {
    for desc in std::iter::once(&manifest.config).chain(&manifest.layers) {
        let found = files.find(&index::blob_path(&desc.digest))?;
        if found.is_none_or(|piece| piece.size != desc.size) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[async_trait]
impl ContentSource for Archive {
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, TransferError> {
        let found = match name.digest() {
            Some(digest) => self.by_digest(digest)?,
            None => self
                .by_name(&name.or_latest())
                .map(|image| image.descriptor.clone()),
        };
        found.ok_or_else(|| {
            let (name, place) = (name.familiar(), self.files.name());
            TransferError::new(ErrorKind::NotFound, format!("no image {name} in {place}"))
        })
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, TransferError> {
        let raw = self.document(&desc.digest)?;
        let raw = raw.ok_or_else(|| TransferError::blob_not_found(&desc.digest))?;
        let mut hasher = Hasher::for_digest(&desc.digest);
        hasher.update(&raw);
        if hasher.finish() != desc.digest {
            return Err(TransferError::manifest_mismatch(&desc.digest));
        }
        Ok(raw)
    }

    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, TransferError> {
        let piece = self.piece(&desc.digest)?;
        let piece = piece.ok_or_else(|| TransferError::blob_not_found(&desc.digest))?;
        // No other try would find more.
        if piece.size != desc.size {
            let reason = format!("has {} bytes instead of {}", piece.size, desc.size);
            let path = index::blob_path(&desc.digest);
            return Err(ArchiveError::Invalid { path, reason }.into());
        }
        Ok(Box::pin(futures_util::stream::try_unfold(
            (piece, offset),
            |(piece, offset)| async move {
                let read = spawn_blocking(move || {
                    let chunk = piece.chunk(offset, CHUNK_BYTES)?;
                    let next = offset.saturating_add(chunk.len() as u64);
                    Ok::<_, ArchiveError>((Bytes::from(chunk), (piece, next)))
                });
                let (chunk, next) = crate::sink::joined(read.await)?;
                Ok((!chunk.is_empty()).then_some((chunk, next)))
            },
        )))
    }

    fn local_blob(&self, desc: &Descriptor) -> Option<File> {
        // A file of its own, not a part of a tar.
        if !self.files.is_folder() {
            return None;
        }
        let piece = self.piece(&desc.digest).ok()??;
        piece.file.try_clone().ok()
    }
}

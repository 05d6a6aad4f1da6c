//! Blobs: reading them, and writing small ones.

use crate::ingest::NewFile;
use crate::{Error, Store, layout};
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, Document, Hasher, ImageConfig, MANIFEST_LIMIT, Manifest,
    MediaType,
};
use std::fs::File;
use std::io::Write;

impl Store {
    /// Whether a blob is here.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        self.disk().exists(&layout::blob(digest))
    }

    /// The bytes of a blob that is here.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        match self.file_size(&layout::blob(digest)) {
            Err(error) if error.is_not_found() => Ok(None),
            size => size.map(Some),
        }
    }

    /// A blob as a file, open at its start.
    pub fn blob_file(&self, digest: &Digest) -> Result<File, Error> {
        match self.disk().open_file(&layout::blob(digest)) {
            Err(error) if error.is_not_found() => Err(Error::NoBlob {
                digest: digest.clone(),
            }),
            other => other,
        }
    }

    /// The bytes of a blob of at most `limit` bytes. They were verified when they came in.
    pub fn blob_bytes(&self, digest: &Digest, limit: usize) -> Result<Vec<u8>, Error> {
        use std::io::Read;
        let file = self.blob_file(digest)?;
        let path = layout::blob(digest);
        let limit = limit as u64;
        let size = file
            .metadata()
            .map_err(self.disk().failed("stat", &path))?
            .len();
        if size > limit {
            return Err(Error::TooLarge {
                digest: digest.clone(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(self.disk().failed("read", &path))?;
        Ok(bytes)
    }

    /// An image's manifest.
    pub fn manifest(&self, desc: &Descriptor) -> Result<Manifest, Error> {
        let raw = self.blob_bytes(&desc.digest, MANIFEST_LIMIT)?;
        match Document::parse(Some(&desc.media_type), &raw)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(Error::damaged(
                layout::blob(&desc.digest),
                "an index, not a manifest",
            )),
        }
    }

    /// An image's configuration, parsed and as it came.
    pub fn image_config(&self, id: &Digest) -> Result<(ImageConfig, Vec<u8>), Error> {
        let raw = self.blob_bytes(id, CONFIG_LIMIT)?;
        Ok((ImageConfig::parse(&raw)?, raw))
    }

    /// Keeps a small blob. It is durable when this returns; only a lease or the index keeps it from
    /// the next collection.
    pub fn put_bytes(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor, Error> {
        let desc = Descriptor::of(media_type, bytes);
        self.put_verified(&desc.digest, bytes)?;
        Ok(desc)
    }

    /// Keeps a small blob of this digest; an error when it has another one.
    pub(crate) fn put_checked(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let mut hasher = Hasher::for_digest(digest);
        hasher.update(bytes);
        if hasher.finish() != *digest {
            return Err(Error::Mismatch {
                digest: digest.clone(),
            });
        }
        self.put_verified(digest, bytes)
    }

    fn holds(&self, digest: &Digest, bytes: &[u8]) -> Result<bool, Error> {
        if self.blob_size(digest)? != Some(bytes.len() as u64) {
            return Ok(false);
        }
        match self.blob_bytes(digest, bytes.len()) {
            Ok(found) => Ok(found == bytes),
            // It was changed or collected in between, or cannot be read any more.
            Err(_lost) => Ok(false),
        }
    }

    /// What is here is written anew when it is not what it should be.
    fn put_verified(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        if self.holds(digest, bytes)? {
            return Ok(());
        }
        let disk = self.disk();
        let new = NewFile::create(self)?;
        let written = disk.step("write", new.path()).and_then(|()| {
            let mut file = new.file();
            file.write_all(bytes)
                .and_then(|()| lapstrake_sys::durable::sync_data(file))
                .map_err(disk.failed("write", &layout::blob(digest)))
        });
        match written {
            Ok(()) => new.become_blob(digest),
            Err(error) => {
                new.discard();
                Err(error)
            }
        }
    }
}

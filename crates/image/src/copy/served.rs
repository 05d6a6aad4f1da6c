//! A source whose configuration blob is in memory already.

use crate::{BlobStream, ContentSource, Error};
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_spec::{Descriptor, Reference};
use std::fs::File;

/// Serves the configuration from memory and everything else from another source.
pub(super) struct WithConfig<'a> {
    pub(super) inner: &'a dyn ContentSource,
    pub(super) config: &'a Descriptor,
    pub(super) bytes: &'a Bytes,
}

#[async_trait]
impl ContentSource for WithConfig<'_> {
    async fn resolve(&self, name: &Reference) -> Result<Descriptor, Error> {
        self.inner.resolve(name).await
    }

    async fn manifest(&self, desc: &Descriptor) -> Result<Bytes, Error> {
        self.inner.manifest(desc).await
    }

    async fn blob(&self, desc: &Descriptor, offset: u64) -> Result<BlobStream, Error> {
        if desc.digest != self.config.digest {
            return self.inner.blob(desc, offset).await;
        }
        let offset = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let rest = self.bytes.slice(offset..);
        Ok(Box::pin(futures_util::stream::iter([Ok(rest)])))
    }

    fn local_blob(&self, desc: &Descriptor) -> Option<File> {
        self.inner.local_blob(desc)
    }

    fn reject_blob(&self, desc: &Descriptor) -> bool {
        self.inner.reject_blob(desc)
    }
}

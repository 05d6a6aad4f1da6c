//! Writing an OCI layout as a tar, with docker's tables when they are wanted.

use super::{Receiver, Taking, check_document, is_worth_again, joined, pour};
use crate::ArchiveError;
use crate::index::{self, INDEX_FILE, LAYOUT, LAYOUT_FILE};
use crate::tar::TarOutput;
use async_trait::async_trait;
use bytes::Bytes;
use lapstrake_image::{
    ContentSink, ContentSource, Error as TransferError, ErrorKind, Observer, Plan, Put, RetryPolicy,
};
use lapstrake_spec::{Descriptor, Digest, Document, Index, MediaType, Reference, go_json};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

/// What a tar is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TarFormat {
    /// An OCI layout and nothing else.
    Oci,
    /// The same with docker's tables, as docker 25 and later write it.
    Docker,
}

/// A tar that images are written to, each blob once. [`finish`](Self::finish) completes it.
///
/// The same images in the same order give the same bytes, when each is copied with one layer at a time.
#[derive(Debug)]
pub struct TarSink {
    output: Arc<AsyncMutex<TarOutput>>,
    format: TarFormat,
    taking: Taking,
    built: Option<Descriptor>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The image that is being written.
    current: Option<Image>,
    folders: BTreeSet<String>,
    blobs: BTreeSet<Digest>,
    /// By the digest of a manifest in Docker's words, the one that is listed.
    listed: BTreeMap<Digest, Descriptor>,
    index: Vec<Descriptor>,
    images: Vec<Image>,
}

/// A row of docker's table.
#[derive(Debug, Clone)]
struct Image {
    top: Digest,
    config: Digest,
    layers: Vec<(Descriptor, Option<Digest>)>,
    names: Vec<Reference>,
}

impl TarSink {
    /// A sink that writes to `output`.
    pub fn new(output: TarOutput, format: TarFormat) -> Self {
        Self {
            output: Arc::new(AsyncMutex::new(output)),
            format,
            taking: Taking::default(),
            built: None,
            state: Mutex::default(),
        }
    }

    /// The same sink with another patience for broken streams.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.taking.retry = retry;
        self
    }

    /// The same sink that copies files of its source unread: for a source that has checked them when
    /// they came in, as the image store does.
    pub fn trusting(mut self) -> Self {
        self.taking.trusting = true;
        self
    }

    /// The same sink for the result of a build: its documents are written as they are and not in OCI's form
    /// besides, docker's tables are BuildKit's, and this is what is listed.
    pub fn listing(mut self, built: Descriptor) -> Self {
        self.built = Some(built);
        self
    }

    /// Lists an image that was written under a word, as other tools write it.
    pub fn label(&self, word: &str, desc: &Descriptor) {
        let bare = Descriptor::new(desc.media_type.clone(), desc.digest.clone(), desc.size);
        let mut state = self.state();
        let entry = match state.listed.get(&desc.digest) {
            Some(form) => index::labelled(form, Some(&bare), word),
            None => index::labelled(&bare, None, word),
        };
        index::merge(&mut state.index, entry);
    }

    /// Writes the tables and the end. Until then the tar is not whole.
    pub async fn finish(self) -> Result<(), TransferError> {
        let tables = self.tables();
        let mut output = Arc::clone(&self.output).lock_owned().await;
        let written = spawn_blocking(move || {
            for (name, bytes) in &tables {
                output.entry(name, bytes)?;
            }
            output.finish()
        });
        joined(written.await)
    }

    /// The files that come last.
    pub(crate) fn tables(&self) -> Vec<(&'static str, Vec<u8>)> {
        let state = self.state();
        let index = Index::new(MediaType::OCI_INDEX, state.index.clone());
        let mut tables = vec![(INDEX_FILE, index.to_bytes())];
        if self.format == TarFormat::Docker {
            tables.push((
                "manifest.json",
                manifest_table(&state.images, self.built.is_none()),
            ));
        }
        tables.push((LAYOUT_FILE, LAYOUT.to_vec()));
        if self.format == TarFormat::Docker && self.built.is_none() {
            let repositories = repositories(&state.images);
            // As docker does when no image has a name.
            if repositories != b"{}" {
                tables.push(("repositories", repositories));
            }
        }
        tables
    }

    /// Takes back what a broken transfer left.
    #[cfg(test)]
    pub(crate) async fn roll_back(&self) {
        let mut output = self.output.lock().await;
        output.roll_back().ok();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output at the beginning of a blob's content.
    async fn begin_blob(&self, desc: &Descriptor) -> Result<Entry, TransferError> {
        let mut output = Arc::clone(&self.output).lock_owned().await;
        let path = index::blob_path(&desc.digest);
        let folders = self.new_folders(&path);
        let size = desc.size;
        let begun = spawn_blocking(move || {
            output.roll_back()?;
            for folder in &folders {
                output.entry(folder, &[])?;
            }
            output.begin(&path, size)?;
            Ok(Entry { output, size })
        });
        joined(begun.await)
    }

    /// The folders of a path that the tar does not have yet.
    fn new_folders(&self, path: &str) -> Vec<String> {
        let mut state = self.state();
        let ends = path.match_indices('/').map(|(at, _)| at);
        let folders = ends.filter_map(|at| path.get(..=at).map(str::to_owned));
        folders
            .filter(|folder| state.folders.insert(folder.clone()))
            .collect()
    }

    async fn put_document(&self, desc: &Descriptor, raw: Bytes) -> Result<(), TransferError> {
        if self.state().blobs.contains(&desc.digest) {
            return Ok(());
        }
        let mut entry = self.begin_blob(desc).await?;
        let written = spawn_blocking(move || {
            entry.put(&raw)?;
            entry.end()
        });
        joined(written.await)?;
        self.state().blobs.insert(desc.digest.clone());
        Ok(())
    }

    fn list(&self, desc: &Descriptor, name: Option<&Reference>) {
        let bare = Descriptor::new(desc.media_type.clone(), desc.digest.clone(), desc.size);
        let mut state = self.state();
        let entry = match (&self.built, state.listed.get(&desc.digest)) {
            (Some(built), _) if built.digest == desc.digest => index::entry(built, None, name),
            (_, Some(form)) => index::entry(form, Some(&bare), name),
            (_, None) => index::entry(&bare, None, name),
        };
        index::merge(&mut state.index, entry);
    }
}

#[async_trait]
impl ContentSink for TarSink {
    async fn begin(&self, plan: &Plan) -> Result<(), TransferError> {
        if self.format == TarFormat::Docker && plan.image.is_none() {
            let kind = &plan.parsed.config.media_type;
            let text = format!("unsupported media type {kind}: not a container image");
            return Err(TransferError::new(ErrorKind::Unsupported, text));
        }
        let layers = plan.layers.iter();
        let layers = layers.map(|layer| (layer.desc.clone(), layer.diff_id.clone()));
        self.state().current = Some(Image {
            top: plan.top.digest.clone(),
            config: plan.parsed.config.digest.clone(),
            layers: layers.collect(),
            names: Vec::new(),
        });
        Ok(())
    }

    async fn has(
        &self,
        desc: &Descriptor,
        _diff_id: Option<&Digest>,
    ) -> Result<bool, TransferError> {
        Ok(self.state().blobs.contains(&desc.digest))
    }

    async fn put_blob(
        &self,
        desc: &Descriptor,
        _diff_id: Option<&Digest>,
        from: &dyn ContentSource,
        progress: &dyn Observer,
    ) -> Result<Put, TransferError> {
        let mut pass = 0_usize;
        loop {
            pass = pass.saturating_add(1);
            if self.state().blobs.contains(&desc.digest) {
                return Ok(Put::AlreadyExists);
            }
            let entry = self.begin_blob(desc).await?;
            let can_roll_back = entry.output.can_roll_back();
            match pour(entry, desc, from, progress, self.taking).await {
                Ok(entry) => {
                    joined(spawn_blocking(move || entry.end()).await)?;
                    self.state().blobs.insert(desc.digest.clone());
                    return Ok(Put::Stored);
                }
                Err(error) if can_roll_back && is_worth_again(&error, pass, desc, from) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn put_manifest(&self, desc: &Descriptor, raw: Bytes) -> Result<(), TransferError> {
        check_document(desc, &raw)?;
        let parsed = Document::parse(Some(&desc.media_type), &raw);
        self.put_document(desc, raw).await?;
        // Docker reads manifests in its own words, and must find the one that a registry has.
        if self.format == TarFormat::Oci
            && self.built.is_none()
            && let Ok(Document::Manifest(manifest)) = parsed
            && let Some(form) = index::oci_form(&manifest)
        {
            let raw = form.to_bytes();
            let form = Descriptor::of(MediaType::OCI_MANIFEST, &raw);
            self.put_document(&form, raw.into()).await?;
            self.state().listed.insert(desc.digest.clone(), form);
        }
        let current = {
            let mut state = self.state();
            state.current.take_if(|image| image.top == desc.digest)
        };
        if let Some(image) = current {
            self.list(desc, None);
            let mut state = self.state();
            // Written before, it has its row.
            if !state.images.iter().any(|old| old.top == image.top) {
                state.images.push(image);
            }
        }
        Ok(())
    }

    async fn tag(&self, name: &Reference, desc: &Descriptor) -> Result<(), TransferError> {
        let name = name.without_digest().or_latest();
        self.list(desc, Some(&name));
        let mut state = self.state();
        for image in &mut state.images {
            image.names.retain(|old| *old != name);
            if image.top == desc.digest {
                image.names.push(name.clone());
            }
        }
        Ok(())
    }
}

/// A blob that is being written. When it is dropped before its end, the next one takes it back.
struct Entry {
    output: OwnedMutexGuard<TarOutput>,
    size: u64,
}

impl Entry {
    fn end(mut self) -> Result<(), ArchiveError> {
        let size = self.size;
        self.output.end(size)
    }
}

impl Receiver for Entry {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.output.put(bytes)
    }

    fn put_file(&mut self, file: &mut File, size: u64) -> Result<(), ArchiveError> {
        self.output.put_file(file, size)
    }
}

/// `manifest.json`. Field order is docker's.
fn manifest_table(images: &[Image], with_sources: bool) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        config: String,
        repo_tags: Option<Vec<String>>,
        layers: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        layer_sources: Option<BTreeMap<Digest, Descriptor>>,
    }
    let row = |image: &Image| {
        let names: Vec<String> = image.names.iter().map(Reference::familiar).collect();
        let sources = image.layers.iter();
        let sources = sources
            .filter_map(|(desc, diff_id)| Some((diff_id.clone()?, desc.clone())))
            .collect();
        let layers = image.layers.iter();
        Row {
            config: index::blob_path(&image.config),
            repo_tags: (!names.is_empty()).then_some(names),
            layers: layers
                .map(|(desc, _)| index::blob_path(&desc.digest))
                .collect(),
            layer_sources: with_sources.then_some(sources),
        }
    };
    let rows: Vec<Row> = images.iter().map(row).collect();
    go_json::to_string(&rows).unwrap_or_default().into_bytes()
}

/// `repositories`: by repository and tag, the top layer.
fn repositories(images: &[Image]) -> Vec<u8> {
    let mut table: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for image in images {
        let Some((top, _)) = image.layers.last() else {
            continue;
        };
        for name in &image.names {
            let tags = table.entry(name.familiar_name()).or_default();
            tags.insert(name.tag().unwrap_or("latest"), top.digest.hex());
        }
    }
    go_json::to_string(&table).unwrap_or_default().into_bytes()
}

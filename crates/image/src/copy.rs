//! The one copy: from any source to any sink.

use crate::{
    ContentSink, ContentSource, Error, ErrorKind, LayerEvent, LayerPlan, LayerState, Observer,
    Plan, Put, RetryPolicy, Silent, read_blob,
};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use lapstrake_spec::{
    CONFIG_LIMIT, Descriptor, Digest, Document, ImageConfig, Index, Manifest, ManifestError,
    MediaType, Platform, Reference,
};
use std::collections::{BTreeMap, BTreeSet};

mod served;

use served::WithConfig;

/// How many indexes may lead to an image, one naming the next. Bounds cycles too.
pub const INDEX_DEPTH_LIMIT: usize = 2;

/// The most layers an image may have: what one overlay mount can take.
pub const LAYERS_LIMIT: usize = 500;

/// Which way a copy goes, in the eyes of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Towards the user. Layers are known by the digest of their blob; what exists is found out first.
    #[default]
    Pull,
    /// Away from the user. Layers are known by their diff id and announced from the top; the sink
    /// finds out what exists while it works.
    Push,
}

/// How to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// The direction.
    pub direction: Direction,
    /// Which image of an index; the host's when not given.
    pub platform: Option<Platform>,
    /// Layers on their way at the same time.
    pub concurrency: usize,
    /// The name the copy gets in the sink, if the sink is to do that.
    pub tag: Option<Reference>,
    /// The raw bytes of what is copied (manifest or index), when the caller has them already.
    pub document: Option<Bytes>,
}

impl CopyOptions {
    /// For a pull: three layers at a time.
    pub fn pull() -> Self {
        Self {
            direction: Direction::Pull,
            platform: None,
            concurrency: 3,
            tag: None,
            document: None,
        }
    }

    /// For a push: five layers at a time.
    pub fn push() -> Self {
        Self {
            direction: Direction::Push,
            concurrency: 5,
            ..Self::pull()
        }
    }
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self::pull()
    }
}

/// What was copied.
#[derive(Debug, Clone)]
pub struct Copied {
    /// What was asked for: a manifest, or the index that led to it.
    pub top: Descriptor,
    /// The image's manifest.
    pub manifest: Descriptor,
    /// The manifest, parsed.
    pub parsed: Manifest,
    /// The digest of the configuration: the image id.
    pub config: Digest,
    /// The configuration, parsed. None for an artifact.
    pub image: Option<ImageConfig>,
    /// The layers, the lowest first.
    pub layers: Vec<LayerPlan>,
    /// How many layers were not in the sink before.
    pub stored: usize,
}

/// Copies the image that `top` describes. When the future is dropped, nothing of the copy goes on.
pub async fn copy(
    source: &dyn ContentSource,
    sink: &dyn ContentSink,
    top: &Descriptor,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<Copied, Error> {
    let found = find_manifest(source, top, options).await?;
    let plan = plan(source, top, &found).await?;
    sink.begin(&plan).await?;
    let stored = put_blobs(source, sink, &plan, options, observer).await?;
    sink.put_manifest(&found.desc, found.raw.clone()).await?;
    for (desc, raw) in found.indexes.into_iter().rev() {
        sink.put_manifest(&desc, raw).await?;
    }
    if let Some(name) = &options.tag {
        sink.tag(name, top).await?;
    }
    Ok(Copied {
        top: plan.top,
        manifest: plan.manifest,
        config: plan.parsed.config.digest.clone(),
        parsed: plan.parsed,
        image: plan.image,
        layers: plan.layers,
        stored,
    })
}

/// The image that `top` leads to: itself, or what an index has for a platform (the host's when none is
/// given). For a copy that is to leave the index behind.
pub async fn choose(
    source: &dyn ContentSource,
    top: &Descriptor,
    platform: Option<Platform>,
) -> Result<(Descriptor, Manifest), Error> {
    let options = CopyOptions {
        platform,
        ..CopyOptions::pull()
    };
    let found = find_manifest(source, top, &options).await?;
    Ok((found.desc, found.manifest))
}

/// A manifest and the indexes that led to it, the outermost first.
struct Found {
    desc: Descriptor,
    raw: Bytes,
    manifest: Manifest,
    indexes: Vec<(Descriptor, Bytes)>,
}

async fn find_manifest(
    source: &dyn ContentSource,
    top: &Descriptor,
    options: &CopyOptions,
) -> Result<Found, Error> {
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let mut indexes = Vec::new();
    let mut desc = top.clone();
    let mut given = options.document.clone();
    loop {
        let raw = match given.take() {
            Some(raw) => raw,
            None => source.manifest(&desc).await?,
        };
        // What an index or a header told is no proof; the digest is.
        desc.size = raw.len() as u64;
        let document = Document::parse(Some(&desc.media_type), &raw).map_err(document_error)?;
        if desc.media_type.is_empty() {
            desc.media_type = document.media_type();
        }
        let index = match document {
            Document::Manifest(manifest) => {
                return Ok(Found {
                    desc,
                    raw,
                    manifest,
                    indexes,
                });
            }
            Document::Index(index) => index,
        };
        if indexes.len() == INDEX_DEPTH_LIMIT {
            return Err(Error::new(
                ErrorKind::InvalidContent,
                format!(
                    "index {} is nested more than {INDEX_DEPTH_LIMIT} deep",
                    top.digest
                ),
            ));
        }
        let next = pick(&index, &platform)?;
        indexes.push((desc, raw));
        desc = next;
    }
}

fn document_error(error: ManifestError) -> Error {
    let kind = match &error {
        ManifestError::TooLarge { .. } => ErrorKind::TooLarge,
        ManifestError::Schema1 | ManifestError::Unsupported(_) => ErrorKind::Unsupported,
        ManifestError::Mismatch { .. } | ManifestError::Json(_) => ErrorKind::InvalidContent,
    };
    Error::new(kind, error.to_string()).with_source(error)
}

/// The entry of an index that runs best on a platform; the first of equals.
fn pick(index: &Index, platform: &Platform) -> Result<Descriptor, Error> {
    const UNKNOWN: u32 = u32::MAX;
    let rank = |desc: &Descriptor| match &desc.platform {
        Some(offered) => platform.preference(offered),
        None if desc.annotations.contains_key("vnd.docker.reference.type") => None,
        None => Some(UNKNOWN),
    };
    index
        .manifests
        .iter()
        .filter(|desc| desc.media_type.is_manifest() || desc.media_type.is_index())
        .filter_map(|desc| Some((rank(desc)?, desc)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, desc)| desc.clone())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("no matching manifest for {platform} in the manifest list entries"),
            )
        })
}

/// Fetches the configuration and sets the layers beside their diff ids.
async fn plan(source: &dyn ContentSource, top: &Descriptor, found: &Found) -> Result<Plan, Error> {
    let manifest = &found.manifest;
    let config = read_blob(
        source,
        &manifest.config,
        CONFIG_LIMIT,
        RetryPolicy::default(),
        &Silent,
    )
    .await
    .map_err(|error| config_error(error, &manifest.config.digest))?;
    let image = if is_image(manifest) {
        Some(parse_config(&config)?)
    } else {
        None
    };
    let diff_ids = match &image {
        Some(image) => {
            let diff_ids = &image.rootfs.diff_ids;
            if diff_ids.len() != manifest.layers.len() {
                return Err(Error::layers_mismatch());
            }
            if diff_ids.len() > LAYERS_LIMIT {
                return Err(Error::new(ErrorKind::TooLarge, "max depth exceeded"));
            }
            check_pairs(&manifest.layers, diff_ids)?;
            diff_ids.as_slice()
        }
        None => &[],
    };
    let layers = manifest
        .layers
        .iter()
        .enumerate()
        .map(|(index, desc)| LayerPlan {
            desc: desc.clone(),
            diff_id: diff_ids.get(index).cloned(),
            index,
        })
        .collect();
    Ok(Plan {
        top: top.clone(),
        manifest: found.desc.clone(),
        parsed: manifest.clone(),
        config,
        image,
        layers,
    })
}

/// A blob is brought over once, so it must stand for one diff id wherever it is named.
fn check_pairs(layers: &[Descriptor], diff_ids: &[Digest]) -> Result<(), Error> {
    let mut known = BTreeMap::new();
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        if *known.entry(&layer.digest).or_insert(diff_id) != diff_id {
            return Err(Error::layers_mismatch());
        }
    }
    Ok(())
}

/// Old docker versions wrote `application/octet-stream` for the configuration.
fn is_image(manifest: &Manifest) -> bool {
    let config = &manifest.config.media_type;
    config.is_config()
        || (*config == MediaType::OCTET_STREAM && manifest.kind() == MediaType::DOCKER_MANIFEST)
}

fn parse_config(raw: &[u8]) -> Result<ImageConfig, Error> {
    ImageConfig::parse(raw).map_err(|error| {
        Error::new(ErrorKind::InvalidContent, error.to_string()).with_source(error)
    })
}

fn config_error(error: Error, digest: &Digest) -> Error {
    match error.kind() {
        ErrorKind::DigestMismatch => Error::config_mismatch(digest),
        _ => error.context("error pulling image configuration"),
    }
}

/// Brings the configuration and the layers over; the number of layers that were new.
async fn put_blobs(
    source: &dyn ContentSource,
    sink: &dyn ContentSink,
    plan: &Plan,
    options: &CopyOptions,
    observer: &dyn Observer,
) -> Result<usize, Error> {
    let names = Names::new(plan, options.direction, observer);
    let mut wanted = announce(sink, plan, options.direction, &names).await?;
    let concurrency = options.concurrency.max(1);
    wanted.sort_by_key(|layer| std::cmp::Reverse(layer.desc.size));
    let waiting: BTreeSet<usize> = wanted.iter().skip(concurrency).map(|l| l.index).collect();
    for layer in plan
        .layers
        .iter()
        .filter(|layer| waiting.contains(&layer.index))
    {
        names.tell(&layer.desc.digest, LayerState::Waiting);
    }

    let served = WithConfig {
        inner: source,
        config: &plan.parsed.config,
        bytes: &plan.config,
    };
    let pauses = Pauses {
        names: &names,
        layers: wanted
            .iter()
            .take(concurrency)
            .map(|layer| &layer.desc.digest)
            .collect(),
    };
    put_config(sink, plan, options.direction, &served, &pauses).await?;
    let jobs: Vec<BoxFuture<'_, Result<bool, Error>>> = wanted
        .into_iter()
        .map(|layer| -> BoxFuture<'_, _> {
            Box::pin(put_layer(source, sink, layer, options.direction, &names))
        })
        .collect();
    let mut running = futures_util::stream::iter(jobs).buffer_unordered(concurrency);
    let mut stored = 0;
    while let Some(result) = running.next().await {
        stored += usize::from(result?);
    }
    Ok(stored)
}

/// Tells which layers there are, and finds those that have to be brought over, each once.
async fn announce<'a>(
    sink: &dyn ContentSink,
    plan: &'a Plan,
    direction: Direction,
    names: &Names<'_>,
) -> Result<Vec<&'a LayerPlan>, Error> {
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    if direction == Direction::Push {
        for layer in plan.layers.iter().rev() {
            names.tell(&layer.desc.digest, LayerState::Queued);
            if seen.insert(&layer.desc.digest) {
                wanted.push(layer);
            }
        }
        return Ok(wanted);
    }
    for layer in &plan.layers {
        if !seen.insert(&layer.desc.digest) {
            names.tell(&layer.desc.digest, LayerState::Queued);
        } else if sink.has(&layer.desc, layer.diff_id.as_ref()).await? {
            names.tell(&layer.desc.digest, LayerState::AlreadyExists);
        } else {
            names.tell(&layer.desc.digest, LayerState::Queued);
            wanted.push(layer);
        }
    }
    Ok(wanted)
}

async fn put_config(
    sink: &dyn ContentSink,
    plan: &Plan,
    direction: Direction,
    source: &dyn ContentSource,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let desc = &plan.parsed.config;
    if direction == Direction::Push || !sink.has(desc, None).await? {
        sink.put_blob(desc, None, source, observer).await?;
    }
    Ok(())
}

/// Brings one layer over; whether it was new.
async fn put_layer(
    source: &dyn ContentSource,
    sink: &dyn ContentSink,
    layer: &LayerPlan,
    direction: Direction,
    names: &Names<'_>,
) -> Result<bool, Error> {
    let digest = &layer.desc.digest;
    if direction == Direction::Push && layer.desc.media_type.is_foreign() {
        names.tell(digest, LayerState::AlreadyExists);
        return Ok(false);
    }
    let put = sink
        .put_blob(&layer.desc, layer.diff_id.as_ref(), source, names)
        .await?;
    let (state, stored) = match (put, direction) {
        (Put::AlreadyExists, Direction::Push) => (LayerState::AlreadyExists, false),
        // Another process, or another image of the same pull, was quicker: for the user it is pulled.
        (Put::AlreadyExists, Direction::Pull) => (LayerState::PullComplete, false),
        (Put::Mounted { from }, _) => (LayerState::Mounted { from }, true),
        (Put::Stored, Direction::Pull) => (LayerState::PullComplete, true),
        (Put::Stored, Direction::Push) => (LayerState::Pushed, true),
    };
    names.tell(digest, state);
    Ok(stored)
}

/// The configuration goes before the layers and has no line of its own: when it has to be tried again, the
/// layers that wait for it say so.
struct Pauses<'a> {
    names: &'a Names<'a>,
    layers: Vec<&'a Digest>,
}

impl Observer for Pauses<'_> {
    fn layer(&self, event: LayerEvent) {
        if matches!(event.state, LayerState::Retrying { .. }) {
            for digest in &self.layers {
                self.names.tell(digest, event.state.clone());
            }
        }
    }
}

/// Tells the observer about layers under the names of the direction.
struct Names<'a> {
    observer: &'a dyn Observer,
    diff_ids: BTreeMap<&'a Digest, &'a Digest>,
}

impl<'a> Names<'a> {
    fn new(plan: &'a Plan, direction: Direction, observer: &'a dyn Observer) -> Self {
        let diff_ids = match direction {
            Direction::Pull => BTreeMap::new(),
            Direction::Push => plan
                .layers
                .iter()
                .filter_map(|layer| Some((&layer.desc.digest, layer.diff_id.as_ref()?)))
                .collect(),
        };
        Self { observer, diff_ids }
    }

    fn tell(&self, digest: &Digest, state: LayerState) {
        self.layer(LayerEvent {
            digest: digest.clone(),
            state,
        });
    }
}

impl Observer for Names<'_> {
    fn layer(&self, mut event: LayerEvent) {
        if let Some(diff_id) = self.diff_ids.get(&event.digest) {
            event.digest = (*diff_id).clone();
        }
        self.observer.layer(event);
    }
}

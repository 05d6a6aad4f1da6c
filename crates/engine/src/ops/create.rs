//! `create`: a container of an image, not yet started.

use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink};
use crate::ops::pull::{PullRequest, pull};
use crate::ops::runtime;
use crate::trust::local;
use crate::{Engine, lookup};
use lapstrake_container::{CreateSpec, HostConfig, LayerRef, Prepared, Record};
use lapstrake_spec::{ContainerConfig, Digest, Platform};

/// When a missing image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// When the store does not have it.
    #[default]
    Missing,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// What `create` and `run` ask for.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// The image: a name or an id.
    pub image: String,
    /// The container's name; `None`: a random one.
    pub name: Option<String>,
    /// What the request says of the process. Values that are not set come from the image.
    pub config: ContainerConfig,
    /// What concerns this host.
    pub host: HostConfig,
    /// When a missing image is fetched.
    pub pull: PullPolicy,
    /// The platform of the image.
    pub platform: Option<Platform>,
}

/// A new container.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its record.
    pub record: Record,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Creates a container of an image that is here: see [`local_image`] and [`fetch_image`]. A `prepared`
/// monitor gives it its id.
pub fn create(
    engine: &Engine,
    request: &CreateRequest,
    id: Digest,
    prepared: Option<&Prepared>,
) -> Result<Created, Error> {
    let store = engine.store()?;
    let lease = store.lease()?;
    let gone = || Error::no_such_image(&request.image);
    let manifest = {
        let images = store.images()?;
        let entry = images.by_id(&id).ok_or_else(gone)?;
        store.manifest(&entry.manifest)?
    };
    let (image, _raw) = store.image_config(&id)?;
    let platform = image.platform();
    let layers: Vec<LayerRef> = image
        .rootfs
        .diff_ids
        .iter()
        .zip(&manifest.layers)
        .map(|(diff_id, blob)| LayerRef {
            diff_id: diff_id.clone(),
            blob: blob.clone(),
        })
        .collect();
    lease.protect(&protected(&id, &layers))?;
    // Nobody has removed and collected it before that.
    if store.images()?.by_id(&id).is_none() {
        return Err(gone());
    }
    let mut host = request.host.clone();
    host.runtime = runtime::program(engine.settings(), &host.runtime)?;
    let warnings = platform_warning(engine, request, &platform);
    let spec = CreateSpec {
        id: prepared.map(|prepared| prepared.id().clone()),
        name: request.name.clone(),
        image_id: id,
        image: request.image.clone(),
        image_config: image.config,
        config: request.config.clone(),
        host_config: host,
        layers,
        platform,
        now: engine.now(),
    };
    let record = engine.containers()?.create(spec)?;
    drop(lease);
    Ok(Created {
        record,
        warnings: warnings.into_iter().collect(),
    })
}

/// Docker's warning about an image of another platform that nobody asked for.
fn platform_warning(
    engine: &Engine,
    request: &CreateRequest,
    platform: &Platform,
) -> Option<String> {
    let default = engine.settings().default_platform.as_ref();
    let asked = request.platform.as_ref().or(default).is_some();
    let host = Platform::host();
    (!asked && !host.matches(platform)).then(|| {
        format!(
            "The requested image's platform ({platform}) does not match the detected host platform \
             ({host}) and no specific platform was requested"
        )
    })
}

/// What a lease names to keep an image's configuration, and its layers' blobs and trees.
fn protected(id: &Digest, layers: &[LayerRef]) -> Vec<Digest> {
    let layers = layers
        .iter()
        .flat_map(|layer| [layer.blob.digest.clone(), layer.diff_id.clone()]);
    std::iter::once(id.clone()).chain(layers).collect()
}

/// The image of a request, when it is here and the policy does not ask for a pull.
pub fn local_image(engine: &Engine, request: &CreateRequest) -> Result<Option<Digest>, Error> {
    if request.pull == PullPolicy::Always {
        return Ok(None);
    }
    let images = engine.store()?.images()?;
    let id = match lookup::image_id(&images, &request.image) {
        Ok(id) => id,
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error.with_origin(Origin::Client));
        }
        Err(error) if request.pull == PullPolicy::Never => return Err(error),
        Err(_missing) => return Ok(None),
    };
    let found = images.by_id(&id).and_then(|entry| entry.platform.as_ref());
    let fits = match (&request.platform, found) {
        (Some(wanted), Some(found)) => wanted.preference(found).is_some(),
        _ => true,
    };
    if !fits && request.pull == PullPolicy::Never {
        return Err(Error::no_such_image(&request.image));
    }
    Ok(fits.then_some(id))
}

/// Refuses an image of the store, under content trust, whose signature was not verified and cannot be.
pub async fn check_image(
    engine: &Engine,
    request: &CreateRequest,
    id: &Digest,
) -> Result<(), Error> {
    let name = {
        let images = engine.store()?.images()?;
        images
            .find(&request.image)
            .ok()
            .and_then(|found| found.name)
    };
    local::check(engine, name.as_ref(), id).await
}

/// Pulls the image of a request.
pub async fn fetch_image(
    engine: &Engine,
    request: &CreateRequest,
    events: &dyn EventSink,
) -> Result<Digest, Error> {
    let reference = lookup::parse(&request.image)?.or_latest();
    if request.pull == PullPolicy::Missing {
        events.event(Event::ImageMissing {
            reference: reference.clone(),
        });
    }
    let pull_request = PullRequest {
        reference: reference.familiar(),
        all_tags: false,
        platform: request.platform.clone(),
    };
    let pulled =
        pull(engine, &pull_request, events)
            .await
            .map_err(|error| match error.origin() {
                Origin::Client => error,
                Origin::Engine | Origin::Stream => error.with_origin(Origin::Engine),
            })?;
    let first = pulled.ids.into_iter().next();
    first.ok_or_else(|| Error::no_such_image(&request.image))
}

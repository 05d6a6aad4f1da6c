//! `pull`: from a registry into the store.

mod trusted;

use crate::error::{Error, ErrorKind, Origin};
use crate::event::{Event, EventSink, HeldLayers};
use crate::{Engine, lookup, transfer};
use lapstrake_image::{ContentSource, Copied, CopyOptions, LayerState};
use lapstrake_registry::client::{Client, Source};
use lapstrake_spec::{Descriptor, Digest, Platform, Reference};
use lapstrake_store::{Entry, Unpack};

const DAMAGED_HINT: &str = "what the registry serves is damaged: try again, and if it stays so, the \
                            image has to be pushed anew";

/// What `pull` asks for.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The name, with tag or digest or without.
    pub reference: String,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// The platform to pick, else the default one.
    pub platform: Option<Platform>,
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The name with its tag, as the last line shows it.
    pub reference: Reference,
    /// The image ids, one per tag.
    pub ids: Vec<Digest>,
}

/// Pulls one tag, one digest, or every tag.
pub async fn pull(
    engine: &Engine,
    request: &PullRequest,
    events: &dyn EventSink,
) -> Result<Pulled, Error> {
    let reference = lookup::parse(&request.reference)?;
    let client = transfer::client(engine)?;
    let one = Pull {
        engine,
        client: &client,
        events,
        platform: platform(engine, request),
    };
    if let Some(trust) = engine.trust()? {
        return trusted::pull(&one, &trust, &reference, request.all_tags).await;
    }
    if !request.all_tags {
        if reference.is_name_only() {
            events.event(Event::DefaultTag {
                tag: "latest".to_owned(),
            });
        }
        let reference = reference.or_latest();
        let (id, newer) = one.reference(&reference).await?;
        events.event(Event::PullFinished {
            reference: reference.clone(),
            newer,
            all_tags: false,
        });
        one.check_platform(&reference, &id)?;
        return Ok(Pulled {
            reference,
            ids: vec![id],
        });
    }
    no_tag(&reference)?;
    let mut ids = Vec::new();
    let mut any_newer = false;
    for tag in client.tags(&reference).await? {
        let (id, newer) = one
            .reference(&reference.with_tag(&tag).map_err(Error::internal)?)
            .await?;
        any_newer |= newer;
        ids.push(id);
    }
    let finished = Event::PullFinished {
        reference: reference.clone(),
        newer: any_newer,
        all_tags: true,
    };
    events.event(finished);
    Ok(Pulled { reference, ids })
}

/// What is asked for with all its tags has none.
fn no_tag(reference: &Reference) -> Result<(), Error> {
    if reference.is_name_only() {
        return Ok(());
    }
    let text = "tag can't be used with --all-tags/-a";
    Err(Error::new(ErrorKind::InvalidArgument, text).with_origin(Origin::Client))
}

fn platform(engine: &Engine, request: &PullRequest) -> Option<Platform> {
    request
        .platform
        .clone()
        .or_else(|| engine.settings().default_platform.clone())
}

/// One pull at work.
struct Pull<'a> {
    engine: &'a Engine,
    client: &'a Client,
    events: &'a dyn EventSink,
    platform: Option<Platform>,
}

impl Pull<'_> {
    /// Pulls one reference; the image id, and whether the name is new or has moved.
    async fn reference(&self, reference: &Reference) -> Result<(Digest, bool), Error> {
        let pulled = async {
            let source = self.client.source(reference);
            let top = source.resolve(reference).await?;
            let copied = self.fetch(&source, reference, &top).await?;
            self.enter(reference, &copied, None)
        };
        pulled.await.map_err(with_damage)
    }

    /// Brings what a name stands for into the store, where it has no name yet.
    async fn fetch(
        &self,
        source: &Source,
        reference: &Reference,
        top: &Descriptor,
    ) -> Result<Copied, Error> {
        let store = self.engine.store()?;
        let raw = source.manifest(top).await?;
        lapstrake_spec::Document::parse(Some(&top.media_type), &raw)
            .map_err(|error| manifest_error(&error, reference))?;
        let tag = match (reference.digest(), reference.tag()) {
            (Some(_), _) => reference.familiar(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        let path = reference.path().to_owned();
        self.events.event(Event::PullStarted { tag, path });
        let sink = store.endpoint(Unpack::Now);
        let options = CopyOptions {
            platform: self.platform.clone(),
            concurrency: self.engine.settings().max_concurrent_downloads,
            document: Some(raw),
            ..CopyOptions::pull()
        };
        let here = store.images()?;
        // Of an image that is here under any name, layers are not told.
        let layers = HeldLayers::new(self.events, |state| {
            matches!(state, LayerState::AlreadyExists)
        });
        let copied = lapstrake_image::copy(source, &sink, top, &options, &layers)
            .await
            .map_err(|error| {
                layers.release();
                Error::from(error).with_origin(Origin::Stream)
            })?;
        if here.by_id(&copied.config).is_none() {
            layers.release();
        }
        self.events.event(Event::Resolved {
            digest: top.digest.clone(),
        });
        Ok(copied)
    }

    /// A registry that has one image alone gives it whatever platform was asked for.
    fn check_platform(&self, reference: &Reference, id: &Digest) -> Result<(), Error> {
        let Some(wanted) = &self.platform else {
            return Ok(());
        };
        let (config, _raw) = self.engine.store()?.image_config(id)?;
        let actual = config.platform();
        if !wanted.matches(&actual) {
            self.events.event(Event::Warning {
                text: wrong_platform(reference, &actual, wanted),
            });
        }
        Ok(())
    }

    /// Enters the pulled image in the index, with the record of its verification: the commit point of
    /// the pull.
    fn enter(
        &self,
        reference: &Reference,
        copied: &Copied,
        record: Option<&str>,
    ) -> Result<(Digest, bool), Error> {
        let store = self.engine.store()?;
        let config = copied.image.as_ref().ok_or_else(|| not_an_image(copied))?;
        let mut size = 0u64;
        for diff_id in &config.rootfs.diff_ids {
            size = size.saturating_add(store.layer_size(diff_id)?);
        }
        let by_digest = reference.digest().is_some();
        let entry = Entry {
            manifest: copied.manifest.clone(),
            id: copied.config.clone(),
            name: (!by_digest).then(|| reference.clone()),
            repo_digests: vec![reference.with_digest(copied.top.digest.clone())],
            created: config.created.clone(),
            size,
            parent: None,
            platform: Some(config.platform()),
            tagged_at: Some(self.engine.now().to_string()),
        };
        let newer = store.update(|images| {
            let known = images.digests_of(&entry.id);
            let digests = entry.repo_digests.iter();
            let is_known = digests
                .map(Reference::without_tag)
                .all(|digest| known.contains(&digest));
            let changed = images.insert(entry.clone());
            if let Some(record) = record {
                images.set_verified(&entry.id, reference, record);
            }
            // A digest that a name was pulled with before is no news.
            Ok::<_, Error>(if by_digest { !is_known } else { changed })
        })?;
        Ok((copied.config.clone(), newer))
    }
}

/// Docker's words for an image of another platform than the one asked for.
pub(super) fn wrong_platform(name: &Reference, actual: &Platform, wanted: &Platform) -> String {
    let name = name.familiar();
    format!(
        "image with reference {name} was found but its platform ({actual}) does not match the \
         specified platform ({wanted})"
    )
}

fn with_damage(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Corrupt => error.or_hint(DAMAGED_HINT),
        _ => error,
    }
}

/// What a name led to is no container image.
fn not_an_image(copied: &Copied) -> Error {
    let media_type = &copied.parsed.config.media_type;
    Error::new(
        ErrorKind::Unsupported,
        format!("unsupported media type {media_type}"),
    )
    .with_origin(Origin::Stream)
}

/// A manifest that is none, in docker's words.
fn manifest_error(error: &lapstrake_spec::ManifestError, reference: &Reference) -> Error {
    use lapstrake_spec::ManifestError as Wrong;
    let (kind, text) = match error {
        Wrong::Schema1 => (
            ErrorKind::Unsupported,
            Wrong::schema1_message(&reference.canonical()),
        ),
        Wrong::Unsupported(_) => (ErrorKind::Unsupported, error.to_string()),
        other => (ErrorKind::Corrupt, other.to_string()),
    };
    Error::new(kind, text)
}

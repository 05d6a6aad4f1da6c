//! What operations tell while they work. Each variant is rendered by a face in its own way.

use lapstrake_build::event::BuildEvent;
use lapstrake_image::{LayerEvent, LayerState, Observer};
use lapstrake_spec::{Digest, Reference};
use std::sync::{Mutex, PoisonError};

/// One thing that happened during an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// No tag was given, this one is used (pull and push).
    DefaultTag {
        /// The tag, `latest`.
        tag: String,
    },
    /// An image that `run` or `create` needs is not in the store and will be pulled.
    ImageMissing {
        /// The reference with its tag, in the familiar form.
        reference: Reference,
    },
    /// A pull begins: `TAG: Pulling from PATH`.
    PullStarted {
        /// The tag, or the whole reference when pulled by digest.
        tag: String,
        /// The repository path without host.
        path: String,
    },
    /// A push begins: `The push refers to repository [REPOSITORY]`.
    PushStarted {
        /// The repository with host.
        repository: String,
    },
    /// The signature of what a name stands for was verified: by these keys.
    Verified {
        /// The keys, as people know them.
        keys: Vec<String>,
    },
    /// What was pushed is being signed.
    Signing,
    /// It is signed: `Successfully signed NAME:TAG`.
    Signed {
        /// The name.
        reference: Reference,
    },
    /// A verified image is pulled: `Pull (1 of 1): NAME:TAG@sha256:…`.
    VerifiedPull {
        /// Which of them it is, from 1.
        number: usize,
        /// How many there are.
        total: usize,
        /// The name, its digest included.
        reference: Reference,
    },
    /// A verified image gets its name: `Tagging NAME@sha256:… as NAME:TAG`.
    Tagged {
        /// The name with the digest.
        from: Reference,
        /// The name.
        to: Reference,
    },
    /// A layer moved on. While pulling, the id is the blob's; while pushing, the diff id's.
    Layer(LayerEvent),
    /// A pull resolved its name: `Digest: …`.
    Resolved {
        /// The digest of the manifest or index.
        digest: Digest,
    },
    /// A pull ended: `Status: …`.
    PullFinished {
        /// The reference as docker shows it in its status line.
        reference: Reference,
        /// Whether anything was fetched or changed.
        newer: bool,
        /// Where the name stands alone (`pull -a`): no tag in the line.
        all_tags: bool,
    },
    /// A tag was pushed: `TAG: digest: … size: N`.
    PushFinished {
        /// The tag.
        tag: String,
        /// The digest of the manifest.
        digest: Digest,
        /// The size of the manifest in bytes.
        size: u64,
    },
    /// A load begins: what is told of layers from here on is about loading them.
    LoadStarted,
    /// A name moves to the image that is loaded under it; the image that had it keeps its id.
    Renamed {
        /// The name.
        reference: Reference,
        /// The image that had it.
        id: Digest,
    },
    /// An image was loaded under a name: `Loaded image: NAME`.
    Loaded {
        /// The name.
        reference: Reference,
    },
    /// An image without a name was loaded: `Loaded image ID: sha256:…`.
    LoadedId {
        /// The image.
        id: Digest,
    },
    /// A copy begins: `Copying FROM to TO`.
    CopyStarted {
        /// The one end, as typed.
        from: String,
        /// The other end, as typed.
        to: String,
        /// Whether it goes out of the store, so that layers are pushed.
        away: bool,
    },
    /// An archive is being fetched: `Downloading from URL`.
    FetchStarted {
        /// The address, without a password.
        url: String,
    },
    /// Some of the archive has come.
    Fetching {
        /// Bytes so far.
        done: u64,
        /// Bytes in all; 0 when that is not known.
        total: u64,
    },
    /// A build moved on.
    Build(BuildEvent),
    /// A classic build begins with a context of this size: `Sending build context to Docker daemon
    /// 2.048kB`.
    BuildContext {
        /// Bytes of the tar that docker would send.
        bytes: u64,
    },
    /// Something the user should know that is no error.
    Warning {
        /// The sentence.
        text: String,
    },
}

/// Where events go.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Takes no notice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore;

impl EventSink for Ignore {
    fn event(&self, _event: Event) {}
}

/// Passes the layer events of a transfer on to an event sink.
pub(crate) struct Layers<'a>(pub(crate) &'a dyn EventSink);

impl Observer for Layers<'_> {
    fn layer(&self, event: LayerEvent) {
        self.0.event(Event::Layer(event));
    }
}

/// Passes layer events on, except that those of one kind wait until it is certain that they are to be
/// told: any other event, or [`release`](Self::release), lets them through.
pub(crate) struct HeldLayers<'a> {
    events: &'a dyn EventSink,
    holds: fn(&LayerState) -> bool,
    waiting: Mutex<Option<Vec<LayerEvent>>>,
}

impl<'a> HeldLayers<'a> {
    pub(crate) fn new(events: &'a dyn EventSink, holds: fn(&LayerState) -> bool) -> Self {
        Self {
            events,
            holds,
            waiting: Mutex::new(Some(Vec::new())),
        }
    }

    /// Tells what has waited.
    pub(crate) fn release(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for event in waiting.take().into_iter().flatten() {
            self.events.event(Event::Layer(event));
        }
    }
}

impl Observer for HeldLayers<'_> {
    fn layer(&self, event: LayerEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(list), true) = (waiting.as_mut(), (self.holds)(&event.state)) {
            list.push(event);
            return;
        }
        for event in waiting.take().into_iter().flatten().chain([event]) {
            self.events.event(Event::Layer(event));
        }
    }
}

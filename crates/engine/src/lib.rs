//! Every operation of Lapstrake as one function with a typed request, typed events and a typed result.
//!
//! A face (command line, Engine API, web page) parses its input into a request, calls one function of
//! [`ops`], and renders the events and the result. Nothing here prints, reads the process environment
//! or exits: settings arrive as values, the clock is an argument of [`Engine::open`].

mod error;
mod event;
pub mod ops;
pub mod settings;

mod glob;
mod lookup;
mod sandbox;
mod secret;
mod ssh;
mod transfer;
mod trust;

pub use error::{Error, ErrorKind, Origin};
pub use event::{Event, EventSink, Ignore};
pub use lapstrake_build as build;
pub use lapstrake_container as container;
pub use lapstrake_dockerfile as dockerfile;
pub use lapstrake_image::{LayerEvent, LayerState, Trace};
pub use lapstrake_registry as registry;
pub use lapstrake_spec as spec;
pub use lapstrake_store as store;
pub use secret::Secret;
pub use settings::Settings;
pub use trust::private::SigningKey;
pub use trust::{KEYS_FOLDER, POLICY_FILE, TrustFiles};

use lapstrake_container::Containers;
use lapstrake_store::{OpenOptions, Store};
use std::sync::{Arc, OnceLock};

/// The wall clock as an argument, so that tests can pin it.
pub type Clock = fn() -> jiff::Timestamp;

/// The zone of the machine, as an argument too: dates without a zone are in it.
pub type Zone = fn() -> jiff::tz::TimeZone;

/// A store opened with resolved settings: what every operation works on.
#[derive(Debug, Clone)]
pub struct Engine {
    settings: Settings,
    clock: Clock,
    zone: Zone,
    /// Where to look for those who are trusted; none: images need no signatures.
    trust: Option<TrustFiles>,
    /// What signs pushed images under content trust.
    signer: Option<Arc<SigningKey>>,
    /// One for all clones.
    store: Arc<OnceLock<Store>>,
}

impl Engine {
    /// An engine for these settings. The store is opened (and made, when missing) at first use.
    pub fn open(settings: Settings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            zone: || jiff::tz::TimeZone::UTC,
            trust: None,
            signer: None,
            store: Arc::default(),
        }
    }

    /// The same engine in a zone; it is in UTC otherwise.
    pub fn with_zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// The same engine with content trust on: operations that take images from registries, or make
    /// containers and images of them, refuse those whose signature cannot be verified.
    pub fn with_content_trust(mut self, files: TrustFiles) -> Self {
        self.trust = Some(files);
        self
    }

    /// The same engine with a key that signs what `push` pushes.
    pub fn with_signer(mut self, key: SigningKey) -> Self {
        self.signer = Some(Arc::new(key));
        self
    }

    /// Whether content trust is on.
    pub fn has_content_trust(&self) -> bool {
        self.trust.is_some()
    }

    /// Who is trusted, when content trust is on.
    pub(crate) fn trust(&self) -> Result<Option<trust::Trust>, Error> {
        self.trust.as_ref().map(trust::Trust::load).transpose()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The present moment.
    pub fn now(&self) -> jiff::Timestamp {
        (self.clock)()
    }

    /// The zone's present distance from UTC.
    pub(crate) fn offset(&self) -> jiff::tz::Offset {
        (self.zone)().to_offset(self.now())
    }

    /// The image store.
    pub fn store(&self) -> Result<&Store, Error> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let options = OpenOptions {
            trace: self.settings.trace.clone(),
            ..OpenOptions::default()
        };
        let store = Store::open(&self.settings.root, &options)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// Whether the store was used and holds removed things that nobody has deleted yet.
    pub fn has_trash(&self) -> bool {
        self.store
            .get()
            .is_some_and(|store| store.has_trash().unwrap_or(false))
    }

    /// The containers of the store.
    pub fn containers(&self) -> Result<Containers, Error> {
        Ok(Containers::new(self.store()?))
    }
}

#[cfg(test)]
mod tests;

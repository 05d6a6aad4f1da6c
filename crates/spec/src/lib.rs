//! The vocabulary of container images: references, digests, manifests, configurations. Parse and print only.
//!
//! Nothing here does I/O, reads the environment or the clock, or prints. Raw bytes of fetched
//! documents are kept by whoever fetched them; the types here are views of those bytes and the
//! makers of new documents. Everything that is parsed may be hostile, so every size has a named
//! limit ([`MANIFEST_LIMIT`], [`CONFIG_LIMIT`], [`reference::PATH_LIMIT`], [`change::CHANGE_LIMIT`]).
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::cast_possible_truncation,
        clippy::arithmetic_side_effects
    )
)]

pub mod reference;

pub mod digest;
pub mod media_type;

pub mod descriptor;
pub mod manifest;

pub mod config;
pub mod container_config;
pub mod platform;

pub mod change;
pub mod go_json;

mod lenient;

pub use change::{ChangeError, apply_change, apply_changes};
pub use config::{CONFIG_LIMIT, ConfigError, History, ImageConfig, RootFs, chain_ids};
pub use container_config::{ContainerConfig, Healthcheck, ImageRunConfig};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use manifest::{Document, Index, MANIFEST_LIMIT, Manifest, ManifestError};
pub use media_type::MediaType;
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};

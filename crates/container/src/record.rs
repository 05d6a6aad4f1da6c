//! What is written about a container: [`Record`] (`config.json`) and [`State`] (`state.json`).

use crate::host_config::HostConfig;
use crate::network::NetworkState;
use lapstrake_spec::{ContainerConfig, Descriptor, Digest, Platform};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The 64 hex digits that name a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Number of digits of a whole id.
    pub const LEN: usize = 64;

    /// A whole id: 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let whole = text.len() == Self::LEN && text.bytes().all(is_hex);
        whole.then(|| Self(text.to_owned()))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, as tables and host names show them.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a container id"))
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

/// All that was decided when the container was made. Changes only by rename and update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// The id.
    #[serde(rename = "ID")]
    pub id: ContainerId,
    /// The name, without the slash that docker shows before it.
    pub name: String,
    /// When it was created, RFC 3339 with nanoseconds.
    pub created: String,
    /// The image's id (digest of its configuration).
    #[serde(rename = "ImageID")]
    pub image_id: Digest,
    /// The image as typed.
    pub image: String,
    /// The program: first word of entry point and command.
    pub path: String,
    /// The other words.
    pub args: Vec<String>,
    /// The request merged with the image's configuration.
    pub config: ContainerConfig,
    /// What concerns this host.
    pub host_config: HostConfig,
    /// Volumes and binds.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The diff ids of the image's layers, bottom first.
    pub layers: Vec<Digest>,
    /// The blobs of these layers, in the same order, so that their trees can be made again.
    #[serde(default)]
    pub layer_blobs: Vec<Descriptor>,
    /// The image's platform.
    pub platform: Platform,
    /// The layer backend, `overlay2`.
    pub driver: String,
}

/// A place in the container where something of the host is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// `bind` or `volume`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's name; empty for a bind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path on the host.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// `local` for a volume; empty for a bind.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The options as typed, without `ro` and `rw`.
    pub mode: String,
    /// Whether it can be written.
    #[serde(rename = "RW")]
    pub read_write: bool,
    /// Mount propagation, `rprivate` for a bind by default.
    pub propagation: String,
    /// Whether the volume was made for this container alone and goes with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
}

/// Where a container is in its life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Made, never started (or its first start failed).
    #[default]
    Created,
    /// Its process lives.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its process has ended.
    Exited,
    /// Being removed.
    Removing,
    /// Could not be removed.
    Dead,
}

impl Status {
    /// The word that filters, `inspect` and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Dead => "dead",
        }
    }

    /// Whether a process of it lives, frozen or not.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Time of something that has not happened, in docker's words.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// What changes while the container lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    /// Where it is in its life.
    pub status: Status,
    /// The process on the host; 0 when there is none.
    pub pid: i32,
    /// The status it ended with.
    pub exit_code: i32,
    /// The error of the last start.
    pub error: String,
    /// Whether the kernel killed it for memory.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// When it was last started, or [`NEVER`].
    pub started_at: String,
    /// When it last ended, or [`NEVER`].
    pub finished_at: String,
    /// Its place on the default bridge, while it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkState>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            status: Status::Created,
            pid: 0,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_at: NEVER.to_owned(),
            finished_at: NEVER.to_owned(),
            network: None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

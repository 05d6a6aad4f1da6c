//! Docker's `HostConfig.Mounts`: what `--mount` asks for, field by field, as `docker inspect` shows it.

use crate::error::{Error, Result};
use crate::volumes::{PROPAGATIONS, clean};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A file or a folder of the host.
    Bind,
    /// A volume.
    #[default]
    Volume,
    /// A file system in memory.
    Tmpfs,
}

impl fmt::Display for MountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
        })
    }
}

/// A mount that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountRequest {
    /// What is mounted.
    #[serde(rename = "Type")]
    pub kind: MountKind,
    /// A path on the host or the name of a volume; empty for a volume without a name, and in memory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether it cannot be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Options of a bind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// Options of a file system in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// Mount propagation; empty for the default.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub propagation: String,
}

/// Options of a file system in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Its size; 0 = the kernel's default.
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: i64,
    /// The permissions of its root; 0 = the kernel's default.
    #[serde(skip_serializing_if = "is_zero")]
    pub mode: u32,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl MountRequest {
    /// Refuses what makes no sense, in docker's words. The source of a bind must exist.
    pub fn check(&self) -> Result<()> {
        self.fault().map_or(Ok(()), |fault| {
            let text = format!("invalid mount config for type \"{}\": {fault}", self.kind);
            Err(Error::Invalid(text))
        })
    }

    fn fault(&self) -> Option<String> {
        let absolute = |path: &str| {
            let fault = || format!("invalid mount path: '{path}' mount path must be absolute");
            (!path.starts_with('/')).then(fault)
        };
        if self.target.is_empty() {
            return Some("field Target must not be empty".to_owned());
        }
        if let fault @ Some(_) = absolute(&self.target) {
            return fault;
        }
        if self.destination() == "/" {
            return Some("invalid specification: destination can't be '/'".to_owned());
        }
        match self.kind {
            MountKind::Bind if self.source.is_empty() => {
                Some("field Source must not be empty".to_owned())
            }
            MountKind::Bind => {
                let propagation = self.propagation().unwrap_or("rprivate");
                if !PROPAGATIONS.contains(&propagation) {
                    return Some(format!("invalid propagation mode: {propagation}"));
                }
                let missing = || format!("bind source path does not exist: {}", self.source);
                absolute(&self.source).or_else(|| (!Path::new(&self.source).exists()).then(missing))
            }
            MountKind::Volume if self.source.is_empty() && self.read_only => {
                Some("must not set ReadOnly mode when using anonymous volumes".to_owned())
            }
            MountKind::Tmpfs if !self.source.is_empty() => {
                Some("field Source must not be specified".to_owned())
            }
            MountKind::Volume | MountKind::Tmpfs => None,
        }
    }

    /// The target, normalised.
    pub(crate) fn destination(&self) -> String {
        clean(&self.target)
    }

    /// The propagation that is asked for.
    pub(crate) fn propagation(&self) -> Option<&str> {
        let options = self.bind_options.as_ref()?;
        Some(options.propagation.as_str()).filter(|word| !word.is_empty())
    }

    /// The options of a file system in memory as `--tmpfs` takes them; nothing for other mounts.
    pub(crate) fn tmpfs(&self) -> Option<String> {
        if self.kind != MountKind::Tmpfs {
            return None;
        }
        let TmpfsOptions { size_bytes, mode } = self.tmpfs_options.unwrap_or_default();
        let options = [
            self.read_only.then(|| "ro".to_owned()),
            (mode > 0).then(|| format!("mode={mode:o}")),
            (size_bytes > 0).then(|| format!("size={size_bytes}")),
        ];
        Some(options.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: MountKind, source: &str, target: &str) -> MountRequest {
        MountRequest {
            kind,
            source: source.to_owned(),
            target: target.to_owned(),
            ..MountRequest::default()
        }
    }

    #[test]
    fn requests_are_checked_in_docker_s_words() {
        let propagated = |word: &str| MountRequest {
            bind_options: Some(BindOptions {
                propagation: word.to_owned(),
            }),
            ..request(MountKind::Bind, "/", "/a")
        };
        let read_only = |source: &str| MountRequest {
            read_only: true,
            ..request(MountKind::Volume, source, "/a")
        };
        let cases = [
            (request(MountKind::Bind, "/", "/a:b"), ""),
            (request(MountKind::Volume, "", "/a"), ""),
            (propagated("rslave"), ""),
            (read_only("data"), ""),
            (propagated("ro"), "bind\": invalid propagation mode: ro"),
            (
                read_only(""),
                "volume\": must not set ReadOnly mode when using anonymous volumes",
            ),
            (
                request(MountKind::Tmpfs, "x", "/a"),
                "tmpfs\": field Source must not be specified",
            ),
            (
                request(MountKind::Tmpfs, "", "/a/.."),
                "tmpfs\": invalid specification: destination can't be '/'",
            ),
            (
                request(MountKind::Volume, "", "a"),
                "volume\": invalid mount path: 'a' mount path must be absolute",
            ),
            (
                request(MountKind::Bind, "b", "/a"),
                "bind\": invalid mount path: 'b' mount path must be absolute",
            ),
            (
                request(MountKind::Bind, "/no/such", "/a"),
                "bind\": bind source path does not exist: /no/such",
            ),
        ];
        for (request, expected) in cases {
            let said = request
                .check()
                .map_or_else(|error| error.to_string(), |()| String::new());
            let said = said.trim_start_matches("invalid mount config for type \"");
            assert_eq!(said, expected, "{request:?}");
        }
    }

    #[test]
    fn requests_are_shown_as_docker_shows_them() {
        let memory = MountRequest {
            read_only: true,
            tmpfs_options: Some(TmpfsOptions {
                size_bytes: 1024,
                mode: 0o1770,
            }),
            ..request(MountKind::Tmpfs, "", "/a")
        };
        assert_eq!(memory.tmpfs().unwrap(), "ro,mode=1770,size=1024");
        let text = r#"{"Type":"tmpfs","Target":"/a","ReadOnly":true,"TmpfsOptions":{"SizeBytes":1024,"Mode":1016}}"#;
        assert_eq!(serde_json::to_string(&memory).unwrap(), text);
        assert_eq!(serde_json::from_str::<MountRequest>(text).unwrap(), memory);
    }
}

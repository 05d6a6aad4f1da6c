//! `RUN --mount=…`: the flag's text and what it means.

mod csv;
mod options;

use super::Device;
use crate::words::WordError;
use options::{Options, boolean, suggested};

/// The value of one `--mount` flag, variables unexpanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountText(pub(crate) String);

/// A mount of a `RUN`, complete: defaults are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunMount {
    /// `type=bind`, also when no type is given.
    Bind(BindMount),
    /// `type=cache`
    Cache(CacheMount),
    /// `type=tmpfs`
    Tmpfs(TmpfsMount),
    /// `type=secret`
    Secret(SecretMount),
    /// `type=ssh`
    Ssh(SshMount),
}

/// Files of the context, a stage or an image, shown to one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindMount {
    /// `from`: stage, context or image; absent: the build context.
    pub from: Option<String>,
    /// `source`: the path in it; absent: its root.
    pub source: Option<String>,
    /// `target`: where it appears; relative to the working directory; may be absent (docker's
    /// planner refuses that).
    pub target: Option<String>,
    /// False with `rw`: writes are allowed and thrown away.
    pub read_only: bool,
}

/// A directory that outlives the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheMount {
    /// `id`; absent: the target.
    pub id: Option<String>,
    /// `from`: what a new cache begins with.
    pub from: Option<String>,
    /// `source`: the path in `from`.
    pub source: Option<String>,
    /// `target`
    pub target: Option<String>,
    /// `ro`
    pub read_only: bool,
    /// `sharing`
    pub sharing: Sharing,
    /// `mode`, `uid`, `gid` of a new cache directory (0755, 0, 0).
    pub ownership: Ownership,
}

/// An empty file system in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TmpfsMount {
    /// `target`
    pub target: Option<String>,
    /// `size` in bytes; 0: no limit of its own.
    pub size: i64,
    /// `ro`
    pub read_only: bool,
}

/// A secret as a file or a variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretMount {
    /// `id`, or `source` in the old spelling; absent: the base name of the target, or of `env`.
    pub id: Option<String>,
    /// `target`; absent: `/run/secrets/<id>`, unless `env` is given.
    pub target: Option<String>,
    /// `env`: the variable's name; empty: the id.
    pub env: Option<String>,
    /// `required`
    pub required: bool,
    /// `mode`, `uid`, `gid` of the file (0400, 0, 0).
    pub ownership: Ownership,
}

/// A socket of an ssh agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshMount {
    /// `id`; absent: `default`.
    pub id: Option<String>,
    /// `target`; absent: `/run/buildkit/ssh_agent.<n>`.
    pub target: Option<String>,
    /// `required`
    pub required: bool,
    /// `mode`, `uid`, `gid` of the socket (0600, 0, 0).
    pub ownership: Ownership,
}

/// `mode`, `uid` and `gid`, each only when given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Permission bits, written in octal.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// What a cache does when two steps want it at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Both use it.
    #[default]
    Shared,
    /// The second gets a new one.
    Private,
    /// The second waits.
    Locked,
}

/// Why a mount cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// Docker's words about an option.
    #[error("{0}")]
    Option(String),
    /// A variable could not be replaced.
    #[error(transparent)]
    Word(#[from] WordError),
}

impl MountText {
    /// The flag's value as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What docker refuses before variables have values: an image or stage made of variables.
    pub(crate) fn check_early(&self) -> Result<(), MountError> {
        for field in csv::fields(&self.0).map_err(|error| csv_error("mounts", &error))? {
            let Some((key, value)) = field.split_once('=') else {
                continue;
            };
            let dollar = value.find('$').map(|at| at.saturating_add(1));
            if key.eq_ignore_ascii_case("from") && dollar.is_some_and(|after| after < value.len()) {
                return Err(MountError::Option(
                    "'from' doesn't support variable expansion, define alias stage instead"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Reads the options; each value goes through `expand`.
    pub fn resolve(
        &self,
        expand: &mut dyn FnMut(&str) -> Result<String, WordError>,
    ) -> Result<RunMount, MountError> {
        let mut options = Options::default();
        for field in csv::fields(&self.0).map_err(|error| csv_error("mounts", &error))? {
            match field.split_once('=') {
                Some((key, value)) => {
                    let value = expand(value)?;
                    options
                        .set(&key.to_lowercase(), value, &field)
                        .map_err(MountError::Option)?;
                }
                None => options.switch(&field).map_err(MountError::Option)?,
            }
        }
        options.finish().map_err(MountError::Option)
    }
}

fn csv_error(what: &str, error: &str) -> MountError {
    MountError::Option(format!("failed to parse csv {what}: {error}"))
}

impl Device {
    /// Reads `--device`: a name, or `name=…,required[=…]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut device = Self::default();
        let fields =
            csv::fields(text).map_err(|error| format!("failed to parse csv devices: {error}"))?;
        for field in fields {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_lowercase(), Some(value)),
                None => (field.to_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("required", None) => device.required = true,
                ("required", Some(value)) => device.required = boolean(&key, value)?,
                ("name", Some(value)) if device.name.is_empty() => {
                    value.clone_into(&mut device.name);
                }
                ("name", Some(_)) => {
                    return Err(format!("device name already set to {}", device.name));
                }
                _ if device.name.is_empty() => device.name = field,
                (_, None) => {
                    return Err(format!("invalid field '{field}' must be a key=value pair"));
                }
                (key, Some(_)) => {
                    let wrong = format!("unexpected key '{key}' in '{field}'");
                    return Err(suggested(wrong, key, &["name", "required"]));
                }
            }
        }
        Ok(device)
    }
}

#[cfg(test)]
mod tests;

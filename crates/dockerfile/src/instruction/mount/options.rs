//! The options of a mount, before it is known which of them belong together.

use crate::quote::quote;
use crate::suggest::nearest;

use super::{
    BindMount, CacheMount, Ownership, RunMount, SecretMount, Sharing, SshMount, TmpfsMount,
};

/// Every key, in docker's order: what is suggested for an unknown one.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Bind,
        Self::Cache,
        Self::Secret,
        Self::Ssh,
        Self::Tmpfs,
    ];
    const NAMES: [&str; 5] = ["bind", "cache", "secret", "ssh", "tmpfs"];

    fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// Options in the order in which they come: some are refused by the type that is known so far.
#[derive(Debug, Default)]
pub(super) struct Options {
    kind: Kind,
    from: String,
    source: String,
    target: String,
    read_only: Option<bool>,
    size: i64,
    id: String,
    sharing: Option<Sharing>,
    required: bool,
    env: Option<String>,
    ownership: Ownership,
}

impl Options {
    /// A key without a value.
    pub(super) fn switch(&mut self, field: &str) -> Result<(), String> {
        match field.to_lowercase().as_str() {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            key @ "required" => {
                self.only_for(key, &[Kind::Secret, Kind::Ssh])?;
                self.required = true;
            }
            _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
        }
        Ok(())
    }

    /// A key, in lower case, with its expanded value.
    pub(super) fn set(&mut self, key: &str, value: String, field: &str) -> Result<(), String> {
        match key {
            "type" => self.kind = kind(&value)?,
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => self.read_only = Some(boolean(key, &value)?),
            "readwrite" | "rw" => self.read_only = Some(!boolean(key, &value)?),
            "required" => {
                self.only_for(key, &[Kind::Secret, Kind::Ssh])?;
                self.required = boolean(key, &value)?;
            }
            "size" => {
                self.only_for(key, &[Kind::Tmpfs])?;
                self.size =
                    bytes(&value).ok_or_else(|| format!("invalid value for {key}: {value}"))?;
            }
            "id" => self.id = value,
            "sharing" => self.sharing = Some(sharing(&value)?),
            "mode" => self.ownership.mode = Some(number(key, &value, 8)?),
            "uid" => self.ownership.uid = Some(number(key, &value, 10)?),
            "gid" => self.ownership.gid = Some(number(key, &value, 10)?),
            "env" => self.env = Some(value),
            _ => {
                return Err(suggested(
                    format!("unexpected key '{key}' in '{field}'"),
                    key,
                    &KEYS,
                ));
            }
        }
        Ok(())
    }

    fn only_for(&self, key: &str, kinds: &[Kind]) -> Result<(), String> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        Err(format!(
            "unexpected key '{key}' for mount type '{}'",
            self.kind.name()
        ))
    }

    /// The checks over all options, and the mount.
    pub(super) fn finish(self) -> Result<RunMount, String> {
        let kind = self.kind;
        let Ownership { mode, uid, gid } = self.ownership;
        if matches!(kind, Kind::Bind | Kind::Tmpfs) {
            for (key, given) in [("mode", mode), ("uid", uid), ("gid", gid)] {
                if given.is_some() {
                    return Err(format!(
                        "{key} not allowed for {} type mounts",
                        quote(kind.name())
                    ));
                }
            }
        }
        if kind == Kind::Secret {
            self.check_secret()?;
        }
        if self.sharing.is_some() && kind != Kind::Cache {
            return Err(format!(
                "invalid cache sharing set for {} mount",
                kind.name()
            ));
        }
        if kind == Kind::Ssh && !self.source.is_empty() {
            return Err("ssh does not support source".to_owned());
        }
        Ok(self.mount())
    }

    fn check_secret(&self) -> Result<(), String> {
        let refused = if !self.from.is_empty() {
            "secret mount should not have a from"
        } else if self.sharing.is_some() {
            "secret mount should not define sharing"
        } else if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
            "invalid secret mount. one of source, target required"
        } else if !self.source.is_empty() && !self.id.is_empty() {
            "both source and id can't be set"
        } else {
            return Ok(());
        };
        Err(refused.to_owned())
    }

    fn mount(self) -> RunMount {
        let read_only = self.read_only;
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let (id, from) = (given(self.id), given(self.from));
        let (source, target) = (given(self.source), given(self.target));
        let (required, ownership) = (self.required, self.ownership);
        match self.kind {
            Kind::Bind => {
                let read_only = read_only.unwrap_or(true);
                RunMount::Bind(BindMount {
                    from,
                    source,
                    target,
                    read_only,
                })
            }
            Kind::Cache => RunMount::Cache(CacheMount {
                id,
                from,
                source,
                target,
                read_only: read_only.unwrap_or_default(),
                sharing: self.sharing.unwrap_or_default(),
                ownership,
            }),
            Kind::Tmpfs => RunMount::Tmpfs(TmpfsMount {
                target,
                size: self.size,
                read_only: read_only.unwrap_or_default(),
            }),
            Kind::Secret => RunMount::Secret(SecretMount {
                id: id.or(source),
                target,
                env: self.env,
                required,
                ownership,
            }),
            Kind::Ssh => RunMount::Ssh(SshMount {
                id,
                target,
                required,
                ownership,
            }),
        }
    }
}

fn kind(value: &str) -> Result<Kind, String> {
    let lower = value.to_lowercase();
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == lower)
        .ok_or_else(|| {
            suggested(
                format!("unsupported mount type {}", quote(value)),
                value,
                &Kind::NAMES,
            )
        })
}

fn sharing(value: &str) -> Result<Sharing, String> {
    Ok(match value.to_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        _ => {
            let wrong = format!("unsupported sharing value {}", quote(value));
            return Err(suggested(wrong, value, &["locked", "private", "shared"]));
        }
    })
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, String> {
    // A sign is no digit to docker.
    let digits = Some(value).filter(|value| !value.starts_with('+'));
    digits
        .and_then(|digits| u32::from_str_radix(digits, radix).ok())
        .ok_or_else(|| format!("invalid value {value} for {key}"))
}

/// Go's spellings of true and false.
pub(super) fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("invalid value for {key}: {value}")),
    }
}

pub(super) fn suggested(error: String, word: &str, options: &[&str]) -> String {
    match nearest(word, options, true) {
        Some(near) => format!("{error} (did you mean {near}?)"),
        None => error,
    }
}

/// Sizes such as `64m`, `1.5g`, `100`: units are powers of 1024, in any case, `b` and `ib` allowed.
fn bytes(text: &str) -> Option<i64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = text.split_at_checked(end.saturating_add(1))?;
    let number = number.strip_suffix(' ').unwrap_or(number);
    if number.starts_with(['+', '-']) || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let unit = unit.to_lowercase();
    let letter = unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(&unit);
    let factor: i64 = match letter {
        "" if unit != "ib" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        _ => return None,
    };
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a size is a fraction of a power of two; the conversion saturates"
    )]
    let size = (number * factor as f64) as i64;
    Some(size)
}

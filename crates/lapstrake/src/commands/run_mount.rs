//! `--mount` of `run` and `create`: the long form of `--volume` and `--tmpfs`, which it becomes.

use crate::args::{Flag, parse_bool, parse_bytes};
use crate::env::Environment;
use std::path::Path;

pub(super) const FLAG: Flag = Flag::list("mount", "Attach a filesystem mount to the container")
    .value_name("mount")
    .check(check);

/// What a mount is in the short forms.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// A value of `--volume`.
    Volume(String),
    /// A value of `--tmpfs`.
    Tmpfs(String),
}

#[derive(Debug, Default)]
struct Mount {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    propagation: String,
    /// Options of a tmpfs, as `mount` takes them.
    tmpfs: Vec<String>,
    /// The kinds of mount that the options given are for.
    of_kind: Vec<&'static str>,
}

fn check(value: &str) -> Result<(), String> {
    read(value).map(drop)
}

/// The short form; the source of a bind must exist.
pub(super) fn short(value: &str) -> Result<Short, String> {
    let mount = read(value)?;
    let config = |text: String| {
        Err(format!(
            "Error response from daemon: invalid mount config for type \"{}\": {text}",
            mount.kind
        ))
    };
    let absolute = |path: &str| {
        config(format!(
            "invalid mount path: '{path}' mount path must be absolute"
        ))
    };
    if !mount.target.starts_with('/') {
        return absolute(&mount.target);
    }
    let mut options: Vec<&str> = Vec::new();
    if mount.read_only {
        options.push("ro");
    }
    if mount.kind == "tmpfs" {
        options.extend(mount.tmpfs.iter().map(String::as_str));
        let colon = if options.is_empty() { "" } else { ":" };
        return Ok(Short::Tmpfs(format!(
            "{}{colon}{}",
            mount.target,
            options.join(",")
        )));
    }
    let mut source = mount.source.clone();
    if mount.kind == "bind" {
        if source.starts_with('.') {
            source = Environment::absolute(Path::new(&source))
                .display()
                .to_string();
        }
        if !source.starts_with('/') {
            return absolute(&source);
        }
        if !Path::new(&source).exists() {
            return config(format!("bind source path does not exist: {source}"));
        }
        if !mount.propagation.is_empty() {
            options.push(&mount.propagation);
        }
    }
    if [&source, &mount.target]
        .iter()
        .any(|path| path.contains(':'))
    {
        return config(format!("a colon in a path is not supported: {value}"));
    }
    let mut parts = vec![source.as_str(), mount.target.as_str()];
    parts.retain(|part| !part.is_empty());
    let options = options.join(",");
    if !options.is_empty() && parts.len() == 2 {
        parts.push(&options);
    }
    Ok(Short::Volume(parts.join(":")))
}

/// Reads `type=bind,source=/a,target=/b,readonly`, with the words that docker refuses others in.
fn read(value: &str) -> Result<Mount, String> {
    let mut mount = Mount {
        kind: "volume".to_owned(),
        ..Mount::default()
    };
    if value.is_empty() {
        return Err("EOF".to_owned());
    }
    for field in value.split(',') {
        let (key, given) = match field.split_once('=') {
            Some((key, given)) => (key, Some(given)),
            None => (field, None),
        };
        let key = key.to_ascii_lowercase();
        let switch = matches!(
            key.as_str(),
            "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive"
        );
        let text = match given {
            Some(text) => text,
            None if switch => "true",
            None => return Err(format!("invalid field '{field}' must be a key=value pair")),
        };
        mount.set(&key, text, value)?;
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    if mount.kind == "bind" && mount.source.is_empty() {
        return Err("source is required for mount type 'bind'".to_owned());
    }
    match mount.of_kind.iter().find(|kind| **kind != mount.kind) {
        Some(kind) => Err(format!(
            "cannot mix '{kind}-*' options with mount type '{}'",
            mount.kind
        )),
        None => Ok(mount),
    }
}

impl Mount {
    fn set(&mut self, key: &str, text: &str, whole: &str) -> Result<(), String> {
        let truth =
            || parse_bool(text).map_err(|_error| format!("invalid value for {key}: {text}"));
        let text_of = || text.to_owned();
        match key {
            "type" => match text.to_ascii_lowercase().as_str() {
                kind @ ("bind" | "volume" | "tmpfs") => kind.clone_into(&mut self.kind),
                kind => return Err(format!("mounts of type '{kind}' are not supported")),
            },
            "source" | "src" => self.source = text_of(),
            "target" | "dst" | "destination" => self.target = text_of(),
            "readonly" | "ro" => self.read_only = truth()?,
            "consistency" => {}
            "bind-propagation" => {
                self.propagation = text.to_ascii_lowercase();
                self.of_kind.push("bind");
            }
            "bind-nonrecursive" | "bind-recursive" | "volume-nocopy" | "volume-driver"
            | "volume-label" | "volume-opt" | "volume-subpath" => {
                return Err(format!("option '{key}' is not supported"));
            }
            "tmpfs-size" => {
                let bytes = parse_bytes(text)
                    .map_err(|_error| format!("invalid value for {key}: {text}"))?;
                self.tmpfs.push(format!("size={bytes}"));
                self.of_kind.push("tmpfs");
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(text, 8)
                    .map_err(|_error| format!("invalid value for {key}: {text}"))?;
                self.tmpfs.push(format!("mode={mode:o}"));
                self.of_kind.push("tmpfs");
            }
            _ => return Err(format!("unexpected key '{key}' in '{whole}'")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_forms_become_short_ones() {
        let cases = [
            ("type=bind,source=/etc,target=/a", "-v /etc:/a"),
            ("type=bind,src=/etc,dst=/a,readonly", "-v /etc:/a:ro"),
            ("type=bind,src=/etc,dst=/a,ro=false", "-v /etc:/a"),
            (
                "type=bind,src=/,dst=/a,ro,bind-propagation=rslave",
                "-v /:/a:ro,rslave",
            ),
            ("source=data,target=/a", "-v data:/a"),
            ("type=volume,target=/a", "-v /a"),
            ("type=tmpfs,target=/a", "--tmpfs /a"),
            (
                "TYPE=TMPFS,target=/a,tmpfs-size=1m,tmpfs-mode=1770",
                "--tmpfs /a:size=1048576,mode=1770",
            ),
            ("", "EOF"),
            ("type=bind", "target is required"),
            (
                "type=bind,target=/a",
                "source is required for mount type 'bind'",
            ),
            (
                "type=npipe,target=/a",
                "mounts of type 'npipe' are not supported",
            ),
            (
                "bind,target=/a",
                "invalid field 'bind' must be a key=value pair",
            ),
            ("targe=/a", "unexpected key 'targe' in 'targe=/a'"),
            ("target=/a,ro=x", "invalid value for ro: x"),
            (
                "target=/a,tmpfs-size=1m",
                "cannot mix 'tmpfs-*' options with mount type 'volume'",
            ),
            (
                "target=/a,volume-nocopy",
                "option 'volume-nocopy' is not supported",
            ),
            (
                "target=a",
                "Error response from daemon: invalid mount config for type \"volume\": invalid mount \
                 path: 'a' mount path must be absolute",
            ),
            (
                "type=bind,source=/no/such,target=/a",
                "Error response from daemon: invalid mount config for type \"bind\": bind source path \
                 does not exist: /no/such",
            ),
        ];
        for (value, expected) in cases {
            let shown = match short(value) {
                Ok(Short::Volume(spec)) => format!("-v {spec}"),
                Ok(Short::Tmpfs(spec)) => format!("--tmpfs {spec}"),
                Err(error) => error,
            };
            assert_eq!(shown, expected, "{value}");
        }
    }
}

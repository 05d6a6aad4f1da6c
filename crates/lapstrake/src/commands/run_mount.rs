//! `--mount` of `run` and `create`.

use crate::args::{Flag, parse_bool, parse_bytes};
use crate::env::Environment;
use lapstrake_engine::container::{MountKind, MountRequest};
use lapstrake_engine::ops::csv_fields;
use std::path::Path;

pub(super) const FLAG: Flag = Flag::list("mount", "Attach a filesystem mount to the container")
    .value_name("mount")
    .check(check);

/// What is read of a value.
#[derive(Debug, Default)]
struct Mount {
    request: MountRequest,
    /// The kinds of mount that the options given are for.
    of_kind: Vec<MountKind>,
}

fn check(value: &str) -> Result<(), String> {
    read(value).map(drop)
}

/// The mount; it must make sense, and the source of a bind must exist.
pub(super) fn request(value: &str) -> Result<MountRequest, String> {
    let request = read(value)?;
    let refused = |error| format!("Error response from daemon: {error}");
    request.check().map_err(refused)?;
    Ok(request)
}

/// Reads `type=bind,source=/a,target=/b,readonly`, with the words that docker refuses others in.
fn read(value: &str) -> Result<MountRequest, String> {
    let mut mount = Mount::default();
    if value.is_empty() {
        return Err("EOF".to_owned());
    }
    for field in &csv_fields(value)? {
        let (key, given) = match field.split_once('=') {
            Some((key, given)) => (key, Some(given)),
            None => (field.as_str(), None),
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
    let Mount { request, of_kind } = mount;
    if request.target.is_empty() {
        return Err("target is required".to_owned());
    }
    if request.kind == MountKind::Bind && request.source.is_empty() {
        return Err("source is required for mount type 'bind'".to_owned());
    }
    match of_kind.iter().find(|kind| **kind != request.kind) {
        Some(kind) => Err(format!(
            "cannot mix '{kind}-*' options with mount type '{}'",
            request.kind
        )),
        None => Ok(request),
    }
}

impl Mount {
    fn set(&mut self, key: &str, text: &str, whole: &str) -> Result<(), String> {
        let truth =
            || parse_bool(text).map_err(|_error| format!("invalid value for {key}: {text}"));
        let request = &mut self.request;
        match key {
            "type" => request.kind = kind(text)?,
            "source" | "src" => request.source = source(text),
            "target" | "dst" | "destination" => text.clone_into(&mut request.target),
            "readonly" | "ro" => request.read_only = truth()?,
            "consistency" => {}
            "bind-propagation" => {
                let options = request.bind_options.get_or_insert_default();
                options.propagation = text.to_ascii_lowercase();
                self.of_kind.push(MountKind::Bind);
            }
            "bind-nonrecursive" | "bind-recursive" | "volume-nocopy" | "volume-driver"
            | "volume-label" | "volume-opt" | "volume-subpath" => {
                return Err(format!("option '{key}' is not supported"));
            }
            "tmpfs-size" => {
                let bytes = parse_bytes(text)
                    .map_err(|_error| format!("invalid value for {key}: {text}"))?;
                request.tmpfs_options.get_or_insert_default().size_bytes = bytes;
                self.of_kind.push(MountKind::Tmpfs);
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(text, 8)
                    .map_err(|_error| format!("invalid value for {key}: {text}"))?;
                request.tmpfs_options.get_or_insert_default().mode = mode;
                self.of_kind.push(MountKind::Tmpfs);
            }
            _ => return Err(format!("unexpected key '{key}' in '{whole}'")),
        }
        Ok(())
    }
}

fn kind(text: &str) -> Result<MountKind, String> {
    match text.to_ascii_lowercase().as_str() {
        "bind" => Ok(MountKind::Bind),
        "volume" => Ok(MountKind::Volume),
        "tmpfs" => Ok(MountKind::Tmpfs),
        kind => Err(format!("mounts of type '{kind}' are not supported")),
    }
}

/// `.` and what begins with `./` is relative to the working directory.
fn source(text: &str) -> String {
    if text != "." && !text.starts_with("./") {
        return text.to_owned();
    }
    let path = Environment::absolute(Path::new(text));
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn values_become_requests_or_are_refused() {
        let cases = [
            (
                "type=bind,source=/etc,target=/a",
                r#"{"Type":"bind","Source":"/etc","Target":"/a"}"#,
            ),
            (
                "type=bind,src=/etc,dst=/a,readonly",
                r#"{"Type":"bind","Source":"/etc","Target":"/a","ReadOnly":true}"#,
            ),
            (
                "type=bind,src=/etc,dst=/a,ro=false",
                r#"{"Type":"bind","Source":"/etc","Target":"/a"}"#,
            ),
            (
                "type=bind,src=/,dst=/a,ro,bind-propagation=rslave",
                r#"{"Type":"bind","Source":"/","Target":"/a","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}"#,
            ),
            (
                "source=data,target=/a,readonly",
                r#"{"Type":"volume","Source":"data","Target":"/a","ReadOnly":true}"#,
            ),
            (
                "type=volume,source=/etc,target=/a",
                r#"{"Type":"volume","Source":"/etc","Target":"/a"}"#,
            ),
            (
                "type=bind,\"source=/\",\"target=/a,b\"",
                r#"{"Type":"bind","Source":"/","Target":"/a,b"}"#,
            ),
            (
                "type=bind,so\"urce=/a",
                "parse error on line 1, column 13: bare \" in non-quoted-field",
            ),
            (
                "type=volume,target=/a,readonly",
                "Error response from daemon: invalid mount config for type \"volume\": must not set \
                 ReadOnly mode when using anonymous volumes",
            ),
            (
                "type=bind,source=/,target=/a,bind-propagation=ro",
                "Error response from daemon: invalid mount config for type \"bind\": invalid \
                 propagation mode: ro",
            ),
            (
                "type=volume,target=/a",
                r#"{"Type":"volume","Target":"/a"}"#,
            ),
            (
                "type=tmpfs,target=/a:b",
                r#"{"Type":"tmpfs","Target":"/a:b"}"#,
            ),
            (
                "TYPE=TMPFS,target=/a,tmpfs-size=1m,tmpfs-mode=1770",
                r#"{"Type":"tmpfs","Target":"/a","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}"#,
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
            let shown = match request(value) {
                Ok(request) => serde_json::to_string(&request).unwrap(),
                Err(error) => error,
            };
            assert_eq!(shown, expected, "{value}");
        }
    }
}

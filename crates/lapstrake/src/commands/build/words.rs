//! Values of flags that have an inner form: fields parted by commas, `key=value` pairs.

use crate::args::go_quote;
use lapstrake_engine::ops::{CacheLocation, SecretSource, SshSource};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Looks up a variable of the environment.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The fields of one CSV record: commas part them, double quotes around a field protect its commas.
pub(super) fn fields(record: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut letters = record.chars().peekable();
    loop {
        let mut field = String::new();
        if letters.next_if_eq(&'"').is_some() {
            loop {
                match letters.next() {
                    None => {
                        return Err(format!(
                            "parse error in {}: extraneous or missing \" in quoted-field",
                            go_quote(record)
                        ));
                    }
                    Some('"') if letters.next_if_eq(&'"').is_some() => field.push('"'),
                    Some('"') => break,
                    Some(letter) => field.push(letter),
                }
            }
        }
        while let Some(letter) = letters.next_if(|letter| *letter != ',') {
            field.push(letter);
        }
        fields.push(field);
        if letters.next().is_none() {
            return Ok(fields);
        }
    }
}

/// The pairs of `key=value,key=value`; keys in small letters.
fn pairs(record: &str) -> Result<Vec<(String, String)>, String> {
    let fields = fields(record)?;
    let pairs = fields.iter().map(|field| {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"))?;
        Ok((key.to_lowercase(), value.to_owned()))
    });
    pairs.collect()
}

/// Reads values of `--cache-from` and `--cache-to`: `type=…,key=value`, or names of images.
pub(super) fn cache_locations(values: &[String]) -> Result<Vec<CacheLocation>, String> {
    let mut locations = Vec::new();
    for value in values {
        let fields = fields(value)?;
        if fields.iter().all(|field| !field.contains('=')) {
            let named = fields.into_iter().filter(|field| !field.is_empty());
            locations.extend(named.map(|name| CacheLocation {
                kind: "registry".to_owned(),
                attributes: BTreeMap::from([("ref".to_owned(), name)]),
            }));
            continue;
        }
        let mut attributes: BTreeMap<String, String> = pairs(value)?.into_iter().collect();
        let kind = attributes
            .remove("type")
            .filter(|kind| !kind.is_empty())
            .ok_or_else(|| format!("type required form> {}", go_quote(value)))?;
        if !matches!(kind.as_str(), "registry" | "local" | "inline") {
            return Err(format!(
                "cache type {} is not supported: known are registry, local and inline",
                go_quote(&kind)
            ));
        }
        locations.push(CacheLocation { kind, attributes });
    }
    Ok(locations)
}

/// Reads a value of `--secret`: `id=ID[,src=FILE|,env=NAME]`. With an id alone the variable of that name
/// is taken when it is set, and else the file of that name.
pub(super) fn secret(value: &str, lookup: Lookup<'_>) -> Result<(String, SecretSource), String> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for (key, text) in pairs(value)? {
        match key.as_str() {
            "id" => id = Some(text),
            "src" | "source" => file = Some(text),
            "env" => variable = Some(text),
            "type" if matches!(text.as_str(), "file" | "env") => kind = Some(text),
            "type" => return Err(format!("unsupported secret type {}", go_quote(&text))),
            _ => return Err(format!("unexpected key '{key}' in '{key}={text}'")),
        }
    }
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take();
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| format!("invalid secret {}: id is required", go_quote(value)))?;
    let from = |name: String| match lookup(&name) {
        Some(text) => SecretSource::Value(text.into_bytes()),
        None => SecretSource::Unset(name),
    };
    let source = match (file, variable) {
        (_, Some(name)) => from(name),
        (Some(path), None) => SecretSource::File(PathBuf::from(path)),
        (None, None) if kind.as_deref() == Some("env") => from(id.clone()),
        (None, None) => match lookup(&id) {
            Some(text) if kind.is_none() => SecretSource::Value(text.into_bytes()),
            _ => SecretSource::File(PathBuf::from(&id)),
        },
    };
    Ok((id, source))
}

/// Reads a value of `--ssh`: `default`, `ID`, `ID=SOCKET`, `ID=KEY[,KEY]`.
pub(super) fn ssh(value: &str, lookup: Lookup<'_>) -> (String, SshSource) {
    let (id, paths) = value.split_once('=').unwrap_or((value, ""));
    let paths: Vec<PathBuf> = paths
        .split(',')
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect();
    let source = match paths.as_slice() {
        [] => match lookup("SSH_AUTH_SOCK").filter(|path| !path.is_empty()) {
            Some(socket) => SshSource::Agent(PathBuf::from(socket)),
            None => SshSource::Unset,
        },
        [only] if is_socket(only) => SshSource::Agent(only.clone()),
        _ => SshSource::Keys(paths),
    };
    let id = if id.is_empty() { "default" } else { id };
    (id.to_owned(), source)
}

fn is_socket(path: &std::path::Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// `--build-arg NAME[=VALUE]`; a name alone takes the environment's value, and is left out without one.
pub(super) fn build_argument(value: &str, lookup: Lookup<'_>) -> Option<(String, String)> {
    match value.split_once('=') {
        Some((name, text)) => Some((name.to_owned(), text.to_owned())),
        None => lookup(value).map(|text| (value.to_owned(), text)),
    }
}

/// `KEY=VALUE`; a key alone has an empty value.
pub(super) fn label(value: &str) -> (String, String) {
    let (key, text) = value.split_once('=').unwrap_or((value, ""));
    (key.to_owned(), text.to_owned())
}

/// `--build-context NAME=SOURCE`.
pub(super) fn named_context(value: &str) -> Result<(String, String), String> {
    value
        .split_once('=')
        .filter(|(name, source)| !name.is_empty() && !source.is_empty())
        .map(|(name, source)| (name.to_owned(), source.to_owned()))
        .ok_or_else(|| format!("invalid context value: {value}, expected key=value"))
}

//! daemon.json: what it says, and what is wrong with it in the words of docker's daemon.
//!
//! The daemon looks at a file in this order, and stops at the first kind of mistake: syntax, keys that nobody knows,
//! keys that are flags as well, types, values. [`read`] collects them all.

use super::json::{self, Node, Value};
use super::keys::{self, Key, Kind};
use super::mirror;
use super::{Proxy, registries};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// The longest daemon.json that is read, in bytes.
pub(super) const SIZE_LIMIT: u64 = 1 << 20;

/// What a mistake is about; in the order in which the daemon looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mistake {
    /// The text is not JSON.
    Syntax,
    /// Nobody knows the key.
    UnknownKey,
    /// A value of another type than the key's.
    Type,
    /// A value that cannot be.
    Value,
    /// Two labels with one name.
    Label,
    /// What the daemon finds when it starts.
    Start,
}

/// A mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about.
    pub mistake: Mistake,
    /// Its line, from 1.
    pub line: usize,
    /// The key; empty when the whole file is meant.
    pub key: String,
    /// What is wrong, in docker's words.
    pub message: String,
}

/// A key that is accepted, and does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Its line, from 1.
    pub line: usize,
    /// The key.
    pub key: String,
    /// The key that was probably meant.
    pub meant: Option<String>,
}

/// The values of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) registry_mirrors: Option<Vec<String>>,
    pub(super) insecure_registries: Option<Vec<String>>,
    pub(super) max_concurrent_downloads: Option<usize>,
    pub(super) max_concurrent_uploads: Option<usize>,
    pub(super) max_download_attempts: Option<u32>,
    pub(super) data_root: Option<PathBuf>,
    pub(super) default_runtime: Option<String>,
    pub(super) runtimes: BTreeMap<String, String>,
    pub(super) debug: Option<bool>,
    pub(super) proxy: Proxy,
}

/// All that a file says.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    pub(super) file: File,
    pub(super) problems: Vec<Problem>,
    pub(super) unused: Vec<Unused>,
}

/// Reads a file's text.
pub(super) fn read(text: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let blank = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    if blank.iter().all(u8::is_ascii_whitespace) {
        return reading;
    }
    let node = match json::parse(text) {
        Ok(node) => node,
        Err(error) => {
            reading.problem(Mistake::Syntax, error.line, "", error.message);
            return reading;
        }
    };
    match &node.value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, node) in members {
                reading.member(key, node);
            }
        }
        other => {
            let message = format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                other.kind()
            );
            reading.problem(Mistake::Syntax, node.line, "", message);
        }
    }
    reading.problems.sort_by_key(|problem| problem.mistake);
    reading
}

impl Reading {
    /// The daemon's answer to a file with mistakes: the first kind of them.
    pub(super) fn refusal(&self) -> Option<String> {
        let first = self.problems.first()?;
        let message = &first.message;
        Some(match first.mistake {
            Mistake::Syntax | Mistake::Type => format!("invalid JSON: {message}"),
            Mistake::UnknownKey => {
                let all = self.problems.iter();
                let unknown = all.filter(|problem| problem.mistake == Mistake::UnknownKey);
                let mut keys: Vec<&str> = unknown.map(|problem| problem.key.as_str()).collect();
                keys.sort_unstable();
                keys.dedup();
                format!(
                    "the following directives don't match any configuration option: {}",
                    keys.join(", ")
                )
            }
            Mistake::Value | Mistake::Label => format!(
                "merged configuration validation from file and command line flags failed: {message}"
            ),
            Mistake::Start => message.clone(),
        })
    }

    fn problem(&mut self, mistake: Mistake, line: usize, key: &str, message: String) {
        self.problems.push(Problem {
            mistake,
            line,
            key: key.to_owned(),
            message,
        });
    }

    fn member(&mut self, name: &str, node: &Node) {
        // The members of an object count as keys, unless the object is a value.
        if let (Value::Object(members), false) = (&node.value, keys::OBJECTS.contains(&name)) {
            for (inner, value) in members {
                match (name, keys::find(inner)) {
                    ("proxies", Some(_)) => self.proxy(inner, value),
                    (_, Some(_)) => self.unused(inner, value.line, None),
                    (_, None) => self.unknown(inner, value.line),
                }
            }
            if let Some(key) = keys::find(name) {
                self.check(key, node);
            }
            return;
        }
        let Some(key) = keys::find(name) else {
            return self.unknown(name, node.line);
        };
        if !self.check(key, node) || node.value == Value::Null {
            return;
        }
        if key.kind == Kind::Unread {
            return self.unused(name, node.line, keys::meant_by(name));
        }
        if !keys::USED.contains(&name) {
            self.unused(name, node.line, None);
        }
        if let ("runtimes", Value::Object(members)) = (name, &node.value) {
            self.runtimes(members);
        }
        if let Err(message) = self.take(name, node) {
            let mistake = if name == "insecure-registries" {
                Mistake::Start
            } else {
                Mistake::Value
            };
            self.problem(mistake, node.line, name, message);
        }
    }

    fn unknown(&mut self, key: &str, line: usize) {
        let message = "no configuration option has this name".to_owned();
        self.problem(Mistake::UnknownKey, line, key, message);
    }

    fn unused(&mut self, key: &str, line: usize, meant: Option<String>) {
        self.unused.push(Unused {
            line,
            key: key.to_owned(),
            meant,
        });
    }

    fn proxy(&mut self, name: &str, node: &Node) {
        let text = match &node.value {
            Value::Text(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Null => None,
            other => {
                let message = mismatch(other, &format!("proxies.{name}"), "string");
                return self.problem(Mistake::Type, node.line, name, message);
            }
        };
        match name {
            "http-proxy" => self.file.proxy.http = text,
            "https-proxy" => self.file.proxy.https = text,
            "no-proxy" => self.file.proxy.no_proxy = text,
            _ => self.unused(name, node.line, None),
        }
    }

    /// Names of OCI runtimes with their programs. One without a program is of a type, and every type is the built-in one.
    fn runtimes(&mut self, members: &[(String, Node)]) {
        for (name, node) in members {
            let Value::Object(keys) = &node.value else {
                continue;
            };
            let mut path = "";
            for (key, node) in keys {
                match (key.as_str(), &node.value) {
                    ("path", Value::Text(text)) => path = text,
                    ("runtimeArgs" | "options", Value::Array(_) | Value::Object(_)) => {
                        self.unused(key, node.line, None);
                    }
                    _ => {}
                }
            }
            self.file.runtimes.insert(name.clone(), path.to_owned());
        }
    }

    /// Whether the value has the key's type.
    fn check(&mut self, key: Key, node: &Node) -> bool {
        let Err((line, message)) = fits(key, node) else {
            return true;
        };
        self.problem(Mistake::Type, line, key.name, message);
        false
    }

    /// Keeps a value of the right type; the error is what the daemon says of one that cannot be.
    fn take(&mut self, name: &str, node: &Node) -> Result<(), String> {
        let file = &mut self.file;
        match (name, &node.value) {
            ("debug", Value::Bool(debug)) => file.debug = Some(*debug || file.debug == Some(true)),
            ("data-root" | "graph", Value::Text(path)) if !path.is_empty() => {
                if !path.starts_with('/') {
                    return Err(format!("invalid data-root: {path} is not an absolute path"));
                }
                file.data_root = Some(PathBuf::from(path));
            }
            ("default-runtime", Value::Text(name)) if !name.is_empty() => {
                file.default_runtime = Some(name.clone());
            }
            ("registry-mirrors", list) => {
                let mirrors = texts(list).into_iter().map(mirror::checked);
                file.registry_mirrors = Some(mirrors.collect::<Result<_, _>>()?);
            }
            ("insecure-registries", list) => {
                let names = texts(list).into_iter().map(registries::checked);
                file.insecure_registries = Some(names.collect::<Result<_, _>>()?);
            }
            ("max-concurrent-downloads", Value::Number(text)) => {
                file.max_concurrent_downloads = count(text, "max concurrent downloads")?;
            }
            ("max-concurrent-uploads", Value::Number(text)) => {
                file.max_concurrent_uploads = count(text, "max concurrent uploads")?;
            }
            ("max-download-attempts", Value::Number(text)) => {
                let attempts = count(text, "max download attempts")?;
                file.max_download_attempts =
                    attempts.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            }
            ("log-level", Value::Text(level)) => {
                if matches!(checked_level(level)?, "debug" | "trace") {
                    file.debug = Some(true);
                }
            }
            (name, value) => return unused_value(name, value),
        }
        Ok(())
    }
}

/// The daemon's words for values of keys that do nothing here.
fn unused_value(name: &str, value: &Value) -> Result<(), String> {
    match (name, value) {
        ("log-format", Value::Text(format)) if !matches!(format.as_str(), "" | "text" | "json") => {
            Err(format!("invalid log format: {format}"))
        }
        ("default-cgroupns-mode", Value::Text(mode))
            if !matches!(mode.as_str(), "" | "host" | "private") =>
        {
            Err(format!(
                "invalid default cgroup namespace ({mode}): use \"host\" or \"private\""
            ))
        }
        ("default-ipc-mode", Value::Text(mode))
            if !matches!(mode.as_str(), "" | "shareable" | "private") =>
        {
            Err(format!(
                "default IPC mode setting ({mode}) is invalid; use \"shareable\" or \"private\""
            ))
        }
        ("mtu", Value::Number(number)) if number.starts_with('-') => {
            Err(format!("invalid default MTU: {number}"))
        }
        ("labels", list) => match texts(list).into_iter().find(|label| !label.contains('=')) {
            Some(label) => Err(format!("bad attribute format: {label}")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// A level of messages; the error is the daemon's.
fn checked_level(level: &str) -> Result<&'static str, String> {
    const LEVELS: [&str; 8] = [
        "panic", "fatal", "error", "warn", "warning", "info", "debug", "trace",
    ];
    if level.is_empty() {
        return Ok("info");
    }
    let lower = level.to_lowercase();
    let found = LEVELS.into_iter().find(|known| *known == lower);
    found.ok_or_else(|| format!("invalid logging level: {level}"))
}

/// A number of things at once; zero is the default.
fn count(text: &str, what: &str) -> Result<Option<usize>, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("invalid {what}: {number}")),
        Ok(0) | Err(_) => Ok(None),
        Ok(number) => Ok(Some(usize::try_from(number).unwrap_or(usize::MAX))),
    }
}

fn texts(value: &Value) -> Vec<&str> {
    let Value::Array(items) = value else {
        return Vec::new();
    };
    let text = |item: &Node| match &item.value {
        // Go leaves an empty string where `null` stands.
        Value::Null => Some(""),
        _ => None,
    };
    items
        .iter()
        .filter_map(|item| match &item.value {
            Value::Text(text) => Some(text.as_str()),
            _ => text(item),
        })
        .collect()
}

fn mismatch(value: &Value, field: &str, go_type: &str) -> String {
    let kind = match value {
        Value::Number(text) if go_type.contains("int") => format!("number {text}"),
        other => other.kind().to_owned(),
    };
    format!("json: cannot unmarshal {kind} into Go struct field Config.{field} of type {go_type}")
}

/// Whether a value has its key's type: the line and Go's words when it has not.
fn fits(key: Key, node: &Node) -> Result<(), (usize, String)> {
    let wrong =
        |node: &Node, go_type: &str| Err((node.line, mismatch(&node.value, key.name, go_type)));
    let each = |node: &Node, all: &str, one: &str, fit: fn(&Value) -> bool| {
        let Value::Array(items) = &node.value else {
            return wrong(node, all);
        };
        let is_bad = |item: &&Node| item.value != Value::Null && !fit(&item.value);
        items
            .iter()
            .find(is_bad)
            .map_or(Ok(()), |item| wrong(item, one))
    };
    let is_text: fn(&Value) -> bool = |value| matches!(value, Value::Text(_));
    match (key.kind, &node.value) {
        (Kind::Size, value) => size(value).map_err(|message| (node.line, message)),
        (Kind::Unread, _) | (_, Value::Null) => Ok(()),
        (Kind::Bool, Value::Bool(_)) => Ok(()),
        (Kind::Bool, _) => wrong(node, "bool"),
        (Kind::Int(_), Value::Number(text)) if text.parse::<i64>().is_ok() => Ok(()),
        (Kind::Int(go_type), _) => wrong(node, go_type),
        (Kind::Text | Kind::Format(_), Value::Text(_)) => Ok(()),
        (Kind::Text, _) => wrong(node, "string"),
        (Kind::Format(go_type), _) => wrong(node, go_type),
        (Kind::Texts, _) => each(node, "[]string", "string", is_text),
        (Kind::Ip, Value::Text(text)) => address(text).map_err(|message| (node.line, message)),
        (Kind::Ip, _) => wrong(node, "net.IP"),
        (Kind::Ips, Value::Array(items)) => items.iter().try_for_each(|item| match &item.value {
            Value::Text(text) => address(text).map_err(|message| (item.line, message)),
            Value::Null => Ok(()),
            _ => wrong(item, "net.IP"),
        }),
        (Kind::Ips, _) => wrong(node, "[]net.IP"),
        (Kind::Network(go_type), _) => each(node, go_type, "ipamutils.NetworkToSplit", |value| {
            matches!(value, Value::Object(_))
        }),
        (Kind::Structure(_), Value::Object(_)) => Ok(()),
        (Kind::Structure(go_type), _) => wrong(node, go_type),
        (Kind::Map(go_type, inner), value) => {
            let Value::Object(members) = value else {
                return wrong(node, go_type);
            };
            let is_good = |value: &Value| match inner {
                "string" => matches!(value, Value::Text(_) | Value::Null),
                "bool" => matches!(value, Value::Bool(_) | Value::Null),
                _ => matches!(value, Value::Object(_) | Value::Null),
            };
            let bad = members.iter().find(|(_, node)| !is_good(&node.value));
            bad.map_or(Ok(()), |(_, node)| wrong(node, inner))
        }
    }
}

/// An address; the empty text is none.
fn address(text: &str) -> Result<(), String> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(format!("invalid IP address: {text}"))
}

/// A size with its unit, which must stand in quotes.
fn size(value: &Value) -> Result<(), String> {
    let text = match value {
        Value::Text(text) => text,
        Value::Null => return Err("invalid size: \"null\"".to_owned()),
        Value::Bool(flag) => return Err(format!("invalid size: \"{flag}\"")),
        Value::Number(text) => return Err(format!("invalid size: \"{text}\"")),
        Value::Array(_) | Value::Object(_) => {
            return Err(format!("invalid size: {:?}", value.kind()));
        }
    };
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.');
    let Some(end) = end else {
        return Err(format!("invalid size: '{text}'"));
    };
    let (number, suffix) = text.split_at(end + 1);
    if number.trim().parse::<f64>().is_err() {
        return Err(format!("invalid size: '{text}'"));
    }
    let lower = suffix.trim_start().to_ascii_lowercase();
    let units = [
        "", "b", "k", "kb", "kib", "m", "mb", "mib", "g", "gb", "gib", "t", "tb", "tib", "p", "pb",
        "pib",
    ];
    if units.contains(&lower.as_str()) {
        return Ok(());
    }
    Err(format!("invalid suffix: '{lower}'"))
}

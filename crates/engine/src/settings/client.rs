//! `config.json` of docker's client, but for credentials: formats, filters, the context; and what is wrong with it, in
//! the client's words.
//!
//! As with docker's client a mistake is a warning, and what can be understood counts.

use super::file::{Mistake, Problem, Unused};
use super::json::{self, Node, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Texts,
    /// An object of texts.
    Map,
    /// An object of objects of this type.
    Objects(&'static str, &'static str),
    /// Not read by today's client.
    Any,
}

/// The client's keys from 20.10 to 28.5, and whether they do something here.
const KEYS: [(&str, Kind, bool); 27] = [
    ("HttpHeaders", Kind::Map, false),
    ("aliases", Kind::Map, false),
    (
        "auths",
        Kind::Objects("map[string]types.AuthConfig", "types.AuthConfig"),
        true,
    ),
    ("cliPluginsExtraDirs", Kind::Texts, false),
    ("configFormat", Kind::Text, false),
    ("credHelpers", Kind::Map, true),
    ("credsStore", Kind::Text, true),
    ("currentContext", Kind::Text, true),
    ("detachKeys", Kind::Text, false),
    ("experimental", Kind::Any, false),
    ("features", Kind::Map, false),
    ("imagesFormat", Kind::Text, true),
    ("kubernetes", Kind::Any, false),
    ("networksFormat", Kind::Text, false),
    ("nodesFormat", Kind::Text, false),
    (
        "plugins",
        Kind::Objects("map[string]map[string]string", "map[string]string"),
        false,
    ),
    ("pluginsFormat", Kind::Text, false),
    (
        "proxies",
        Kind::Objects(
            "map[string]configfile.ProxyConfig",
            "configfile.ProxyConfig",
        ),
        false,
    ),
    ("pruneFilters", Kind::Texts, true),
    ("psFormat", Kind::Text, true),
    ("secretFormat", Kind::Text, false),
    ("serviceInspectFormat", Kind::Text, false),
    ("servicesFormat", Kind::Text, false),
    ("stackOrchestrator", Kind::Any, false),
    ("statsFormat", Kind::Text, false),
    ("tasksFormat", Kind::Text, false),
    ("volumesFormat", Kind::Text, false),
];

/// What `config.json` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientConfig {
    /// Texts by key: `psFormat`, `imagesFormat`, `currentContext`, …
    texts: BTreeMap<&'static str, String>,
    /// Filters of every prune.
    pub prune_filters: Vec<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is accepted and does nothing.
    pub unused: Vec<Unused>,
}

impl ClientConfig {
    /// Reads `config.json` in a folder. No file is an empty one; the error is one of the system.
    pub fn load(folder: &Path) -> Result<Self, io::Error> {
        match super::read_whole(&folder.join("config.json")) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Reads a file's text.
    pub fn parse(text: &[u8]) -> Self {
        let mut config = Self::default();
        if text.iter().all(u8::is_ascii_whitespace) {
            return config;
        }
        let node = match json::parse(text) {
            Ok(node) => node,
            Err(error) => {
                let message = match error.message.as_str() {
                    // The client reads a stream.
                    "unexpected end of JSON input" => "unexpected EOF".to_owned(),
                    _ => error.message,
                };
                config.problem(Mistake::Syntax, error.line, "", message);
                return config;
            }
        };
        match &node.value {
            Value::Null => {}
            Value::Object(members) => {
                for (name, node) in members {
                    config.member(name, node);
                }
            }
            other => {
                let message = format!(
                    "json: cannot unmarshal {} into Go value of type configfile.ConfigFile",
                    other.kind()
                );
                config.problem(Mistake::Type, node.line, "", message);
            }
        }
        config
    }

    /// A text, unless it is missing or empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        let text = self.texts.get(key).map(String::as_str);
        text.filter(|text| !text.is_empty())
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
        // Go does not mind small and capital letters here.
        let known = KEYS.iter().find(|(key, ..)| key.eq_ignore_ascii_case(name));
        let Some((key, kind, is_used)) = known else {
            return self.unused(name, node.line);
        };
        if let Err((line, message)) = fits(key, *kind, node) {
            return self.problem(Mistake::Type, line, key, message);
        }
        if !is_used {
            self.unused(key, node.line);
        }
        match (*key, &node.value) {
            ("pruneFilters", Value::Array(items)) => {
                let texts = items.iter().filter_map(|item| match &item.value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                });
                self.prune_filters = texts.collect();
            }
            (key, Value::Text(text)) => {
                self.texts.insert(key, text.clone());
            }
            _ => {}
        }
    }

    fn unused(&mut self, key: &str, line: usize) {
        self.unused.push(Unused {
            line,
            key: key.to_owned(),
            meant: None,
        });
    }
}

/// Whether a value has its key's type: the line and Go's words when it has not.
fn fits(key: &str, kind: Kind, node: &Node) -> Result<(), (usize, String)> {
    let wrong = |node: &Node, go_type: &str| {
        let kind = node.value.kind();
        Err((
            node.line,
            format!(
                "json: cannot unmarshal {kind} into Go struct field ConfigFile.{key} of type {go_type}"
            ),
        ))
    };
    let is_text = |node: &&Node| !matches!(node.value, Value::Text(_) | Value::Null);
    let is_object = |node: &&Node| !matches!(node.value, Value::Object(_) | Value::Null);
    let first = |bad: Option<&Node>, go_type: &str| bad.map_or(Ok(()), |node| wrong(node, go_type));
    match (kind, &node.value) {
        (_, Value::Null) | (Kind::Any, _) | (Kind::Text, Value::Text(_)) => Ok(()),
        (Kind::Text, _) => wrong(node, "string"),
        (Kind::Texts, Value::Array(items)) => first(items.iter().find(is_text), "string"),
        (Kind::Texts, _) => wrong(node, "[]string"),
        (Kind::Map, Value::Object(members)) => {
            let mut nodes = members.iter().map(|(_, node)| node);
            first(nodes.find(is_text), "string")
        }
        (Kind::Map, _) => wrong(node, "map[string]string"),
        (Kind::Objects(_, one), Value::Object(members)) => {
            let mut nodes = members.iter().map(|(_, node)| node);
            first(nodes.find(is_object), one)
        }
        (Kind::Objects(all, _), _) => wrong(node, all),
    }
}

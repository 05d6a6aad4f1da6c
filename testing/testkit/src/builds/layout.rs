//! The documents of images as text: indexes, manifests, and what docker writes beside them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::engine::plain;
use super::listing::{Image, View, is_now};
use crate::cli::level_words;

/// Finds a blob by its digest.
pub(super) type Blobs<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// The files of a layout by path.
pub(super) struct Layout(BTreeMap<String, Vec<u8>>);

impl Layout {
    /// Reads a folder.
    pub(super) fn folder(path: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap().path();
                if entry.is_dir() {
                    folders.push(entry);
                    continue;
                }
                let name = entry.strip_prefix(path).unwrap().to_str().unwrap();
                files.insert(name.to_owned(), fs::read(&entry).unwrap());
            }
        }
        Self(files)
    }

    /// Reads a tar.
    pub(super) fn tar(bytes: &[u8]) -> Self {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if entry.header().entry_type().is_file() {
                files.insert(path, bytes);
            }
        }
        Self(files)
    }

    /// What it holds, from `index.json` on, and the other files at its top.
    pub(super) fn text(&self, view: &View<'_>) -> String {
        let mut text = String::new();
        let blob = |digest: &str| {
            let path = format!("blobs/{}", digest.replace(':', "/"));
            self.0.get(&path).cloned()
        };
        let at_top = |path: &&String| !path.starts_with("blobs/");
        for path in self.0.keys().filter(at_top) {
            writeln!(text, "file {path}").unwrap();
        }
        if let Some(raw) = self.0.get("index.json") {
            document(&mut text, raw, (&blob, view));
        }
        if let Some(raw) = self.0.get("manifest.json") {
            text.push_str("manifest.json\n");
            json(&mut text, &serde_json::from_slice(raw).unwrap());
        }
        text
    }
}

/// Writes an index or a manifest with all that it names.
pub(super) fn document(text: &mut String, raw: &[u8], around: (Blobs<'_>, &View<'_>)) {
    let value: Value = serde_json::from_slice(raw).unwrap();
    let kind = |value: &Value| value["mediaType"].as_str().unwrap_or("untyped").to_owned();
    let (blob, view) = around;
    let blob_of = |descriptor: &Value| blob(descriptor["digest"].as_str().unwrap());
    let Some(entries) = value["manifests"].as_array() else {
        writeln!(text, "manifest {}{}", kind(&value), of_type(&value)).unwrap();
        annotations(text, &value, view);
        writeln!(text, "  config {}", kind(&value["config"])).unwrap();
        let layers = value["layers"].as_array().cloned().unwrap_or_default();
        for layer in &layers {
            writeln!(text, "  layer {}", kind(layer)).unwrap();
            annotations(text, layer, view);
        }
        // What is no image has no tree.
        if kind(&value["config"]).contains("image") {
            let image = Image {
                config: blob_of(&value["config"]).unwrap(),
                layers: layers
                    .iter()
                    .map(|layer| plain(blob_of(layer).unwrap()))
                    .collect(),
            };
            text.push_str(&image.text(view));
        }
        return;
    };
    writeln!(text, "index {}{}", kind(&value), of_type(&value)).unwrap();
    annotations(text, &value, view);
    for entry in entries {
        let platform = match &entry["platform"] {
            Value::Object(platform) => {
                let words = platform
                    .iter()
                    .map(|(name, value)| format!(" {name}={value}"));
                words.collect()
            }
            _ => String::new(),
        };
        writeln!(text, "entry {}{platform}{}", kind(entry), of_type(entry)).unwrap();
        annotations(text, entry, view);
        match blob_of(entry) {
            Some(raw) => document(text, &raw, around),
            None => text.push_str("missing\n"),
        }
    }
}

fn of_type(value: &Value) -> String {
    match value["artifactType"].as_str() {
        Some(kind) => format!(" of {kind}"),
        None => String::new(),
    }
}

fn annotations(text: &mut String, value: &Value, view: &View<'_>) {
    let Some(annotations) = value["annotations"].as_object() else {
        return;
    };
    // What BuildKit tells itself is not compared.
    let told = annotations
        .iter()
        .filter(|(name, _)| !name.starts_with("buildkit/"));
    for (name, value) in told {
        let shown = if is_now("created", value) && name.ends_with("created") {
            "now".to_owned()
        } else {
            level_words(&view.levelled(value.as_str().unwrap()))
        };
        writeln!(text, "  annotation {name}={shown}").unwrap();
    }
}

/// Writes the members of a JSON document, one a line, without digests, sizes and the time; and without what only
/// buildx can look up.
pub(super) fn json(text: &mut String, value: &Value) {
    member(text, "", value);
}

fn member(text: &mut String, path: &str, value: &Value) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            if name == "buildx.build.ref" {
                return;
            }
            let path = format!("{path}.{name}");
            let levelled = level(name, value);
            member(text, &path, levelled.as_ref().unwrap_or(value));
        }),
        Value::Array(items) => items
            .iter()
            .for_each(|item| member(text, &format!("{path}[]"), item)),
        value => writeln!(text, "{path} {}", level_words(&value.to_string())).unwrap(),
    }
}

fn level(name: &str, value: &Value) -> Option<Value> {
    if name == "size" && value.is_number() {
        return Some("SIZE".into());
    }
    let is_time = name.ends_with("created") && is_now("created", value);
    is_time.then(|| "now".into())
}

//! What a finished build left, part by part.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::case::{Part, tar};
use super::engine::Builder;
use super::layout::{Layout, document, json};
use super::listing::{Image, View, tree_of};
use crate::cli::level_words;
use crate::tree::Tree;

/// A build that has ended.
pub(super) struct Finished<'a> {
    pub(super) builder: &'a Builder,
    /// The name that `-t` gave.
    pub(super) name: String,
    /// The files of the registry.
    pub(super) registry: &'a Path,
    /// Where relative paths start.
    pub(super) directory: &'a Path,
    pub(super) view: &'a View<'a>,
    pub(super) stdout: Vec<u8>,
    pub(super) status: String,
}

impl Finished<'_> {
    /// All that is compared.
    pub(super) fn text(&self) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.view.case.parts {
            if let Some(title) = title(part) {
                writeln!(text, "== {title}").unwrap();
            }
            text.push_str(&self.part(part)?);
        }
        Ok(text)
    }

    fn part(&self, part: &Part) -> Result<String, String> {
        let text = |bytes: Vec<u8>| {
            let text = self.view.levelled(&String::from_utf8_lossy(&bytes));
            let mut lines: String = text.split_inclusive('\n').map(level_words).collect();
            if !lines.ends_with('\n') {
                lines.push_str("[no newline]\n");
            }
            lines
        };
        Ok(match part {
            Part::Image(name) => self.image(name.as_ref())?.text(self.view),
            Part::Names => {
                let names = self.builder.names().into_iter();
                let lines: String = names.map(|name| name + "\n").collect();
                self.view.levelled(&lines)
            }
            Part::Folder(_) | Part::Tar(_) => self.view.tree(&self.tree_of(part)?),
            Part::Layout(path) => {
                let folder = self.directory.join(path);
                let layout = if folder.is_dir() {
                    Layout::folder(&folder)
                } else {
                    Layout::tar(&self.file(path)?)
                };
                layout.text(self.view)
            }
            Part::Pushed(name) => self.pushed(name),
            Part::Text(path) => text(self.file(path)?),
            Part::Json(path) => {
                let mut lines = String::new();
                let raw = self
                    .view
                    .levelled(&String::from_utf8_lossy(&self.file(path)?));
                json(&mut lines, &serde_json::from_str(&raw).unwrap());
                lines
            }
            Part::Exit => format!("{}\n", self.status),
        })
    }

    /// The first tree that is compared.
    pub(super) fn tree(&self) -> Result<Tree, String> {
        let is_tree =
            |part: &&Part| matches!(part, Part::Image(_) | Part::Folder(_) | Part::Tar(_));
        match self.view.case.parts.iter().find(is_tree) {
            Some(part) => self.tree_of(part),
            None => Ok(Tree::default()),
        }
    }

    fn tree_of(&self, part: &Part) -> Result<Tree, String> {
        Ok(match part {
            Part::Image(name) => self.image(name.as_ref())?.tree(),
            Part::Folder(path) => tree_of(&tar(&self.directory.join(path), "xattrs")),
            Part::Tar(path) => tree_of(&self.file(path)?),
            other => panic!("{other:?} has no tree"),
        })
    }

    fn image(&self, name: Option<&String>) -> Result<Image, String> {
        let name = self.view.filled(name.unwrap_or(&self.name));
        self.builder.image(&name)
    }

    fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        if path == "-" {
            return Ok(self.stdout.clone());
        }
        fs::read(self.directory.join(path)).map_err(|error| format!("{path}: {error}"))
    }

    /// What the registry has under a name: what the tag means, or without a tag all manifests.
    fn pushed(&self, name: &str) -> String {
        let mut text = String::new();
        let blob = |digest: &str| {
            let (algorithm, hex) = digest.split_once(':').unwrap();
            let path = format!("blobs/{algorithm}/{}/{hex}", &hex[..2]);
            fs::read(self.registry.join(path)).ok()
        };
        let (repository, tag) = name.split_once(':').unwrap_or((name, ""));
        let repository = self.registry.join("repositories").join(repository);
        if tag.is_empty() {
            let folder = repository.join("_manifests/sha256");
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let hex = entry.unwrap().file_name();
                let raw = blob(&format!("sha256:{}", hex.to_str().unwrap())).unwrap();
                document(&mut text, &raw, (&blob, self.view));
            }
        }
        for entry in fs::read_dir(repository.join("_tags")).into_iter().flatten() {
            let entry = entry.unwrap();
            let found = entry.file_name().into_string().unwrap();
            let digest = fs::read_to_string(entry.path()).unwrap();
            if tag.is_empty() {
                writeln!(text, "tag {found}").unwrap();
            } else if found == tag {
                let raw = blob(digest.trim()).unwrap();
                document(&mut text, &raw, (&blob, self.view));
            }
        }
        text
    }
}

/// How a part is announced; an image alone is not.
fn title(part: &Part) -> Option<String> {
    Some(match part {
        Part::Image(None) => return None,
        Part::Image(Some(name)) => format!("image {name}"),
        Part::Names => "names".to_owned(),
        Part::Folder(path) => format!("folder {path}"),
        Part::Tar(path) => format!("tar {path}"),
        Part::Layout(path) => format!("layout {path}"),
        Part::Pushed(name) => format!("pushed {name}"),
        Part::Text(path) => format!("text {path}"),
        Part::Json(path) => format!("json {path}"),
        Part::Exit => "exit".to_owned(),
    })
}

//! An image as text: its configuration and its merged tree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

use lapstrake_spec::Digest;
use serde_json::Value;
use tar::{Archive, Entry, EntryType};

use super::case::Case;
use crate::cli::level_words;
use crate::tree::{Change, Changes, Kind, Node, Tree};

/// What of a container's configuration says nothing about the image, or is the building container's.
const FOREIGN: [&str; 10] = [
    "ArgsEscaped",
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Domainname",
    "Hostname",
    "Image",
    "OpenStdin",
    "StdinOnce",
    "Tty",
];

/// What an engine made.
#[derive(Debug)]
pub(super) struct Image {
    /// The bytes of its configuration.
    pub(super) config: Vec<u8>,
    /// Its layers, uncompressed, lowest first.
    pub(super) layers: Vec<Vec<u8>>,
}

/// What is younger than the year 2023 was made by the build: everything else is older. (An engine that
/// shares equal results between builds may show the time of an earlier one.)
const NOW_SECONDS: u64 = 1_672_531_200;
const NOW_TEXT: &str = "2023";

/// How an image is shown.
pub(super) struct View<'a> {
    /// What is not shown where it is the same.
    pub(super) base: &'a Tree,
    /// What is shown.
    pub(super) case: &'a Case,
    /// What is replaced in texts.
    pub(super) levels: &'a [(String, &'static str)],
}

impl Image {
    /// The image as text.
    pub(super) fn text(&self, view: &View<'_>) -> String {
        let mut text = config_text(&self.config, view.case.without_history);
        text.push_str(&tree_text(&self.tree(), view));
        view.levelled(&text)
    }

    /// All layers in one.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        let mut inode = FIRST_INODE;
        for layer in &self.layers {
            apply(&mut tree, layer, &mut inode);
        }
        tree
    }
}

/// Above all of the base's.
const FIRST_INODE: u64 = 1_000_000;

/// The tree in a tar.
pub(super) fn tree_of(tar: &[u8]) -> Tree {
    let mut tree = Tree::default();
    apply(&mut tree, tar, &mut { FIRST_INODE });
    tree
}

impl View<'_> {
    /// A tree as text.
    pub(super) fn tree(&self, tree: &Tree) -> String {
        self.levelled(&tree_text(tree, self))
    }

    /// A text without what differs from build to build.
    pub(super) fn levelled(&self, text: &str) -> String {
        let levels = self.levels.iter();
        levels.fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// A text with what differs from build to build.
    pub(super) fn filled(&self, text: &str) -> String {
        let text = text.replace("@TIME@", &self.case.seconds().to_string());
        self.levels.iter().fold(text, |text, (value, name)| {
            text.replace(&format!("@{name}@"), value)
        })
    }

    /// Which files of a second build are those of the first.
    pub(super) fn kept(&self, first: &Tree, second: &Tree) -> String {
        let mut text = String::new();
        let content = |tree: &Tree, path: &str| match tree.nodes.get(path).map(|node| &node.kind) {
            Some(Kind::File(content)) => Some(content.clone()),
            _ => None,
        };
        for path in second.nodes.keys() {
            let made = content(second, path);
            if made.is_some() && made != content(self.base, path) {
                let word = if made == content(first, path) {
                    "same"
                } else {
                    "new"
                };
                writeln!(text, "{word} /{path}").unwrap();
            }
        }
        text
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

pub(super) fn is_now(name: &str, value: &Value) -> bool {
    name == "created" && value.as_str().is_some_and(|time| time >= NOW_TEXT)
}

fn config_text(raw: &[u8], without_history: bool) -> String {
    let whole: Value = serde_json::from_slice(raw).unwrap();
    let mut text = String::new();
    for name in ["architecture", "os", "variant", "author", "created"] {
        if let Some(value) = whole
            .get(name)
            .filter(|value| !is_empty(value) && !is_now(name, value))
        {
            writeln!(text, "{name} {value}").unwrap();
        }
    }
    let config = whole.get("config").and_then(Value::as_object).cloned();
    // Sorted by name: a map of serde_json is.
    for (name, value) in config.unwrap_or_default() {
        if !is_empty(&value) && !FOREIGN.contains(&name.as_str()) {
            match value {
                Value::Array(items) if name == "Env" => {
                    for item in items {
                        writeln!(text, "config Env {item}").unwrap();
                    }
                }
                value => writeln!(text, "config {name} {value}").unwrap(),
            }
        }
    }
    let steps = whole.get("history").and_then(Value::as_array).cloned();
    for step in steps.unwrap_or_default() {
        let word = |name: &str| step.get(name).filter(|value| !is_empty(value)).cloned();
        write!(text, "history").unwrap();
        if word("empty_layer").is_some() {
            write!(text, " empty").unwrap();
        }
        let names = ["created", "author", "comment", "created_by"];
        for name in &names[..if without_history { 2 } else { 4 }] {
            if let Some(value) = word(name).filter(|value| !is_now(name, value)) {
                let shown = match *name {
                    "comment" => level_words(&value.to_string()),
                    _ => without_sums(&value.to_string()),
                };
                write!(text, " {name}={shown}").unwrap();
            }
        }
        writeln!(text).unwrap();
    }
    let layers = whole.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    writeln!(text, "layers {}", layers.map_or(0, Vec::len)).unwrap();
    text
}

/// The classic builder names what it copies by a checksum over tar headers of its own making.
fn without_sums(text: &str) -> String {
    let mut out = text.to_owned();
    for kind in ["file:", "dir:", "multi:"] {
        let hex = |rest: &str| {
            rest.len() >= 64 && rest[..64].bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if let Some((before, after)) = out.split_once(kind)
            && after.is_char_boundary(64.min(after.len()))
            && hex(after)
        {
            out = format!("{before}{kind}SUM{}", &after[64..]);
        }
    }
    out
}

fn tree_text(tree: &Tree, view: &View<'_>) -> String {
    let hidden = |path: &str| {
        view.case
            .without
            .iter()
            .any(|prefix| path.starts_with(prefix.as_str()))
    };
    let mut text = String::new();
    let mut first: BTreeMap<u64, &str> = BTreeMap::new();
    for (path, node) in &tree.nodes {
        let named = *first.entry(node.inode).or_insert(path);
        let same = |other: &Node| same(node, other);
        let is_base = view.base.nodes.get(path).is_some_and(same);
        if hidden(path) || (is_base && named == path) {
            continue;
        }
        let link = if named == path {
            String::new()
        } else {
            format!(" = /{named}")
        };
        writeln!(text, "{} /{path}{link}", node_text(node, view)).unwrap();
    }
    let gone = |path: &&String| !tree.nodes.contains_key(*path) && !hidden(path);
    for path in view.base.nodes.keys().filter(gone) {
        writeln!(text, "gone /{path}").unwrap();
    }
    text
}

fn same(one: &Node, other: &Node) -> bool {
    let level = |node: &Node| Node {
        inode: 0,
        mtime: (node.mtime.0, 0),
        ..node.clone()
    };
    level(one) == level(other)
}

fn node_text(node: &Node, view: &View<'_>) -> String {
    let time = match node.mtime.0 {
        seconds if seconds >= NOW_SECONDS => "now".to_owned(),
        seconds => seconds.to_string(),
    };
    let kind = match &node.kind {
        Kind::Directory => "dir",
        Kind::File(_) => "file",
        Kind::Symlink(_) => "symlink",
        Kind::Fifo => "fifo",
        Kind::Device(..) => "device",
    };
    let mut text = format!("{kind} {:04o} {}:{} {time}", node.mode, node.uid, node.gid);
    match &node.kind {
        Kind::File(content) => {
            let busybox = |other: &Node| other.kind == node.kind && content.len() > 100_000;
            if view.base.nodes.get("bin/busybox").is_some_and(busybox) {
                write!(text, " busybox").unwrap();
            } else {
                let hex = Digest::sha256(content).hex()[..16].to_owned();
                write!(text, " {} {hex}", content.len()).unwrap();
            }
        }
        Kind::Symlink(target) => write!(text, " -> {target}").unwrap(),
        Kind::Device(major, minor) => write!(text, " {major}:{minor}").unwrap(),
        Kind::Directory | Kind::Fifo => {}
    }
    for (name, value) in &node.xattrs {
        write!(text, " {name}=").unwrap();
        for byte in value {
            write!(text, "{byte:02x}").unwrap();
        }
    }
    text
}

/// Puts a layer on top of a tree.
fn apply(tree: &mut Tree, layer: &[u8], inode: &mut u64) {
    let mut changes = Changes::new();
    let mut opaque = Vec::new();
    for entry in Archive::new(layer).entries().unwrap() {
        let mut entry = entry.unwrap();
        let raw = entry.path_bytes();
        let path = String::from_utf8_lossy(&raw).into_owned();
        let path = path.trim_start_matches("./").trim_matches('/').to_owned();
        if path.is_empty() || path == "." {
            continue;
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            opaque.push(folder.to_owned());
        } else if let Some(gone) = name.strip_prefix(".wh.") {
            let slash = if folder.is_empty() { "" } else { "/" };
            changes.insert(format!("{folder}{slash}{gone}"), Change::Whiteout);
        } else {
            *inode += 1;
            let change = change_of(&mut entry, *inode);
            changes.insert(path, change);
        }
    }
    for folder in opaque {
        tree.remove_below(&folder);
    }
    // A second name of a second name.
    let links: Vec<(String, String)> = changes
        .iter()
        .filter_map(|(path, change)| match change {
            Change::Link(target) => Some((path.clone(), target.clone())),
            _ => None,
        })
        .collect();
    for (path, target) in links {
        if let Some(Change::Link(first)) = changes.get(&target).cloned() {
            changes.insert(path, Change::Link(first));
        }
    }
    tree.apply(&changes);
}

fn change_of(entry: &mut Entry<'_, &[u8]>, inode: u64) -> Change {
    let text = |bytes: Option<std::borrow::Cow<'_, [u8]>>| {
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let mut xattrs = BTreeMap::new();
    let mut seconds = entry.header().mtime().unwrap();
    for extension in entry.pax_extensions().unwrap().into_iter().flatten() {
        let extension = extension.unwrap();
        let key = extension.key().unwrap();
        if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
            xattrs.insert(name.to_owned(), extension.value_bytes().to_vec());
        } else if key == "mtime" {
            let whole = extension.value().unwrap().split('.').next().unwrap();
            seconds = whole.parse().unwrap();
        }
    }
    let header = entry.header();
    let device = |number: std::io::Result<Option<u32>>| number.unwrap().unwrap_or_default();
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(text(entry.link_name_bytes())),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => {
            Kind::Device(device(header.device_major()), device(header.device_minor()))
        }
        EntryType::Link => {
            let target = text(entry.link_name_bytes());
            return Change::Link(target.trim_start_matches("./").trim_matches('/').to_owned());
        }
        _ => Kind::File(Vec::new()),
    };
    let (mode, uid, gid) = (
        header.mode().unwrap(),
        header.uid().unwrap(),
        header.gid().unwrap(),
    );
    let kind = match kind {
        Kind::File(mut content) => {
            entry.read_to_end(&mut content).unwrap();
            Kind::File(content)
        }
        other => other,
    };
    Change::Put(Node {
        kind,
        mode: mode & 0o7777,
        uid: uid.try_into().unwrap(),
        gid: gid.try_into().unwrap(),
        mtime: (seconds, 0),
        xattrs,
        inode,
    })
}

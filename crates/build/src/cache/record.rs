//! What a record says.

use super::Key;
use lapstrake_spec::{Descriptor, Digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form of records that this program writes and reads.
pub(crate) const VERSION: u32 = 1;

/// A finished step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The form of this record.
    pub version: u32,
    /// Its name: the hash of `inputs`.
    pub key: Key,
    /// The step as a person knows it: `[builder 2/5] RUN make`.
    pub name: String,
    /// The instruction, its variables expanded.
    pub instruction: String,
    /// When the layer was made, RFC 3339.
    pub created: String,
    /// Bytes of the layer's files.
    pub size: u64,
    /// Entries of its tar.
    pub entries: u64,
    /// What the step depends on.
    pub inputs: Inputs,
    /// Build arguments that have a part in it. They are in `inputs` by what they do.
    pub arguments: BTreeMap<String, String>,
    /// What classic docker's history says of the sources of `COPY` and `ADD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The diff id of the layer; none when the step is the files of a source as they are.
    #[serde(rename = "Layers")]
    pub layers: Vec<Digest>,
    /// The blob of the layer.
    #[serde(rename = "LayerBlobs")]
    pub blobs: Vec<Descriptor>,
}

/// All that a layer depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// `run`, `copy`, `directory`, `context`.
    pub operation: String,
    /// What it stands on, as content: a hash of the diff ids. None when that does not matter.
    pub parent: Option<Key>,
    /// The image that it stands on, when nothing is between. Not part of the key: `parent` says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The words of the operation, in a fixed order: program and arguments, destination, …
    pub words: Vec<String>,
    /// Environment of a program.
    pub environment: BTreeMap<String, String>,
    /// Everything else that changes the result, by name: directory, user, network, owner, mode …
    pub options: BTreeMap<String, String>,
    /// What is mounted: target, and what it is.
    pub mounts: Vec<(String, String)>,
    /// The files that are read.
    pub files: Option<FileList>,
}

impl Inputs {
    /// The hash of all that matters.
    pub fn key(&self) -> Key {
        let mut relevant = self.clone();
        relevant.base = None;
        // Of maps, lists and texts: cannot fail.
        Key::of(&serde_json::to_vec(&relevant).unwrap_or_default())
    }
}

/// A list of files by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList {
    /// Hash of the list; names it in `files/`.
    pub digest: String,
    /// How many entries.
    pub count: u64,
}

/// One line of a list of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// The path as the source has it.
    pub path: String,
    /// What the step sees of it: kind, mode, owner where it matters, content.
    pub digest: String,
}

/// Appends a line.
pub(crate) fn push_file(text: &mut Vec<u8>, path: &[u8], digest: &Key) {
    text.extend_from_slice(digest.to_string().as_bytes());
    text.push(b' ');
    text.extend(
        path.iter()
            .map(|byte| if *byte == b'\n' { b'?' } else { *byte }),
    );
    text.push(b'\n');
}

pub(crate) fn parse_files(raw: &[u8]) -> Option<Vec<FileDigest>> {
    raw.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (digest, path) = line.split_at_checked(64)?;
            Some(FileDigest {
                path: String::from_utf8_lossy(path.get(1..)?).into_owned(),
                digest: std::str::from_utf8(digest).ok()?.to_owned(),
            })
        })
        .collect()
}

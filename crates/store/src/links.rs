//! What each manifest refers to, remembered: so that a collection does not read every manifest.
//!
//! `links` holds one line for each manifest (`MANIFEST BLOB,BLOB,… DIFFID,DIFFID,…`) and, last, the
//! SHA-256 of the lines. What a manifest refers to never changes, so a line is never stale; a file
//! that a crash has damaged is recognised and made again. Written under the exclusive lock.

use crate::{Error, Store};
use lapstrake_spec::{Descriptor, Digest, Document, ImageConfig, MANIFEST_LIMIT};
use std::collections::BTreeMap;

const NAME: &str = "links";
const LIMIT: u64 = 256 << 20;
/// Lines for manifests that are gone are kept until there are this many more than others.
const SPARE: usize = 256;

/// What a manifest or index refers to, itself left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// Configuration and layers; of an index, everything that is here.
    pub(crate) blobs: Vec<Digest>,
    /// The diff ids of an image.
    pub(crate) diff_ids: Vec<Digest>,
}

/// The remembered links.
#[derive(Debug, Default)]
pub(crate) struct LinkCache {
    lines: BTreeMap<String, String>,
    changed: bool,
    asked: usize,
}

impl LinkCache {
    pub(crate) fn load(store: &Store) -> Self {
        // Without a whole file, everything is read anew.
        let raw = store.disk().read(NAME, LIMIT).ok();
        let text = raw.and_then(|raw| String::from_utf8(raw).ok());
        Self {
            lines: text.and_then(|text| parse(&text)).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The links of a manifest that the index names.
    pub(crate) fn of(&mut self, store: &Store, desc: &Descriptor) -> Result<Links, Error> {
        self.asked += 1;
        if let Some(links) = self
            .lines
            .get(desc.digest.as_str())
            .and_then(|line| links(line))
        {
            return Ok(links);
        }
        let links = read(store, desc)?;
        let join = |digests: &[Digest]| {
            digests
                .iter()
                .map(Digest::as_str)
                .collect::<Vec<_>>()
                .join(",")
        };
        let line = format!("{} {}", join(&links.blobs), join(&links.diff_ids));
        self.lines.insert(desc.digest.as_str().to_owned(), line);
        self.changed = true;
        Ok(links)
    }

    /// Writes what was learnt. To be called under the exclusive lock, with those that are in use.
    pub(crate) fn save(mut self, store: &Store, used: impl Fn(&str) -> bool) -> Result<(), Error> {
        if !self.changed && self.lines.len() <= self.asked + SPARE {
            return Ok(());
        }
        self.lines.retain(|manifest, _| used(manifest));
        let mut text = String::new();
        for (manifest, line) in &self.lines {
            text.extend([manifest.as_str(), " ", line, "\n"]);
        }
        let sum = Digest::sha256(text.as_bytes());
        text.extend([sum.as_str(), "\n"]);
        store.disk().replace("", NAME, text.as_bytes())
    }
}

fn parse(text: &str) -> Option<BTreeMap<String, String>> {
    let (_, last) = text
        .strip_suffix('\n')?
        .rsplit_once('\n')
        .unwrap_or(("", text.trim_end()));
    let body = text.get(..text.len().checked_sub(last.len() + 1)?)?;
    if Digest::sha256(body.as_bytes()).as_str() != last {
        return None;
    }
    body.lines()
        .map(|line| {
            let (manifest, rest) = line.split_once(' ')?;
            Some((manifest.to_owned(), rest.to_owned()))
        })
        .collect()
}

fn links(line: &str) -> Option<Links> {
    let list = |text: &str| -> Option<Vec<Digest>> {
        text.split(',')
            .filter(|t| !t.is_empty())
            .map(|t| Digest::parse(t).ok())
            .collect()
    };
    let (blobs, diff_ids) = line.split_once(' ')?;
    Some(Links {
        blobs: list(blobs)?,
        diff_ids: list(diff_ids)?,
    })
}

/// Reads a manifest and its configuration.
fn read(store: &Store, desc: &Descriptor) -> Result<Links, Error> {
    let raw = store.blob_bytes(&desc.digest, MANIFEST_LIMIT)?;
    let Document::Manifest(manifest) = Document::parse(Some(&desc.media_type), &raw)? else {
        return Err(Error::damaged(
            crate::layout::blob(&desc.digest),
            "an index, not a manifest",
        ));
    };
    let mut links = Links::default();
    links.blobs.push(manifest.config.digest.clone());
    links
        .blobs
        .extend(manifest.layers.into_iter().map(|layer| layer.digest));
    if manifest.config.media_type.is_config() {
        let raw = store.blob_bytes(&manifest.config.digest, lapstrake_spec::CONFIG_LIMIT)?;
        links.diff_ids = ImageConfig::parse(&raw)?.rootfs.diff_ids;
    }
    Ok(links)
}

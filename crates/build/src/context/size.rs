//! How much docker's classic client says it sends.
//!
//! It sends an uncompressed tar of the context without what is ignored: a block for each header, the
//! contents in whole blocks, two empty blocks at the end, an extension of two blocks and more where a
//! name does not fit a header. Second names of a file have no content.

use crate::source::{FileKind, Metadata, SourceError, SourceTree};
use std::collections::BTreeSet;
use std::path::Path;

/// Unit of everything in a tar.
const BLOCK: u64 = 512;
/// Bytes of a name, or of a link's target, that a header holds. Names could be split at a slash to hold
/// more; Go's writer does not in the form that docker asks for.
const NAME_BYTES: usize = 100;

/// A file that is sent beside those of the tree.
#[derive(Debug, Clone, Copy)]
pub struct SentFile<'a> {
    /// Its name.
    pub name: &'a str,
    /// Bytes of its content.
    pub size: u64,
}

/// The bytes for a whole tree. `always` are paths that are sent although they are ignored: the
/// Dockerfile and the ignore file.
pub fn sent_size(tree: &dyn SourceTree, always: &[SentFile<'_>]) -> Result<u64, SourceError> {
    let mut count = Count::default();
    count.directory(tree, Path::new(""))?;
    for file in always {
        count.entry(file.name.as_bytes(), file.size);
    }
    Ok(count.bytes.saturating_add(2 * BLOCK))
}

/// The bytes for a tree after which docker adds files of its own: the Dockerfile from elsewhere and an ignore file
/// that names it. The last progress that it tells is the one before the padding of the last file.
pub fn sent_with_files(tree: &dyn SourceTree, added: &[SentFile<'_>]) -> Result<u64, SourceError> {
    let mut count = Count::default();
    count.directory(tree, Path::new(""))?;
    let Some((last, others)) = added.split_last() else {
        return Ok(count.bytes);
    };
    for file in others {
        count.entry(file.name.as_bytes(), file.size);
    }
    count.entry(last.name.as_bytes(), 0);
    Ok(count.bytes.saturating_add(last.size))
}

/// The bytes of a tar with these files alone.
pub fn tar_size(files: &[SentFile<'_>]) -> u64 {
    let mut count = Count::default();
    for file in files {
        count.entry(file.name.as_bytes(), file.size);
    }
    count.bytes.saturating_add(2 * BLOCK)
}

#[derive(Default)]
struct Count {
    bytes: u64,
    /// Files with several names that were counted.
    seen: BTreeSet<(u64, u64)>,
}

impl Count {
    fn directory(&mut self, tree: &dyn SourceTree, path: &Path) -> Result<(), SourceError> {
        for entry in tree.list(path)? {
            let child = path.join(&entry.name);
            let mut name = child.as_os_str().as_encoded_bytes().to_vec();
            match entry.metadata.kind {
                FileKind::Directory => {
                    name.push(b'/');
                    self.entry(&name, 0);
                    self.directory(tree, &child)?;
                }
                FileKind::File => {
                    let size = self.content(&entry.metadata);
                    self.entry(&name, size);
                }
                FileKind::Symlink => {
                    let target = tree.read_link(&child)?;
                    self.entry(&name, 0);
                    self.extension(target.as_os_str().as_encoded_bytes(), "linkpath");
                }
                _ => self.entry(&name, 0),
            }
        }
        Ok(())
    }

    fn content(&mut self, metadata: &Metadata) -> u64 {
        let again = metadata.links > 1
            && metadata
                .identity
                .is_some_and(|id| !self.seen.insert((id.device, id.inode)));
        if again { 0 } else { metadata.size }
    }

    fn entry(&mut self, name: &[u8], size: u64) {
        self.add(BLOCK);
        self.extension(name, "path");
        self.add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }

    /// The extended header for a name that does not fit.
    fn extension(&mut self, text: &[u8], key: &str) {
        if text.len() <= NAME_BYTES && text.is_ascii() {
            return;
        }
        // `LENGTH path=NAME\n`, where LENGTH counts itself.
        let rest = text.len().saturating_add(key.len()).saturating_add(3);
        let mut length = rest;
        while rest.saturating_add(length.to_string().len()) > length {
            length = length.saturating_add(1);
        }
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.add(BLOCK.saturating_add(length.div_ceil(BLOCK).saturating_mul(BLOCK)));
    }

    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

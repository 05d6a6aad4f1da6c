//! Archives that `ADD` unpacks: they are unpacked to a staging tree first, which is then copied like a directory,
//! so that links of the image lead where they would lead a running program, and nothing leads out.

use super::collect::{Item, Match};
use super::lower::LayersTree;
use crate::error::StepError;
use crate::source::SourceTree;
use lapstrake_layer::ApplyOptions;
use lapstrake_snapshot::View;
use lapstrake_store::{LayerTree, Store};
use rustix::fs::{Mode, OFlags};
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Unit of everything in a tar.
const BLOCK: usize = 512;
/// Where the checksum of a header is.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// An archive's files. Gone when this is dropped.
pub(crate) struct Staged {
    pub(crate) tree: Arc<dyn SourceTree>,
    _place: LayerTree,
}

/// Unpacks a file when it is an archive.
pub(crate) fn unpack(
    store: &Store,
    found: &Match,
    item: &Item,
) -> Result<Option<Staged>, StepError> {
    let tree = found.reading.tree.as_ref();
    if !is_archive(tree.open(&item.path)?) {
        return Ok(None);
    }
    let place = store.new_layer_tree()?;
    let path = place.path();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(&path, flags, Mode::empty())
        .map_err(StepError::io(format!("open {}", path.display())))?;
    let plain = lapstrake_layer::decompress(tree.open(&item.path)?)?;
    lapstrake_layer::apply(plain, dir.as_fd(), &ApplyOptions::default())?;
    let view = View::of(&[path])?;
    let name = item.path.display().to_string();
    Ok(Some(Staged {
        tree: Arc::new(LayersTree::new(name, &view)),
        _place: place,
    }))
}

/// Whether a file is a tar, perhaps compressed: its first header must be one. What cannot be read as an archive is copied
/// as it is.
fn is_archive(file: Box<dyn Read + Send>) -> bool {
    let Ok(plain) = lapstrake_layer::decompress(file) else {
        return false;
    };
    let mut header = Vec::with_capacity(BLOCK);
    let read = plain.take(BLOCK as u64).read_to_end(&mut header);
    read.is_ok() && has_checksum(&header)
}

fn has_checksum(header: &[u8]) -> bool {
    if header.len() != BLOCK || header.iter().all(|byte| *byte == 0) {
        return false;
    }
    let sum: u32 = header
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            let byte = if CHECKSUM.contains(&index) {
                b' '
            } else {
                *byte
            };
            u32::from(byte)
        })
        .sum();
    let field = header.get(CHECKSUM).unwrap_or_default();
    let text = String::from_utf8_lossy(field);
    let text = text.trim_matches(|c: char| c == '\0' || c == ' ');
    u32::from_str_radix(text, 8) == Ok(sum)
}

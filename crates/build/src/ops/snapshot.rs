//! What programs see of contexts: a private copy of the files that the step's key is about. The directory itself belongs to
//! its user, who may change it while the program runs, and it has owners and sockets that are none of the program's business.

use super::collect::{Collected, Reading, Seen};
use super::copy::{self, Placing};
use super::draft::{Content, Draft, Planned};
use super::owner::Owner;
use super::path::TreePath;
use super::run::plain_rules;
use super::write;
use crate::cancel::CancelToken;
use crate::error::StepError;
use crate::graph::Tree;
use crate::source::{FileKind, Time};
use lapstrake_store::{LayerTree, Lease, Store};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Copies of parts of contexts, each made once. They are gone when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    all: Mutex<BTreeMap<(Tree, String), Arc<Slot>>>,
}

/// A copy, once it is made.
#[derive(Debug, Default)]
struct Slot(Mutex<Option<Snapshot>>);

#[derive(Debug)]
struct Snapshot {
    tree: LayerTree,
    digest: String,
}

/// What a copy is made with.
pub(crate) struct Taking<'a> {
    pub(crate) store: &'a Store,
    pub(crate) lease: &'a Lease,
    pub(crate) cancel: &'a CancelToken,
    /// The time of directories that lead to the copied part.
    pub(crate) now: Time,
    /// A context's files.
    pub(crate) reading: &'a dyn Fn(&Tree) -> Result<Reading, StepError>,
}

impl Snapshots {
    /// The digest of the files of a copy that was made.
    pub(crate) fn digest(&self, from: &Tree, source: &str) -> Option<String> {
        let slot = self.slot(from, source);
        let made = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().map(|made| made.digest.clone())
    }

    /// The tree with the copy of a part of a context at its own path.
    pub(crate) fn take(
        &self,
        from: &Tree,
        source: &str,
        taking: &Taking<'_>,
    ) -> Result<PathBuf, StepError> {
        let slot = self.slot(from, source);
        let mut made = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(made.tree.path());
        }
        let new = snapshot(from, source, taking)?;
        Ok(made.insert(new).tree.path())
    }

    fn slot(&self, from: &Tree, source: &str) -> Arc<Slot> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (from.clone(), TreePath::parse(source.as_bytes()).to_string());
        Arc::clone(all.entry(key).or_default())
    }
}

fn snapshot(from: &Tree, source: &str, taking: &Taking<'_>) -> Result<Snapshot, StepError> {
    // What is copied is what counts, not what is remembered of a file that may have changed since.
    let reading = Reading {
        digests: None,
        ..(taking.reading)(from)?
    };
    let tree = taking.store.new_layer_tree()?;
    let mut collected = Collected::default();
    collected.add(&reading, source, &plain_rules()?)?;
    let path = TreePath::parse(source.as_bytes());
    let destination = format!("/{}", String::from_utf8_lossy(&path.to_bytes()));
    let mut draft = Draft::new(None, taking.now);
    let placing = Placing {
        destination: &destination,
        owner: None,
        mode: None,
        unpack: false,
        parents: false,
        classic: false,
    };
    let staged = copy::place(&mut draft, &collected, &placing, taking.store)?;
    // COPY takes what is in a directory; here it is shown itself.
    if let Some(root) = collected.items.first()
        && root.metadata.kind == FileKind::Directory
    {
        let mut metadata = root.metadata.clone();
        if !reading.owners {
            let Owner { uid, gid } = Owner::default();
            (metadata.uid, metadata.gid) = (uid, gid);
        }
        metadata.size = 0;
        draft.insert(path, Planned::new(metadata, Content::None))?;
    }
    let place = write::Place {
        store: taking.store,
        tree: &tree,
        lease: taking.lease,
        latest: None,
        cancel: taking.cancel,
    };
    let digests = write::write_tree(&draft, place)?;
    drop(staged);
    let mut read = BTreeMap::new();
    // Files with several names are read under the first one.
    let mut linked = BTreeMap::new();
    for planned in draft.entries().values() {
        let Some(slot) = planned.slot else {
            continue;
        };
        let mut content = digests.get(&slot).copied();
        if let Some(id) = planned.link {
            match content {
                Some(content) => {
                    linked.insert(id, content);
                }
                None => content = linked.get(&id).copied(),
            }
        }
        if let Some(content) = content {
            let xattrs = Some(planned.xattrs.clone());
            read.insert(slot, Seen { content, xattrs });
        }
    }
    let (list, _text) = collected.digest(&|slot| read.get(&slot), taking.cancel)?;
    Ok(Snapshot {
        tree,
        digest: list.digest,
    })
}

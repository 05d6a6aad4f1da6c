//! A layer gets its tar, its digest and its record.

use super::Made;
use super::describe::Patience;
use super::schedule::Solver;
use crate::cache::{Inputs, Key};
use crate::error::StepError;
use crate::event::{BuildEvent, VertexEnd};
use crate::graph::Node;
use crate::ops::layer::{Finished, LayerCell};
use lapstrake_layer::DiffOptions;
use lapstrake_snapshot::Layer;
use lapstrake_spec::MediaType;
use lapstrake_store::LayerTree;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Scope;

/// How deep directories are nested at most where times are changed.
const DEPTH_LIMIT: usize = 1024;

/// What a program has left.
pub(super) struct New<'a> {
    pub(super) node: &'a Node,
    pub(super) parent: Made,
    pub(super) contexts: Vec<String>,
    /// The tree.
    pub(super) path: PathBuf,
}

impl<'a> Solver<'a> {
    /// Makes the tar of a new layer on a thread of its own, while other steps run on its tree.
    pub(super) fn finish_later<'scope>(
        &'scope self,
        new: New<'a>,
        cell: Arc<LayerCell>,
        scope: Option<&'scope Scope<'scope, '_>>,
    ) {
        let slot = Arc::new(std::sync::Mutex::new(Some((new, cell))));
        let take = move |slot: &std::sync::Mutex<Option<(New<'a>, Arc<LayerCell>)>>| {
            let taken = slot
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take();
            if let Some((new, cell)) = taken {
                self.finish_new(&new, &cell);
            }
        };
        let other = Arc::clone(&slot);
        let started = scope.is_some_and(|scope| {
            std::thread::Builder::new()
                .name("layer".to_owned())
                .spawn_scoped(scope, move || take(&other))
                .is_ok()
        });
        if !started {
            take(&slot);
        }
    }

    fn finish_new(&self, new: &New<'_>, cell: &LayerCell) {
        let end = match self.keep(new, cell) {
            Ok(()) => VertexEnd::Done,
            Err(error) => {
                let text = error.to_string();
                // Before those that wait for the layer say that they have none.
                self.fail(Self::failed(new.node, error, None));
                cell.finish(Err(text.clone()));
                VertexEnd::Failed(text)
            }
        };
        self.event(BuildEvent::Finished {
            vertex: super::vertex(new.node.id),
            end,
        });
    }

    /// Makes blob and record of what a program has left.
    fn keep(&self, new: &New<'_>, cell: &LayerCell) -> Result<(), StepError> {
        let finished = self.store_tree(&new.path)?;
        cell.finish(Ok(finished.clone()));
        let described = self.describe(new.node, &new.parent, &new.contexts, Patience::Wait);
        // A parent that failed has said so itself.
        if let Ok((inputs, _)) = described {
            self.remember(new.node, inputs, &finished);
        }
        Ok(())
    }

    /// Writes a tree's tar as a blob.
    fn store_tree(&self, path: &Path) -> Result<Finished, StepError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .map_err(StepError::io(format!("open {}", path.display())))?;
        let mut blob = self.request.store.new_blob()?;
        let stats = lapstrake_layer::diff(dir.as_fd(), &mut blob, &DiffOptions::default())?;
        let blob = blob.finish(MediaType::OCI_LAYER_TAR, &self.lease)?;
        Ok(Finished {
            layer: Layer {
                diff_id: blob.digest.clone(),
                blob,
            },
            size: stats.bytes,
            entries: stats.entries,
            created: super::times::now(self.request.options),
            mark: None,
        })
    }

    /// A layer whose blob is there already.
    pub(super) fn finish_now(
        &self,
        node: &Node,
        inputs: Inputs,
        finished: &Finished,
        tree: LayerTree,
    ) -> Arc<LayerCell> {
        let cell = LayerCell::pending(tree);
        cell.finish(Ok(finished.clone()));
        self.remember(node, inputs, finished);
        cell
    }

    /// Enters a step into the cache.
    fn remember(&self, node: &Node, inputs: Inputs, finished: &Finished) {
        let layers = vec![finished.layer.diff_id.clone()];
        let mut record = Self::record_of(node, inputs, layers, finished.created.clone());
        record.blobs.push(finished.layer.blob.clone());
        record.mark.clone_from(&finished.mark);
        record.size = finished.size;
        record.entries = finished.entries;
        let put = self.cache.enter(&record).and_then(|()| {
            let place = self.places.get(node.id.0);
            place.map_or(Ok(()), |place| self.cache.point(place, &record.key))
        });
        match put {
            Ok(()) => self.record(node.id, record.key),
            // The build goes on: the layer is there.
            Err(error) => self.event(BuildEvent::Warning {
                vertex: Some(super::vertex(node.id)),
                text: format!("the step cannot be cached: {error}: {}", error.io_error()),
            }),
        }
    }

    /// Layers of the file system that a failed program left.
    pub(super) fn keep_failed(
        &self,
        new: &New<'_>,
        tree: LayerTree,
    ) -> Result<Vec<Layer>, StepError> {
        let finished = self.store_tree(&new.path)?;
        let cell = LayerCell::pending(tree);
        cell.finish(Ok(finished));
        new.parent.chain.with(cell).layers()
    }

    /// The record that a node has made or found.
    pub(super) fn key_of(&self, node: &Node) -> Option<Key> {
        self.recorded(node.id)
    }

    /// With `--rewrite-timestamps`: no file is younger than the epoch.
    pub(super) fn clamp_tree(&self, path: &Path) -> Result<(), StepError> {
        let Some(latest) = self.latest() else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .map_err(StepError::io(format!("open {}", path.display())))?;
        clamp(dir.as_fd(), latest, 0)
            .map_err(StepError::io(format!("utimensat {}", path.display())))
    }
}

/// Children before their directory: its own time is the last to be set.
fn clamp(dir: BorrowedFd<'_>, latest: i64, depth: usize) -> rustix::io::Result<()> {
    if depth > DEPTH_LIMIT {
        return Err(rustix::io::Errno::NAMETOOLONG);
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(dir, name, flags)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let open = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = rustix::fs::openat(dir, name, open, Mode::empty())?;
            clamp(child.as_fd(), latest, depth + 1)?;
        }
        let young = stat.st_mtime > latest || (stat.st_mtime == latest && stat.st_mtime_nsec > 0);
        if young {
            let at = Timespec {
                tv_sec: latest,
                tv_nsec: 0,
            };
            let times = Timestamps {
                last_access: at,
                last_modification: at,
            };
            rustix::fs::utimensat(dir, name, &times, flags)?;
        }
    }
    Ok(())
}

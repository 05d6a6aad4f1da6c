//! `COPY` and `ADD`: where things go. The rules are BuildKit's: a directory gives what is in it, a file goes into the
//! destination if that is a directory or is written as one, directories on the way are made with mode 0755, and
//! what is copied keeps mode and time.

use super::collect::{Collected, Item, Match};
use super::draft::{Content, Draft, IMPLICIT_MODE, Missing, Planned};
use super::owner::{Mode, Owner};
use super::path::TreePath;
use super::unpack::{self, Staged};
use crate::error::StepError;
use crate::source::{FileKind, Metadata, SourceTree};
use lapstrake_store::Store;
use std::path::Path;
use std::sync::Arc;

/// How things are placed.
#[derive(Debug)]
pub(crate) struct Placing<'a> {
    /// Absolute; with a slash at its end it is a directory.
    pub(crate) destination: &'a str,
    pub(crate) owner: Option<Owner>,
    pub(crate) mode: Option<Mode>,
    /// Whether archives are unpacked.
    pub(crate) unpack: bool,
    pub(crate) parents: bool,
    pub(crate) classic: bool,
}

/// Puts everything that was collected into the draft. What is returned must live until the draft is written.
pub(crate) fn place(
    draft: &mut Draft,
    collected: &Collected,
    placing: &Placing<'_>,
    store: &Store,
) -> Result<Vec<Staged>, StepError> {
    let mut staged = Vec::new();
    if placing.classic && collected.matches.len() > 1 && !placing.destination.ends_with('/') {
        return Err(StepError::invalid(
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ));
    }
    for (index, found) in collected.matches.iter().enumerate() {
        let Some(root) = collected.items.get(found.items.start) else {
            continue;
        };
        draft.next_turn();
        let mut placer = Placer {
            draft: &mut *draft,
            placing,
            tree: Arc::clone(&found.reading.tree),
            owners: found.reading.owners,
            group: index,
        };
        if root.metadata.kind == FileKind::Directory {
            placer.directory(collected, found)?;
            continue;
        }
        if placing.unpack
            && root.metadata.kind == FileKind::File
            && let Some(unpacked) = unpack::unpack(store, found, root)?
        {
            placer.archive(&unpacked)?;
            staged.push(unpacked);
            continue;
        }
        placer.single(found, root)?;
    }
    Ok(staged)
}

struct Placer<'a> {
    draft: &'a mut Draft,
    placing: &'a Placing<'a>,
    tree: Arc<dyn SourceTree>,
    owners: bool,
    /// Keeps inodes of different sources apart.
    group: usize,
}

impl Placer<'_> {
    /// How directories are made that lead to the destination. `--chmod` counts for them when it is a number; they are
    /// made with it, and making a directory takes permission bits only.
    fn missing(&self) -> Missing {
        Missing {
            owner: self.owner_of_missing(self.placing.owner),
            mode: match &self.placing.mode {
                Some(Mode::Bits(bits)) => bits & 0o777,
                _ => IMPLICIT_MODE,
            },
        }
    }

    /// The classic builder names the owner of what it makes always, BuildKit leaves it to the kernel.
    fn owner_of_missing(&self, owner: Option<Owner>) -> Option<Owner> {
        if self.placing.classic {
            Some(owner.unwrap_or_default())
        } else {
            owner
        }
    }

    /// The destination as a directory, made when it is missing.
    fn base(&mut self, missing: Missing) -> Result<TreePath, StepError> {
        let base = self
            .draft
            .resolve(self.placing.destination.as_bytes(), true)?;
        self.draft.make_directories(&base, missing)?;
        Ok(base)
    }

    /// With `--parents`: the kept directories below the destination. As in BuildKit they are as young as what comes into
    /// them, and the destination has the time of the directory that they are kept from.
    fn above(&mut self, found: &Match, root: Option<&Item>) -> Result<TreePath, StepError> {
        let base = self.base(self.missing())?;
        let kept_from = root.and_then(|root| root.path.ancestors().nth(found.above.len() + 1));
        if let Some(path) = kept_from.filter(|path| !path.as_os_str().is_empty())
            && let Some(metadata) = self.tree.metadata(path)?
            && !base.is_root()
        {
            self.draft.set_time(&base, metadata.modified)?;
        }
        let mut target = base.clone();
        for item in &found.above {
            target = self.resolved_below(&base, &item.relative)?;
            let mut planned = self.planned(&item.metadata, &item.path, None)?;
            planned.metadata.modified = self.draft.now();
            self.put(target.clone(), planned)?;
        }
        Ok(target)
    }

    fn directory(&mut self, collected: &Collected, found: &Match) -> Result<(), StepError> {
        let mut range = found.items.clone();
        let root = range.next();
        let base = if self.placing.parents && !found.name.is_empty() {
            let item = root.and_then(|root| collected.items.get(root));
            let above = self.above(found, item)?;
            let target = above.join(&found.name);
            if let Some(item) = item {
                let planned = self.planned(&item.metadata, &item.path, None)?;
                self.put(target.clone(), planned)?;
            }
            target
        } else {
            let base = self.base(self.missing())?;
            // BuildKit gives the destination the source's time, whether it was there or not, and nothing else of it.
            // The root of a tree was made by whoever brought the tree here: its time is no file's.
            if let Some(item) = root.and_then(|root| collected.items.get(root))
                && !self.placing.classic
                && !item.path.as_os_str().is_empty()
                && !base.is_root()
            {
                self.draft.set_time(&base, item.metadata.modified)?;
            }
            base
        };
        for slot in range {
            if let Some(item) = collected.items.get(slot) {
                let target = base.join_all(&item.relative);
                let planned = self.planned(&item.metadata, &item.path, Some(slot))?;
                self.put(target, planned)?;
            }
        }
        Ok(())
    }

    fn single(&mut self, found: &Match, root: &Item) -> Result<(), StepError> {
        let target = if self.placing.parents {
            self.above(found, Some(root))?.join(&found.name)
        } else {
            self.file_target(&found.name)?
        };
        let mut planned = self.planned(&root.metadata, &root.path, Some(found.items.start))?;
        if self.placing.classic {
            // It packs directories with their attributes, and single files without.
            planned.xattrs.clear();
        }
        self.put(target, planned)
    }

    /// Where a file goes: into a directory under its own name, or to the destination itself.
    fn file_target(&mut self, name: &[u8]) -> Result<TreePath, StepError> {
        let destination = self.placing.destination.as_bytes();
        let resolved = self.draft.resolve(destination, true)?;
        let is_directory =
            destination.ends_with(b"/") || self.draft.kind(&resolved)? == Some(FileKind::Directory);
        if is_directory {
            self.draft.make_directories(&resolved, self.missing())?;
            return Ok(resolved.join(name));
        }
        // The destination may be a link: what it leads to is written, even when there is nothing yet.
        if let Some(parent) = resolved.parent() {
            self.draft.make_directories(&parent, self.missing())?;
        }
        Ok(resolved)
    }

    /// An archive's content below the destination. Its directories may be links in the image. `--chmod` says nothing about
    /// it, nor does the classic builder's `--chown`.
    fn archive(&mut self, staged: &Staged) -> Result<(), StepError> {
        let owner = self.placing.owner.filter(|_| !self.placing.classic);
        let base = self.base(Missing {
            owner: self.owner_of_missing(owner),
            mode: IMPLICIT_MODE,
        })?;
        self.tree = Arc::clone(&staged.tree);
        self.owners = true;
        let tree = Arc::clone(&staged.tree);
        self.archive_directory((tree.as_ref(), Path::new("")), &base, owner)
    }

    fn archive_directory(
        &mut self,
        (tree, path): (&dyn SourceTree, &Path),
        base: &TreePath,
        owner: Option<Owner>,
    ) -> Result<(), StepError> {
        use std::os::unix::ffi::OsStrExt;
        for entry in tree.list(path)? {
            let child = path.join(&entry.name);
            let target = self.resolved_below(base, child.as_os_str().as_bytes())?;
            let metadata = &entry.metadata;
            let mut planned = planned_of(metadata.clone(), &self.tree, &child, self.group)?;
            if let Some(owner) = owner {
                (planned.metadata.uid, planned.metadata.gid) = (owner.uid, owner.gid);
            }
            if metadata.kind == FileKind::Directory {
                let resolved = self.draft.resolve(&target.to_bytes(), true)?;
                if resolved != target && self.draft.kind(&resolved)? == Some(FileKind::Directory) {
                    // Only the link's directory is meant, and it is there.
                } else {
                    self.draft.insert(target, planned)?;
                }
                self.archive_directory((tree, &child), base, owner)?;
            } else {
                self.put(target, planned)?;
            }
        }
        Ok(())
    }

    /// The path below a directory with links in its parents resolved.
    fn resolved_below(&mut self, base: &TreePath, relative: &[u8]) -> Result<TreePath, StepError> {
        self.draft
            .resolve(&base.join_all(relative).to_bytes(), false)
    }

    fn planned(
        &self,
        metadata: &Metadata,
        path: &Path,
        slot: Option<usize>,
    ) -> Result<Planned, StepError> {
        let mut metadata = metadata.clone();
        let owner = match self.placing.owner {
            Some(owner) => owner,
            None if self.owners => Owner {
                uid: metadata.uid,
                gid: metadata.gid,
            },
            None => Owner::default(),
        };
        (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        if let Some(mode) = &self.placing.mode {
            metadata.mode = mode.apply(&metadata);
        }
        let mut planned = planned_of(metadata, &self.tree, path, self.group)?;
        planned.slot = slot;
        if self.placing.classic {
            let given = self.placing.owner.is_some() || !self.owners;
            planned.keep_classic(given);
        }
        Ok(planned)
    }

    fn put(&mut self, target: TreePath, planned: Planned) -> Result<(), StepError> {
        if target.is_root() {
            return Ok(());
        }
        let directory = planned.metadata.kind == FileKind::Directory;
        match self.draft.kind(&target)? {
            Some(FileKind::Directory) if !directory => {
                return Err(StepError::Invalid(format!(
                    "cannot replace to directory {target} with file"
                )));
            }
            Some(kind) if directory && kind != FileKind::Directory => {
                return Err(StepError::Invalid(format!(
                    "cannot copy to non-directory: {target}"
                )));
            }
            _ => {}
        }
        self.draft.insert(target, planned)
    }
}

fn planned_of(
    mut metadata: Metadata,
    tree: &Arc<dyn SourceTree>,
    path: &Path,
    group: usize,
) -> Result<Planned, StepError> {
    let content = match metadata.kind {
        FileKind::File => Content::Source(Arc::clone(tree), path.to_owned()),
        FileKind::Symlink => Content::Link(super::path::bytes(&tree.read_link(path)?).to_vec()),
        _ => Content::None,
    };
    if metadata.kind != FileKind::File {
        metadata.size = 0;
    }
    let link = match metadata.identity {
        Some(identity) if metadata.kind == FileKind::File && metadata.links > 1 => {
            Some((group, identity.device, identity.inode))
        }
        _ => None,
    };
    let mut planned = Planned::new(metadata, content);
    planned.xattrs = tree.xattrs(path)?;
    planned.link = link;
    Ok(planned)
}

#[cfg(test)]
mod tests;

//! A layer before it is written: its entries in memory, above the merged tree that it will lie on.

use super::lower::{self, Lower};
use super::owner::Owner;
use super::path::{TreePath, names};
use crate::error::StepError;
use crate::source::{Attributes, FileKind, Metadata, SourceTree, Time};
use lapstrake_snapshot::{Item, View};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// How many symbolic links one path may lead through.
const LINK_LIMIT: u32 = 40;
/// How many names one path may have, links included.
const NAME_LIMIT: usize = 4096;
/// Mode of directories that nobody asked for by name.
pub(crate) const IMPLICIT_MODE: u32 = 0o755;
/// What a program may do without being root.
const CAPABILITIES: &[u8] = b"security.capability";
/// Set-user-id.
const SET_USER: u32 = 0o4000;
/// Whether the group may execute.
const GROUP_EXECUTES: u32 = 0o010;
/// Set-group-id. For a directory: what is made in such a directory belongs to its group.
const SET_GROUP: u32 = 0o2000;

/// Where an entry's content comes from.
#[derive(Clone)]
pub(crate) enum Content {
    None,
    /// A file of a source.
    Source(Arc<dyn SourceTree>, PathBuf),
    /// The target of a symbolic link.
    Link(Vec<u8>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Source(_, path) => write!(f, "Source({})", path.display()),
            Self::Link(target) => write!(f, "Link({})", String::from_utf8_lossy(target)),
        }
    }
}

/// One entry of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) metadata: Metadata,
    pub(crate) xattrs: Attributes,
    pub(crate) content: Content,
    /// Entries with the same value are names of one file.
    pub(crate) link: Option<(usize, u64, u64)>,
    /// Which of the collected items it is.
    pub(crate) slot: Option<usize>,
    /// For a directory: who gave it its time. What the same one puts into it does not change that; what another one
    /// does. Without one it is only here because something in it is.
    timed: Option<usize>,
}

impl Planned {
    pub(crate) fn new(metadata: Metadata, content: Content) -> Self {
        Self {
            metadata,
            xattrs: Vec::new(),
            content,
            link: None,
            slot: None,
            timed: None,
        }
    }
}

impl Planned {
    /// Leaves what the classic builder keeps of a file: it packs no attributes but capabilities, and it gives files
    /// away after their modes are set, which takes capabilities and set-id bits.
    pub(crate) fn keep_classic(&mut self, given_away: bool) {
        let is_file = self.metadata.kind == FileKind::File;
        let keeps = !(given_away && is_file);
        self.xattrs
            .retain(|(name, _)| keeps && name.as_slice() == CAPABILITIES);
        if !keeps {
            self.metadata.mode &= !SET_USER;
            // Without the right to execute it is no set-id bit, but a mark for locks.
            if self.metadata.mode & GROUP_EXECUTES != 0 {
                self.metadata.mode &= !SET_GROUP;
            }
        }
    }
}

/// A layer that is being planned.
#[derive(Debug)]
pub(crate) struct Draft {
    lower: Option<Lower>,
    entries: BTreeMap<TreePath, Planned>,
    now: Time,
    /// Whose entries are coming in, counted.
    turn: usize,
}

/// How a directory is made that is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    /// Without one it is root's, in its parent's group if that directory hands it down.
    pub(crate) owner: Option<Owner>,
    /// Permission bits.
    pub(crate) mode: u32,
}

impl Draft {
    /// An empty layer above this tree; without one it depends on nothing. `now` is the time of directories that get
    /// a new name in them.
    pub(crate) fn new(view: Option<&View>, now: Time) -> Self {
        Self {
            lower: view.map(Lower::new),
            entries: BTreeMap::new(),
            now,
            turn: 0,
        }
    }

    /// From here on entries come from somebody else: directories that were filled before are changed by them.
    pub(crate) fn next_turn(&mut self) {
        self.turn += 1;
    }

    /// The entries in the order of a tar; with each one every directory above it.
    pub(crate) fn entries(&self) -> &BTreeMap<TreePath, Planned> {
        &self.entries
    }

    /// What shows at a path without links in its parents.
    pub(crate) fn kind(&mut self, path: &TreePath) -> Result<Option<FileKind>, StepError> {
        if path.is_root() {
            return Ok(Some(FileKind::Directory));
        }
        if let Some(planned) = self.entries.get(path) {
            return Ok(Some(planned.metadata.kind));
        }
        let item = self.lower_item(path)?;
        Ok(item.map(|item| lower::metadata(lower::stat_of(&item)).kind))
    }

    fn lower_item(&mut self, path: &TreePath) -> Result<Option<Item>, StepError> {
        match &mut self.lower {
            None => Ok(None),
            Some(lower) => lower
                .item(path)
                .map_err(StepError::io(format!("reading {path} of the image"))),
        }
    }

    /// Resolves links in the parents of a path and, when that is wanted, in its last name. What does not exist is
    /// taken as written.
    pub(crate) fn resolve(&mut self, text: &[u8], last: bool) -> Result<TreePath, StepError> {
        let mut rest: VecDeque<Vec<u8>> = names(text).map(<[u8]>::to_vec).collect();
        let mut path = TreePath::root();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                path.pop();
                continue;
            }
            path.push(&name);
            if rest.is_empty() && !last {
                break;
            }
            let Some(target) = self.link_target(&path)? else {
                continue;
            };
            links += 1;
            if links > LINK_LIMIT || rest.len() > NAME_LIMIT {
                return Err(StepError::Invalid(format!(
                    "too many links in {}",
                    String::from_utf8_lossy(text)
                )));
            }
            path.pop();
            if target.starts_with(b"/") {
                path = TreePath::root();
            }
            for name in names(&target).rev() {
                rest.push_front(name.to_vec());
            }
        }
        Ok(path)
    }

    fn link_target(&mut self, path: &TreePath) -> Result<Option<Vec<u8>>, StepError> {
        if let Some(planned) = self.entries.get(path) {
            return Ok(match &planned.content {
                Content::Link(target) => Some(target.clone()),
                _ => None,
            });
        }
        match self.lower_item(path)? {
            Some(Item::Other(place)) if lower::metadata(&place.stat).kind == FileKind::Symlink => {
                let target = place
                    .read_link()
                    .map_err(StepError::io(format!("reading {path} of the image")))?;
                Ok(Some(target))
            }
            _ => Ok(None),
        }
    }

    /// Makes the directories of a resolved path that are missing.
    pub(crate) fn make_directories(
        &mut self,
        path: &TreePath,
        missing: Missing,
    ) -> Result<(), StepError> {
        let mut here = TreePath::root();
        for name in path.components() {
            let parent = here.clone();
            here.push(name);
            match self.kind(&here)? {
                Some(FileKind::Directory) => {}
                Some(_) => {
                    return Err(StepError::Invalid(format!(
                        "cannot copy to non-directory: {here}"
                    )));
                }
                None => {
                    let mut metadata = self.new_directory(missing.owner.unwrap_or_default());
                    metadata.mode = missing.mode;
                    if let Some(gid) = self.handed_down(&parent)? {
                        metadata.mode |= SET_GROUP;
                        if missing.owner.is_none() {
                            metadata.gid = gid;
                        }
                    }
                    self.imply(&parent)?;
                    self.touch(&parent);
                    let planned = Planned::new(metadata, Content::None);
                    self.entries.insert(here.clone(), planned);
                }
            }
        }
        Ok(())
    }

    /// The group that a directory gives to what is made in it, as the kernel has it.
    fn handed_down(&mut self, path: &TreePath) -> Result<Option<u32>, StepError> {
        let found = match self.entries.get(path) {
            Some(planned) => Some((planned.metadata.mode, planned.metadata.gid)),
            None => self.lower_item(path)?.map(|item| {
                let metadata = lower::metadata(lower::stat_of(&item));
                (metadata.mode, metadata.gid)
            }),
        };
        Ok(found.and_then(|(mode, gid)| (mode & SET_GROUP != 0).then_some(gid)))
    }

    /// The time of directories that get a new name in them.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Gives a directory that is there a time, which holds whatever else this turn puts into it.
    pub(crate) fn set_time(&mut self, path: &TreePath, time: Time) -> Result<(), StepError> {
        self.imply(path)?;
        if let Some(planned) = self.entries.get_mut(path) {
            planned.metadata.modified = time;
            planned.timed = Some(self.turn);
        }
        Ok(())
    }

    /// A name comes into a directory.
    fn touch(&mut self, path: &TreePath) {
        let (now, turn) = (self.now, self.turn);
        if let Some(planned) = self.entries.get_mut(path)
            && planned.timed != Some(turn)
        {
            planned.metadata.modified = now;
        }
    }

    fn new_directory(&self, owner: Owner) -> Metadata {
        Metadata {
            kind: FileKind::Directory,
            mode: IMPLICIT_MODE,
            uid: owner.uid,
            gid: owner.gid,
            size: 0,
            modified: self.now,
            device: (0, 0),
            links: 1,
            identity: None,
        }
    }

    /// Puts an entry in, and the directories above it as the tree below has them: overlay takes a
    /// directory's owner and mode from the topmost layer.
    pub(crate) fn insert(&mut self, path: TreePath, mut planned: Planned) -> Result<(), StepError> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        self.imply(&parent)?;
        let stays = planned.metadata.kind == FileKind::Directory
            && self.kind(&path)? == Some(FileKind::Directory);
        if !stays {
            self.touch(&parent);
        }
        planned.timed = Some(self.turn);
        self.entries.insert(path, planned);
        Ok(())
    }

    /// Takes a directory of the tree below, and those above it, into the layer.
    fn imply(&mut self, path: &TreePath) -> Result<(), StepError> {
        if path.is_root() || self.entries.contains_key(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.imply(&parent)?;
        }
        let planned = match self.lower_item(path)? {
            Some(item @ Item::Directory(..)) => {
                let metadata = lower::metadata(lower::stat_of(&item));
                let xattrs = lower::attributes(&item)
                    .map_err(StepError::io(format!("reading {path} of the image")))?;
                Planned {
                    xattrs,
                    ..Planned::new(metadata, Content::None)
                }
            }
            _ => Planned::new(self.new_directory(Owner::default()), Content::None),
        };
        self.entries.insert(path.clone(), planned);
        Ok(())
    }
}

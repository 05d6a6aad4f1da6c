//! A model of file trees and of layers as changes to them.

use std::collections::BTreeMap;

/// What a file is, apart from its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// What sort of file, with its content.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds of the last change.
    pub mtime: (u64, u32),
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The same for the names of one file.
    pub inode: u64,
}

/// Sorts of files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Vec<u8>),
    /// A symbolic link to this text.
    Symlink(String),
    /// A named pipe.
    Fifo,
    /// A character device with major and minor number.
    Device(u32, u32),
}

/// What a layer does with one path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// There is this file now.
    Put(Node),
    /// It is another name of the file at this path, which the same layer holds.
    Link(String),
    /// What lower layers have there is gone.
    Whiteout,
    /// It is a directory, and of lower layers' content nothing is left.
    Opaque(Node),
}

/// The changes of one layer by path, without a leading slash.
pub type Changes = BTreeMap<String, Change>;

/// The files of an image by path, without a leading slash. The root itself is not in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tree {
    /// Files by path.
    pub nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts a layer on top.
    pub fn apply(&mut self, changes: &Changes) {
        for (path, change) in changes {
            match change {
                Change::Whiteout => self.remove(path),
                Change::Opaque(_) => self.remove_below(path),
                Change::Put(node) if node.kind != Kind::Directory => self.remove(path),
                Change::Put(_) | Change::Link(_) => {}
            }
        }
        for (path, change) in changes {
            if let Change::Put(node) | Change::Opaque(node) = change {
                self.nodes.insert(path.clone(), node.clone());
            }
        }
        for (path, change) in changes {
            if let Change::Link(target) = change {
                let node = self.nodes[target].clone();
                self.remove(path);
                self.nodes.insert(path.clone(), node);
            }
        }
    }

    fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        self.remove_below(path);
    }

    pub(crate) fn remove_below(&mut self, path: &str) {
        let below = format!("{path}/");
        self.nodes.retain(|other, _| !other.starts_with(&below));
    }
}

/// The directory that a path is in; empty for the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

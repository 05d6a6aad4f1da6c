//! From a commit to files.

use super::object::{field, header, peel};
use super::{Error, Kind, Object, ObjectId, Objects, TREE_DEPTH_LIMIT};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use lapstrake_sys::dir::Dir;
use rustix::fs::{Mode, OFlags};
use sha1::{Digest as _, Sha1};
use std::collections::BTreeSet;
use std::io::{self, Write};

/// How a commit is checked out.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckoutOptions<'a> {
    /// The directory of the commit's tree that is written; empty is the whole.
    pub directory: &'a str,
    /// Whether a repository with this one commit is made beside the files.
    pub keep_git: bool,
    /// What its remote `origin` is called.
    pub origin: &'a str,
}

/// What was checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedOut {
    /// The commit.
    pub commit: ObjectId,
    /// Paths that are other repositories' commits, relative to the directory that was written.
    pub submodules: Vec<(String, ObjectId)>,
}

/// Writes the tree of a commit, or of the commit that a tag stands for, into an empty directory. As with
/// git itself, files have the time of the checkout.
pub fn checkout(
    objects: &dyn Objects,
    id: &ObjectId,
    into: &Dir,
    options: &CheckoutOptions<'_>,
) -> Result<CheckedOut, Error> {
    let (commit, object) = peel(objects, id)?;
    let mut walk = Walk {
        objects,
        submodules: Vec::new(),
        keeper: options.keep_git.then(Keeper::default),
    };
    let root = field(&object.content, "tree")?;
    let tree = walk.subtree(root, options.directory)?;
    walk.tree(&tree, into, "", 0)?;
    let Walk {
        submodules, keeper, ..
    } = walk;
    if let Some(mut keeper) = keeper {
        keeper.keep(commit, &object);
        keeper.finish(objects, root, commit, into, options)?;
    }
    Ok(CheckedOut { commit, submodules })
}

/// An entry of a tree.
struct Entry<'a> {
    mode: u32,
    name: &'a str,
    id: ObjectId,
}

const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const COMMIT: u32 = 0o160_000;
const EXECUTABLE: u32 = 0o100;
const TYPE: u32 = 0o170_000;

/// The entries of a tree; an error for a name that no directory can hold or that would be a repository.
fn entries(content: &[u8]) -> Result<Vec<Entry<'_>>, Error> {
    let mut entries = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let (entry, after) = entry(rest).ok_or_else(|| Error::invalid("damaged tree"))?;
        let name = entry.name;
        let bad = name.is_empty()
            || name == "."
            || name == ".."
            || name.contains('/')
            || name.eq_ignore_ascii_case(".git");
        if bad {
            return Err(Error::invalid(format!("invalid path '{name}' in a tree")));
        }
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

fn entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let (head, rest) = bytes.split_at_checked(end)?;
    let (mode, name) = std::str::from_utf8(head).ok()?.split_once(' ')?;
    let (id, after) = rest.get(1..)?.split_at_checked(20)?;
    let entry = Entry {
        mode: u32::from_str_radix(mode, 8).ok()?,
        name,
        id: ObjectId::from_bytes(id)?,
    };
    Some((entry, after))
}

struct Walk<'a> {
    objects: &'a dyn Objects,
    submodules: Vec<(String, ObjectId)>,
    keeper: Option<Keeper>,
}

impl Walk<'_> {
    fn read(&mut self, id: &ObjectId, kind: Kind) -> Result<Object, Error> {
        let object = self.objects.read(id)?;
        if object.kind != kind {
            return Err(Error::invalid(format!("object {id} is no {}", kind.word())));
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(*id, &object);
        }
        Ok(object)
    }

    /// The tree of a directory.
    fn subtree(&mut self, root: ObjectId, directory: &str) -> Result<Object, Error> {
        let mut tree = self.read(&root, Kind::Tree)?;
        for name in directory
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
        {
            let found = entries(&tree.content)?
                .into_iter()
                .find(|entry| entry.name == name && entry.mode & TYPE == DIRECTORY)
                .map(|entry| entry.id);
            let id = found.ok_or_else(|| Error::NoDirectory(directory.to_owned()))?;
            tree = self.read(&id, Kind::Tree)?;
        }
        Ok(tree)
    }

    fn tree(&mut self, tree: &Object, into: &Dir, path: &str, depth: usize) -> Result<(), Error> {
        if depth > TREE_DEPTH_LIMIT {
            return Err(Error::TooLarge("directories too deep"));
        }
        for entry in entries(&tree.content)? {
            let path = match path {
                "" => entry.name.to_owned(),
                path => format!("{path}/{}", entry.name),
            };
            let failed = || Error::io(format!("write {path}"));
            match entry.mode & TYPE {
                DIRECTORY => {
                    into.create_dir(entry.name, 0o755).map_err(failed())?;
                    let child = into.child(entry.name).map_err(failed())?;
                    chmod(&child, 0o755).map_err(failed())?;
                    let tree = self.read(&entry.id, Kind::Tree)?;
                    self.tree(&tree, &child, &path, depth.saturating_add(1))?;
                }
                LINK => {
                    let target = self.read(&entry.id, Kind::Blob)?.content;
                    rustix::fs::symlinkat(target.as_slice(), into, entry.name)
                        .map_err(|error| failed()(error.into()))?;
                }
                COMMIT => {
                    into.create_dir(entry.name, 0o755).map_err(failed())?;
                    self.submodules.push((path.clone(), entry.id));
                }
                _ => self.file(&entry, into).map_err(|error| match error {
                    Error::Io { source, .. } => failed()(source),
                    other => other,
                })?,
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &Entry<'_>, into: &Dir) -> Result<(), Error> {
        let content = self.read(&entry.id, Kind::Blob)?.content;
        let mode = if entry.mode & EXECUTABLE == 0 {
            0o644
        } else {
            0o755
        };
        let mut file = into
            .create_file(entry.name, mode)
            .map_err(Error::io("open"))?;
        file.write_all(&content).map_err(Error::io("write"))?;
        chmod(&file, mode).map_err(Error::io("chmod"))
    }
}

/// Whatever the process' mask says.
fn chmod(file: impl std::os::fd::AsFd, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Collects objects for a repository beside the files.
#[derive(Default)]
struct Keeper {
    seen: BTreeSet<ObjectId>,
    loose: Vec<(ObjectId, Vec<u8>)>,
}

impl Keeper {
    fn keep(&mut self, id: ObjectId, object: &Object) {
        if !self.seen.insert(id) {
            return;
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        let head = header(object.kind, object.content.len());
        let written = encoder
            .write_all(head.as_bytes())
            .and_then(|()| encoder.write_all(&object.content))
            .and_then(|()| encoder.finish());
        // Writing to memory does not fail.
        self.loose.extend(written.ok().map(|bytes| (id, bytes)));
    }

    /// Writes `.git`: the objects, a detached HEAD, and the mark that older commits are absent.
    fn finish(
        mut self,
        objects: &dyn Objects,
        root: ObjectId,
        commit: ObjectId,
        into: &Dir,
        options: &CheckoutOptions<'_>,
    ) -> Result<(), Error> {
        let mut index = Vec::new();
        self.rest(objects, root, "", &mut index)?;
        let failed = || Error::io("write .git");
        let git = into.child_or_create(".git", 0o755).map_err(failed())?;
        for folder in ["refs", "objects"] {
            git.create_dir(folder, 0o755).map_err(failed())?;
        }
        let refs = git.child("refs").map_err(failed())?;
        for folder in ["heads", "tags"] {
            refs.create_dir(folder, 0o755).map_err(failed())?;
        }
        let store = git.child("objects").map_err(failed())?;
        for (id, bytes) in &self.loose {
            let name = id.to_string();
            let (first, rest) = name.split_at(2);
            let folder = store.child_or_create(first, 0o755).map_err(failed())?;
            write(&folder, rest, bytes, 0o444)?;
        }
        let config = format!(
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n[remote \"origin\"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
            options.origin
        );
        write(&git, "HEAD", format!("{commit}\n").as_bytes(), 0o644)?;
        write(&git, "config", config.as_bytes(), 0o644)?;
        write(&git, "shallow", format!("{commit}\n").as_bytes(), 0o644)?;
        if options.directory.is_empty() {
            write(&git, "index", &index_file(&index), 0o644)?;
        }
        Ok(())
    }

    /// What the walk has not read: everything beside the directory that was written. Lists all files.
    fn rest(
        &mut self,
        objects: &dyn Objects,
        tree: ObjectId,
        path: &str,
        index: &mut Vec<(String, u32, ObjectId)>,
    ) -> Result<(), Error> {
        let object = objects.read(&tree)?;
        self.keep(tree, &object);
        if path.split('/').count() > TREE_DEPTH_LIMIT {
            return Err(Error::TooLarge("directories too deep"));
        }
        for entry in entries(&object.content)? {
            let path = match path {
                "" => entry.name.to_owned(),
                path => format!("{path}/{}", entry.name),
            };
            match entry.mode & TYPE {
                DIRECTORY => self.rest(objects, entry.id, &path, index)?,
                COMMIT => index.push((path, entry.mode, entry.id)),
                _ => {
                    if !self.seen.contains(&entry.id) {
                        self.keep(entry.id, &objects.read(&entry.id)?);
                    }
                    index.push((path, entry.mode, entry.id));
                }
            }
        }
        Ok(())
    }
}

/// The index of a work tree, version 2, that knows nothing of the files yet: git looks at their content.
fn index_file(entries: &[(String, u32, ObjectId)]) -> Vec<u8> {
    /// Bytes of an entry before its name, and the unit of its length.
    const FIXED: usize = 62;
    const UNIT: usize = 8;
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut out = b"DIRC\0\0\0\x02".to_vec();
    out.extend_from_slice(&count.to_be_bytes());
    for (path, mode, id) in entries {
        let start = out.len();
        out.extend_from_slice(&[0; 24]);
        out.extend_from_slice(&mode.to_be_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&id.0);
        let length = u16::try_from(path.len()).unwrap_or(0xfff).min(0xfff);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(path.as_bytes());
        let length = FIXED.saturating_add(path.len());
        let padded = (length / UNIT).saturating_add(1).saturating_mul(UNIT);
        out.resize(start.saturating_add(padded), 0);
    }
    let sum: [u8; 20] = Sha1::digest(&out).into();
    out.extend_from_slice(&sum);
    out
}

fn write(dir: &Dir, name: &str, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode))
        .map_err(Error::io(format!("write .git/{name}")))?;
    std::fs::File::from(fd)
        .write_all(bytes)
        .map_err(Error::io(format!("write .git/{name}")))
}

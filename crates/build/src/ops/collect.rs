//! What `COPY` and `ADD` read: sources are matched against a tree, and everything they bring is listed with its
//! metadata. Contents are not read here, but for their digests when a key is wanted.

use super::path::{TreePath, bytes, clean, names};
use super::pattern::{Pattern, has_wildcards};
use crate::cache::{Digests, FileList, Key, KeyHasher};
use crate::cancel::CancelToken;
use crate::error::StepError;
use crate::source::{Attributes, FileKind, Metadata, SourceTree, Time};
use lapstrake_dockerfile::ignore::{MatchInfo, Matcher};
use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most files that one instruction brings.
const ITEM_LIMIT: usize = 10_000_000;
/// How deep directories are nested at most.
const DEPTH_LIMIT: usize = 1024;
/// How many symbolic links a source may lead through.
const LINK_LIMIT: usize = 40;
/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A tree to be read, and how.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) tree: Arc<dyn SourceTree>,
    /// Remembered digests of its files.
    pub(crate) digests: Option<Arc<Digests>>,
    /// Whether files keep their owners; otherwise they are root's.
    pub(crate) owners: bool,
    /// Whether it is what another step made, for texts.
    pub(crate) stage: bool,
}

/// How paths are matched.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) excludes: Matcher,
    pub(crate) parents: bool,
    pub(crate) follow_links: bool,
    /// The classic builder's texts.
    pub(crate) classic: bool,
    /// `COPY` or `ADD`, for texts.
    pub(crate) instruction: &'static str,
    /// Wildcards are taken as such.
    pub(crate) wildcards: bool,
}

/// One source path and what is below it.
pub(crate) struct Match {
    pub(crate) reading: Reading,
    /// What the last component was called: the name that a file gets in a directory.
    pub(crate) name: Vec<u8>,
    /// Directories that are kept (`--parents`), outermost first.
    pub(crate) above: Vec<Item>,
    /// Its items: the first one is the source itself.
    pub(crate) items: std::ops::Range<usize>,
}

/// One file, directory, link, …
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The path in its tree.
    pub(crate) path: PathBuf,
    /// The path below the source; empty for the source itself. Of a directory that is kept: below the destination.
    pub(crate) relative: Vec<u8>,
    pub(crate) metadata: Metadata,
}

/// What was read of a file.
pub(crate) struct Seen {
    pub(crate) content: Key,
    /// Its extended attributes, if they were looked at.
    pub(crate) xattrs: Option<Attributes>,
}

/// Everything that an instruction brings.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) matches: Vec<Match>,
    pub(crate) items: Vec<Item>,
}

impl Seen {
    fn of(content: Key) -> Self {
        Self {
            content,
            xattrs: None,
        }
    }
}

impl Collected {
    /// Adds what one source path matches.
    pub(crate) fn add(
        &mut self,
        reading: &Reading,
        source: &str,
        rules: &Rules,
    ) -> Result<(), StepError> {
        let paths = if rules.wildcards && has_wildcards(source) {
            expand(reading.tree.as_ref(), source, rules)?
        } else {
            vec![clean(source.as_bytes())]
        };
        for path in paths {
            self.add_path(reading, source, &path, rules)?;
        }
        Ok(())
    }

    fn add_path(
        &mut self,
        reading: &Reading,
        source: &str,
        path: &Path,
        rules: &Rules,
    ) -> Result<(), StepError> {
        let tree = reading.tree.as_ref();
        let found = resolve(tree, path, rules.follow_links)?;
        let Some((real, metadata)) = found else {
            return Err(not_found(reading, source, path, rules));
        };
        let first = self.items.len();
        let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
        if metadata.kind != FileKind::Directory {
            let excluded =
                std::str::from_utf8(&name).is_ok_and(|name| rules.excludes.matches(name));
            if excluded {
                return Ok(());
            }
        }
        let above = if rules.parents {
            parents(tree, source, path)?
        } else {
            Vec::new()
        };
        let directory = metadata.kind == FileKind::Directory;
        self.push(Item {
            path: real.clone(),
            relative: Vec::new(),
            metadata,
        })?;
        if directory {
            let info = MatchInfo::default();
            self.walk(tree, (&real, b""), rules, (&info, 0))?;
        }
        self.matches.push(Match {
            reading: reading.clone(),
            name,
            above,
            items: first..self.items.len(),
        });
        Ok(())
    }

    fn push(&mut self, item: Item) -> Result<(), StepError> {
        if self.items.len() >= ITEM_LIMIT {
            return Err(StepError::Invalid(format!(
                "more than {ITEM_LIMIT} files in one instruction"
            )));
        }
        self.items.push(item);
        Ok(())
    }

    /// Lists what is below a directory. A directory that is excluded comes in with the first thing in it
    /// that is not.
    fn walk(
        &mut self,
        tree: &dyn SourceTree,
        (path, relative): (&Path, &[u8]),
        rules: &Rules,
        (above, depth): (&MatchInfo, usize),
    ) -> Result<(), StepError> {
        if depth >= DEPTH_LIMIT {
            return Err(StepError::Invalid(format!(
                "directories are nested deeper than {DEPTH_LIMIT}: /{}",
                path.display()
            )));
        }
        for entry in tree.list(path)? {
            let mut below = relative.to_vec();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(entry.name.as_bytes());
            let child = path.join(&entry.name);
            let text = String::from_utf8_lossy(&below).into_owned();
            let (excluded, info) = if rules.excludes.is_empty() {
                (false, above.clone())
            } else {
                rules.excludes.matches_below(&text, above)
            };
            let directory = entry.metadata.kind == FileKind::Directory;
            if entry.metadata.kind == FileKind::Socket
                || (excluded && (!directory || rules.excludes.may_skip_dir(&text)))
            {
                continue;
            }
            let at = self.items.len();
            self.push(Item {
                path: child.clone(),
                relative: below.clone(),
                metadata: entry.metadata,
            })?;
            if directory {
                self.walk(tree, (&child, &below), rules, (&info, depth + 1))?;
            }
            if excluded && self.items.len() == at + 1 {
                self.items.pop();
            }
        }
        Ok(())
    }

    /// The list of files with the digests of what the step sees of them. `known` are contents
    /// that were read already.
    pub(crate) fn digest<'a>(
        &self,
        known: &dyn Fn(usize) -> Option<&'a Seen>,
        cancel: &CancelToken,
    ) -> Result<(FileList, Vec<u8>), StepError> {
        let mut text = Vec::new();
        let mut buffer = Vec::new();
        for found in &self.matches {
            // What a file is called matters, because its name at the destination may depend on it.
            let mut hasher = KeyHasher::new("source");
            hasher.field(&found.name);
            for item in &found.above {
                hasher.field(&item.relative);
                hasher.number(item.metadata.mode.into());
                if found.reading.owners {
                    hasher.number(item.metadata.uid.into());
                    hasher.number(item.metadata.gid.into());
                }
                let content = content(&found.reading, item, &mut buffer)?;
                hasher.field(content.as_bytes());
            }
            let start = hasher.finish();
            for index in found.items.clone() {
                if cancel.is_cancelled() {
                    return Err(StepError::Cancelled);
                }
                let Some(item) = self.items.get(index) else {
                    continue;
                };
                let content = match known(index) {
                    Some(seen) => full_digest(&found.reading, item, seen)?,
                    None => content(&found.reading, item, &mut buffer)?,
                };
                let digest = seen(&start, &found.reading, item, &content);
                crate::cache::push_file(&mut text, bytes(&item.path), &digest);
            }
        }
        let count = self.items.len() as u64;
        let digest = Key::of(&text).to_string();
        Ok((FileList { digest, count }, text))
    }
}

/// What a step sees of an item, times left out.
fn seen(start: &Key, reading: &Reading, item: &Item, content: &Key) -> Key {
    let metadata = &item.metadata;
    let mut hasher = KeyHasher::new("file");
    hasher.field(start.as_bytes()).field(&item.relative);
    hasher.number(metadata.kind as u64);
    if metadata.kind != FileKind::Symlink {
        hasher.number(metadata.mode.into());
    }
    if reading.owners {
        hasher.number(metadata.uid.into());
        hasher.number(metadata.gid.into());
    }
    hasher.field(content.as_bytes());
    hasher.finish()
}

/// The digest of content and attributes; remembered for files.
fn content(reading: &Reading, item: &Item, buffer: &mut Vec<u8>) -> Result<Key, StepError> {
    let remembered = || {
        let digests = reading.digests.as_ref()?;
        digests.get(bytes(&item.path), &item.metadata)
    };
    if item.metadata.kind == FileKind::File {
        if let Some(known) = remembered() {
            return Ok(known);
        }
        let content = match reading.tree.content_key(&item.path) {
            Some(known) => known,
            None => read(reading.tree.as_ref(), &item.path, buffer)?,
        };
        return full_digest(reading, item, &Seen::of(content));
    }
    let mut hasher = KeyHasher::new("special");
    match item.metadata.kind {
        FileKind::Symlink => {
            let target = reading.tree.read_link(&item.path)?;
            hasher.field(bytes(&target));
        }
        FileKind::CharDevice | FileKind::BlockDevice => {
            hasher.number(item.metadata.device.0.into());
            hasher.number(item.metadata.device.1.into());
        }
        _ => {}
    }
    full_digest(reading, item, &Seen::of(hasher.finish()))
}

/// Adds the extended attributes, and remembers the result for a file.
fn full_digest(reading: &Reading, item: &Item, seen: &Seen) -> Result<Key, StepError> {
    if item.metadata.kind == FileKind::File
        && let Some(digests) = &reading.digests
        && let Some(known) = digests.get(bytes(&item.path), &item.metadata)
    {
        return Ok(known);
    }
    let looked;
    let xattrs = match &seen.xattrs {
        Some(xattrs) => xattrs,
        None => {
            looked = reading.tree.xattrs(&item.path)?;
            &looked
        }
    };
    let digest = if xattrs.is_empty() {
        seen.content
    } else {
        let mut hasher = KeyHasher::new("attributes");
        hasher.field(seen.content.as_bytes());
        for (name, value) in xattrs {
            hasher.field(name).field(value);
        }
        hasher.finish()
    };
    if item.metadata.kind == FileKind::File
        && let Some(digests) = &reading.digests
    {
        digests.put(bytes(&item.path), &item.metadata, digest);
    }
    Ok(digest)
}

fn read(tree: &dyn SourceTree, path: &Path, buffer: &mut Vec<u8>) -> Result<Key, StepError> {
    buffer.resize(BUFFER_BYTES, 0);
    let mut file = tree.open(path)?;
    let mut hasher = crate::cache::ContentHasher::default();
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let what = format!("read {} of {}", path.display(), tree.describe());
                return Err(StepError::io(what)(error));
            }
        }
    }
    Ok(hasher.finish())
}

/// Follows links in the parents of a path, and in its last name when that is wanted. None when there is nothing.
pub(crate) fn resolve(
    tree: &dyn SourceTree,
    path: &Path,
    last: bool,
) -> Result<Option<(PathBuf, Metadata)>, StepError> {
    let mut rest: VecDeque<Vec<u8>> = names(bytes(path)).map(<[u8]>::to_vec).collect();
    let mut here = TreePath::root();
    let mut found = root_metadata(tree)?;
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == b".." {
            here.pop();
            continue;
        }
        here.push(&name);
        let Some(metadata) = tree.metadata(&clean(&here.to_bytes()))? else {
            return Ok(None);
        };
        if metadata.kind != FileKind::Symlink || (rest.is_empty() && !last) {
            if metadata.kind != FileKind::Directory && !rest.is_empty() {
                return Ok(None);
            }
            found = metadata;
            continue;
        }
        links += 1;
        if links > LINK_LIMIT {
            return Err(StepError::Invalid(format!(
                "too many links in /{}",
                path.display()
            )));
        }
        let target = tree.read_link(&clean(&here.to_bytes()))?;
        here.pop();
        if target.is_absolute() {
            here = TreePath::root();
        }
        for name in names(bytes(&target)).rev() {
            rest.push_front(name.to_vec());
        }
        if rest.is_empty() {
            found = root_metadata(tree)?;
        }
    }
    let path = clean(&here.to_bytes());
    // A link may have led upwards again.
    if links > 0
        && let Some(metadata) = tree.metadata(&path)?
    {
        found = metadata;
    }
    Ok(Some((path, found)))
}

fn root_metadata(tree: &dyn SourceTree) -> Result<Metadata, StepError> {
    Ok(tree.metadata(Path::new(""))?.unwrap_or(Metadata {
        kind: FileKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        size: 0,
        modified: Time::default(),
        device: (0, 0),
        links: 1,
        identity: None,
    }))
}

/// The paths that match a pattern, sorted. Links among the directories on the way are followed.
fn expand(tree: &dyn SourceTree, source: &str, rules: &Rules) -> Result<Vec<PathBuf>, StepError> {
    let is_deep = rules.parents && source.contains("**");
    let mut paths = if is_deep {
        expand_deep(tree, source)?
    } else {
        vec![PathBuf::new()]
    };
    for component in source.split('/').filter(|_| !is_deep) {
        if matches!(component, "" | ".") {
            continue;
        }
        if !has_wildcards(component) {
            for path in &mut paths {
                if component == ".." {
                    path.pop();
                } else {
                    path.push(component);
                }
            }
            continue;
        }
        let pattern = Pattern::parse(component)
            .map_err(|_bad| StepError::invalid("syntax error in pattern"))?;
        let mut matching = Vec::new();
        for path in &paths {
            let Some((real, metadata)) = resolve(tree, path, true)? else {
                continue;
            };
            if metadata.kind != FileKind::Directory {
                continue;
            }
            for entry in tree.list(&real)? {
                if pattern.matches(&entry.name.to_string_lossy()) {
                    matching.push(path.join(&entry.name));
                }
            }
        }
        paths = matching;
    }
    let mut there = Vec::new();
    for path in paths {
        if resolve(tree, &path, rules.follow_links)?.is_some() {
            there.push(path);
        }
    }
    if there.is_empty() {
        return Err(if rules.classic {
            StepError::Invalid(format!(
                "{} failed: no source files were specified",
                rules.instruction
            ))
        } else {
            StepError::Invalid(format!("lstat {source}: no such file or directory"))
        });
    }
    Ok(there)
}

/// The paths that a pattern with `**` matches, which stands for any number of directories; with `--parents` sources are
/// patterns of an ignore file. What is below a match belongs to it.
fn expand_deep(tree: &dyn SourceTree, source: &str) -> Result<Vec<PathBuf>, StepError> {
    let mut parts: Vec<&str> = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let first: PathBuf = parts
        .iter()
        .take_while(|part| !has_wildcards(part))
        .collect();
    // At the beginning of a pattern it is a mark.
    let text = parts.join("/");
    let escape = if text.starts_with('!') { "\\" } else { "" };
    let matcher = super::run::matcher(&[format!("{escape}{text}")])?;
    let mut found = Vec::new();
    let mut directories = vec![first];
    while let Some(path) = directories.pop() {
        if path.components().count() >= DEPTH_LIMIT {
            return Err(StepError::Invalid(format!(
                "directories are nested deeper than {DEPTH_LIMIT}: /{}",
                path.display()
            )));
        }
        let Some((real, metadata)) = resolve(tree, &path, true)? else {
            continue;
        };
        if metadata.kind != FileKind::Directory {
            continue;
        }
        for entry in tree.list(&real)? {
            let child = path.join(&entry.name);
            if matcher.matches(&child.to_string_lossy()) {
                found.push(child);
            } else if entry.metadata.kind == FileKind::Directory {
                directories.push(child);
            }
        }
        if found.len() > ITEM_LIMIT {
            return Err(StepError::Invalid(format!(
                "more than {ITEM_LIMIT} files in one instruction"
            )));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a path, read word by word, goes above where it starts.
fn leads_out(path: &str) -> bool {
    let mut depth = 0_usize;
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

fn not_found(reading: &Reading, source: &str, path: &Path, rules: &Rules) -> StepError {
    StepError::Invalid(match (rules.classic, reading.stage) {
        (true, false) if leads_out(source) => format!(
            "{} failed: forbidden path outside the build context: {source} ()",
            rules.instruction
        ),
        (true, false) => format!(
            "{} failed: file not found in build context or excluded by .dockerignore: stat {source}: file does not exist",
            rules.instruction
        ),
        (true, true) => format!(
            "{} failed: stat {source}: file does not exist",
            rules.instruction
        ),
        (false, false) => format!(
            "failed to compute cache key: failed to calculate checksum of the build context: \"/{}\": not found",
            path.display()
        ),
        (false, true) => format!("lstat /{}: no such file or directory", path.display()),
    })
}

/// The directories of a path after its `/./`, or all of them, with what they are in the source.
fn parents(tree: &dyn SourceTree, source: &str, path: &Path) -> Result<Vec<Item>, StepError> {
    let skipped = match source.split_once("/./") {
        Some((before, _)) => names(before.as_bytes()).count(),
        None => 0,
    };
    let mut found = Vec::new();
    let mut here = TreePath::root();
    let mut kept = TreePath::root();
    let all: Vec<&[u8]> = names(bytes(path)).collect();
    for (index, name) in all.iter().enumerate().take(all.len().saturating_sub(1)) {
        here.push(name);
        if index < skipped {
            continue;
        }
        kept.push(name);
        if let Some((path, metadata)) = resolve(tree, &clean(&here.to_bytes()), true)? {
            found.push(Item {
                path,
                relative: kept.to_bytes(),
                metadata,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

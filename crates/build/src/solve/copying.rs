//! `COPY` and `ADD`: what they bring is listed, looked for, and written when it is new.
//!
//! The key is about content, and reading everything only to find that nothing is known would be a second pass. So there is a
//! short cut: a name of all that is known before files are read. When nothing is behind it, no layer of this step can be known,
//! and the files are hashed while they are copied. Records from elsewhere bring one of their own. When its source is another node, whose content is known, what is
//! behind it is the layer itself.

use super::describe::Patience;
use super::schedule::Solver;
use super::{Made, Trees};
use crate::cache::{FileList, Inputs, Key, shortcut};
use crate::error::{SolveError, StepError};
use crate::graph::{Copy, CopyKind, CopySource, Node, Tree};
use crate::ops::collect::{Collected, Item, Match, Reading, Rules, Seen};
use crate::ops::copy::{self, Placing};
use crate::ops::draft::Draft;
use crate::ops::layer::Finished;
use crate::ops::owner::{self, Mode};
use crate::ops::run::matcher;
use crate::ops::single;
use crate::plan::Dialect;
use crate::source::{FileKind, GitRequest, HttpRequest};
use lapstrake_snapshot::View;
use lapstrake_spec::{Digest, Hasher};
use lapstrake_store::LayerTree;
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

const READ_BYTES: usize = 64 << 10;

/// The files of a `COPY`, and what must live as long as they are read.
struct Brought {
    collected: Collected,
    _held: Vec<Trees>,
}

impl Solver<'_> {
    pub(super) fn make_copy(
        &self,
        node: &Node,
        (copy, token): (&Copy, Key),
        parent: &Made,
    ) -> Result<Made, SolveError> {
        let wrong = |error| Self::failed(node, error, None);
        let (mut inputs, complete) = self
            .describe(node, parent, &[], Patience::AsIs)
            .map_err(wrong)?;
        let source = match &copy.from {
            Tree::Node(id) => self.identity_of(*id, Patience::AsIs).map_err(wrong)?,
            _ => None,
        };
        let name = shortcut(&inputs, source);
        let look = complete && !node.step.ignore_cache;
        let pointed = if look {
            self.cache.pointed(&name)
        } else {
            None
        };
        let local = copy
            .sources
            .iter()
            .all(|s| matches!(s, CopySource::Path(_)));
        if let (Some(key), Some(_), true) = (&pointed, source, local)
            && let Some(found) = self.find(node, key).map_err(wrong)?
        {
            self.using_cache();
            return Ok(Self::made_of(parent, token, found));
        }
        let brought = self.bring(copy).map_err(wrong)?;
        if look && self.is_likely(pointed.as_ref(), &inputs, source) {
            let (list, text) = brought
                .collected
                .digest(&|_| None, &self.cancel)
                .map_err(wrong)?;
            self.keep_list(&list, &text).map_err(wrong)?;
            inputs.files = Some(list);
            if let Some(found) = self.find(node, &inputs.key()).map_err(wrong)? {
                self.point(&name, &inputs.key());
                self.using_cache();
                return Ok(Self::made_of(parent, token, found));
            }
        }
        self.explain(node, parent, &inputs)?;
        let (mut finished, tree, read) = self.write_copy(copy, parent, &brought).map_err(wrong)?;
        // The files as they were when they were read are what the record is about.
        let known = |slot: usize| read.get(&slot);
        let (list, text) = brought
            .collected
            .digest(&known, &self.cancel)
            .map_err(wrong)?;
        self.keep_list(&list, &text).map_err(wrong)?;
        let (mut inputs, _) = self
            .describe(node, parent, &[], Patience::Wait)
            .map_err(wrong)?;
        let source = match &copy.from {
            Tree::Node(id) => self.identity_of(*id, Patience::Wait).map_err(wrong)?,
            _ => None,
        };
        let name = shortcut(&inputs, source);
        let is_classic = self.request.options.dialect == Dialect::Classic;
        let mark = is_classic.then(|| mark(copy, &brought.collected, &list));
        finished.mark = mark.transpose().map_err(wrong)?;
        inputs.files = Some(list);
        if !node.step.ignore_cache
            && let Some(found) = self.find(node, &inputs.key()).map_err(wrong)?
        {
            // Another step, or another build, has made the same.
            self.point(&name, &inputs.key());
            return Ok(Self::made_of(parent, token, found));
        }
        let cell = self.finish_now(node, inputs, &finished, tree);
        if let Some(key) = self.key_of(node) {
            self.point(&name, &key);
        }
        Ok(Self::ran(node, parent, token, cell))
    }

    /// Whether reading files to look for a layer is worth while.
    fn is_likely(&self, pointed: Option<&Key>, inputs: &Inputs, source: Option<Key>) -> bool {
        // The short cut of a record from elsewhere does not tell what its source was, or there is none until it is fetched. A
        // step that must not run is looked for whatever that costs.
        pointed.is_some()
            || self.request.imports.is_some()
            || self.request.options.expect_cached
            || (source.is_some() && self.cache.pointed(&shortcut(inputs, None)).is_some())
    }

    /// Remembers what is behind a short cut. What it leads to matters only when its source is a node;
    /// otherwise it says that looking is worth while.
    fn point(&self, name: &Key, key: &Key) {
        // Without it the next build is slower.
        self.cache.point(name, key).ok();
    }

    fn keep_list(&self, list: &FileList, text: &[u8]) -> Result<(), StepError> {
        Ok(self.cache.put_files(list, text)?)
    }

    /// Lists everything that a `COPY` brings.
    fn bring(&self, copy: &Copy) -> Result<Brought, StepError> {
        let classic = self.request.options.dialect == Dialect::Classic;
        let rules = Rules {
            excludes: matcher(&copy.excludes)?,
            parents: copy.parents,
            follow_links: true,
            classic,
            instruction: match copy.kind {
                CopyKind::Copy => "COPY",
                CopyKind::Add => "ADD",
            },
            wildcards: true,
        };
        let mut collected = Collected::default();
        let mut held = Vec::new();
        let mut reading: Option<Reading> = None;
        for source in &copy.sources {
            match source {
                CopySource::Path(path) => {
                    if reading.is_none() {
                        let (found, keep) = self.reading(&copy.from)?;
                        held.push(keep);
                        reading = Some(found);
                    }
                    if let Some(reading) = &reading {
                        collected.add(reading, path, &rules)?;
                    }
                }
                other => {
                    let (reading, name) = self.remote(other)?;
                    let rules = Rules {
                        parents: false,
                        wildcards: false,
                        excludes: matcher(&copy.excludes)?,
                        ..rules
                    };
                    collected.add(&reading, &name, &rules)?;
                }
            }
        }
        Ok(Brought {
            collected,
            _held: held,
        })
    }

    /// A source that is no path of a tree, as a tree, and what to take of it.
    fn remote(&self, source: &CopySource) -> Result<(Reading, String), StepError> {
        let sources = &self.request.sources;
        let cancel = &self.cancel;
        let (tree, name): (Arc<dyn crate::source::SourceTree>, String) = match source {
            CopySource::Path(path) => (Arc::new(single::SingleFile::nothing()), path.clone()),
            CopySource::Inline(file) => (
                Arc::new(single::SingleFile::inline(file, self.now)),
                file.path.clone(),
            ),
            CopySource::Http(http) => {
                let checksum = match &http.checksum {
                    None => None,
                    Some(text) => Some(Digest::parse(text).map_err(|error| {
                        StepError::Invalid(format!("invalid checksum {text:?}: {error}"))
                    })?),
                };
                let request = HttpRequest {
                    url: http.url.clone(),
                    checksum,
                };
                let mut file = sources.http(&request, cancel)?;
                if !http.file_name.is_empty() {
                    file.name.clone_from(&http.file_name);
                }
                let name = file.name.clone();
                (Arc::new(single::SingleFile::remote(file)), name)
            }
            CopySource::Git(git) => {
                let request = GitRequest {
                    url: git.url.clone(),
                    keep_git_dir: git.keep_git_dir,
                    checksum: git.checksum.clone(),
                };
                (sources.git(&request, cancel)?.tree, String::new())
            }
        };
        let reading = Reading {
            tree,
            digests: None,
            owners: false,
            stage: false,
        };
        Ok((reading, name))
    }

    /// Writes the layer of a `COPY`, and tells the contents it has read.
    fn write_copy(
        &self,
        copy: &Copy,
        parent: &Made,
        brought: &Brought,
    ) -> Result<(Finished, LayerTree, BTreeMap<usize, Seen>), StepError> {
        let store = self.request.store;
        let classic = self.request.options.dialect == Dialect::Classic;
        let named = copy.chown.as_deref().is_some_and(owner::has_names);
        let (paths, _held) = if copy.is_linked() && !named {
            (Vec::new(), Vec::new())
        } else {
            parent.chain.trees(store)?
        };
        let view = View::of(&paths)?;
        let owner = copy
            .chown
            .as_deref()
            .map(|text| owner::resolve(text, Some(&view), classic))
            .transpose()?;
        let below = (!copy.is_linked() && !paths.is_empty()).then_some(&view);
        let mut draft = Draft::new(below, self.now);
        let placing = Placing {
            destination: &copy.destination,
            owner,
            mode: copy.chmod.as_deref().map(Mode::parse).transpose()?,
            unpack: unpacks(copy),
            parents: copy.parents,
            classic,
        };
        let _staged = copy::place(&mut draft, &brought.collected, &placing, store)?;
        let (finished, tree, mut digests) = self.write_draft(&draft)?;
        let mut read = BTreeMap::new();
        for planned in draft.entries().values() {
            if let Some(slot) = planned.slot
                && let Some(content) = digests.remove(&slot)
            {
                // The classic builder does not keep all of them.
                let xattrs = (!classic).then(|| planned.xattrs.clone());
                read.insert(slot, Seen { content, xattrs });
            }
        }
        Ok((finished, tree, read))
    }
}

fn unpacks(copy: &Copy) -> bool {
    let fetched = copy
        .sources
        .iter()
        .any(|source| matches!(source, CopySource::Http(_)));
    copy.unpack
        .unwrap_or(copy.kind == CopyKind::Add && !fetched)
}

/// What classic docker's history calls the sources: their kind, and 64 digits of their content. Of a single
/// download it has the digits alone.
fn mark(copy: &Copy, collected: &Collected, list: &FileList) -> Result<String, StepError> {
    let kind = match collected.matches.as_slice() {
        [single] => match collected.items.get(single.items.start) {
            Some(item) if matches!(copy.sources.as_slice(), [CopySource::Http(_)]) => {
                return download_mark(single, item);
            }
            Some(item) if item.metadata.kind == FileKind::Directory => "dir",
            _ => "file",
        },
        _ => "multi",
    };
    Ok(format!("{kind}:{}", list.digest))
}

/// The sum that classic docker makes of a downloaded file: the members of its tar header but for the time, each
/// after its name, and the content.
fn download_mark(source: &Match, item: &Item) -> Result<String, StepError> {
    let (path, metadata) = (&item.path, &item.metadata);
    let mode = FileType::RegularFile.as_raw_mode() | metadata.mode;
    let mut hasher = Hasher::sha256();
    hasher.update(b"name");
    hasher.update(path.as_os_str().as_encoded_bytes());
    let header = format!(
        "mode{mode}uid0gid0size{}typeflag0linknameunamerootgnamerootdevmajor0devminor0",
        metadata.size
    );
    hasher.update(header.as_bytes());
    let mut content = source.reading.tree.open(path)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(StepError::io(format!("read {}", path.display()))(error));
            }
        }
    }
    Ok(hasher.finish().hex().to_owned())
}

/// All files of a named context, as a `COPY` to the root.
pub(super) fn whole_context(name: &str) -> Copy {
    Copy {
        kind: CopyKind::Copy,
        from: Tree::Named(name.to_owned()),
        sources: vec![CopySource::Path("/".to_owned())],
        destination: "/".to_owned(),
        chown: None,
        chmod: None,
        link: true,
        parents: false,
        excludes: Vec::new(),
        unpack: Some(false),
    }
}

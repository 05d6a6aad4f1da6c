//! What a layer depends on, as a record says it.

use super::Made;
use super::schedule::Solver;
use crate::cache::{Inputs, Key, KeyHasher};
use crate::error::StepError;
use crate::graph::{
    Copy, CopySource, Graph, MakeDirectory, MountKind, Node, NodeId, Operation, Origin, Run,
    Security, Tree,
};
use crate::ops::collect::Collected;
use crate::ops::{owner, run};
use crate::plan::Dialect;
use crate::sandbox::Network;
use std::collections::BTreeMap;

/// Whether to wait for digests that are being computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Wait,
    AsIs,
}

/// Names of the places of a graph's steps: the same step of the same Dockerfile has the same name, whatever it says.
pub(super) fn places(graph: &Graph, scope: &str) -> Vec<Key> {
    let mut counts = BTreeMap::new();
    graph
        .nodes
        .iter()
        .map(|node| {
            let stage = node.step.stage.and_then(|id| graph.stage(id));
            let number = counts.entry(node.step.stage).or_insert(0_u64);
            *number += 1;
            let mut hasher = KeyHasher::new("place");
            hasher.field(scope.as_bytes()).number(*number);
            if let Some(stage) = stage {
                hasher.number(stage.index as u64);
                hasher.field(format!("{:?}", stage.platform).as_bytes());
            }
            hasher.finish()
        })
        .collect()
}

impl Solver<'_> {
    /// What a step depends on, files left out. The second value tells whether everything is known.
    pub(super) fn describe(
        &self,
        node: &Node,
        parent: &Made,
        contexts: &[String],
        patience: Patience,
    ) -> Result<(Inputs, bool), StepError> {
        let mut inputs = Inputs {
            base: parent.image.clone(),
            ..Inputs::default()
        };
        let mut complete = true;
        if depends_on_parent(&node.operation) {
            inputs.parent = identity(parent, patience)?;
            complete = inputs.parent.is_some();
        }
        match &node.operation {
            Operation::Run(run) => {
                complete &= self.describe_run(run, contexts, patience, &mut inputs)?;
            }
            Operation::Copy(copy) => describe_copy(copy, &mut inputs),
            Operation::MakeDirectory(directory) => describe_directory(directory, &mut inputs),
            Operation::Context(_) => "context".clone_into(&mut inputs.operation),
            Operation::Base(_) | Operation::Scratch => {}
        }
        let options = self.request.options;
        // The builders differ in small things of what they write and of what programs find.
        if options.dialect == Dialect::Classic {
            let (name, value) = ("builder".to_owned(), "classic".to_owned());
            inputs.options.insert(name, value);
        }
        if let Some(epoch) = options.source_date_epoch {
            let name = if options.rewrite_timestamps {
                Some("latest time")
            } else {
                makes_times(&node.operation).then_some("SOURCE_DATE_EPOCH")
            };
            if let Some(name) = name {
                inputs.options.insert(name.to_owned(), epoch.to_string());
            }
        }
        Ok((inputs, complete))
    }

    /// The content of another node.
    pub(super) fn identity_of(
        &self,
        id: NodeId,
        patience: Patience,
    ) -> Result<Option<Key>, StepError> {
        match self.made(id) {
            Some(made) => identity(&made, patience),
            None => Ok(None),
        }
    }

    fn describe_run(
        &self,
        run: &Run,
        contexts: &[String],
        patience: Patience,
        inputs: &mut Inputs,
    ) -> Result<bool, StepError> {
        "run".clone_into(&mut inputs.operation);
        inputs.words.clone_from(&run.arguments);
        inputs.environment = run
            .environment
            .iter()
            .filter(|variable| variable.origin != Origin::Proxy)
            .map(|variable| (variable.name.clone(), variable.value.clone()))
            .collect();
        let mut option = |name: &str, value: String| {
            if !value.is_empty() {
                inputs.options.insert(name.to_owned(), value);
            }
        };
        option("working directory", run.directory.clone());
        option("user", run.user.clone());
        option("host name", run.hostname.clone());
        if run.network != Network::Default {
            option("network", format!("{:?}", run.network));
        }
        if run.security != Security::Sandbox {
            option("security", "insecure".to_owned());
        }
        let hosts = run.extra_hosts.iter();
        let hosts: Vec<String> = hosts
            .map(|(name, address)| format!("{name}:{address}"))
            .collect();
        option("hosts", hosts.join(" "));
        if !run.volumes.is_empty() {
            option("volumes", format!("{:?}", run.volumes));
        }
        for file in &run.files {
            let text = format!("{:o} {}", file.mode, Key::of(file.content.as_bytes()));
            inputs.mounts.push((file.path.clone(), text));
        }
        let mut complete = true;
        let mut contexts = contexts.iter();
        for mount in &run.mounts {
            let mut text = run::mount_words(mount);
            match source_of(&mount.kind) {
                Some(Tree::Node(id)) => match self.identity_of(*id, patience)? {
                    Some(identity) => text = format!("{text} {identity}"),
                    None => complete = false,
                },
                Some(Tree::Context | Tree::Named(_)) => {
                    let digest = contexts.next().map_or("", String::as_str);
                    text = format!("{text} {digest}");
                }
                Some(Tree::Scratch) | None => {}
            }
            inputs.mounts.push((mount.target.clone(), text));
        }
        Ok(complete)
    }

    /// Digests of what a program sees of contexts, in the order of its mounts: of the copies, where there are any.
    pub(super) fn context_mounts(&self, run: &Run) -> Result<Vec<String>, StepError> {
        let mut digests = Vec::new();
        for mount in &run.mounts {
            let (Some(from @ (Tree::Context | Tree::Named(_))), MountKind::Bind(bind)) =
                (source_of(&mount.kind), &mount.kind)
            else {
                // What is in a cache has no part in the result.
                if matches!(source_of(&mount.kind), Some(Tree::Context | Tree::Named(_))) {
                    digests.push(String::new());
                }
                continue;
            };
            if let Some(digest) = self.snapshots.digest(from, &bind.source) {
                digests.push(digest);
                continue;
            }
            let (reading, _held) = self.reading(from)?;
            let mut collected = Collected::default();
            collected.add(&reading, &bind.source, &run::plain_rules()?)?;
            let (list, _text) = collected.digest(&|_| None, &self.cancel)?;
            digests.push(list.digest);
        }
        Ok(digests)
    }
}

/// The content of a file system.
fn identity(made: &Made, patience: Patience) -> Result<Option<Key>, StepError> {
    match patience {
        Patience::Wait => made.chain.wait_identity().map(Some),
        Patience::AsIs => Ok(made.chain.identity()),
    }
}

/// Whose files a mount shows.
fn source_of(kind: &MountKind) -> Option<&Tree> {
    match kind {
        MountKind::Bind(bind) => Some(&bind.from),
        MountKind::Cache(cache) => Some(&cache.from),
        MountKind::Tmpfs(_) | MountKind::Secret(_) | MountKind::Ssh(_) => None,
    }
}

fn depends_on_parent(operation: &Operation) -> bool {
    match operation {
        Operation::Copy(copy) => {
            !copy.is_linked() || copy.chown.as_deref().is_some_and(owner::has_names)
        }
        Operation::Run(_) | Operation::MakeDirectory(_) => true,
        Operation::Base(_) | Operation::Scratch | Operation::Context(_) => false,
    }
}

/// Whether a step makes files whose times no source tells, so that they are of the build's own.
fn makes_times(operation: &Operation) -> bool {
    match operation {
        Operation::MakeDirectory(_) => true,
        Operation::Copy(copy) => copy
            .sources
            .iter()
            .any(|source| matches!(source, CopySource::Inline(_))),
        _ => false,
    }
}

fn describe_copy(copy: &Copy, inputs: &mut Inputs) {
    "copy".clone_into(&mut inputs.operation);
    inputs.words.push(copy.destination.clone());
    for source in &copy.sources {
        inputs.words.push(match source {
            CopySource::Path(path) => format!("path {path}"),
            CopySource::Inline(file) => format!("inline {}", file.path),
            CopySource::Http(http) => format!("http {}", http.url),
            CopySource::Git(git) => format!("git {} {}", git.url, git.keep_git_dir),
        });
    }
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            inputs.options.insert(name.to_owned(), value);
        }
    };
    option("--chown", copy.chown.clone());
    option("--chmod", copy.chmod.clone());
    option("--link", copy.is_linked().then(|| "true".to_owned()));
    option("--parents", copy.parents.then(|| "true".to_owned()));
    option("--unpack", copy.unpack.map(|unpack| unpack.to_string()));
    option("instruction", Some(format!("{:?}", copy.kind)));
    if !copy.excludes.is_empty() {
        option("--exclude", Some(copy.excludes.join(" ")));
    }
}

fn describe_directory(directory: &MakeDirectory, inputs: &mut Inputs) {
    "directory".clone_into(&mut inputs.operation);
    inputs.words.push(directory.path.clone());
    if let Some(owner) = &directory.owner {
        inputs.options.insert("owner".to_owned(), owner.clone());
    }
}

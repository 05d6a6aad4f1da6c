//! A store, a context, and a sandbox whose program writes what its arguments say.

use crate::cancel::CancelToken;
use crate::error::SolveError;
use crate::event::{BuildEvent, Progress, VertexEnd};
use crate::graph::{
    Copy, CopyKind, CopySource, Graph, ImageWanted, MakeDirectory, Node, NodeId, Operation, Origin,
    Run, Security, StageId, StageResult, StepInfo, TargetResult, Tree, Variable,
};
use crate::ops::lower;
use crate::sandbox::{
    ExitStatus, Network, Output, Resources, RunRequest, Sandbox, SandboxError, SecretBytes, Stream,
};
use crate::solve::{SolveOptions, SolveRequest, Solved, solve};
use crate::source::{
    GitRequest, HttpRequest, Metadata, RemoteFile, RemoteTree, SourceEntry, SourceError,
    SourceTree, Sources,
};
use lapstrake_snapshot::Layer;
use lapstrake_spec::{Digest, History, ImageConfig, Platform};
use lapstrake_store::{FaultPlan, OpenOptions, Store};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A folder that goes away with the test.
pub(crate) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lap-solve-{}-{count}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(path.join("context")).unwrap();
        Self(path)
    }

    /// Writes a file of the context.
    pub(super) fn file(&self, path: &str, text: &str) {
        let path = self.0.join("context").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    pub(super) fn context(&self) -> PathBuf {
        self.0.join("context")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.0.join("store"), &OpenOptions::default()).unwrap()
    }

    /// A store that dies after so many steps.
    pub(super) fn dying(
        &self,
        steps: u64,
    ) -> (Result<Store, lapstrake_store::Error>, Arc<FaultPlan>) {
        let plan = Arc::new(FaultPlan::after(steps));
        let options = OpenOptions {
            faults: Some(Arc::<FaultPlan>::clone(&plan)),
            ..OpenOptions::default()
        };
        (Store::open(&self.0.join("store"), &options), plan)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A directory of the host as a context.
pub(super) struct HostTree(pub(super) PathBuf);

impl SourceTree for HostTree {
    fn describe(&self) -> String {
        "build context".to_owned()
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, SourceError> {
        match rustix::fs::lstat(self.0.join(path)) {
            Ok(stat) => Ok(Some(lower::metadata(&stat))),
            Err(_) => Ok(None),
        }
    }

    fn list(&self, directory: &Path) -> Result<Vec<SourceEntry>, SourceError> {
        let mut names: Vec<_> = fs::read_dir(self.0.join(directory))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        let entry = |name: std::ffi::OsString| SourceEntry {
            metadata: self.metadata(&directory.join(&name)).unwrap().unwrap(),
            name,
        };
        Ok(names.into_iter().map(entry).collect())
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, SourceError> {
        Ok(fs::read_link(self.0.join(path)).unwrap())
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>, SourceError> {
        READ.with(|read| read.set(read.get() + 1));
        Ok(Box::new(
            File::open(self.0.join(path)).map_err(SourceError::io("open"))?,
        ))
    }

    fn cache_name(&self) -> Option<String> {
        Some(self.0.display().to_string())
    }
}

thread_local! {
    /// How many files of contexts this thread has opened.
    pub(super) static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// What a build takes from outside in a test.
pub(super) struct World {
    pub(super) context: PathBuf,
    pub(super) images: BTreeMap<String, Vec<Layer>>,
    pub(super) remote: Option<PathBuf>,
}

impl Sources for World {
    fn context(&self) -> Result<Arc<dyn SourceTree>, SourceError> {
        Ok(Arc::new(HostTree(self.context.clone())))
    }

    fn named_context(&self, _name: &str) -> Result<Arc<dyn SourceTree>, SourceError> {
        self.context()
    }

    fn image(&self, image: &ImageWanted) -> Result<Vec<Digest>, SourceError> {
        Ok(self
            .image_layers(image)?
            .into_iter()
            .map(|layer| layer.diff_id)
            .collect())
    }

    fn image_layers(&self, image: &ImageWanted) -> Result<Vec<Layer>, SourceError> {
        Ok(self.images.get(&image.name).cloned().unwrap_or_default())
    }

    fn http(
        &self,
        request: &HttpRequest,
        _cancel: &CancelToken,
    ) -> Result<RemoteFile, SourceError> {
        Ok(RemoteFile {
            size: fs::metadata(self.remote.as_ref().unwrap()).unwrap().len(),
            content: Arc::new(self.remote.clone().unwrap()),
            key: None,
            name: "download".to_owned(),
            digest: Digest::sha256(request.url.as_bytes()),
            modified: None,
        })
    }

    fn git(&self, _request: &GitRequest, _cancel: &CancelToken) -> Result<RemoteTree, SourceError> {
        Err(SourceError::other("no git"))
    }

    fn secret(&self, id: &str) -> Result<Option<SecretBytes>, SourceError> {
        Ok((id == "known").then(|| SecretBytes::new(b"secret".to_vec())))
    }

    fn ssh(
        &self,
        _id: &str,
        _owner: crate::source::SocketOwner,
    ) -> Result<Option<Box<dyn crate::source::AgentSocket>>, SourceError> {
        Ok(None)
    }
}

/// How long a program waits for another.
const PATIENCE: Duration = Duration::from_secs(20);

/// `write PATH TEXT` writes a file into the upper directory, `read PATH` prints one of the lowers, `fail N` fails,
/// `fail N after COUNT` waits for so many programs before, and `wait` waits to be killed.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) requests: Mutex<Vec<RunRequest>>,
    started: Condvar,
}

impl Sandbox for Fake {
    fn run(
        &self,
        request: &RunRequest,
        output: &mut dyn Output,
    ) -> Result<ExitStatus, SandboxError> {
        self.requests.lock().unwrap().push(request.clone());
        self.started.notify_all();
        let words: Vec<&str> = request.arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["write", path, text] => {
                let path = request.upper.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            ["read", path] => {
                let found = request
                    .lowers
                    .iter()
                    .find_map(|lower| fs::read(lower.join(path)).ok());
                output.write(Stream::Stdout, &found.unwrap_or_default());
            }
            ["fail", code] => return Ok(ExitStatus::Code(code.parse().unwrap())),
            ["fail", code, "after", count] => {
                let count: usize = count.parse().unwrap();
                let requests = self.requests.lock().unwrap();
                let too_few = |requests: &mut Vec<RunRequest>| requests.len() < count;
                let waiting = self.started.wait_timeout_while(requests, PATIENCE, too_few);
                assert!(!waiting.unwrap().1.timed_out(), "no program came");
                return Ok(ExitStatus::Code(code.parse().unwrap()));
            }
            ["wait"] => {
                let mut set = [PollFd::new(&request.cancel, PollFlags::IN)];
                poll(&mut set, None).unwrap();
                return Err(SandboxError::Cancelled);
            }
            ["true"] => {}
            other => panic!("{other:?}"),
        }
        Ok(ExitStatus::Code(0))
    }
}

/// Keeps events.
#[derive(Default)]
pub(super) struct Heard(pub(super) Mutex<Vec<BuildEvent>>);

impl Progress for Heard {
    fn event(&self, event: BuildEvent) {
        self.0.lock().unwrap().push(event);
    }
}

/// What one build did.
pub(super) struct Built {
    pub(super) result: Result<Solved, SolveError>,
    pub(super) events: Vec<BuildEvent>,
    pub(super) requests: Vec<RunRequest>,
}

impl Built {
    pub(super) fn cached(&self) -> (usize, usize) {
        self.result.as_ref().unwrap().cached
    }

    pub(super) fn layers(&self) -> Vec<Digest> {
        let target = &self.result.as_ref().unwrap().targets[0];
        target
            .layers
            .iter()
            .map(|layer| layer.diff_id.clone())
            .collect()
    }

    pub(super) fn reasons(&self) -> Vec<String> {
        let reason = |event: &BuildEvent| match event {
            BuildEvent::Explained { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.events.iter().filter_map(reason).collect()
    }

    pub(super) fn output(&self) -> String {
        let bytes = self.events.iter().filter_map(|event| match event {
            BuildEvent::Output { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        bytes.collect()
    }

    pub(super) fn failures(&self) -> usize {
        let failed = |event: &&BuildEvent| {
            matches!(
                event,
                BuildEvent::Finished {
                    end: VertexEnd::Failed(_),
                    ..
                }
            )
        };
        self.events.iter().filter(failed).count()
    }

    /// The merged result: path, and content or kind.
    pub(super) fn tree(&self) -> BTreeMap<String, String> {
        let trees = self.result.as_ref().unwrap().targets[0].trees().unwrap();
        let mut all = BTreeMap::new();
        for lower in trees.paths.iter().rev() {
            gather(lower, "", &mut all);
        }
        all
    }
}

pub(super) fn gather(dir: &Path, prefix: &str, all: &mut BTreeMap<String, String>) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        let metadata = entry.path().symlink_metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        let owner = (metadata.uid(), metadata.gid());
        let text = if metadata.is_dir() {
            format!("{mode:o} {owner:?} dir")
        } else if metadata.is_symlink() {
            format!("-> {}", fs::read_link(entry.path()).unwrap().display())
        } else {
            let text = fs::read(entry.path()).unwrap();
            format!("{mode:o} {owner:?} {}", String::from_utf8_lossy(&text))
        };
        all.insert(name.clone(), text);
        if metadata.is_dir() {
            gather(&entry.path(), &name, all);
        }
    }
}

/// A graph that is being written: one stage, each node on the one before.
pub(super) struct Writing {
    pub(super) graph: Graph,
}

impl Writing {
    pub(super) fn scratch() -> Self {
        Self::on(Operation::Scratch)
    }

    pub(super) fn on(base: Operation) -> Self {
        let mut writing = Self {
            graph: Graph::default(),
        };
        writing.push(base, None, Vec::new(), "FROM");
        writing
    }

    pub(super) fn last(&self) -> NodeId {
        NodeId(self.graph.nodes.len() - 1)
    }

    pub(super) fn push(
        &mut self,
        operation: Operation,
        parent: Option<NodeId>,
        inputs: Vec<NodeId>,
        instruction: &str,
    ) -> NodeId {
        let id = NodeId(self.graph.nodes.len());
        self.graph.nodes.push(Node {
            id,
            operation,
            parent,
            inputs,
            step: StepInfo {
                name: format!("[{}] {instruction}", id.0),
                instruction: instruction.to_owned(),
                stage: Some(StageId(0)),
                span: None,
                ignore_cache: false,
                arguments: Vec::new(),
            },
        });
        id
    }

    pub(super) fn run(&mut self, words: &[&str]) -> &mut Run {
        let parent = self.last();
        let text = format!("RUN {}", words.join(" "));
        let id = self.push(
            Operation::Run(Box::new(program(words))),
            Some(parent),
            Vec::new(),
            &text,
        );
        match &mut self.graph.nodes[id.0].operation {
            Operation::Run(run) => run,
            _ => unreachable!(),
        }
    }

    pub(super) fn copy(&mut self, sources: &[&str], destination: &str) -> &mut Copy {
        let parent = self.last();
        self.copy_from(&Tree::Context, sources, destination, parent)
    }

    pub(super) fn copy_from(
        &mut self,
        from: &Tree,
        sources: &[&str],
        destination: &str,
        parent: NodeId,
    ) -> &mut Copy {
        let copy = Copy {
            kind: CopyKind::Copy,
            from: from.clone(),
            sources: sources
                .iter()
                .map(|&path| CopySource::Path(path.to_owned()))
                .collect(),
            destination: destination.to_owned(),
            chown: None,
            chmod: None,
            link: false,
            parents: false,
            excludes: Vec::new(),
            unpack: None,
        };
        let inputs = match from {
            Tree::Node(id) => vec![*id],
            _ => Vec::new(),
        };
        let text = format!("COPY {} {destination}", sources.join(" "));
        let id = self.push(Operation::Copy(Box::new(copy)), Some(parent), inputs, &text);
        match &mut self.graph.nodes[id.0].operation {
            Operation::Copy(copy) => copy,
            _ => unreachable!(),
        }
    }

    pub(super) fn directory(&mut self, path: &str) {
        let parent = self.last();
        let operation = Operation::MakeDirectory(MakeDirectory {
            path: path.to_owned(),
            owner: None,
        });
        self.push(
            operation,
            Some(parent),
            Vec::new(),
            &format!("WORKDIR {path}"),
        );
    }

    /// The graph whose target is the last node.
    pub(super) fn done(&self) -> Graph {
        self.targets(&[self.last()])
    }

    pub(super) fn targets(&self, nodes: &[NodeId]) -> Graph {
        let mut graph = self.graph.clone();
        let layers = graph
            .nodes
            .iter()
            .filter(|node| !matches!(node.operation, Operation::Base(_) | Operation::Scratch));
        let history: Vec<History> = layers
            .map(|node| History {
                created_by: node.step.instruction.clone(),
                ..History::default()
            })
            .collect();
        let config = ImageConfig {
            history,
            ..ImageConfig::default()
        };
        graph.stages.push(StageResult {
            id: StageId(0),
            index: 0,
            name: None,
            base: "scratch".to_owned(),
            base_stage: None,
            platform: Platform::host(),
            ignore_cache: false,
            steps: Vec::new(),
            node: self.last(),
            config: config.clone(),
            inherited_history: 0,
        });
        graph.targets = nodes
            .iter()
            .map(|node| TargetResult {
                platform: Platform::host(),
                stage: StageId(0),
                node: *node,
                config: config.clone(),
                inherited_history: 0,
            })
            .collect();
        graph
    }
}

pub(super) fn program(words: &[&str]) -> Run {
    Run {
        arguments: words.iter().map(|&word| word.to_owned()).collect(),
        environment: vec![Variable {
            name: "PATH".to_owned(),
            value: "/bin".to_owned(),
            origin: Origin::Image,
        }],
        directory: "/".to_owned(),
        user: String::new(),
        mounts: Vec::new(),
        volumes: Vec::new(),
        files: Vec::new(),
        network: Network::Default,
        security: Security::Sandbox,
        hostname: String::new(),
        extra_hosts: Vec::new(),
        shm_size: None,
        ulimits: Vec::new(),
        resources: Resources::default(),
        display: words.join(" "),
    }
}

pub(super) fn options() -> SolveOptions {
    SolveOptions {
        // Later than any file of a test: what was read is remembered.
        now: "2100-01-01T00:00:00Z".parse().unwrap(),
        ..SolveOptions::default()
    }
}

pub(super) fn build(folder: &Folder, graph: &Graph) -> Built {
    build_with(folder, graph, &options(), BTreeMap::new())
}

pub(super) fn build_with(
    folder: &Folder,
    graph: &Graph,
    options: &SolveOptions,
    images: BTreeMap<String, Vec<Layer>>,
) -> Built {
    build_in(&folder.store(), folder, (graph, options), images)
}

pub(super) fn build_in(
    store: &Store,
    folder: &Folder,
    (graph, options): (&Graph, &SolveOptions),
    images: BTreeMap<String, Vec<Layer>>,
) -> Built {
    let (sandbox, heard) = (Fake::default(), Heard::default());
    let request = SolveRequest {
        imports: None,
        graph,
        store,
        sandbox: &sandbox,
        sources: Arc::new(World {
            context: folder.context(),
            images,
            remote: Some(folder.0.join("remote")),
        }),
        progress: &heard,
        options,
        cancel: CancelToken::new().unwrap(),
    };
    let result = solve(&request);
    Built {
        result,
        events: heard.0.into_inner().unwrap(),
        requests: sandbox.requests.into_inner().unwrap(),
    }
}

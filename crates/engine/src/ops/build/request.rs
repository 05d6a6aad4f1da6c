//! What `build` asks for: every flag as a typed value.

use crate::ops::export::{Annotation, Output};
use lapstrake_container::Ulimit;
use lapstrake_spec::{Platform, Reference};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;

/// Standard input of a build: a context, a Dockerfile, or nothing of the kind.
pub struct Stdin(pub Box<dyn Read + Send>);

impl std::fmt::Debug for Stdin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stdin")
    }
}

/// Standard output of a build, for an output that goes there.
pub struct Stdout(pub Box<dyn Write + Send>);

impl std::fmt::Debug for Stdout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stdout")
    }
}

/// What `build` asks for.
#[derive(Debug, Default)]
pub struct BuildRequest {
    /// The context as typed: a directory, `-`, or the address of a tar, of a Dockerfile or of a git
    /// repository.
    pub context: String,
    /// `-f` as typed: a path, `-` or an address. `None`: `Dockerfile` in the context.
    pub dockerfile: Option<String>,
    /// What `-` reads.
    pub stdin: Option<Stdin>,
    /// The directory that relative paths start from; absolute.
    pub working_directory: PathBuf,
    /// `--build-context NAME=SOURCE`, by name, as typed.
    pub named_contexts: BTreeMap<String, String>,
    /// `--tag`, in the order given.
    pub tags: Vec<Reference>,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`, in the order given. An argument without value takes the environment's, which
    /// the face has looked up; one that is not in the environment either is left out.
    pub build_args: Vec<(String, String)>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`.
    pub annotations: Vec<Annotation>,
    /// `--platform`; several make an index.
    pub platforms: Vec<Platform>,
    /// What is taken from the cache, and where from.
    pub cache: CacheOptions,
    /// `--pull`: base images are asked for again at their registries.
    pub pull: bool,
    /// What RUN steps get.
    pub run: RunOptions,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// `--ssh`, by id (`default` unless another is named).
    pub ssh: BTreeMap<String, SshSource>,
    /// `--output`, `--push` and `--load` together, see [`parse_outputs`](crate::ops::parse_outputs).
    /// Empty: the image goes into the store.
    pub outputs: Vec<Output>,
    /// Where an output to `-` goes.
    pub stdout: Option<Stdout>,
    /// `--squash`: the layers that this build adds become one.
    pub squash: bool,
    /// Whose words and images the build follows.
    pub dialect: Dialect,
    /// What to do instead of building.
    pub call: Call,
    /// `SOURCE_DATE_EPOCH` in seconds, from the environment; a build argument of that name wins.
    pub source_date_epoch: Option<i64>,
    /// `--rewrite-timestamps`: files of new layers that are younger than the epoch get its time.
    pub rewrite_timestamps: bool,
    /// `--on-fail`.
    pub on_fail: OnFail,
    /// `--rm=false`: classic builds keep the containers of their steps.
    pub keep_containers: bool,
    /// `--force-rm`: classic builds remove them also when a step fails.
    pub force_rm: bool,
    /// `--quiet`: nothing but the result is shown. Warnings are kept from the events.
    pub quiet: bool,
    /// `--iidfile`.
    pub iidfile: Option<PathBuf>,
    /// `--metadata-file`.
    pub metadata_file: Option<PathBuf>,
    /// Entitlements (`--allow`): `network.host`, `security.insecure`.
    pub allow: Vec<String>,
}

impl BuildRequest {
    /// Whether files of new layers are set back: by the flag, or for an output that asks for it.
    pub(super) fn rewrites_timestamps(&self) -> bool {
        let mut forms = self.outputs.iter().filter_map(Output::form);
        self.rewrite_timestamps || forms.any(|form| form.rewrites_timestamps)
    }
}

/// What is taken from the cache, and where from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheOptions {
    /// `--no-cache`: every step runs.
    pub disabled: bool,
    /// `--no-cache-filter`: the stages whose steps run.
    pub disabled_stages: Vec<String>,
    /// `--cache-from`.
    pub from: Vec<CacheLocation>,
    /// `--cache-to`.
    pub to: Vec<CacheLocation>,
    /// `--expect-cached`: a step that is not cached fails the build.
    pub expected: bool,
    /// `--explain`: every step says why it ran, not only in one line.
    pub explain: bool,
}

/// A place that cache is imported from or exported to: `type=registry,ref=…`, `type=local,src=…`,
/// `type=local,dest=…`, `type=inline`. A bare name is a registry reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheLocation {
    /// `registry`, `local` or `inline`.
    pub kind: String,
    /// The other attributes, `mode` and `compression` among them.
    pub attributes: BTreeMap<String, String>,
}

/// What RUN steps get. Zero and empty values are docker's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// `--network`: empty or `default`, `none`, `host`.
    pub network: String,
    /// `--add-host`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// `--shm-size` in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--memory` in bytes.
    pub memory: i64,
    /// `--memory-swap` in bytes; -1 is no limit.
    pub memory_swap: i64,
    /// `--cpu-shares`.
    pub cpu_shares: i64,
    /// `--cpu-period` in microseconds.
    pub cpu_period: i64,
    /// `--cpu-quota` in microseconds.
    pub cpu_quota: i64,
    /// `--cpuset-cpus`.
    pub cpuset_cpus: String,
    /// `--cpuset-mems`.
    pub cpuset_mems: String,
    /// `--cgroup-parent`.
    pub cgroup_parent: String,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read when a step uses it.
    File(PathBuf),
    /// The value of an environment variable, which the face has looked up.
    Value(Vec<u8>),
    /// An environment variable that is not set: an error for the step that requires it.
    Unset(String),
}

/// Where the keys of `RUN --mount=type=ssh` are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshSource {
    /// The socket of an agent.
    Agent(PathBuf),
    /// Private keys in files.
    Keys(Vec<PathBuf>),
    /// No agent is known: an error for the step that requires it.
    Unset,
}

/// Whose words and images the build follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// docker's BuildKit.
    #[default]
    BuildKit,
    /// docker's classic builder: one image for each step, its texts, its exit status.
    Classic,
}

/// What to do with the Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Call {
    /// Build it.
    #[default]
    Build,
    /// Check it (`--check`).
    Check,
    /// List its arguments and stages (`--call=outline`).
    Outline,
    /// List its targets (`--call=targets`).
    Targets,
}

/// What happens when a RUN step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    /// The error names an image of the step's file system.
    #[default]
    Report,
    /// The same; the face starts a shell in that image.
    Shell,
    /// Nothing of the step is kept.
    Discard,
}

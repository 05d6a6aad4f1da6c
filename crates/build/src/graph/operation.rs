//! The operations that make file systems.

use lapstrake_spec::Platform;

use super::NodeId;
use crate::sandbox::{Network, Resources, Ulimit};

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The layers of an image.
    Base(ImageWanted),
    /// Nothing at all.
    Scratch,
    /// The files of a named context as a whole: FROM or `--from` with `--build-context name=dir`.
    Context(String),
    /// Runs a program and keeps what it changed.
    Run(Box<Run>),
    /// Brings files in: COPY and ADD.
    Copy(Box<Copy>),
    /// Makes a directory and its parents: WORKDIR.
    MakeDirectory(MakeDirectory),
}

/// An image that the build stands on or reads, for one platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageWanted {
    /// The whole name, `docker.io/library/busybox:latest`, or what a named context says after
    /// `docker-image://` or, with its scheme, `oci-layout://…`.
    pub name: String,
    /// The platform.
    pub platform: Platform,
}

/// Where files are read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// The build's own context.
    Context,
    /// A context of `--build-context` that is not an image.
    Named(String),
    /// What another node made.
    Node(NodeId),
    /// Nothing: a cache mount that starts empty.
    Scratch,
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments; a shell form has the shell in front.
    pub arguments: Vec<String>,
    /// The environment, without values of secrets.
    pub environment: Vec<Variable>,
    /// The directory, absolute.
    pub directory: String,
    /// The user as USER names it; empty is root.
    pub user: String,
    /// Mounts, in the order in which they are made.
    pub mounts: Vec<Mount>,
    /// Declared volumes, absolute: the classic builder mounts a copy over each, which is thrown away. BuildKit has none.
    pub volumes: Vec<String>,
    /// Scripts of heredocs that the program finds as files, read only.
    pub files: Vec<InlineFile>,
    /// The network.
    pub network: Network,
    /// Confinement.
    pub security: Security,
    /// Host name; empty leaves it to the sandbox.
    pub hostname: String,
    /// Lines for /etc/hosts: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Size of /dev/shm in bytes; nothing leaves it to the sandbox.
    pub shm_size: Option<u64>,
    /// Limits of the process.
    pub ulimits: Vec<Ulimit>,
    /// Limits of memory and processors.
    pub resources: Resources,
    /// As BuildKit's error names the command: `/bin/sh -c make`.
    pub display: String,
}

/// One variable of a RUN's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a variable comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// ENV, or the base image.
    Image,
    /// ARG and its value from the command line.
    Argument,
    /// A proxy argument that no ARG declares: neither in cache keys nor in the history.
    Proxy,
}

/// A file whose content stands in the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// Where the program finds it.
    pub path: String,
    /// Its bytes.
    pub content: String,
    /// Permission bits.
    pub mode: u32,
}

/// `--security` of RUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// Confined as a container is.
    #[default]
    Sandbox,
    /// Privileged.
    Insecure,
}

/// A mount of RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where the program finds it, absolute; empty for a secret that is a variable only.
    pub target: String,
    /// What it is.
    pub kind: MountKind,
}

/// What a [`Mount`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files of a context, a stage or an image.
    Bind(Bind),
    /// A directory that stays between builds.
    Cache(Cache),
    /// Memory; bytes at most, nothing is no limit.
    Tmpfs(Option<u64>),
    /// A secret of `--secret`.
    Secret(Secret),
    /// An agent's socket of `--ssh`.
    Ssh(Ssh),
}

/// `--mount=type=bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Whose files.
    pub from: Tree,
    /// Path within them, absolute.
    pub source: String,
    /// The program may write; what it writes is thrown away.
    pub writable: bool,
}

/// `--mount=type=cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Identifies the directory; docker's default is the target.
    pub id: String,
    /// Who may use it at the same time.
    pub sharing: Sharing,
    /// What it starts with.
    pub from: Tree,
    /// Path within that, absolute.
    pub source: String,
    /// The program may not write.
    pub read_only: bool,
    /// Owner of a new, empty directory.
    pub uid: u32,
    /// Group of a new, empty directory.
    pub gid: u32,
    /// Permission bits of a new, empty directory.
    pub mode: u32,
}

/// Who may use a cache directory at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Whoever comes second gets a new one.
    Private,
    /// Whoever comes second waits.
    Locked,
}

/// `--mount=type=secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Identifies it on the command line.
    pub id: String,
    /// Fail without it.
    pub required: bool,
    /// The variable that gets its value.
    pub variable: Option<String>,
    /// Owner of the file.
    pub uid: u32,
    /// Group of the file.
    pub gid: u32,
    /// Permission bits of the file.
    pub mode: u32,
}

/// `--mount=type=ssh`. The first one's target is the value of `SSH_AUTH_SOCK` already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Identifies the agent on the command line.
    pub id: String,
    /// Fail without it.
    pub required: bool,
    /// Owner of the socket.
    pub uid: u32,
    /// Group of the socket.
    pub gid: u32,
    /// Permission bits of the socket.
    pub mode: u32,
}

/// COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Which one.
    pub kind: CopyKind,
    /// Where the paths among the sources are read.
    pub from: Tree,
    /// What is brought in, in order.
    pub sources: Vec<CopySource>,
    /// Where to, absolute; a slash at its end makes it a directory.
    pub destination: String,
    /// `--chown`, expanded.
    pub chown: Option<String>,
    /// `--chmod`, expanded: octal, or symbolic as chmod(1) has it.
    pub chmod: Option<String>,
    /// `--link`: the layer does not depend on what is below it. [`Copy::is_linked`] says whether it counts.
    pub link: bool,
    /// `--parents`: keep the directories of the sources' paths (after `/./`).
    pub parents: bool,
    /// `--exclude`: patterns relative to the source.
    pub excludes: Vec<String>,
    /// Whether archives are unpacked. Nothing is the instruction's own rule: ADD unpacks local
    /// archives, not those it fetched; COPY unpacks none.
    pub unpack: Option<bool>,
}

impl Copy {
    /// Whether the layer is independent: `--link` with `--chmod` is no `--link`, as in BuildKit.
    pub fn is_linked(&self) -> bool {
        self.link && self.chmod.is_none()
    }
}

/// COPY or ADD: their errors and rules for archives differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyKind {
    /// COPY.
    Copy,
    /// ADD.
    Add,
}

/// One source of COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A path or pattern as written, expanded.
    Path(String),
    /// A heredoc; the path is its file name.
    Inline(InlineFile),
    /// A file that is fetched.
    Http(Http),
    /// A repository that is fetched.
    Git(Git),
}

/// A file that ADD fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address.
    pub url: String,
    /// The name that the file gets in a directory: the last part of the address's path.
    pub file_name: String,
    /// `--checksum`: the digest that the file must have.
    pub checksum: Option<String>,
}

/// A repository that ADD fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// The address as written, with `#ref:directory` if there is one.
    pub url: String,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--checksum`: the commit that the reference must be.
    pub checksum: Option<String>,
}

/// WORKDIR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeDirectory {
    /// The directory, absolute. It may be there already; the layer is empty then.
    pub path: String,
    /// The owner as USER names it, for directories that are new; nothing is root.
    pub owner: Option<String>,
}

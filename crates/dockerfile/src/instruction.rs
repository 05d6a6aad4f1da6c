//! Typed instructions: what a Dockerfile says, before variables are replaced.
//!
//! Texts that docker expands are kept as written; [`Instruction::expanded`] replaces the variables
//! of exactly those fields in which docker does, and [`MountText::resolve`] does so for mounts.

mod expand;
mod mount;
mod ports;

use lapstrake_spec::Healthcheck;

pub use expand::Expander;
pub use mount::{
    BindMount, CacheMount, MountError, MountText, Ownership, RunMount, SecretMount, Sharing,
    SshMount, TmpfsMount,
};
pub use ports::{ExposedPorts, PORTS_LIMIT, PortError, expose};

use crate::lint::Warning;
use crate::{Directives, Heredoc, Span};

/// A whole Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The parser directives at its head.
    pub directives: Directives,
    /// The `ARG` instructions before the first `FROM`.
    pub global_args: Vec<Command>,
    /// At least one stage.
    pub stages: Vec<Stage>,
    /// What the parser and the checks of single instructions found, filtered by `# check=`.
    pub warnings: Vec<Warning>,
}

/// One `FROM` and what follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The name after `AS`, in lower case.
    pub name: Option<String>,
    /// Image or earlier stage, as written, variables unexpanded.
    pub base: String,
    /// `--platform`, as written, variables unexpanded.
    pub platform: Option<String>,
    /// The word `FROM` as written.
    pub keyword: String,
    /// The instructions, in order.
    pub commands: Vec<Command>,
    /// Where the `FROM` stands.
    pub span: Span,
    /// The `FROM` line as one logical line.
    pub text: String,
    /// The comment above the `FROM` that begins with the stage's name, without the name.
    pub doc: Option<String>,
    /// The comments directly above the `FROM`.
    pub comments: Vec<String>,
}

/// One instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it does.
    pub instruction: Instruction,
    /// The instruction's word as written.
    pub keyword: String,
    /// Where it stands, here-documents included.
    pub span: Span,
    /// The original as one logical line, as docker prints it; here-documents' contents left out.
    pub text: String,
    /// The comments directly above it.
    pub comments: Vec<String>,
}

/// The instructions of docker's language, without `FROM`, which begins a [`Stage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD`
    Add(Add),
    /// `ARG`: at least one.
    Arg(Vec<Argument>),
    /// `CMD`
    Cmd(CommandLine),
    /// `COPY`
    Copy(Copy),
    /// `ENTRYPOINT`
    Entrypoint(CommandLine),
    /// `ENV`: at least one.
    Env(Vec<KeyValue>),
    /// `EXPOSE`: the words as written, sorted; [`expose`] reads them after expansion.
    Expose(Vec<String>),
    /// `HEALTHCHECK`; `NONE` is a test of `["NONE"]`.
    Healthcheck(Healthcheck),
    /// `LABEL`: at least one.
    Label(Vec<KeyValue>),
    /// `MAINTAINER`
    Maintainer(String),
    /// `ONBUILD`: the trigger's text, here-documents included; see [`crate::parse_trigger`].
    Onbuild(String),
    /// `RUN`
    Run(Run),
    /// `SHELL`: not empty.
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    Stopsignal(String),
    /// `USER`
    User(String),
    /// `VOLUME`: at least one, none empty.
    Volume(Vec<String>),
    /// `WORKDIR`
    Workdir(String),
}

impl Instruction {
    /// Its word in upper case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

/// A command in shell form or exec form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Shell form: one text, or none. Exec form: the arguments.
    pub arguments: Vec<String>,
    /// True for the shell form: the stage's shell comes before the text.
    pub shell: bool,
}

/// `RUN`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The command; with here-documents it holds their `<<NAME` words still.
    pub line: CommandLine,
    /// Here-documents, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, in order, variables unexpanded.
    pub mounts: Vec<MountText>,
    /// `--network`
    pub network: RunNetwork,
    /// `--security`
    pub security: RunSecurity,
    /// `--device`, in order.
    pub devices: Vec<Device>,
}

/// `RUN --network`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunNetwork {
    /// The build's network; also when the flag is absent.
    #[default]
    Default,
    /// Only a loopback interface.
    None,
    /// The host's network.
    Host,
}

/// `RUN --security`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunSecurity {
    /// Confined; also when the flag is absent.
    #[default]
    Sandbox,
    /// All privileges; the build must have been entitled to it.
    Insecure,
}

/// `RUN --device`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The device's name (CDI: `vendor/class=name`).
    pub name: String,
    /// Fail when there is none.
    pub required: bool,
}

/// `COPY`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// `--from`: stage, context or image.
    pub from: Option<String>,
    /// Paths first, then here-documents.
    pub sources: Vec<Source>,
    /// The last argument.
    pub destination: String,
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<String>,
}

/// `ADD`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Add {
    /// Paths and addresses first, then here-documents.
    pub sources: Vec<Source>,
    /// The last argument.
    pub destination: String,
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
    /// `--checksum`
    pub checksum: Option<String>,
    /// `--link`
    pub link: bool,
    /// `--keep-git-dir`, when given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, when given.
    pub unpack: Option<bool>,
    /// `--exclude`, in order.
    pub exclude: Vec<String>,
}

/// What `COPY` and `ADD` take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern or an address, as written.
    Path(String),
    /// A file whose content stands in the Dockerfile.
    Heredoc(InlineFile),
}

/// A here-document as a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InlineFile {
    /// The file's name: the here-document's word.
    pub name: String,
    /// The content; leading tabs are already gone for `<<-`.
    pub content: String,
    /// True if variables are to be replaced in it: the word was not quoted.
    pub expand: bool,
}

/// A name and its value, as in `ENV` and `LABEL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The name, not empty.
    pub key: String,
    /// The value, quotes and variables as written.
    pub value: String,
    /// True for the old form with a blank between name and value.
    pub legacy: bool,
}

/// One name of `ARG`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    /// The name.
    pub key: String,
    /// The default, as written.
    pub value: Option<String>,
    /// The comment above that begins with the name, without the name.
    pub doc: Option<String>,
}

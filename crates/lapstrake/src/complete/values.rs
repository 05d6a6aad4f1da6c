//! What an argument or the value of a flag can be.

use super::{Candidate, Offer, Sources, directive};
use crate::args::{Command, Flag, Kind};
use crate::commands::Run;
use crate::ui::text::short_id;
use lapstrake_engine::Engine;
use lapstrake_engine::container::Status;
use lapstrake_engine::dockerfile::{self, Dockerfile, SOURCE_LIMIT};
use lapstrake_engine::ops::{self, ListContainers, ListImages};
use lapstrake_engine::spec::Reference;
use std::path::Path;

/// Where candidates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Values {
    /// There are none to offer, and no files.
    Nothing,
    Files,
    Folders,
    Images,
    /// Containers in the states that the command works on.
    Containers(States),
    ImagesAndContainers,
    /// Images or files: the ends of a copy.
    ImagesOrFiles,
    Variables,
    /// Registries with credentials.
    Servers,
    /// The stages of the Dockerfile at this path.
    Stages(String),
    Words(Vec<&'static str>),
    /// `key=value`: these keys.
    Filters(&'static [&'static str]),
}

/// Which containers a command can work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    Any,
    Running,
    Paused,
    Ended,
}

/// Filters by command.
const FILTERS: [(&str, &[&str]); 10] = [
    ("images", &IMAGE_FILTERS),
    ("image ls", &IMAGE_FILTERS),
    ("ps", &CONTAINER_FILTERS),
    ("container ls", &CONTAINER_FILTERS),
    ("image prune", &["dangling", "label", "label!", "until"]),
    ("container prune", &["label", "label!", "until"]),
    ("system prune", &["label", "label!", "until"]),
    ("volume prune", &["label", "label!"]),
    ("search", &["is-automated", "is-official", "stars"]),
    ("builder prune", &["until"]),
];
const IMAGE_FILTERS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];
const CONTAINER_FILTERS: [&str; 10] = [
    "ancestor", "before", "exited", "id", "label", "name", "network", "since", "status", "volume",
];

const STATUSES: [&str; 7] = [
    "created",
    "dead",
    "exited",
    "paused",
    "removing",
    "restarting",
    "running",
];
const PLATFORMS: [&str; 8] = [
    "linux/386",
    "linux/amd64",
    "linux/arm/v6",
    "linux/arm/v7",
    "linux/arm64",
    "linux/ppc64le",
    "linux/riscv64",
    "linux/s390x",
];
const SIGNALS: [&str; 10] = [
    "SIGALRM", "SIGCONT", "SIGHUP", "SIGINT", "SIGKILL", "SIGQUIT", "SIGSTOP", "SIGTERM",
    "SIGUSR1", "SIGUSR2",
];
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];
/// Files that a flag's value names.
const FILE_FLAGS: [&str; 16] = [
    "build-context",
    "cidfile",
    "device",
    "env-file",
    "file",
    "iidfile",
    "input",
    "label-file",
    "metadata-file",
    "output",
    "secret",
    "ssh",
    "tlscacert",
    "tlscert",
    "tlskey",
    "volume",
];

impl Values {
    /// The values of a flag of the command at `path`.
    pub(super) fn of_flag(flag: &Flag, path: &str) -> Self {
        match flag.long {
            _ if flag.kind == Kind::Bool => Self::Words(vec!["false", "true"]),
            "filter" => Self::filters(path),
            "format" if flag.help.contains("'table'") => Self::Words(vec!["json", "table"]),
            "format" => Self::Words(vec!["json"]),
            "platform" => Self::Words(PLATFORMS.to_vec()),
            "network" | "net" if path.ends_with("build") => {
                Self::Words(vec!["default", "host", "none"])
            }
            "network" | "net" => Self::Words(vec!["bridge", "host", "none"]),
            "ipc" => Self::Words(vec!["host", "none", "private", "shareable"]),
            "pid" | "uts" | "userns" => Self::Words(vec!["host"]),
            "cgroupns" => Self::Words(vec!["host", "private"]),
            "security-opt" => Self::Words(vec![
                "apparmor=unconfined",
                "no-new-privileges",
                "seccomp=unconfined",
            ]),
            "cap-add" | "cap-drop" => Self::Words(CAPABILITIES.to_vec()),
            "signal" | "stop-signal" => Self::Words(SIGNALS.to_vec()),
            "type" if path == "inspect" => Self::Words(vec!["container", "image", "volume"]),
            "attach" => Self::Words(vec!["stderr", "stdin", "stdout"]),
            "log-driver" => Self::Words(vec!["json-file", "none"]),
            "builder" => Self::Words(vec!["default"]),
            "tag" => Self::Images,
            "env" | "build-arg" => Self::Variables,
            "config" | "root" | "certs-dir" => Self::Folders,
            long if FILE_FLAGS.contains(&long) => Self::Files,
            _ => Self::quoted(flag.help),
        }
    }

    fn filters(path: &str) -> Self {
        let path = if path == "buildx prune" {
            "builder prune"
        } else {
            path
        };
        FILTERS
            .iter()
            .find(|(command, _)| *command == path)
            .map_or(Self::Nothing, |(_, keys)| Self::Filters(keys))
    }

    /// The words that a help text lists: `("always", "missing", "never")`.
    fn quoted(help: &'static str) -> Self {
        let Some((_, list)) = help.split_once("(\"") else {
            return Self::Nothing;
        };
        let list = list.split_once(')').map_or(list, |(list, _)| list);
        let words = list
            .split(',')
            .map(|word| word.trim_matches([' ', '"', '|']));
        Self::Words(words.filter(|word| !word.is_empty()).collect())
    }

    /// The argument at `index` of a command: what its usage line says.
    pub(super) fn of_argument(command: &Command<Run>, path: &str, index: usize) -> Self {
        let words = command.usage.replace("PATH | URL | -", "PATH");
        let mut words = words.split(' ').filter(|word| *word != "[OPTIONS]");
        let mut last = None;
        let mut at = 0;
        let word = loop {
            match words.next() {
                Some(word) if at == index => break Some(word),
                Some(word) => last = Some(word),
                // `IMAGE [IMAGE...]` goes on for ever.
                None => break last.filter(|word| word.contains("...")),
            }
            at += 1;
        };
        let Some(word) = word else {
            return Self::Nothing;
        };
        let name = word.trim_start_matches('[');
        let name = name.split(['[', ':', '.', ']']).next().unwrap_or_default();
        match name {
            "CONTAINER" => Self::Containers(States::of(path)),
            "IMAGE" | "NAME" | "REPOSITORY" | "SOURCE_IMAGE" | "TARGET_IMAGE" => match path {
                _ if path.starts_with("buildx") => Self::Words(vec!["default"]),
                _ => Self::Images,
            },
            "SERVER" => Self::Servers,
            "NAME|ID" => Self::ImagesAndContainers,
            "SOURCE" | "DESTINATION" => Self::ImagesOrFiles,
            "PATH" => Self::Folders,
            "file|URL|-" | "FILE" => Self::Files,
            _ => Self::Nothing,
        }
    }
}

impl States {
    fn of(path: &str) -> Self {
        match path.rsplit(' ').next().unwrap_or_default() {
            "kill" | "pause" | "stop" | "wait" => Self::Running,
            "unpause" => Self::Paused,
            "start" => Self::Ended,
            _ => Self::Any,
        }
    }

    fn fit(self, status: Status) -> bool {
        match self {
            Self::Any => true,
            Self::Running => status.is_alive(),
            Self::Paused => status == Status::Paused,
            Self::Ended => !status.is_alive(),
        }
    }
}

/// Candidates, not yet cut down to those that begin with `prefix`.
pub(super) fn offer(
    values: &Values,
    prefix: &str,
    globals: &[String],
    sources: &Sources<'_>,
) -> Offer {
    let engine = || (sources.engine)(globals);
    match values {
        Values::Nothing => Offer::only(directive::NO_FILES),
        Values::Files => Offer::only(directive::FILES),
        Values::Folders => Offer::only(directive::FOLDERS),
        Values::Images => Offer::words(images(engine().as_ref(), prefix)),
        Values::Containers(states) => containers(engine().as_ref(), prefix, *states),
        Values::ImagesAndContainers => {
            let engine = engine();
            let mut offer = containers(engine.as_ref(), prefix, States::Any);
            let images = Offer::words(images(engine.as_ref(), prefix));
            offer.candidates.extend(images.candidates);
            offer
        }
        Values::ImagesOrFiles => Offer {
            directive: directive::FILES,
            ..Offer::words(images(engine().as_ref(), prefix))
        },
        Values::Variables => Offer::words((sources.variables)()).with(directive::NO_SPACE),
        Values::Servers => Offer::words((sources.servers)(globals)),
        Values::Stages(path) => Offer::words(stages(Path::new(path)).unwrap_or_default()),
        Values::Words(words) => Offer::words(words.iter().copied()),
        Values::Filters(keys) => filters(keys, prefix, &engine),
    }
}

/// The names of a Dockerfile's stages; none when it is wrong, or no plain file.
fn stages(path: &Path) -> Option<Vec<String>> {
    let limit = u64::try_from(SOURCE_LIMIT).ok()?;
    let data = path.metadata().ok()?;
    if !data.is_file() || data.len() > limit {
        return None;
    }
    let text = std::fs::read(path).ok()?;
    let file = Dockerfile::interpret(&dockerfile::parse(&text).ok()?).ok()?;
    let names = file.stages.into_iter().filter_map(|stage| stage.name);
    Some(names.collect())
}

/// Names with tags; ids when no name begins so.
fn images(engine: Option<&Engine>, prefix: &str) -> Vec<String> {
    let request = ListImages {
        all: true,
        ..ListImages::default()
    };
    let Some(found) = engine.and_then(|engine| ops::images(engine, &request).ok()) else {
        return Vec::new();
    };
    let tags = found.iter().flat_map(|image| &image.tags);
    let mut names: Vec<String> = tags.map(Reference::familiar).collect();
    names.retain(|name| name.starts_with(prefix));
    if names.is_empty() && is_hexadecimal(prefix) {
        let ids = found.iter().map(|image| image.id.to_string());
        names = ids.map(|id| short_id(&id).to_owned()).collect();
    }
    names.sort();
    names.dedup();
    names
}

/// Names; ids when no name begins so.
fn containers(engine: Option<&Engine>, prefix: &str, states: States) -> Offer {
    let request = ListContainers {
        all: true,
        ..ListContainers::default()
    };
    let found = engine.and_then(|engine| ops::container_rows(engine, &request).ok());
    let found: Vec<ops::ContainerRow> = found.unwrap_or_default();
    let fitting = found
        .iter()
        .filter(|row| states.fit(row.container.state.status));
    let candidate = |word: &str, image: &str| Candidate {
        word: word.to_owned(),
        about: image.to_owned(),
    };
    let mut candidates: Vec<Candidate> = fitting
        .clone()
        .map(|row| candidate(&row.container.record.name, &row.image))
        .filter(|candidate| candidate.word.starts_with(prefix))
        .collect();
    if candidates.is_empty() && is_hexadecimal(prefix) {
        candidates = fitting
            .map(|row| candidate(short_id(row.container.record.id.as_str()), &row.image))
            .collect();
    }
    candidates.sort_by(|a, b| a.word.cmp(&b.word));
    Offer {
        candidates,
        directive: directive::NO_FILES,
    }
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Keys with `=`, then the values of the key.
fn filters(keys: &[&'static str], prefix: &str, engine: &dyn Fn() -> Option<Engine>) -> Offer {
    let Some((key, value)) = prefix.split_once('=') else {
        let keys = keys.iter().map(|key| format!("{key}="));
        return Offer::words(keys).with(directive::NO_SPACE);
    };
    let is_image_list = keys.contains(&"dangling");
    let values: Vec<String> = match key {
        "dangling" | "is-automated" | "is-official" => vec!["false".into(), "true".into()],
        "status" => STATUSES.map(str::to_owned).to_vec(),
        "network" => ["bridge", "host", "none"].map(str::to_owned).to_vec(),
        "ancestor" | "reference" => images(engine().as_ref(), value),
        "before" | "since" if is_image_list => images(engine().as_ref(), value),
        "before" | "since" | "name" | "id" => {
            let offer = containers(engine().as_ref(), value, States::Any);
            let names = offer.candidates.into_iter();
            names.map(|candidate| candidate.word).collect()
        }
        _ => Vec::new(),
    };
    Offer::words(values.into_iter().map(|value| format!("{key}={value}")))
}

//! One file per command: parse → request → one operation of the engine → render.

pub(crate) mod absent;
mod build;
mod builder;
mod buildx;
mod commit;
mod completion;
mod config;
mod copy;
mod create;
mod export;
mod history;
mod images;
mod images_tree;
mod import;
mod info;
mod inspect;
mod inspect_one;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod man;
mod pause;
mod prune;
mod ps;
mod pull;
mod push;
mod registry_serve;
mod rm;
mod rmi;
mod run;
mod run_env;
mod run_flags;
mod run_health;
mod run_mount;
mod run_request;
mod save;
mod search;
mod sign;
mod start;
mod stop;
mod system_check;
mod system_df;
mod tag;
mod trust;
mod unpause;
mod version;
mod wait;

#[cfg(test)]
mod tests;

use crate::args::{Command, Entry, Flag, Group, Matches, Node};
use crate::cli::Invocation;
use crate::env::Environment;
use crate::failure::{Failure, INTERRUPTED};
use lapstrake_engine::Engine;
use lapstrake_engine::ops::Filters;
use lapstrake_engine::spec::Platform;
use std::collections::BTreeMap;
use std::time::Duration;

/// What runs a command: the result is the exit status.
pub(crate) type Run = fn(&Invocation<'_>) -> Result<u8, Failure>;

/// A command of the program.
pub(crate) type Cmd = Command<Run>;

const fn leaf(name: &'static str, command: &'static Cmd) -> Entry<Run> {
    Entry {
        name,
        aliases: &[],
        node: Node::Leaf(command),
    }
}

const fn alias(
    name: &'static str,
    aliases: &'static [&'static str],
    command: &'static Cmd,
) -> Entry<Run> {
    Entry {
        name,
        aliases,
        node: Node::Leaf(command),
    }
}

const fn group(name: &'static str, group: &'static Group<Run>) -> Entry<Run> {
    Entry {
        name,
        aliases: &[],
        node: Node::Group(group),
    }
}

/// Everything `lap` can do, sorted by name.
pub(crate) static ROOT: Group<Run> = Group {
    about: "Images and containers, compatible with docker, without a daemon",
    entries: &[
        leaf("build", &build::COMMAND),
        group("builder", &BUILDER),
        group("buildx", &BUILDX),
        leaf("commit", &commit::COMMAND),
        group("completion", &COMPLETION),
        group("config", &CONFIG),
        group("container", &CONTAINER),
        leaf("copy", &copy::COMMAND),
        leaf("create", &create::COMMAND),
        leaf("export", &export::COMMAND),
        leaf("history", &history::COMMAND),
        group("image", &IMAGE),
        leaf("images", &images::COMMAND),
        leaf("import", &import::COMMAND),
        leaf("info", &info::COMMAND),
        leaf("inspect", &inspect::COMMAND),
        leaf("kill", &kill::COMMAND),
        leaf("load", &load::COMMAND),
        leaf("login", &login::COMMAND),
        leaf("logout", &logout::COMMAND),
        leaf("logs", &logs::COMMAND),
        leaf("man", &man::COMMAND),
        leaf("pause", &pause::COMMAND),
        leaf("ps", &ps::COMMAND),
        leaf("pull", &pull::COMMAND),
        leaf("push", &push::COMMAND),
        group("registry", &REGISTRY),
        leaf("rm", &rm::COMMAND),
        leaf("rmi", &rmi::COMMAND),
        leaf("run", &run::COMMAND),
        leaf("save", &save::COMMAND),
        leaf("search", &search::COMMAND),
        leaf("start", &start::COMMAND),
        leaf("stop", &stop::COMMAND),
        group("system", &SYSTEM),
        leaf("tag", &tag::COMMAND),
        group("trust", &TRUST),
        leaf("unpause", &unpause::COMMAND),
        leaf("version", &version::COMMAND),
        group("volume", &VOLUME),
        leaf("wait", &wait::COMMAND),
    ],
};

static BUILDER: Group<Run> = Group {
    about: "Manage builds",
    entries: &[
        leaf("build", &build::COMMAND),
        leaf("du", &builder::DU),
        leaf("prune", &builder::PRUNE),
    ],
};

static BUILDX: Group<Run> = Group {
    about: "Extended build capabilities with BuildKit",
    entries: &[
        alias("build", &["b"], &build::BUILDX),
        leaf("create", &buildx::CREATE),
        leaf("du", &builder::DU),
        leaf("inspect", &buildx::INSPECT),
        leaf("ls", &buildx::LS),
        leaf("prune", &builder::PRUNE),
        leaf("rm", &buildx::RM),
        leaf("stop", &buildx::STOP),
        leaf("use", &buildx::USE),
        leaf("version", &buildx::VERSION),
    ],
};

static IMAGE: Group<Run> = Group {
    about: "Manage images",
    entries: &[
        leaf("build", &build::COMMAND),
        leaf("history", &history::COMMAND),
        leaf("import", &import::COMMAND),
        leaf("inspect", &inspect_one::IMAGE),
        leaf("load", &load::COMMAND),
        alias("ls", &["list"], &images::COMMAND),
        leaf("prune", &prune::IMAGE),
        leaf("pull", &pull::COMMAND),
        leaf("push", &push::COMMAND),
        alias("rm", &["remove"], &rmi::COMMAND),
        leaf("save", &save::COMMAND),
        leaf("tag", &tag::COMMAND),
    ],
};

static CONTAINER: Group<Run> = Group {
    about: "Manage containers",
    entries: &[
        leaf("commit", &commit::COMMAND),
        leaf("create", &create::COMMAND),
        leaf("export", &export::COMMAND),
        leaf("inspect", &inspect_one::CONTAINER),
        leaf("kill", &kill::COMMAND),
        leaf("logs", &logs::COMMAND),
        alias("ls", &["list", "ps"], &ps::COMMAND),
        leaf("pause", &pause::COMMAND),
        leaf("prune", &prune::CONTAINER),
        alias("rm", &["remove"], &rm::COMMAND),
        leaf("run", &run::COMMAND),
        leaf("start", &start::COMMAND),
        leaf("stop", &stop::COMMAND),
        leaf("unpause", &unpause::COMMAND),
        leaf("wait", &wait::COMMAND),
    ],
};

static COMPLETION: Group<Run> = Group {
    about: "Generate the autocompletion script for a shell",
    entries: &[
        leaf("bash", &completion::BASH),
        leaf("fish", &completion::FISH),
        leaf("zsh", &completion::ZSH),
    ],
};

static CONFIG: Group<Run> = Group {
    about: "Check configuration files, and show what is in force",
    entries: &[leaf("check", &config::CHECK), leaf("show", &config::SHOW)],
};

static SYSTEM: Group<Run> = Group {
    about: "Manage the store and show what is in force",
    entries: &[
        leaf("check", &system_check::COMMAND),
        leaf("df", &system_df::COMMAND),
        leaf("info", &info::COMMAND),
        leaf("prune", &prune::SYSTEM),
    ],
};

static TRUST: Group<Run> = Group {
    about: "Manage trust on Docker images",
    entries: &[
        leaf("inspect", &trust::INSPECT),
        group("key", &TRUST_KEY),
        leaf("sign", &sign::COMMAND),
    ],
};

static TRUST_KEY: Group<Run> = Group {
    about: "Manage keys for signing Docker images",
    entries: &[leaf("generate", &sign::GENERATE)],
};

static VOLUME: Group<Run> = Group {
    about: "Manage volumes",
    entries: &[leaf("prune", &prune::VOLUME)],
};

static REGISTRY: Group<Run> = Group {
    about: "Serve images to others",
    entries: &[leaf("serve", &registry_serve::COMMAND)],
};

/// The flags of a group, which stand before its command; they change nothing.
pub(crate) fn group_flags(group: &'static Group<Run>) -> &'static [Flag] {
    let groups: [*const Group<Run>; 2] = [&raw const BUILDER, &raw const BUILDX];
    if groups.contains(&std::ptr::from_ref(group)) {
        &buildx::GROUP_FLAGS
    } else {
        &[]
    }
}

/// The help of `--format` for listings.
pub(crate) const TABLE_FORMAT_HELP: &str = "Format output using a custom template:\n\
    'table':            Print output in table format with column headers (default)\n\
    'table TEMPLATE':   Print output in table format using the given Go template\n\
    'json':             Print in JSON format\n\
    'TEMPLATE':         Print output using the given Go template.\n\
    Refer to https://docs.docker.com/go/formatting/ for more information about formatting output \
    with templates";

/// The help of `--format` for single objects.
pub(crate) const OBJECT_FORMAT_HELP: &str = "Format output using a custom template:\n\
    'json':             Print in JSON format\n\
    'TEMPLATE':         Print output using the given Go template.\n\
    Refer to https://docs.docker.com/go/formatting/ for more information about formatting output \
    with templates";

/// The help of `--filter` for listings.
pub(crate) const FILTER_HELP: &str = "Filter output based on conditions provided";

const NO_TRUST: &str = "disable-content-trust";

/// `--disable-content-trust`.
pub(crate) const fn trust_flag(help: &'static str) -> Flag {
    Flag::bool(NO_TRUST, help).default("true")
}

/// The filters given, by name.
pub(crate) fn filters(matches: &Matches) -> Filters {
    grouped(matches.filters("filter"))
}

/// The filters of a prune: those given, and those of `config.json`. Between a label and its opposite the one that was
/// given counts.
pub(crate) fn prune_filters(invocation: &Invocation<'_>) -> Vec<(String, String)> {
    let given = invocation.matches.filters("filter");
    let mut all = given.clone();
    for filter in &invocation.client.prune_filters {
        let Some((name, value)) = filter
            .split_once('=')
            .filter(|(_, value)| !value.is_empty())
        else {
            continue;
        };
        let opposite = match name {
            "label" => "label!",
            "label!" => "label",
            _ => "",
        };
        let is_given = |pair: &(String, String)| pair.0 == opposite && pair.1 == value;
        if !given.iter().any(is_given) {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    all
}

/// Filters by name.
pub(crate) fn grouped(pairs: Vec<(String, String)>) -> Filters {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        all.entry(name).or_default().push(value);
    }
    Filters(all)
}

/// The format of a listing: the flag, else what `config.json` has under this key.
pub(crate) fn listing_format<'a>(invocation: &Invocation<'a>, key: &str) -> &'a str {
    let given = invocation.matches.nonempty("format");
    let quiet = invocation.matches.knows("quiet") && invocation.matches.is("quiet");
    let kept = || invocation.client.text(key).filter(|_| !quiet);
    given.or_else(kept).unwrap_or_default()
}

/// The platform given.
pub(crate) fn platform(matches: &Matches) -> Result<Option<Platform>, Failure> {
    let Some(text) = matches.nonempty("platform") else {
        return Ok(None);
    };
    Platform::parse(text)
        .map(Some)
        .map_err(|error| Failure::new(error.to_string()))
}

/// The engine, with content trust on for a command that knows `--disable-content-trust`, unless that
/// flag or the environment says otherwise.
pub(crate) fn with_trust(
    engine: Engine,
    command: &Cmd,
    matches: &Matches,
    env: &Environment,
) -> Engine {
    let mut flags = command.flags.iter();
    if !flags.any(|flag| flag.long == NO_TRUST) {
        return engine;
    }
    let wanted = if matches.changed(NO_TRUST) {
        !matches.is(NO_TRUST)
    } else {
        env.content_trust()
    };
    if wanted {
        engine.with_content_trust(env.trust_files())
    } else {
        engine
    }
}

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// How long an interrupted operation may take to write out what has come, and to clean up.
const INTERRUPTED_PATIENCE: Duration = Duration::from_secs(2);

/// Runs an asynchronous operation until it ends or the user interrupts it.
///
/// An interrupted operation is dropped where it stands: the store is whole at every moment, and the
/// next attempt goes on from what has arrived.
pub(crate) fn block_on<T, E: Into<Failure>>(
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (result, patience) = runtime.block_on(async {
        tokio::select! {
            result = future => (result.map_err(Into::into), Duration::ZERO),
            status = interrupted() => (Err(Failure::silent(status)), INTERRUPTED_PATIENCE),
        }
    });
    runtime.shutdown_timeout(patience);
    // The handlers outlive the runtime: nobody would hear of an interrupt any more.
    lapstrake_sys::signal::restore(&[SIGINT, SIGTERM]);
    result
}

/// Waits for the signals that end a command.
async fn interrupted() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => stream.recv().await,
            Err(_unavailable) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => INTERRUPTED,
        _ = terminated => INTERRUPTED + 13,
    }
}

/// Does the same to each container, prints the names of those it worked for, and joins the failures.
pub(crate) fn each(
    invocation: &Invocation<'_>,
    work: impl Fn(&str) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut failures = Vec::new();
    for name in &invocation.matches.args {
        match work(name) {
            Ok(()) => invocation.output.line(name),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() {
        Ok(0)
    } else {
        Err(Failure::joined(failures))
    }
}

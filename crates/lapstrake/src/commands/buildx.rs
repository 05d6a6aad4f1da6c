//! The management commands of `buildx`, in the small form that scripts need: there is one builder, it
//! is always there, and commands that would make, choose or stop one have nothing to do.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::table::align;
use crate::ui::text::PushFormat;
use lapstrake_engine::spec::Platform;

/// The builder's name, as in docker.
const NAME: &str = "default";
/// Flags that any of these commands has.
const BUILDER: Flag = Flag::text("builder", "Override the configured builder instance");
const DEBUG: Flag = Flag::bool("debug", "Enable debug logging").short('D');

/// Flags between `buildx` and its command.
pub(super) static GROUP_FLAGS: [Flag; 2] = [BUILDER, DEBUG];

const fn command(
    usage: &'static str,
    about: &'static str,
    flags: &'static [Flag],
    arity: Arity,
    run: super::Run,
) -> Cmd {
    Cmd {
        usage,
        about,
        long: "",
        aliases: &[],
        flags,
        arity,
        interspersed: true,
        run,
    }
}

pub(super) static CREATE: Cmd = command(
    "[OPTIONS] [CONTEXT|ENDPOINT]",
    "Name the builder (accepted and not used: there is one)",
    &[
        Flag::bool("append", "Append a node to builder instead of changing it"),
        Flag::bool("bootstrap", "Boot builder after creation"),
        BUILDER,
        Flag::text("buildkitd-config", "BuildKit daemon config file"),
        Flag::text("buildkitd-flags", "BuildKit daemon flags"),
        DEBUG,
        Flag::text(
            "driver",
            "Driver to use (available: \"docker-container\", \"kubernetes\", \"remote\")",
        ),
        Flag::list("driver-opt", "Options for the driver").value_name("stringArray"),
        Flag::bool("leave", "Remove a node from builder instead of changing it"),
        Flag::text("name", "Builder instance name"),
        Flag::text("node", "Create/modify node with given name"),
        Flag::list("platform", "Fixed platforms for current node").value_name("stringArray"),
        Flag::bool("use", "Set the current builder instance"),
    ],
    Arity::AtMost(1),
    |invocation| {
        let name = invocation.matches.nonempty("name").unwrap_or(NAME);
        invocation.output.line(name);
        Ok(0)
    },
);

pub(super) static INSPECT: Cmd = command(
    "[OPTIONS] [NAME]",
    "Inspect current builder instance",
    &[
        Flag::bool("bootstrap", "Ensure builder has booted before inspecting"),
        BUILDER,
        DEBUG,
    ],
    Arity::AtMost(1),
    |invocation| {
        invocation.output.print(&inspection());
        Ok(0)
    },
);

pub(super) static LS: Cmd = command(
    "[OPTIONS]",
    "List builder instances",
    &[
        BUILDER,
        DEBUG,
        Flag::text("format", "Format the output").default("table"),
        Flag::bool("no-trunc", "Don't truncate output"),
    ],
    Arity::None,
    list,
);

pub(super) static RM: Cmd = command(
    "[OPTIONS] [NAME...]",
    "Remove builder instances (accepted: the one stays)",
    &[
        Flag::bool("all-inactive", "Remove all inactive builders"),
        BUILDER,
        DEBUG,
        Flag::bool("force", "Do not prompt for confirmation").short('f'),
        Flag::bool("keep-daemon", "Keep the BuildKit daemon running"),
        Flag::bool("keep-state", "Keep BuildKit state"),
    ],
    Arity::AtLeast(0),
    |_| Ok(0),
);

pub(super) static STOP: Cmd = command(
    "[OPTIONS] [NAME]",
    "Stop builder instance (accepted: nothing runs between builds)",
    &[BUILDER, DEBUG],
    Arity::AtMost(1),
    |_| Ok(0),
);

pub(super) static USE: Cmd = command(
    "[OPTIONS] NAME",
    "Set the current builder instance (accepted: there is one)",
    &[
        BUILDER,
        DEBUG,
        Flag::bool("default", "Set builder as default for current context"),
        Flag::bool("global", "Builder persists context changes"),
    ],
    Arity::Exact(1),
    |_| Ok(0),
);

pub(super) static VERSION: Cmd = command(
    "[OPTIONS]",
    "Show buildx version information",
    &[BUILDER, DEBUG],
    Arity::None,
    |invocation| {
        let own = env!("CARGO_PKG_VERSION");
        invocation.output.line(&format!("lapstrake/buildx {own}"));
        Ok(0)
    },
);

fn inspection() -> String {
    let own = env!("CARGO_PKG_VERSION");
    let mut out = format!("Name:          {NAME}\nDriver:        lapstrake\n\nNodes:\n");
    out.push_fmt(format_args!(
        "Name:             {NAME}\nEndpoint:         {NAME}\nStatus:           running\n\
         Version:          {own}\nPlatforms:        {}\n",
        Platform::host()
    ));
    out
}

fn list(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    match invocation.matches.nonempty("format").unwrap_or("table") {
        "table" => invocation.output.print(&listing()),
        source => {
            let row = Row::default()
                .set("DriverEndpoint", "lapstrake")
                .set("Name", NAME)
                .set("NameNode", format!("{NAME}*"))
                .set("Platforms", Platform::host().to_string())
                .set("Status", "running")
                .set("Version", env!("CARGO_PKG_VERSION"));
            let format = Format::parse(source, LISTING.table)?;
            let text = format.render(&LISTING, vec![row])?;
            invocation.output.print(&text);
        }
    }
    Ok(0)
}

const LISTING: Listing = Listing {
    go_type: "*commands.lsContext",
    columns: &[
        ("DriverEndpoint", "DRIVER/ENDPOINT"),
        ("Name", "NAME"),
        ("NameNode", "NAME/NODE"),
        ("Platforms", "PLATFORMS"),
        ("Status", "STATUS"),
        ("Version", "VERSION"),
    ],
    table: "table {{.NameNode}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Version}}\t{{.Platforms}}",
};

fn listing() -> String {
    let own = env!("CARGO_PKG_VERSION");
    let platform = Platform::host();
    align(&format!(
        "NAME/NODE\tDRIVER/ENDPOINT\tSTATUS\tVERSION\tPLATFORMS\n{NAME}*\tlapstrake\t\t\t\n \
         \\_ {NAME}\t \\_ {NAME}\trunning\t{own}\t{platform}\n"
    ))
}

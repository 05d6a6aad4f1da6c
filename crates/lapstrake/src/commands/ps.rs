//! `ps`, `container ls`: containers.

use super::{Cmd, FILTER_HELP, TABLE_FORMAT_HELP, filters, listing_format};
use crate::args::{Arity, Flag, go_quote};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::template::Value;
use crate::ui::text::{ellipsis, short_id};
use crate::ui::units;
use lapstrake_engine::container::{Record, State, Status, network_name};
use lapstrake_engine::ops::{self, ContainerRow, ListContainers};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "List containers",
    long: "",
    aliases: &["container ls", "container list", "container ps", "ps"],
    flags: &[
        Flag::bool("all", "Show all containers (default shows just running)").short('a'),
        Flag::filter(FILTER_HELP).short('f'),
        Flag::text("format", TABLE_FORMAT_HELP),
        Flag::int(
            "last",
            "Show n last created containers (includes all states)",
        )
        .short('n')
        .default("-1"),
        Flag::bool(
            "latest",
            "Show the latest created container (includes all states)",
        )
        .short('l'),
        Flag::bool("no-trunc", "Don't truncate output"),
        Flag::bool("quiet", "Only display container IDs").short('q'),
        Flag::bool("size", "Display total file sizes").short('s'),
    ],
    arity: Arity::None,
    interspersed: true,
    run,
};

const TABLE: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t\
    {{.Ports}}\t{{.Names}}";
/// Docker's raw form; a size follows when it is wanted.
const RAW: &str = "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n\
    created_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\n\
    names: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n";
const TABLE_WITH_SIZE: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t\
    {{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";

pub(super) const LISTING: Listing = Listing {
    go_type: "*formatter.ContainerContext",
    columns: &[
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Labels", "LABELS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Mounts", "MOUNTS"),
        ("Names", "NAMES"),
        ("Networks", "NETWORKS"),
        ("Platform", "PLATFORM"),
        ("Ports", "PORTS"),
        ("RunningFor", "CREATED"),
        ("Size", "SIZE"),
        ("State", "STATE"),
        ("Status", "STATUS"),
    ],
    table: TABLE,
};

const QUIET_WARNING: &str =
    "WARNING: Ignoring custom format, because both --format and --quiet are set.";

/// The columns of a command in a table.
const COMMAND_COLUMNS: usize = 20;
/// The columns of a mount in a table.
const MOUNT_COLUMNS: usize = 15;

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let source = listing_format(invocation, "psFormat");
    let with_size = matches.is("size");
    let table = if with_size {
        TABLE_WITH_SIZE
    } else {
        LISTING.table
    };
    if matches.is("quiet") && !source.is_empty() {
        invocation.output.err_line(QUIET_WARNING);
    }
    let parsed = match (source, matches.is("quiet")) {
        ("raw", true) => Format::template("container_id: {{.ID}}"),
        ("raw", false) if with_size => Format::template(&format!("{RAW}size: {{{{.Size}}}}\n")),
        ("raw", false) => Format::template(RAW),
        (_, true) => Format::template("{{.ID}}"),
        _ => Format::parse(source, table),
    };
    let format =
        parsed.map_err(|error| Failure::new(format!("failed to parse template: {error}")))?;
    let last = if matches.is("latest") && !matches.changed("last") {
        Some(1)
    } else {
        matches.int("last")
    };
    let request = ListContainers {
        all: matches.is("all"),
        last: last
            .and_then(|last| usize::try_from(last).ok())
            .filter(|last| *last > 0),
        // Sizes cost a walk; a row as a whole has them, docker's `json` alone has not.
        size: with_size || format.mentions("Size") || (source != "json" && source.contains("json")),
        filters: filters(matches),
    };
    let view = View {
        whole: matches.is("no-trunc"),
        now: invocation.engine.now(),
        // The search for the system's zone reads many folders; the table shows no dates.
        zone: match source {
            "" | "table" => jiff::tz::TimeZone::UTC,
            _ => jiff::tz::TimeZone::system(),
        },
    };
    let list = ops::list_containers(invocation.engine, &request)?;
    for (id, reason) in &list.unreadable {
        invocation.output.err_line(&format!(
            "WARNING: container {} is not listed: {reason}",
            short_id(id)
        ));
    }
    let rows = list.rows.iter().map(|row| view.row(row)).collect();
    let text = format
        .render(&LISTING, rows)
        .map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
    invocation.output.print(&text);
    Ok(0)
}

pub(super) struct View {
    pub(super) whole: bool,
    pub(super) now: jiff::Timestamp,
    pub(super) zone: jiff::tz::TimeZone,
}

impl View {
    pub(super) fn row(&self, row: &ContainerRow) -> Row {
        let record = &row.container.record;
        let id = record.id.to_string();
        let created: Option<jiff::Timestamp> = record.created.parse().ok();
        let labels = record.config.labels.clone().unwrap_or_default();
        let shown_labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let volumes = record
            .mounts
            .iter()
            .filter(|mount| mount.driver == "local")
            .count();
        let command = command(record);
        let command = if self.whole {
            command
        } else {
            ellipsis(&command, COMMAND_COLUMNS)
        };
        let mut shown = Row::default()
            .set("Command", go_quote(&command))
            .set(
                "CreatedAt",
                created.map_or_else(String::new, |then| units::created_at(then, &self.zone)),
            )
            .set(
                "ID",
                if self.whole {
                    id.as_str()
                } else {
                    short_id(&id)
                },
            )
            .set("Image", row.image.as_str())
            .set("Labels", shown_labels.join(","))
            .set("LocalVolumes", volumes.to_string())
            .set("Mounts", self.mounts(record))
            .set("Names", record.name.as_str())
            .set("Networks", network_name(&record.host_config))
            .set("Platform", Value::Nil)
            .set("Ports", ports(&row.ports))
            .set(
                "RunningFor",
                created.map_or_else(String::new, |then| units::ago(self.now, then)),
            )
            .set("Size", size(row))
            .set("State", row.container.state.status.as_str())
            .set("Status", status(&row.container.state, self.now));
        shown.labels = Some(labels);
        shown
    }

    fn mounts(&self, record: &Record) -> String {
        let names = record.mounts.iter().map(|mount| {
            let name = if mount.name.is_empty() {
                &mount.source
            } else {
                &mount.name
            };
            if self.whole {
                name.clone()
            } else {
                ellipsis(name, MOUNT_COLUMNS)
            }
        });
        names.collect::<Vec<_>>().join(",")
    }
}

/// Ports as docker lists those that are not published: neighbours as a range, by protocol.
fn ports(exposed: &[String]) -> String {
    let mut all: Vec<(u16, &str)> = exposed
        .iter()
        .filter_map(|port| port.split_once('/'))
        .filter_map(|(number, protocol)| Some((number.parse().ok()?, protocol)))
        .collect();
    all.sort_by_key(|(number, protocol)| (*protocol, *number));
    let mut ranges: Vec<(u16, u16, &str)> = Vec::new();
    for (number, protocol) in all {
        match ranges.last_mut() {
            Some(range) if range.2 == protocol && range.1.checked_add(1) == Some(number) => {
                range.1 = number;
            }
            _ => ranges.push((number, number, protocol)),
        }
    }
    let shown = ranges.iter().map(|(first, last, protocol)| {
        if first == last {
            format!("{first}/{protocol}")
        } else {
            format!("{first}-{last}/{protocol}")
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The command as one text; words with blanks are in quotes.
fn command(record: &Record) -> String {
    let words = record.args.iter().map(|word| {
        if word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    });
    std::iter::once(record.path.clone())
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

fn size(row: &ContainerRow) -> String {
    let Some(sizes) = &row.sizes else {
        return "0B".to_owned();
    };
    let written = units::size(units::signed(sizes.writable));
    if sizes.total == 0 {
        return written;
    }
    format!(
        "{written} (virtual {})",
        units::size(units::signed(sizes.total))
    )
}

/// `Up 5 seconds`, `Exited (0) 2 minutes ago`, `Created`.
pub(super) fn status(state: &State, now: jiff::Timestamp) -> String {
    let since = |moment: &str| match moment.parse() {
        Ok(then) => units::since(now, then),
        Err(_unreadable) => "an unknown time".to_owned(),
    };
    match state.status {
        Status::Running => format!("Up {}", since(&state.started_at)),
        Status::Paused => format!("Up {} (Paused)", since(&state.started_at)),
        Status::Exited => {
            format!(
                "Exited ({}) {} ago",
                state.exit_code,
                since(&state.finished_at)
            )
        }
        Status::Created => "Created".to_owned(),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
    }
}

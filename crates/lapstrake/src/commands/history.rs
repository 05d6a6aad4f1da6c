//! `history`: how an image came to be.

use super::{Cmd, TABLE_FORMAT_HELP, platform};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::text::{ellipsis, short_id};
use crate::ui::units;
use lapstrake_engine::ops::{self, HistoryRow};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] IMAGE",
    about: "Show the history of an image",
    long: "",
    aliases: &["image history", "history"],
    flags: &[
        Flag::text("format", TABLE_FORMAT_HELP),
        Flag::bool("human", "Print sizes and dates in human readable format")
            .short('H')
            .default("true"),
        Flag::bool("no-trunc", "Don't truncate output"),
        Flag::text(
            "platform",
            "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \
             \"linux/amd64\")",
        ),
        Flag::bool("quiet", "Only show image IDs").short('q'),
    ],
    arity: Arity::Exact(1),
    interspersed: true,
    run,
};

const TABLE: &str = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const EXACT_TABLE: &str = "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

const LISTING: Listing = Listing {
    go_type: "*image.historyContext",
    columns: &[
        ("Comment", "COMMENT"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("CreatedSince", "CREATED"),
        ("ID", "IMAGE"),
        ("Size", "SIZE"),
    ],
    table: TABLE,
};

/// The columns of a command in a table.
const COMMAND_COLUMNS: usize = 45;
/// Dates up to this second are not shown as ages: the first moment of the year 2000.
const EPOCH: i64 = 946_684_800;

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    if let Some(platform) = platform(matches)? {
        ops::require_platform(invocation.engine, matches.required(0), &platform)?;
    }
    let steps = ops::history(invocation.engine, matches.required(0))?;
    let human = matches.is("human");
    let source = matches.text("format").unwrap_or_default();
    let format = if matches.is("quiet") && (source.is_empty() || source == "table") {
        Format::template("{{.ID}}")?
    } else {
        Format::parse(source, if human { LISTING.table } else { EXACT_TABLE })?
    };
    let view = View {
        human,
        whole: matches.is("no-trunc"),
        now: invocation.engine.now(),
        zone: jiff::tz::TimeZone::system(),
    };
    let rows = steps.iter().map(|step| view.row(step)).collect();
    invocation.output.print(&format.render(&LISTING, rows)?);
    Ok(0)
}

struct View {
    human: bool,
    whole: bool,
    now: jiff::Timestamp,
    zone: jiff::tz::TimeZone,
}

impl View {
    fn row(&self, step: &HistoryRow) -> Row {
        let id = step
            .id
            .as_ref()
            .map_or_else(|| "<missing>".to_owned(), ToString::to_string);
        let at = match step.created {
            Some(then) => units::rfc3339(then, &self.zone),
            None => "0001-01-01T00:00:00Z".to_owned(),
        };
        let since = match step.created {
            _ if !self.human => at.clone(),
            Some(then) if then.as_second() > EPOCH => units::ago(self.now, then),
            _ => "N/A".to_owned(),
        };
        let command = step.created_by.replace('\t', " ");
        let size = units::signed(step.size);
        Row::default()
            .set("Comment", step.comment.as_str())
            .set("CreatedAt", at)
            .set(
                "CreatedBy",
                if self.whole {
                    command
                } else {
                    ellipsis(&command, COMMAND_COLUMNS)
                },
            )
            .set("CreatedSince", since)
            .set(
                "ID",
                if self.whole {
                    id.as_str()
                } else {
                    short_id(&id)
                },
            )
            .set(
                "Size",
                if self.human {
                    units::size(size)
                } else {
                    size.to_string()
                },
            )
    }
}

//! `builder du` and `builder prune`: the build cache.

use super::prune::{DRY_RUN, may_go_on};
use super::{Cmd, filters, grouped, prune_filters};
use crate::args::{Arity, Flag, Kind};
use crate::cli::{Invocation, now};
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::text::PushFormat;
use crate::ui::units::{ago, signed, size4};
use jiff::tz::TimeZone;
use lapstrake_engine::ops::{self, CacheRecord, PruneCacheRequest};

const BUILDER: Flag = Flag::text(
    "builder",
    "Override the configured builder instance (accepted and not used: there is one)",
);

const DEBUG: Flag = Flag::bool("debug", "Enable debug logging").short('D');

pub(super) static DU: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Disk usage",
    long: "",
    aliases: &["builder du", "buildx du"],
    flags: &[
        BUILDER,
        DEBUG,
        Flag::filter("Provide filter values"),
        Flag::text("format", "Format the output"),
        Flag::bool("verbose", "Shorthand for \"--format=pretty\""),
    ],
    arity: Arity::None,
    interspersed: true,
    run: du,
};

pub(super) static PRUNE: Cmd = Cmd {
    usage: "",
    about: "Remove build cache",
    long: "",
    aliases: &["builder prune", "buildx prune"],
    flags: &[
        Flag::bool("all", "Remove also what images hold").short('a'),
        BUILDER,
        DEBUG,
        DRY_RUN,
        Flag::filter("Provide filter values"),
        Flag::bool("force", "Do not prompt for confirmation").short('f'),
        Flag::new(
            "keep-storage",
            Kind::Bytes,
            "Amount of disk space to keep for cache",
        )
        .hidden(),
        Flag::new(
            "max-used-space",
            Kind::Bytes,
            "Maximum amount of disk space allowed to keep for cache",
        ),
        Flag::new(
            "reserved-space",
            Kind::Bytes,
            "Amount of disk space always allowed to keep for cache",
        ),
        Flag::bool("verbose", "Provide a more verbose output"),
    ],
    arity: Arity::None,
    interspersed: true,
    run: prune,
};

const LISTING: Listing = Listing {
    go_type: "*commands.duContext",
    columns: &[
        ("CreatedAt", "CREATED AT"),
        ("Description", "DESCRIPTION"),
        ("ID", "ID"),
        ("LastUsedAt", "LAST ACCESSED"),
        ("LastUsedSince", "LAST ACCESSED"),
        ("Mutable", "MUTABLE"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Shared", "SHARED"),
        ("Size", "SIZE"),
        ("Type", "TYPE"),
    ],
    table: "table {{.ID}}\t{{.Reclaimable}}\t{{.Size}}\t{{.LastUsedSince}}",
};

fn du(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let records = ops::build_cache(invocation.engine, &filters(matches))?;
    let output = invocation.output;
    match matches.text("format").unwrap_or_default() {
        "pretty" => output.print(&pretty(&records)),
        "" if matches.is("verbose") => output.print(&pretty(&records)),
        source => {
            let format = Format::parse(source, LISTING.table)?;
            let rows = records.iter().map(|record| row(record, source)).collect();
            output.print(&format.render(&LISTING, rows)?);
            if source.is_empty() || source == "table" {
                output.print(&totals(&records));
            }
        }
    }
    Ok(0)
}

/// A record of a listing; in tables an asterisk marks what steps write to and what images share.
fn row(record: &CacheRecord, source: &str) -> Row {
    let is_table = source.is_empty() || source.starts_with("table");
    let star = |fact: bool| if fact && is_table { "*" } else { "" };
    let moment = |moment| crate::ui::units::rfc3339(moment, &TimeZone::UTC);
    Row::default()
        .set(
            "CreatedAt",
            record.created_at.map(moment).unwrap_or_default(),
        )
        .set("Description", record.description.as_str())
        .set("ID", format!("{}{}", record.id, star(record.is_mutable())))
        .set("LastUsedAt", moment(record.last_used_at))
        .set("LastUsedSince", ago(now(), record.last_used_at))
        .set("Mutable", record.is_mutable().to_string())
        .set("Reclaimable", "true")
        .set("Shared", record.shared.to_string())
        .set(
            "Size",
            format!("{}{}", size4(signed(record.size)), star(record.shared)),
        )
        .set("Type", record.kind)
}

fn pretty(records: &[CacheRecord]) -> String {
    let mut out = String::new();
    for record in records {
        out.push_fmt(format_args!("ID:           {}\n", record.id));
        out.push_fmt(format_args!(
            "Created at:   {}\nMutable:      {}\nReclaimable:  true\nShared:       {}\nSize:         {}\n\
             Description:  {}\nLast used:    {}\nType:         {}\n\n",
            record.created_at.map(|at| at.to_string()).unwrap_or_default(),
            record.is_mutable(),
            record.shared,
            size4(signed(record.size)),
            record.description,
            ago(now(), record.last_used_at),
            record.kind,
        ));
    }
    out + &totals(records)
}

/// The sums under a listing; the first two only when something is shared.
fn totals(records: &[CacheRecord]) -> String {
    let sum = |wanted: fn(&CacheRecord) -> bool| {
        let sizes = records.iter().filter(|record| wanted(record));
        size4(signed(sizes.map(|record| record.size).sum()))
    };
    let mut out = String::new();
    if records.iter().any(|record| record.shared) {
        out = format!(
            "Shared:\t\t{}\nPrivate:\t{}\n",
            sum(|record| record.shared),
            sum(|record| !record.shared)
        );
    }
    let all = sum(|_| true);
    out.push_fmt(format_args!("Reclaimable:\t{all}\nTotal:\t\t{all}\n"));
    out
}

fn prune(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let all = matches.is("all");
    let what = if all { "all" } else { "all dangling" };
    let question =
        format!("WARNING! This will remove {what} build cache. Are you sure you want to continue?");
    if !may_go_on(invocation, &question) {
        return Ok(0);
    }
    let bytes = |name: &str| {
        matches
            .bytes(name)
            .and_then(|size| u64::try_from(size).ok())
    };
    let request = PruneCacheRequest {
        all,
        filters: grouped(prune_filters(invocation)),
        keep_bytes: bytes("max-used-space")
            .or_else(|| bytes("keep-storage"))
            .max(bytes("reserved-space")),
        dry_run: matches.is("dry-run"),
    };
    let gone = ops::prune_build_cache(invocation.engine, &request)?;
    invocation.output.print(&pruned(&gone.removed, gone.bytes));
    Ok(0)
}

/// Digits of an id in the table of what went, as many as buildx's ids have: longer ones break its columns.
const PRUNED_ID: usize = 25;

/// buildx lays this table out with tabs of its own. The total is what the disk gets back.
fn pruned(records: &[CacheRecord], total: u64) -> String {
    let mut out = String::new();
    if !records.is_empty() {
        out.push_str("ID\t\t\t\t\t\tRECLAIMABLE\tSIZE\t\tLAST ACCESSED\n");
    }
    for record in records {
        let id = format!(
            "{:.PRUNED_ID$}{}",
            record.id,
            if record.is_mutable() { "*" } else { "" }
        );
        let size = format!(
            "{}{}",
            size4(signed(record.size)),
            if record.shared { "*" } else { "" }
        );
        let last = ago(now(), record.last_used_at);
        out.push_fmt(format_args!(
            "{id:<40}\t{:<5}\t{size:<10}\t{last}\n",
            "true"
        ));
    }
    out.push_fmt(format_args!("Total:\t{}\n", size4(signed(total))));
    out
}

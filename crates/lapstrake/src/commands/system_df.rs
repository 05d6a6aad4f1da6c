//! `system df`: what images and containers take.

use super::{Cmd, TABLE_FORMAT_HELP};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::units::{signed, size4};
use lapstrake_engine::ops::{self, UsageRow};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Show docker disk usage",
    long: "",
    aliases: &[],
    flags: &[Flag::text("format", TABLE_FORMAT_HELP)],
    arity: Arity::None,
    interspersed: true,
    run,
};

const LISTING: Listing = Listing {
    go_type: "*formatter.diskUsageImagesContext",
    columns: &[
        ("Active", "ACTIVE"),
        ("Reclaimable", "RECLAIMABLE"),
        ("Size", "SIZE"),
        ("TotalCount", "TOTAL"),
        ("Type", "TYPE"),
    ],
    table: "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let source = invocation.matches.text("format").unwrap_or_default();
    let format = Format::parse(source, LISTING.table)?;
    let usage = ops::disk_usage(invocation.engine)?;
    let rows = usage.rows.iter().map(row).collect();
    invocation.output.print(&format.render(&LISTING, rows)?);
    Ok(0)
}

fn row(usage: &UsageRow) -> Row {
    let reclaimable = size4(signed(usage.reclaimable));
    // The build cache has no share in docker's table.
    let share = (usage.kind != "Build Cache" && usage.size > 0)
        .then(|| u128::from(usage.reclaimable) * 100 / u128::from(usage.size));
    Row::default()
        .set("Active", usage.active.to_string())
        .set(
            "Reclaimable",
            match share {
                Some(share) => format!("{reclaimable} ({share}%)"),
                None => reclaimable,
            },
        )
        .set("Size", size4(signed(usage.size)))
        .set("TotalCount", usage.total.to_string())
        .set("Type", usage.kind.as_str())
}

//! `system df`: what images and containers take.

use super::{Cmd, TABLE_FORMAT_HELP, images, ps};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::template::Value;
use crate::ui::units::{ago, signed, size, size4};
use jiff::tz::TimeZone;
use lapstrake_engine::ops::{self, CacheRecord, ImageUsage, UsageRow, VolumeUsage};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Show docker disk usage",
    long: "",
    aliases: &[],
    flags: &[
        Flag::text("format", TABLE_FORMAT_HELP),
        Flag::bool("verbose", "Show detailed information on space usage").short('v'),
    ],
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
    if invocation.matches.is("verbose") {
        return detailed(invocation, source);
    }
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

const IMAGES: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t\
    {{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
const CONTAINERS: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t\
    {{.RunningFor}}\t{{.Status}}\t{{.Names}}";

const VOLUMES: Listing = Listing {
    go_type: "*formatter.volumeContext",
    columns: &[
        ("Links", "LINKS"),
        ("Name", "VOLUME NAME"),
        ("Size", "SIZE"),
    ],
    table: "table {{.Name}}\t{{.Links}}\t{{.Size}}",
};

const CACHE: Listing = Listing {
    go_type: "*formatter.buildCacheContext",
    columns: &[
        ("CacheType", "CACHE TYPE"),
        ("CreatedSince", "CREATED"),
        ("ID", "CACHE ID"),
        ("LastUsedSince", "LAST USED"),
        ("Shared", "SHARED"),
        ("Size", "SIZE"),
    ],
    table: "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.Shared}}",
};

/// The characters of a record's key that a table shows.
const KEY_CHARACTERS: usize = 12;

/// Four tables, one for each kind of thing.
fn detailed(invocation: &Invocation<'_>, source: &str) -> Result<u8, Failure> {
    if !matches!(source, "" | "table") {
        return Err(Failure::new("--format is not supported with --verbose"));
    }
    let usage = ops::detailed_disk_usage(invocation.engine)?;
    let now = invocation.engine.now();
    let view = images::View {
        long_ids: false,
        all_digests: false,
        digests: false,
        now,
        zone: TimeZone::system(),
    };
    let image_rows = usage.images.iter().flat_map(|one| image_rows(&view, one));
    let view = ps::View {
        whole: false,
        now,
        zone: TimeZone::system(),
    };
    let containers = usage.containers.iter().map(|row| {
        let written = row.sizes.map(|sizes| sizes.writable).unwrap_or_default();
        replaced(view.row(row), "Size", size(signed(written)))
    });
    let volumes = usage.volumes.iter().map(volume_row);
    let cache = usage.cache.iter().map(|record| cache_row(record, now));
    let cache_bytes = usage.cache.iter().map(|record| record.size).sum();
    let table = |source: &str, listing: &Listing, rows| -> Result<String, Failure> {
        Ok(Format::parse(source, listing.table)?.render(listing, rows)?)
    };
    let text = format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space \
         usage:\n\n{}\nBuild cache usage: {}\n\n{}",
        table(IMAGES, &images::LISTING, image_rows.collect())?,
        table(CONTAINERS, &ps::LISTING, containers.collect())?,
        table("table", &VOLUMES, volumes.collect())?,
        size4(signed(cache_bytes)),
        table("table", &CACHE, cache.collect())?,
    );
    invocation.output.print(&text);
    Ok(0)
}

fn image_rows(view: &images::View, usage: &ImageUsage) -> Vec<Row> {
    let bytes = |bytes: u64| size(signed(bytes));
    let finished = |row: Row| {
        let row = replaced(row, "SharedSize", bytes(usage.sizes.shared));
        let row = replaced(row, "UniqueSize", bytes(usage.sizes.unique));
        replaced(row, "Containers", usage.containers.to_string())
    };
    view.rows(&usage.image).into_iter().map(finished).collect()
}

fn replaced(mut row: Row, name: &str, value: impl Into<Value>) -> Row {
    if let Some(cell) = row.cells.iter_mut().find(|cell| cell.0 == name) {
        cell.1 = value.into();
    }
    row
}

fn volume_row(volume: &VolumeUsage) -> Row {
    Row::default()
        .set("Links", volume.links.to_string())
        .set("Name", volume.name.as_str())
        .set("Size", size(signed(volume.size)))
}

fn cache_row(record: &CacheRecord, now: jiff::Timestamp) -> Row {
    let created = record.created_at.map(|at| ago(now, at));
    let id = record.id.get(..KEY_CHARACTERS).unwrap_or(&record.id);
    Row::default()
        .set("CacheType", record.kind)
        .set("CreatedSince", created.unwrap_or_default())
        .set("ID", id)
        .set("LastUsedSince", ago(now, record.last_used_at))
        .set("Shared", record.shared.to_string())
        .set("Size", size(signed(record.size)))
}

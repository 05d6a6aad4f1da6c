//! `system df`: what images and containers take.

use super::{Cmd, TABLE_FORMAT_HELP, images, ps};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row, row_value};
use crate::ui::template::{MissingKey, Struct, Template, Value};
use crate::ui::units::{ago, created_at, signed, size, size4};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lapstrake_engine::ops::{self, CacheRecord, DetailedUsage, ImageUsage, UsageRow, VolumeUsage};
use std::rc::Rc;

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
        ("Availability", "AVAILABILITY"),
        ("Driver", "DRIVER"),
        ("Group", "GROUP"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
    ],
    table: "table {{.Name}}\t{{.Links}}\t{{.Size}}",
};

const CACHE: Listing = Listing {
    go_type: "*formatter.buildCacheContext",
    columns: &[
        ("CacheType", "CACHE TYPE"),
        ("CreatedAt", "CREATED"),
        ("CreatedSince", "CREATED"),
        ("Description", "DESCRIPTION"),
        ("ID", "CACHE ID"),
        ("InUse", "IN USE"),
        ("LastUsedAt", "LAST USED"),
        ("LastUsedSince", "LAST USED"),
        ("Parent", "PARENT"),
        ("Shared", "SHARED"),
        ("Size", "SIZE"),
        ("UsageCount", "USAGE"),
    ],
    table: "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t\
        {{.Shared}}",
};

/// The characters of a record's key that a table shows.
const KEY_CHARACTERS: usize = 12;

/// The rows of everything, by kind.
struct Rows {
    images: Vec<Row>,
    containers: Vec<Row>,
    volumes: Vec<Row>,
    cache: Vec<Row>,
    cache_bytes: u64,
}

/// Four tables, one for each kind of thing; a template gets all four lists.
fn detailed(invocation: &Invocation<'_>, source: &str) -> Result<u8, Failure> {
    let usage = ops::detailed_disk_usage(invocation.engine)?;
    let now = invocation.engine.now();
    let text = match source {
        "" | "table" => tables(rows(&usage, now, false))?,
        "json" => template("{{json .}}", rows(&usage, now, true))?,
        source => template(source, rows(&usage, now, true))?,
    };
    invocation.output.print(&text);
    Ok(0)
}

/// Templates get whole ids, tables short ones.
fn rows(usage: &DetailedUsage, now: Timestamp, whole: bool) -> Rows {
    let view = images::View {
        long_ids: whole,
        all_digests: false,
        digests: false,
        all_columns: true,
        now,
        zone: TimeZone::system(),
    };
    let images = usage.images.iter().map(|one| image_row(&view, one));
    let view = ps::View {
        whole,
        now,
        zone: TimeZone::system(),
    };
    let containers = usage.containers.iter().map(|row| {
        let written = row.sizes.map(|sizes| sizes.writable).unwrap_or_default();
        replaced(view.row(row), "Size", size(signed(written)))
    });
    let cache = usage
        .cache
        .iter()
        .map(|record| cache_row(record, now, whole));
    Rows {
        images: images.collect(),
        containers: containers.collect(),
        volumes: usage.volumes.iter().map(volume_row).collect(),
        cache: cache.collect(),
        cache_bytes: usage.cache.iter().map(|record| record.size).sum(),
    }
}

fn tables(rows: Rows) -> Result<String, Failure> {
    let table = |source: &str, listing: &Listing, rows| -> Result<String, Failure> {
        Ok(Format::parse(source, listing.table)?.render(listing, rows)?)
    };
    Ok(format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space \
         usage:\n\n{}\nBuild cache usage: {}\n\n{}",
        table(IMAGES, &images::LISTING, rows.images)?,
        table(CONTAINERS, &ps::LISTING, rows.containers)?,
        table("table", &VOLUMES, rows.volumes)?,
        size4(signed(rows.cache_bytes)),
        table("table", &CACHE, rows.cache)?,
    ))
}

/// One object with a list of each kind; what is printed has no newline of its own.
fn template(source: &str, rows: Rows) -> Result<String, Failure> {
    let list = |listing: &Listing, rows: Vec<Row>| -> Value {
        let rows = rows.into_iter().map(|row| row_value(listing, row));
        rows.collect::<Vec<_>>().into()
    };
    let fields = vec![
        ("Images".into(), list(&images::LISTING, rows.images)),
        ("Containers".into(), list(&ps::LISTING, rows.containers)),
        ("Volumes".into(), list(&VOLUMES, rows.volumes)),
        ("BuildCache".into(), list(&CACHE, rows.cache)),
    ];
    let object = Value::Struct(Rc::new(Struct {
        go_type: "*formatter.diskUsageContext",
        fields,
        ..Struct::default()
    }));
    let text = Template::parse(source)?.render(&object, MissingKey::NoValue);
    text.map_err(|error| Failure::new(error.to_string()))
}

/// An image by its first name.
fn image_row(view: &images::View, usage: &ImageUsage) -> Row {
    let bytes = |bytes: u64| size4(signed(bytes));
    let row = view
        .rows(&usage.image)
        .into_iter()
        .next()
        .unwrap_or_default();
    let row = replaced(row, "SharedSize", bytes(usage.sizes.shared));
    let row = replaced(row, "UniqueSize", bytes(usage.sizes.unique));
    replaced(row, "Containers", usage.containers.to_string())
}

fn replaced(mut row: Row, name: &str, value: impl Into<Value>) -> Row {
    if let Some(cell) = row.cells.iter_mut().find(|cell| cell.0 == name) {
        cell.1 = value.into();
    }
    row
}

fn volume_row(volume: &VolumeUsage) -> Row {
    let labels = if volume.anonymous {
        "com.docker.volume.anonymous="
    } else {
        ""
    };
    Row::default()
        .set("Availability", "N/A")
        .set("Driver", "local")
        .set("Group", "N/A")
        .set("Labels", labels)
        .set("Links", volume.links.to_string())
        .set("Mountpoint", volume.path.display().to_string())
        .set("Name", volume.name.as_str())
        .set("Scope", "local")
        .set("Size", size(signed(volume.size)))
        .set("Status", "N/A")
}

fn cache_row(record: &CacheRecord, now: Timestamp, whole: bool) -> Row {
    let created = record.created_at.map(|at| ago(now, at));
    let short = record.id.get(..KEY_CHARACTERS).unwrap_or(&record.id);
    let at = |moment: Timestamp| created_at(moment, &TimeZone::system());
    Row::default()
        .set("CacheType", record.kind)
        .set("CreatedAt", record.created_at.map(at).unwrap_or_default())
        .set("CreatedSince", created.unwrap_or_default())
        .set("Description", record.description.as_str())
        .set("ID", if whole { record.id.as_str() } else { short })
        .set("InUse", "false")
        .set("LastUsedAt", at(record.last_used_at))
        .set("LastUsedSince", ago(now, record.last_used_at))
        .set("Parent", "")
        .set("Shared", record.shared.to_string())
        .set("Size", size(signed(record.size)))
        // Uses are not counted.
        .set("UsageCount", "N/A")
}

//! `images`, `image ls`: what is in the store.

use super::{Cmd, FILTER_HELP, TABLE_FORMAT_HELP, filters, images_tree, listing_format};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::text::short_id;
use crate::ui::units;
use lapstrake_engine::ops::{self, ImageSummary, ListImages};
use lapstrake_engine::spec::Reference;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    about: "List images",
    long: "",
    aliases: &["image ls", "image list", "images"],
    flags: &[
        Flag::bool("all", "Show all images (default hides intermediate images)").short('a'),
        Flag::bool("digests", "Show digests"),
        Flag::filter(FILTER_HELP).short('f'),
        Flag::text("format", TABLE_FORMAT_HELP),
        Flag::bool("no-trunc", "Don't truncate output"),
        Flag::bool("quiet", "Only show image IDs").short('q'),
        Flag::bool("tree", "List images below the layers that they share"),
    ],
    arity: Arity::AtMost(1),
    interspersed: true,
    run,
};

const TABLE: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t\
    {{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
const TABLE_WITH_DIGEST: &str = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t\
    {{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";

/// The end of docker's raw form.
const RAW: &str = "image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

pub(super) const LISTING: Listing = Listing {
    go_type: "*formatter.imageContext",
    columns: &[
        ("Containers", "CONTAINERS"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("SharedSize", "SHARED SIZE"),
        ("Size", "SIZE"),
        ("Tag", "TAG"),
        ("UniqueSize", "UNIQUE SIZE"),
        ("VirtualSize", "SIZE"),
    ],
    table: TABLE,
};

/// Words that are commands of `image` and that people give to `images`.
const SUBCOMMANDS: [&str; 13] = [
    "build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm",
    "save", "tag",
];

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = ListImages {
        all: matches.is("all"),
        reference: matches.arg(0).map(str::to_owned),
        filters: filters(matches),
        containers: false,
    };
    if matches.is("tree") {
        return images_tree::run(invocation, &request);
    }
    let source = listing_format(invocation, "imagesFormat");
    let digests = matches.is("digests");
    let format = format(source, matches.is("quiet"), digests)?;
    let request = ListImages {
        containers: format.mentions("Containers") || source.contains("json"),
        ..request
    };
    let images = ops::images(invocation.engine, &request)?;
    let all_columns = !matches!(source, "" | "table");
    let view = View {
        long_ids: matches.is("no-trunc"),
        all_digests: digests,
        digests: digests || source.contains("{{.Digest}}"),
        all_columns,
        now: invocation.engine.now(),
        // The search for the system's zone reads many folders.
        zone: if all_columns {
            jiff::tz::TimeZone::system()
        } else {
            jiff::tz::TimeZone::UTC
        },
    };
    let rows = images.iter().flat_map(|image| view.rows(image)).collect();
    invocation.output.print(&format.render(&LISTING, rows)?);
    if let (true, "images", Some(word)) = (images.is_empty(), invocation.called_as, matches.arg(0))
        && SUBCOMMANDS.contains(&word)
    {
        invocation.output.err_line(&format!(
            "\nNo images found matching \"{word}\": did you mean \"{} image {word}\"?",
            invocation.program
        ));
    }
    Ok(0)
}

fn format(source: &str, quiet: bool, digests: bool) -> Result<Format, Failure> {
    let is_default = source.is_empty() || source == "table";
    if quiet && is_default {
        return Ok(Format::template("{{.ID}}")?);
    }
    if source == "raw" {
        let digest = if digests { "digest: {{.Digest}}\n" } else { "" };
        let text = if quiet {
            "image_id: {{.ID}}".to_owned()
        } else {
            format!("repository: {{{{.Repository}}}}\ntag: {{{{.Tag}}}}\n{digest}{RAW}")
        };
        return Ok(Format::template(&text)?);
    }
    let table = if digests { TABLE_WITH_DIGEST } else { TABLE };
    if digests && !is_default && source.starts_with("table") && !source.contains("{{.Digest}}") {
        return Ok(Format::parse(&format!("{source}\t{{{{.Digest}}}}"), table)?);
    }
    Ok(Format::parse(source, table)?)
}

pub(super) struct View {
    pub(super) long_ids: bool,
    /// A row for each digest, also of repositories without a tag.
    pub(super) all_digests: bool,
    pub(super) digests: bool,
    /// Columns that only templates show are filled too.
    pub(super) all_columns: bool,
    pub(super) now: jiff::Timestamp,
    pub(super) zone: jiff::tz::TimeZone,
}

impl View {
    /// A row for each tag (and each of its digests where they are shown), then for what has none.
    pub(super) fn rows(&self, image: &ImageSummary) -> Vec<Row> {
        if image.tags.is_empty() && image.digests.is_empty() {
            return vec![self.row(image, "<none>", "<none>", "<none>")];
        }
        let digests_of = |name: &str| -> Vec<String> {
            let same = image
                .digests
                .iter()
                .filter(|digest| digest.familiar_name() == name);
            same.filter_map(Reference::digest)
                .map(ToString::to_string)
                .collect()
        };
        let mut rows = Vec::new();
        for tag in &image.tags {
            let name = tag.familiar_name();
            let digests = if self.digests {
                digests_of(&name)
            } else {
                Vec::new()
            };
            let tag = tag.tag().unwrap_or("<none>");
            if digests.is_empty() {
                rows.push(self.row(image, &name, tag, "<none>"));
            }
            for digest in &digests {
                rows.push(self.row(image, &name, tag, digest));
            }
        }
        let mut seen: Vec<String> = image.tags.iter().map(Reference::familiar_name).collect();
        for name in image.digests.iter().map(Reference::familiar_name) {
            if seen.contains(&name) {
                continue;
            }
            if self.all_digests {
                for digest in digests_of(&name) {
                    rows.push(self.row(image, &name, "<none>", &digest));
                }
            } else {
                rows.push(self.row(image, &name, "<none>", ""));
            }
            seen.push(name);
        }
        rows
    }

    fn row(&self, image: &ImageSummary, name: &str, tag: &str, digest: &str) -> Row {
        let id = image.id.to_string();
        let size = units::signed(image.size);
        let since = image.created.map(|then| units::ago(self.now, then));
        let (at, exact_size) = if self.all_columns {
            (self.created_at(image), units::size4(size))
        } else {
            (String::new(), String::new())
        };
        Row::default()
            .set("Containers", image.containers.to_string())
            .set("CreatedAt", at)
            .set("CreatedSince", since.unwrap_or_default())
            .set("Digest", digest)
            .set("ID", if self.long_ids { &id } else { short_id(&id) })
            .set("Repository", name)
            .set("SharedSize", "N/A")
            .set("Size", units::size(size))
            .set("Tag", tag)
            .set("UniqueSize", "N/A")
            .set("VirtualSize", exact_size)
    }

    fn created_at(&self, image: &ImageSummary) -> String {
        match image.created {
            Some(then) => units::created_at(then, &self.zone),
            None => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
        }
    }
}

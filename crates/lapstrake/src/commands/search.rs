//! `search`: repositories that an index finds, and the tags of one repository.

use super::{Cmd, FILTER_HELP, block_on, filters};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::format::{Format, Listing, Row};
use crate::ui::text::ellipsis;
use lapstrake_engine::ops::{self, SearchRequest};
use lapstrake_engine::registry::client::SearchResult;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] TERM",
    about: "Search Docker Hub for images",
    long: "Search Docker Hub for images\n\nA term with a registry's name before it (`quay.io/etcd`) is searched for in that registry.",
    aliases: &[],
    flags: &[
        Flag::filter(FILTER_HELP).short('f'),
        Flag::text("format", "Pretty-print search using a Go template"),
        Flag::int("limit", "Max number of search results"),
        Flag::bool("no-trunc", "Don't truncate output"),
        Flag::bool("tags", "List the tags of the repository named TERM"),
    ],
    arity: Arity::Exact(1),
    interspersed: true,
    run,
};

const LISTING: Listing = Listing {
    go_type: "*registry.searchContext",
    columns: &[
        ("Description", "DESCRIPTION"),
        ("IsAutomated", "AUTOMATED"),
        ("IsOfficial", "OFFICIAL"),
        ("Name", "NAME"),
        ("StarCount", "STARS"),
    ],
    table: "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
};

const TAGS: Listing = Listing {
    go_type: "*registry.tagContext",
    columns: &[("Name", "NAME"), ("Tag", "TAG")],
    table: "table {{.Name}}\t{{.Tag}}",
};

/// The columns of a description in a table.
const DESCRIPTION_COLUMNS: usize = 45;

const AUTOMATED_WARNING: &str = "WARNING: the \"is-automated\" filter is deprecated, and searching \
    for \"is-automated=true\" will not yield any results in future.";

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    if matches.is("tags") {
        return tags(invocation);
    }
    let format = Format::parse(matches.text("format").unwrap_or_default(), LISTING.table)?;
    let request = SearchRequest {
        term: matches.required(0).to_owned(),
        // As in docker, nothing and less is what was not said.
        limit: matches.int("limit").filter(|limit| *limit > 0),
        filters: filters(matches),
    };
    if !request.filters.values("is-automated").is_empty() {
        invocation.output.err_line(AUTOMATED_WARNING);
    }
    let results = block_on(ops::search(invocation.engine, &request))?;
    let whole = matches.is("no-trunc");
    let rows = results.iter().map(|result| row(result, whole)).collect();
    invocation.output.print(&format.render(&LISTING, rows)?);
    Ok(0)
}

fn row(result: &SearchResult, whole: bool) -> Row {
    let mark = |fact: bool| if fact { "[OK]" } else { "" };
    let description = if whole {
        result.description.clone()
    } else {
        ellipsis(&result.description, DESCRIPTION_COLUMNS)
    };
    Row::default()
        .set("Description", description)
        .set("IsAutomated", mark(result.is_automated))
        .set("IsOfficial", mark(result.is_official))
        .set("Name", result.name.as_str())
        .set("StarCount", result.star_count.to_string())
}

fn tags(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    if !matches.filters("filter").is_empty() {
        return Err(Failure::new("--filter is not supported with --tags"));
    }
    let format = Format::parse(matches.text("format").unwrap_or_default(), TAGS.table)?;
    let (name, mut tags) = block_on(ops::remote_tags(invocation.engine, matches.required(0)))?;
    let limit = matches
        .int("limit")
        .and_then(|limit| usize::try_from(limit).ok());
    if let Some(limit) = limit.filter(|limit| *limit > 0) {
        tags.truncate(limit);
    }
    let row = |tag: &String| {
        Row::default()
            .set("Name", name.as_str())
            .set("Tag", tag.as_str())
    };
    let rows = tags.iter().map(row).collect();
    invocation.output.print(&format.render(&TAGS, rows)?);
    Ok(0)
}

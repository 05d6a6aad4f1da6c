//! `image prune`, `container prune`, `volume prune`, `system prune`.

use super::{Cmd, grouped, prune_filters, rmi};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::ui::text::PushFormat;
use crate::ui::units::{signed, size4};
use lapstrake_engine::ops::{self, PruneImagesRequest, PruneRequest, PruneSystemRequest, Removed};
use std::io::BufRead;

const FORCE: Flag = Flag::bool("force", "Do not prompt for confirmation").short('f');
const FILTER: Flag = Flag::filter("Provide filter values (e.g. \"until=<timestamp>\")");

/// `--dry-run`, for everything that removes.
pub(super) const DRY_RUN: Flag = Flag::bool(
    "dry-run",
    "Only show what would be removed, and the space it takes",
);

pub(super) static IMAGE: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Remove unused images",
    long: "",
    aliases: &[],
    flags: &[
        Flag::bool("all", "Remove all unused images, not just dangling ones").short('a'),
        DRY_RUN,
        FILTER,
        FORCE,
    ],
    arity: Arity::None,
    interspersed: true,
    run: image,
};

pub(super) static CONTAINER: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Remove all stopped containers",
    long: "",
    aliases: &[],
    flags: &[DRY_RUN, FILTER, FORCE],
    arity: Arity::None,
    interspersed: true,
    run: container,
};

pub(super) static VOLUME: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Remove unused local volumes",
    long: "",
    aliases: &[],
    flags: &[
        Flag::bool("all", "Remove all unused volumes, not just anonymous ones").short('a'),
        DRY_RUN,
        Flag::filter("Provide filter values (e.g. \"label=<label>\")"),
        FORCE,
    ],
    arity: Arity::None,
    interspersed: true,
    run: volume,
};

pub(super) static SYSTEM: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Remove unused data",
    long: "",
    aliases: &[],
    flags: &[
        Flag::bool("all", "Remove all unused images not just dangling ones").short('a'),
        DRY_RUN,
        Flag::filter("Provide filter values (e.g. \"label=<key>=<value>\")"),
        FORCE,
        Flag::bool("volumes", "Prune anonymous volumes"),
    ],
    arity: Arity::None,
    interspersed: true,
    run: system,
};

fn image(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let mut request = PruneImagesRequest {
        all: matches.is("all"),
        filters: grouped(prune_filters(invocation)),
        dry_run: matches.is("dry-run"),
    };
    // What is asked before is what is done then.
    if let Some(dangling) = request.filters.boolean("dangling")? {
        request.all = !dangling;
    }
    let what = if request.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    if !may_go_on(invocation, &warning(what)) {
        return Ok(0);
    }
    let pruned = ops::prune_images(invocation.engine, &request)?;
    let mut report = Report::new(request.dry_run);
    report.list("Images", "images", pruned.removed.iter().map(shown));
    invocation.output.print(&report.total(pruned.bytes));
    Ok(0)
}

fn container(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    if !may_go_on(invocation, &warning("all stopped containers")) {
        return Ok(0);
    }
    let request = PruneRequest {
        all: false,
        filters: grouped(prune_filters(invocation)),
        dry_run: invocation.matches.is("dry-run"),
    };
    let pruned = ops::prune_containers(invocation.engine, &request)?;
    let mut report = Report::new(request.dry_run);
    report.list("Containers", "containers", pruned.removed.into_iter());
    invocation.output.print(&report.total(pruned.bytes));
    Ok(0)
}

fn volume(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let what = if matches.is("all") {
        "all local volumes not used by at least one container"
    } else {
        "anonymous local volumes not used by at least one container"
    };
    if !may_go_on(invocation, &warning(what)) {
        return Ok(0);
    }
    let request = PruneRequest {
        all: matches.is("all"),
        filters: grouped(prune_filters(invocation)),
        dry_run: matches.is("dry-run"),
    };
    let pruned = ops::prune_volumes(invocation.engine, &request)?;
    let mut report = Report::new(request.dry_run);
    report.list("Volumes", "volumes", pruned.removed.into_iter());
    invocation.output.print(&report.total(pruned.bytes));
    Ok(0)
}

fn system(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = PruneSystemRequest {
        all: matches.is("all"),
        volumes: matches.is("volumes"),
        filters: grouped(prune_filters(invocation)),
        dry_run: matches.is("dry-run"),
    };
    request.check()?;
    if !may_go_on(
        invocation,
        &system_warning(&request, &prune_filters(invocation)),
    ) {
        return Ok(0);
    }
    let pruned = ops::prune_system(invocation.engine, &request)?;
    let mut report = Report::new(request.dry_run);
    report.list("Containers", "containers", pruned.containers.into_iter());
    report.list("Volumes", "volumes", pruned.volumes.into_iter());
    report.list("Images", "images", pruned.images.iter().map(shown));
    let cache = pruned.cache.into_iter().map(|record| record.id);
    report.list("build cache objects", "build cache objects", cache);
    invocation.output.print(&report.total(pruned.bytes));
    Ok(0)
}

fn warning(what: &str) -> String {
    format!("WARNING! This will remove {what}.\nAre you sure you want to continue?")
}

fn system_warning(request: &PruneSystemRequest, filters: &[(String, String)]) -> String {
    let mut text = "WARNING! This will remove:\n  - all stopped containers\n  - all networks not \
                    used by at least one container\n"
        .to_owned();
    if request.volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(if request.all {
        "  - all images without at least one container associated to them\n  - all build cache\n"
    } else {
        "  - all dangling images\n  - unused build cache\n"
    });
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
    }
    for (name, value) in filters {
        text.push_fmt(format_args!("  - {name}={value}\n"));
    }
    text + "\nAre you sure you want to continue?"
}

/// Whether nobody needs to be asked, or the answer was yes.
pub(super) fn may_go_on(invocation: &Invocation<'_>, question: &str) -> bool {
    let matches = invocation.matches;
    if matches.is("force") || matches.is("dry-run") {
        return true;
    }
    invocation.output.print(&format!("{question} [y/N] "));
    invocation.output.flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

fn shown(removed: &Removed) -> String {
    let line = rmi::shown(removed);
    // Docker writes these lines small here and large in `rmi`.
    line.replacen("Untagged", "untagged", 1)
        .replacen("Deleted", "deleted", 1)
}

/// What a prune tells, list after list.
struct Report {
    text: String,
    dry_run: bool,
}

impl Report {
    fn new(dry_run: bool) -> Self {
        Self {
            text: String::new(),
            dry_run,
        }
    }

    fn list(&mut self, kind: &str, plain: &str, lines: impl Iterator<Item = String>) {
        let mut lines = lines.peekable();
        if lines.peek().is_none() {
            return;
        }
        if self.dry_run {
            self.text.push_fmt(format_args!("Would delete {plain}:\n"));
        } else {
            self.text.push_fmt(format_args!("Deleted {kind}:\n"));
        }
        for line in lines {
            self.text.push_fmt(format_args!("{line}\n"));
        }
        self.text.push('\n');
    }

    fn total(self, bytes: u64) -> String {
        let words = if self.dry_run {
            "Total reclaimable space"
        } else {
            "Total reclaimed space"
        };
        format!("{}{words}: {}\n", self.text, size4(signed(bytes)))
    }
}

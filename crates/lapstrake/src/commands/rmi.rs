//! `rmi`, `image rm`: names away, and images that lose their last one.

use super::Cmd;
use super::prune::DRY_RUN;
use crate::args::{Arity, Flag, Kind};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ErrorKind;
use lapstrake_engine::ops::{self, Removed, RmiRequest};
use lapstrake_engine::spec::Platform;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    long: "",
    aliases: &["image rm", "image remove", "rmi"],
    flags: &[
        DRY_RUN,
        Flag::bool("force", "Force removal of the image").short('f'),
        Flag::bool("no-prune", "Do not delete untagged parents"),
        Flag::new(
            "platform",
            Kind::Strings,
            "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \
             \"linux/amd64\")",
        ),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let force = matches.is("force");
    let platforms = platforms(&matches.list("platform"))?;
    let mut failures = Vec::new();
    let mut only_missing = true;
    for image in &matches.args {
        let request = RmiRequest {
            image: image.clone(),
            force,
            prune: !matches.is("no-prune"),
            dry_run: matches.is("dry-run"),
            platforms: platforms.clone(),
        };
        match ops::rmi(invocation.engine, &request) {
            Ok(removed) => removed
                .iter()
                .for_each(|line| invocation.output.line(&said(line, request.dry_run))),
            Err(error) => {
                only_missing &= error.kind() == ErrorKind::NotFound;
                failures.push(Failure::from(error));
            }
        }
    }
    if failures.is_empty() {
        return Ok(0);
    }
    let failure = Failure::joined(failures);
    if force && only_missing {
        invocation.output.err_line(&failure.text);
        return Ok(0);
    }
    Err(failure)
}

fn platforms(given: &[String]) -> Result<Vec<Platform>, Failure> {
    let parsed = given.iter().map(|text| Platform::parse(text));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::new(error.to_string()))
}

fn said(removed: &Removed, dry_run: bool) -> String {
    match removed {
        Removed::Untagged(name) if dry_run => format!("Would untag: {}", name.familiar()),
        Removed::Deleted(digest) if dry_run => format!("Would delete: {digest}"),
        _ => shown(removed),
    }
}

/// A line of the answer.
pub(super) fn shown(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {}", name.familiar()),
        Removed::Deleted(digest) => format!("Deleted: {digest}"),
    }
}

//! `rmi`, `image rm`: names away, and images that lose their last one.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ErrorKind;
use lapstrake_engine::ops::{self, Removed, RmiRequest};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    long: "",
    aliases: &["image rm", "image remove", "rmi"],
    flags: &[
        Flag::bool("force", "Force removal of the image").short('f'),
        Flag::bool("no-prune", "Do not delete untagged parents"),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let force = matches.is("force");
    let mut failures = Vec::new();
    let mut only_missing = true;
    for image in &matches.args {
        let request = RmiRequest {
            image: image.clone(),
            force,
            prune: !matches.is("no-prune"),
        };
        match ops::rmi(invocation.engine, &request) {
            Ok(removed) => removed
                .iter()
                .for_each(|line| invocation.output.line(&shown(line))),
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

fn shown(removed: &Removed) -> String {
    match removed {
        Removed::Untagged(name) => format!("Untagged: {}", name.familiar()),
        Removed::Deleted(digest) => format!("Deleted: {digest}"),
    }
}

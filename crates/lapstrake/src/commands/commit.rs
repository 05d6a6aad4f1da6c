//! `commit`: a container's changes become an image.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops::{self, CommitRequest};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    about: "Create a new image from a container's changes",
    long: "",
    aliases: &["container commit", "commit"],
    flags: &[
        Flag::text(
            "author",
            "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")",
        )
        .short('a'),
        Flag::list(
            "change",
            "Apply Dockerfile instruction to the created image",
        )
        .short('c'),
        Flag::text("message", "Commit message").short('m'),
        Flag::bool("no-pause", "Do not pause the container during commit").hidden(),
        Flag::bool("pause", "Pause container during commit")
            .short('p')
            .default("true"),
    ],
    arity: Arity::Range(1, 2),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let request = CommitRequest {
        container: matches.required(0).to_owned(),
        reference: matches
            .arg(1)
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        author: matches.owned("author").unwrap_or_default(),
        message: matches.owned("message").unwrap_or_default(),
        changes: matches.list("change"),
        pause: matches.is("pause") && !matches.is("no-pause"),
    };
    let id = ops::commit(invocation.engine, &request)?;
    invocation.output.line(id.as_ref());
    Ok(0)
}

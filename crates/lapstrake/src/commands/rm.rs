//! `rm`: containers away.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::container::RemoveOptions;
use lapstrake_engine::{ErrorKind, ops};

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Remove one or more containers",
    long: "",
    aliases: &["container rm", "container remove", "rm"],
    flags: &[
        Flag::bool(
            "force",
            "Force the removal of a running container (uses SIGKILL)",
        )
        .short('f'),
        Flag::bool(
            "volumes",
            "Remove anonymous volumes associated with the container",
        )
        .short('v'),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let options = RemoveOptions {
        force: matches.is("force"),
        volumes: matches.is("volumes"),
    };
    let mut failures = Vec::new();
    for name in &matches.args {
        let trimmed = name.trim_matches('/');
        if trimmed.is_empty() {
            failures.push(Failure::new("container name cannot be empty"));
            continue;
        }
        match ops::remove(invocation.engine, trimmed, options) {
            Ok(()) => invocation.output.line(name),
            Err(error) if options.force && error.kind() == ErrorKind::NotFound => {
                invocation.output.err_line(&Failure::from(error).text);
            }
            Err(error) => failures.push(error.into()),
        }
    }
    if failures.is_empty() {
        Ok(0)
    } else {
        Err(Failure::joined(failures))
    }
}

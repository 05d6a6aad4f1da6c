//! `start`: containers that exist already.

use super::{Cmd, run};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::container::StartOptions;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Start one or more stopped containers",
    long: "",
    aliases: &["container start", "start"],
    flags: &[
        Flag::bool("attach", "Attach STDOUT/STDERR and forward signals").short('a'),
        Flag::text(
            "detach-keys",
            "Override the key sequence for detaching a container",
        ),
        Flag::bool("interactive", "Attach container's STDIN").short('i'),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run: execute,
};

fn execute(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    if matches.is("attach") || matches.is("interactive") {
        return attended(invocation);
    }
    let mut failed = Vec::new();
    for name in &matches.args {
        match ops::start(invocation.engine, name, &StartOptions::detached()) {
            Ok(_session) => invocation.output.line(name),
            Err(error) => {
                let failure = Failure::from(error);
                invocation.output.err_line(&failure.text);
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    Err(Failure::new(format!(
        "Error: failed to start containers: {}",
        failed.join(", ")
    )))
}

fn attended(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    if matches.args.len() > 1 {
        return Err(Failure::new(
            "you cannot start and attach multiple containers at once",
        ));
    }
    let name = matches.required(0);
    let keys = run::detach_keys(matches.text("detach-keys")).map_err(Failure::new)?;
    let containers = invocation.engine.containers()?;
    let found = containers
        .find(name)
        .map_err(lapstrake_engine::Error::from)?;
    let config = &found.record.config;
    let streams = run::Streams {
        stdin: matches.is("interactive") && config.open_stdin,
        stdout: true,
        stderr: true,
    };
    let tty = config.tty;
    let mut session = ops::start(invocation.engine, name, &run::options(streams, tty))?;
    invocation.output.flush();
    run::attended(&mut session, streams, &keys, !tty)
}

//! `export`: a container's files as a tar.

use super::Cmd;
use super::save::{of_writing, target};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER",
    about: "Export a container's filesystem as a tar archive",
    long: "",
    aliases: &["container export", "export"],
    flags: &[Flag::text("output", "Write to a file, instead of STDOUT").short('o')],
    arity: Arity::Exact(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let target = target(matches, invocation.output)?;
    ops::export_container(invocation.engine, matches.required(0), target).map_err(of_writing)?;
    Ok(0)
}

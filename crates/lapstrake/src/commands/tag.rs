//! `tag`: another name for an image.

use super::Cmd;
use crate::args::Arity;
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    long: "",
    aliases: &["image tag", "tag"],
    flags: &[],
    arity: Arity::Exact(2),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    ops::tag(invocation.engine, matches.required(0), matches.required(1))?;
    Ok(0)
}

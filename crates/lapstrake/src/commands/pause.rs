//! `pause`.

use super::{Cmd, each};
use crate::args::Arity;
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "CONTAINER [CONTAINER...]",
    about: "Pause all processes within one or more containers",
    long: "",
    aliases: &["container pause", "pause"],
    flags: &[],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    each(invocation, |name| Ok(ops::pause(invocation.engine, name)?))
}

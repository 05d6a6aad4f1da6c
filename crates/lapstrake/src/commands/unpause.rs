//! `unpause`.

use super::{Cmd, each};
use crate::args::Arity;
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "CONTAINER [CONTAINER...]",
    about: "Unpause all processes within one or more containers",
    long: "",
    aliases: &["container unpause", "unpause"],
    flags: &[],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    each(invocation, |name| {
        Ok(ops::unpause(invocation.engine, name)?)
    })
}

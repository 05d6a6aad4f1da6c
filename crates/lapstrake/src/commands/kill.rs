//! `kill`: a signal to the first process of containers.

use super::{Cmd, each};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Kill one or more running containers",
    long: "",
    aliases: &["container kill", "kill"],
    flags: &[Flag::text("signal", "Signal to send to the container").short('s')],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let signal = invocation.matches.nonempty("signal").unwrap_or("KILL");
    each(invocation, |name| {
        Ok(ops::kill(invocation.engine, name, signal)?)
    })
}

//! `wait`: until containers end; prints the status each ended with.

use super::Cmd;
use crate::args::Arity;
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "CONTAINER [CONTAINER...]",
    about: "Block until one or more containers stop, then print their exit codes",
    long: "",
    aliases: &["container wait", "wait"],
    flags: &[],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let mut failures = Vec::new();
    for name in &invocation.matches.args {
        match ops::wait(invocation.engine, name) {
            Ok(code) => {
                invocation.output.line(&code.to_string());
                invocation.output.flush();
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

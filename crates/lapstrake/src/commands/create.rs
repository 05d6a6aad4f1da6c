//! `create`: a container of an image, not yet started.

use super::run_flags::FLAGS_OF_CREATE;
use super::{Cmd, run, run_request};
use crate::args::Arity;
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    long: "",
    aliases: &["container create", "create"],
    flags: FLAGS_OF_CREATE,
    arity: Arity::AtLeast(1),
    interspersed: false,
    run: execute,
};

fn execute(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let request = run_request::request(invocation)
        .map_err(|text| Failure::of_usage(&text, invocation.program, "create", 125))?;
    let record = run::created(invocation, &request, "create", |id| {
        ops::create(invocation.engine, &request, id, None)
    })?;
    invocation.output.line(record.id.as_str());
    Ok(0)
}

//! `stop`: asks containers to end, and kills those that do not.

use super::{Cmd, each};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;
use std::time::Duration;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Stop one or more running containers",
    long: "",
    aliases: &["container stop", "stop"],
    flags: &[
        Flag::text("signal", "Signal to send to the container").short('s'),
        Flag::int("time", "Seconds to wait before killing the container")
            .deprecated("use --timeout instead"),
        Flag::int("timeout", "Seconds to wait before killing the container").short('t'),
    ],
    arity: Arity::AtLeast(1),
    interspersed: true,
    run,
};

/// A negative number of seconds is no limit.
const NO_LIMIT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let seconds = matches.int("timeout").or_else(|| matches.int("time"));
    let timeout =
        seconds.map(|seconds| u64::try_from(seconds).map_or(NO_LIMIT, Duration::from_secs));
    let signal = matches.nonempty("signal");
    each(invocation, |name| {
        Ok(ops::stop(invocation.engine, name, signal, timeout)?)
    })
}

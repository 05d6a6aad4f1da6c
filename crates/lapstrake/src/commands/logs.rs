//! `logs`: what a container has written.

use super::Cmd;
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::{BROKEN_PIPE, Failure};
use crate::ui::output::Stream as To;
use lapstrake_engine::container::{LogOptions, Stream};
use lapstrake_engine::ops;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS] CONTAINER",
    about: "Fetch the logs of a container",
    long: "",
    aliases: &["container logs", "logs"],
    flags: &[
        Flag::bool("details", "Show extra details provided to logs"),
        Flag::bool("follow", "Follow log output").short('f'),
        Flag::text(
            "since",
            "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for \
             42 minutes)",
        ),
        Flag::text("tail", "Number of lines to show from the end of the logs")
            .short('n')
            .default("all"),
        Flag::bool("timestamps", "Show timestamps").short('t'),
        Flag::text(
            "until",
            "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" \
             for 42 minutes)",
        ),
    ],
    arity: Arity::Exact(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let moment = |name: &str| {
        let read = |text| ops::moment(invocation.engine, text);
        let found = matches.nonempty(name).map(read).transpose();
        found.map_err(|error| {
            Failure::new(format!("invalid value for \"{name}\": {}", error.message()))
        })
    };
    let follow = matches.is("follow");
    let options = LogOptions {
        follow,
        // Anything that is no number means all lines, as in docker.
        tail: matches.text("tail").and_then(|text| text.parse().ok()),
        since: moment("since")?,
        until: moment("until")?,
        ..LogOptions::default()
    };
    let timestamps = matches.is("timestamps");
    let details = matches.is("details");
    let logs = ops::logs(invocation.engine, matches.required(0), &options)?;
    for entry in logs {
        let entry = entry.map_err(lapstrake_engine::Error::from)?;
        let to = match entry.stream {
            Stream::Stdout => To::Out,
            Stream::Stderr => To::Err,
        };
        // There are no details: what goes before the text is only the blank that ends them.
        let before = if details { " " } else { "" };
        let text = if timestamps {
            format!("{} {before}{}", entry.time, entry.text)
        } else {
            format!("{before}{}", entry.text)
        };
        invocation.output.write(to, text.as_bytes());
        if follow {
            invocation.output.flush();
        }
        if invocation.output.is_closed() {
            return Ok(BROKEN_PIPE);
        }
    }
    Ok(0)
}

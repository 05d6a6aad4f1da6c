//! `logs`: what a container has written.

use super::Cmd;
use crate::args::{Arity, Flag, parse_duration};
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
    let now = invocation.engine.now();
    let moment = |name: &str| {
        matches
            .nonempty(name)
            .map(|text| moment(text, name, now))
            .transpose()
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

/// A moment as docker takes it: RFC 3339, shorter forms of it, seconds since 1970, or an age.
fn moment(text: &str, name: &str, now: jiff::Timestamp) -> Result<jiff::Timestamp, Failure> {
    if let Ok(age) = parse_duration(text) {
        let age = jiff::SignedDuration::from_nanos(age);
        if let Ok(then) = now.checked_sub(age) {
            return Ok(then);
        }
    }
    if let Ok(then) = text.parse() {
        return Ok(then);
    }
    let zone = jiff::tz::TimeZone::system();
    let local = text.parse::<jiff::civil::DateTime>();
    let date = text.parse::<jiff::civil::Date>();
    if let Ok(then) = local.or(date.map(jiff::civil::DateTime::from))
        && let Ok(zoned) = then.to_zoned(zone)
    {
        return Ok(zoned.timestamp());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parsed = seconds
        .parse::<i64>()
        .ok()
        .zip(format!("{fraction:0<9.9}").parse::<i32>().ok());
    parsed
        .and_then(|(seconds, nanoseconds)| jiff::Timestamp::new(seconds, nanoseconds).ok())
        .ok_or_else(|| {
            Failure::new(format!(
                "invalid value for \"{name}\": failed to parse value as time or duration: \"{text}\""
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let cases = [
            ("42m", "2026-01-02T02:22:05Z"),
            ("2013-01-02T13:23:37Z", "2013-01-02T13:23:37Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1700000000.5", "2023-11-14T22:13:20.5Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                moment(text, "since", now).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
        assert!(moment("yesterday", "since", now).is_err());
    }
}

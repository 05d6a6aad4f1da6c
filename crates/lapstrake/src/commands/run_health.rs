//! The health check of `run` and `create`. It is the container's, and that of images that are committed
//! from it; nothing runs it here.

use crate::args::{Flag, Matches, parse_duration};
use lapstrake_engine::spec::Healthcheck;

const fn duration(long: &'static str, help: &'static str) -> Flag {
    Flag::list(long, help)
        .value_name("duration")
        .default("0s")
        .check(check_duration)
}

pub(super) const COMMAND: Flag = Flag::text(
    "health-cmd",
    "Command to run to check health (kept for images made of the container; not run)",
);
pub(super) const INTERVAL: Flag = duration(
    "health-interval",
    "Time between running the check (ms|s|m|h)",
);
pub(super) const RETRIES: Flag = Flag::int(
    "health-retries",
    "Consecutive failures needed to report unhealthy",
);
pub(super) const START_INTERVAL: Flag = duration(
    "health-start-interval",
    "Time between running the check during the start period (ms|s|m|h)",
);
pub(super) const START_PERIOD: Flag = duration(
    "health-start-period",
    "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)",
);
pub(super) const TIMEOUT: Flag = duration(
    "health-timeout",
    "Maximum time to allow one check to run (ms|s|m|h)",
);
pub(super) const NONE: Flag = Flag::bool(
    "no-healthcheck",
    "Disable any container-specified HEALTHCHECK",
);

/// What is said to who asks for a check.
pub(super) const WARNING: &str =
    "health checks are kept with the container's configuration but not run";

/// Whether the command line, not the image, asks for a check.
pub(super) fn is_asked_for(healthcheck: Option<&Healthcheck>) -> bool {
    healthcheck.is_some_and(|check| check.test.first().is_none_or(|word| word != "NONE"))
}

fn check_duration(value: &str) -> Result<(), String> {
    parse_duration(value).map(drop)
}

/// The check that the flags describe, if any does.
pub(super) fn check(matches: &Matches) -> Result<Option<Healthcheck>, String> {
    let nanoseconds = |name: &str| {
        let text = matches.text(name).unwrap_or("0s");
        match parse_duration(text)? {
            negative if negative < 0 => Err(format!("--{name} cannot be negative")),
            value => Ok(value),
        }
    };
    let command = matches.nonempty("health-cmd");
    let mut check = Healthcheck {
        test: command.map_or_else(Vec::new, |text| {
            vec!["CMD-SHELL".to_owned(), text.to_owned()]
        }),
        interval: nanoseconds("health-interval")?,
        timeout: nanoseconds("health-timeout")?,
        start_period: nanoseconds("health-start-period")?,
        start_interval: nanoseconds("health-start-interval")?,
        retries: matches.int("health-retries").unwrap_or(0),
    };
    if check.retries < 0 {
        return Err("--health-retries cannot be negative".to_owned());
    }
    let given = check != Healthcheck::default();
    if matches.is("no-healthcheck") {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        check.test = vec!["NONE".to_owned()];
        return Ok(Some(check));
    }
    Ok(given.then_some(check))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_that_are_asked_for_are_warned_of() {
        let test = |words: &[&str]| Healthcheck {
            test: words.iter().map(|&word| word.to_owned()).collect(),
            ..Healthcheck::default()
        };
        let interval = Healthcheck {
            interval: 1,
            ..Healthcheck::default()
        };
        for (check, asked) in [
            (None, false),
            (Some(test(&["NONE"])), false),
            (Some(test(&["CMD-SHELL", "true"])), true),
            (Some(interval), true),
        ] {
            assert_eq!(is_asked_for(check.as_ref()), asked, "{check:?}");
        }
    }
}

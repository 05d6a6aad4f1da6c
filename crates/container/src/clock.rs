//! The clock, for the one process that has no caller to give it one: the monitor, and for the times in
//! states that are mended after a monitor died.

use rustix::time::{ClockId, Timespec};
use std::time::{Duration, SystemTime};

/// The present moment, RFC 3339 with nanoseconds, UTC.
pub(crate) fn now() -> String {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    timestamp(now).to_string()
}

/// A moment in the past that a file's times tell.
pub(crate) fn format(at: SystemTime) -> Option<String> {
    jiff::Timestamp::try_from(at).ok().map(|at| at.to_string())
}

/// Time since some fixed moment; never goes back.
pub(crate) fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

fn timestamp(at: Timespec) -> jiff::Timestamp {
    let nanoseconds = i32::try_from(at.tv_nsec).unwrap_or(0);
    jiff::Timestamp::new(at.tv_sec, nanoseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

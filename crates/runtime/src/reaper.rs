//! Process 1 of a container with `--init`.
//!
//! It stays a fork of the caller's program: it forwards signals to its only child of its own,
//! reaps whatever else is left to it, and ends as that child ends.

use std::io;

use lapstrake_sys::process;
use lapstrake_sys::signal::{self, SignalSet};
use rustix::process::{DumpableBehavior, WaitOptions};

/// What `ps` shows.
const NAME: &std::ffi::CStr = c"docker-init";

/// Signals about a fault of this process itself, which are not anybody else's.
const OWN: [i32; 7] = [
    libc_signal::ILL,
    libc_signal::TRAP,
    libc_signal::ABRT,
    libc_signal::BUS,
    libc_signal::FPE,
    libc_signal::SEGV,
    libc_signal::SYS,
];

/// Numbers that are the same on every machine we run on.
mod libc_signal {
    pub(super) const ILL: i32 = 4;
    pub(super) const TRAP: i32 = 5;
    pub(super) const ABRT: i32 = 6;
    pub(super) const BUS: i32 = 7;
    pub(super) const FPE: i32 = 8;
    pub(super) const SEGV: i32 = 11;
    pub(super) const CHLD: i32 = 17;
    pub(super) const TTIN: i32 = 21;
    pub(super) const TTOU: i32 = 22;
    pub(super) const SYS: i32 = 31;
}

/// Makes the calling process one that a container may have as its process 1: the caller's descriptors, its
/// memory and its program are not the container's business.
pub(crate) fn prepare() -> io::Result<()> {
    process::close_all_from(3)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_name(NAME)?;
    Ok(())
}

/// Reaps until `child` has ended, and ends like it. All signals are blocked.
pub(crate) fn run(child: i32) -> ! {
    let signals = SignalSet::full();
    loop {
        match signal::wait(&signals) {
            Ok(received) if received.signal == libc_signal::CHLD => {
                if let Some(code) = reap(child) {
                    process::exit(code)
                }
            }
            Ok(received) => forward(child, received.signal),
            // Interrupted by a stop and a continuation.
            Err(_) => {}
        }
    }
}

fn forward(child: i32, signal: i32) {
    // Background terminal access is no message; it concerns this process alone.
    let ignored = [libc_signal::TTIN, libc_signal::TTOU];
    if OWN.contains(&signal) || ignored.contains(&signal) {
        return;
    }
    // One that has ended is reaped next.
    process::kill(child, signal).ok();
}

/// Reaps everything that has ended; the exit code when `child` is among it.
fn reap(child: i32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child {
            let killed = status.terminating_signal().map(|signal| 128 + signal);
            code = status.exit_status().or(killed);
        }
    }
    code
}

/// In the child: a process group of its own, in the foreground of the terminal if there is one.
pub(crate) fn take_terminal() {
    if rustix::process::setpgid(None, None).is_ok() {
        // Signals are still blocked, so the terminal does not stop a background process for this.
        rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid()).ok();
    }
}

//! The reaper: this program again, in the background, deleting what a command renamed away.
//!
//! Removal only renames, so that nobody waits for thousands of files to be unlinked. The command that
//! leaves something in the trash starts one reaper and does not wait for it; several are harmless, as
//! each takes the trash's lock or ends. What a killed reaper leaves, the next one deletes.

use lapstrake_engine::{Engine, ops};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The first argument of the process that is the reaper.
pub(crate) const ROLE: &str = "__reaper";

/// The commands that remove things. A container that removes itself is deleted by its monitor.
const REMOVING: [&str; 9] = [
    "rmi", "rm", "remove", "pull", "load", "check", "build", "b", "prune",
];

/// Whether the command with this path (`lap image rm`) removes things.
pub(crate) fn may_be_needed(path: &str) -> bool {
    path.rsplit(' ')
        .next()
        .is_some_and(|last| REMOVING.contains(&last))
}

/// Starts a reaper when the command has left something for it. Best effort: trash can wait.
pub(crate) fn start_if_needed(engine: &Engine) {
    if !engine.has_trash() {
        return;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the reaper is this program again"
    )]
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(ROLE)
        .arg(&engine.settings().root)
        .env_clear()
        .current_dir(Path::new("/"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    drop(command.spawn());
}

/// The reaper's whole life; the result is its exit status.
pub(crate) fn main(arguments: &[OsString]) -> u8 {
    let Some(root) = arguments.first().map(PathBuf::from) else {
        return 2;
    };
    // A session of its own: the terminal's signals are for the command. Already having one is fine.
    let _session: Result<_, _> = rustix::process::setsid();
    u8::from(ops::reap(&root).is_err())
}

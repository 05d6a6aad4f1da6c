//! This program in its hidden roles: the monitor of a container, the steward of a build's steps.

use crate::error::{Context, Result};
use crate::lower::DEFAULT_PATH;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// Descriptors from this one on are nobody's standard streams.
const FIRST_INHERITED: i32 = 3;

/// Executes this program again in one of its hidden roles, connected by its standard input.
pub(crate) fn spawn(role: &str, args: &[OsString], socket: OwnedFd) -> Result<()> {
    let context = || "starting the program's own process".to_owned();
    // A pipe that this process was given must not be held open by a process that outlives it.
    lapstrake_sys::process::close_on_exec_from(FIRST_INHERITED).context(context)?;
    let program = lapstrake_runtime::protected_program().context(context)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the role is this program again; this spawns it without a copy of the address space"
    )]
    let mut command = std::process::Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command
        .arg0("lap")
        .arg(role)
        .args(args)
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // It outlives this process as a rule; whoever adopts it reaps it.
    drop(command.spawn().context(context)?);
    Ok(())
}

/// For the new process: the socket that is its standard input, which becomes `/dev/null`, in a session of its own and
/// away from the starter's folder.
pub(crate) fn begin() -> std::io::Result<OwnedFd> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    // Fails only for the leader of a process group, which is nobody's child here: then there is nothing to leave.
    rustix::process::setsid().ok();
    rustix::process::chdir("/")?;
    Ok(socket)
}

//! `logout`: forgets the credentials of a registry.

use super::Cmd;
use super::login::{HUB, server};
use crate::args::Arity;
use crate::cli::Invocation;
use crate::failure::Failure;
use lapstrake_engine::ops;
use lapstrake_engine::registry::credentials::hostname;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[SERVER]",
    about: "Log out from a registry",
    long: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    aliases: &[],
    flags: &[],
    arity: Arity::AtMost(1),
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let server = server(invocation.matches.arg(0));
    let shown = server.as_deref().map_or(HUB, hostname);
    invocation
        .output
        .line(&format!("Removing login credentials for {shown}"));
    ops::logout(invocation.engine, server.as_deref())?;
    Ok(0)
}

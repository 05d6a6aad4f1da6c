//! `registry serve`: a small registry that others push to and pull from.

use super::{Cmd, block_on};
use crate::args::{Arity, Flag};
use crate::cli::Invocation;
use crate::failure::{Failure, io_text};
use lapstrake_registry::server::{OpenError, Server, ServerOptions};
use std::path::Path;

pub(super) static COMMAND: Cmd = Cmd {
    usage: "[OPTIONS]",
    about: "Serve a registry from a folder",
    long: "Serve a registry from a folder.\nWhat is pushed to it stays in the folder; ctrl-c ends it.",
    aliases: &[],
    flags: &[
        Flag::text("addr", "Address to listen on").default("127.0.0.1:5000"),
        Flag::text("root", "Folder with the registry's content").default("./registry"),
    ],
    arity: Arity::None,
    interspersed: true,
    run,
};

fn run(invocation: &Invocation<'_>) -> Result<u8, Failure> {
    let matches = invocation.matches;
    let address = matches.nonempty("addr").unwrap_or("127.0.0.1:5000");
    let root = matches.nonempty("root").unwrap_or("./registry");
    let server = Server::open(Path::new(root), ServerOptions::default()).map_err(|error| {
        let cause = match &error {
            OpenError::Io { source, .. } => format!(": {}", io_text(source)),
            OpenError::InUse(_) => String::new(),
        };
        Failure::new(format!("cannot serve {root}: {error}{cause}"))
    })?;
    let served = block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| {
                Failure::new(format!("listen tcp {address}: bind: {}", io_text(&error)))
            })?;
        let bound = listener.local_addr()?;
        invocation
            .output
            .line(&format!("serving {root} at {bound}"));
        invocation.output.flush();
        server
            .serve(listener, std::future::pending())
            .await
            .map_err(Failure::from)
    });
    match served {
        // An interrupt is how it is meant to end.
        Err(failure) if failure.text.is_empty() => Ok(0),
        other => other.map(|()| 0),
    }
}

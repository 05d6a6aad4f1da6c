//! The monitor: one small single-threaded process for each running container.
//!
//! It is this program executed again with [`ROLE`] as its first argument and a socket as its standard input;
//! the binary hands over to [`main`] before it does anything else. What it does, in order:
//!
//! 1. a session of its own, so that no terminal's signals reach it;
//! 2. reads from the socket where the container's layers are (its starter may still be making the container
//!    meanwhile; one that goes away without a word started nothing);
//! 3. takes `monitor.lock`, starts the container, writes the state, opens `control.sock`;
//! 4. tells its starter, who is its first client, `Started` or `Failed`;
//! 5. carries bytes between container, log and clients until the container has ended;
//! 6. records the end (or removes the container), gives the lock back, tells every client;
//! 7. goes once they have taken what is theirs, or, when it was the last on the bridge and nobody else does it
//!    already, waits for a while whether the bridge is needed again, and removes it.
//!
//! `SIGTERM` has it stop the container, by force when that takes too long. A container whose folder was
//! taken away is killed: nobody could reach it any more.
//!
//! A client that does not read holds the container's output back, as a full pipe would: the starter for as
//! long as it likes, one that attached later for [`STALL_LIMIT`], after which it is cut off. Nothing is kept
//! beyond [`HIGH_WATER`] bytes for a client.

mod boot;
mod client;
mod log;
mod pump;
mod stdin;

use crate::error::StartKind;
use crate::frame::{Frame, Interest};
use crate::record::ContainerId;
use crate::role;
use crate::session::{StartOptions, Window};
use boot::Boot;
pub(crate) use boot::Failure;
use client::Client;
use lapstrake_sys::signal::{self, SignalFd, SignalSet};
use pump::Pump;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The hidden argument that makes the program a monitor.
pub const ROLE: &str = "__monitor";

/// How long an attached client may stand in the container's way.
pub const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Bytes of output waiting for one client at which the container's output is held back.
pub const HIGH_WATER: usize = 1 << 20;

/// The most bytes of paths in the starter's word: 128 of them, as long as the kernel takes them.
const GO_LIMIT: usize = 129 * 4096;

/// The client's door, in the container's folder.
const SOCKET: &str = "control.sock";

/// The door's path by way of an open folder: a socket's path must be shorter than 108 bytes.
pub(crate) fn socket_path(folder: RawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{folder}/{SOCKET}"))
}

/// What the monitor is told on its command line.
pub(crate) fn arguments(root: &Path, id: &ContainerId, options: &StartOptions) -> Vec<OsString> {
    let window = options.window.unwrap_or(Window {
        rows: 0,
        columns: 0,
    });
    vec![
        root.into(),
        id.as_str().into(),
        options.interest().to_byte().to_string().into(),
        window.rows.to_string().into(),
        window.columns.to_string().into(),
    ]
}

/// The parsed arguments.
#[derive(Debug)]
struct Arguments {
    root: PathBuf,
    id: ContainerId,
    interest: Interest,
    window: Window,
    /// Trees of the layers, top first: what the starter says last.
    lowers: Vec<PathBuf>,
}

impl Arguments {
    fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        let root = PathBuf::from(args.next()?);
        let id = ContainerId::parse(args.next()?.to_str()?)?;
        let interest = Interest::from_byte(args.next()?.to_str()?.parse().ok()?);
        let rows = args.next()?.to_str()?.parse().ok()?;
        let columns = args.next()?.to_str()?.parse().ok()?;
        Some(Self {
            root,
            id,
            interest,
            window: Window { rows, columns },
            lowers: Vec::new(),
        })
    }
}

/// The starter's word to go on: paths, each ended by a zero byte, behind their length in bytes.
pub(crate) fn go(lowers: &[PathBuf]) -> Vec<u8> {
    let mut paths = Vec::new();
    for lower in lowers {
        paths.extend_from_slice(lower.as_os_str().as_bytes());
        paths.push(0);
    }
    let length = u32::try_from(paths.len()).unwrap_or(u32::MAX);
    let mut message = length.to_be_bytes().to_vec();
    message.append(&mut paths);
    message
}

/// Waits for [`go`]. Fails when the starter goes away instead.
fn await_go(mut socket: &UnixStream) -> io::Result<Vec<PathBuf>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > GO_LIMIT {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut paths = vec![0; length];
    socket.read_exact(&mut paths)?;
    let paths = paths.split(|byte| *byte == 0);
    Ok(paths
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(OsStr::from_bytes(path)))
        .collect())
}

/// The monitor's whole life. `args` are the words after [`ROLE`]; the result is the process's exit status,
/// which nobody reads.
pub fn main(args: impl Iterator<Item = OsString>) -> i32 {
    let Some(mut arguments) = Arguments::parse(args) else {
        return StartKind::Other.exit_code();
    };
    let (Ok(socket), Ok(signals)) = (role::begin().map(UnixStream::from), signals()) else {
        return StartKind::Other.exit_code();
    };
    lapstrake_runtime::prepare();
    let Ok(lowers) = await_go(&socket) else {
        return StartKind::Other.exit_code();
    };
    arguments.lowers = lowers;
    let Ok(mut creator) = Client::creator(socket, arguments.interest) else {
        return StartKind::Other.exit_code();
    };
    match boot::boot(&arguments) {
        Ok(boot) => {
            run(boot, creator, signals);
            0
        }
        Err(Failure { kind, message }) => {
            creator.push(&Frame::Failed { kind, message });
            creator.flush_blocking();
            drop(creator);
            // It may have failed after it was connected with the network.
            pump::linger(&signals);
            kind.exit_code()
        }
    }
}

fn run(boot: Boot, mut creator: Client, signals: SignalFd) {
    creator.push(&Frame::Started {
        pid: boot.running.pid,
    });
    Pump::new(boot, creator, signals).run();
}

/// Signals become something to read.
fn signals() -> io::Result<SignalFd> {
    let signals = SignalSet::of(&pump::SIGNALS);
    signal::set_mask(&signals)?;
    SignalFd::new(&signals)
}

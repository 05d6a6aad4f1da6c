//! Running a step of a build: a process on layers, without a container's record, log or name.
//!
//! A step runs below a small single-threaded process, the *steward*: this program executed again with [`ROLE`] as
//! its first argument and a packet socket as its standard input. One steward runs one step after the other, several run
//! several at once ([`Sandboxes`] keeps those that are free). It has a mount namespace of its own with a temporary
//! file system in it, where secrets, generated files and mount points lie: nothing of a step is ever mounted on the
//! host, and nothing but its upper directory is left when steward, step or caller are killed.
//!
//! The conversation, packets in both directions:
//!
//! ```text
//! caller     R + memory file     run the [`Step`] that the file has as JSON
//! steward    S + two pipes       it runs; these are its output streams, to be read
//! steward    F + JSON            it cannot be run; end of this step
//! caller     K                   kill it
//! steward    X + JSON            it has ended, and all its processes with it; end of this step
//! ```
//!
//! A caller that goes away kills the step; the steward ends.

mod mounts;
mod steward;

pub use steward::main;

use crate::error::{Context, Error, Result, StartKind};
use crate::host_config::HostConfig;
use crate::role;
use lapstrake_sys::socket;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The hidden argument that makes the program a steward.
pub const ROLE: &str = "__steward";

/// How often a running step looks whether it is still wanted.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);
const READ_BYTES: usize = 64 << 10;

const RUN: u8 = b'R';
const STARTED: u8 = b'S';
const FAILED: u8 = b'F';
const KILL: u8 = b'K';
const EXITED: u8 = b'X';

/// What is to be run, on what.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Step {
    /// Read-only trees, the top one first; the last one is the base tree of mount points.
    pub lowers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// Overlay's scratch directory.
    pub work: PathBuf,
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`, complete but for `HOME`, which comes from the user when it is missing.
    pub environment: Vec<String>,
    /// Working directory.
    pub directory: String,
    /// `user[:group]`, looked up in the root.
    pub user: String,
    /// Host name.
    pub hostname: String,
    /// Network, limits, privileges, lines of /etc/hosts.
    pub host: HostConfig,
    /// Mounts beside the root.
    pub mounts: Vec<StepMount>,
    /// Without what docker's containers have and steps of BuildKit have not: `/etc/hostname`, `/etc/mtab` and
    /// `/.dockerenv`. What a program writes there stays.
    pub is_bare: bool,
}

/// A mount of one step.
#[derive(Clone, Serialize, Deserialize)]
pub enum StepMount {
    /// A directory or file of the host.
    Bind {
        /// What is shown.
        source: PathBuf,
        /// Where.
        target: String,
        /// Whether it may not be written.
        read_only: bool,
    },
    /// A merged tree, or a part of it. Without an upper directory it may not be written.
    Overlay {
        /// The top one first.
        lowers: Vec<PathBuf>,
        /// Upper and work directories.
        upper: Option<(PathBuf, PathBuf)>,
        /// The part that is shown, relative; empty for all.
        subpath: String,
        /// Where.
        target: String,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Where.
        target: String,
        /// Bytes at most.
        size_bytes: Option<u64>,
    },
    /// A file that is only in memory.
    Secret {
        /// Its bytes.
        content: Vec<u8>,
        /// Where.
        target: String,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

impl StepMount {
    /// Where it is mounted.
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. }
            | Self::Overlay { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Secret { target, .. } => target,
        }
    }
}

/// Tells what is mounted where. A secret's bytes are not shown.
impl std::fmt::Debug for StepMount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self::Bind { source, .. } => format!("bind of {}", source.display()),
            Self::Overlay { .. } => "overlay".to_owned(),
            Self::Tmpfs { .. } => "tmpfs".to_owned(),
            Self::Secret { content, .. } => format!("secret of {} bytes", content.len()),
        };
        write!(f, "{kind} at {}", self.target())
    }
}

/// How a step's first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepExit {
    /// 0 to 255; 128 plus the signal when one ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// It ended.
    Exited(StepExit),
    /// It was not wanted any more and has been killed.
    Cancelled,
}

/// Why a step could not be run, as it travels.
#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    kind: StartKind,
    message: String,
}

/// Which output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes a step's output.
pub type StepOutput<'a> = &'a mut dyn FnMut(StepStream, &[u8]);

/// Runs steps, from several threads at once.
#[derive(Debug)]
pub struct Sandboxes {
    /// An existing directory, over which each steward mounts a file system of its own.
    scratch: PathBuf,
    free: Mutex<Vec<OwnedFd>>,
}

impl Sandboxes {
    /// No steward is started before there is a step. `scratch` is an existing directory; nothing is written to it.
    pub fn new(scratch: &Path) -> Self {
        Self {
            scratch: scratch.to_owned(),
            free: Mutex::default(),
        }
    }

    /// Starts a steward that waits, so that the first step finds one.
    pub fn prepare(&self) -> Result<()> {
        let steward = self.start()?;
        self.put_back(steward);
        Ok(())
    }

    /// Runs a step to its end and passes its output on. `cancelled` is asked now and then.
    pub fn run(
        &self,
        step: &Step,
        cancelled: &dyn Fn() -> bool,
        output: StepOutput<'_>,
    ) -> Result<StepEnd> {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let steward = match free {
            Some(steward) => steward,
            None => self.start()?,
        };
        let end = conversation(&steward, step, cancelled, output);
        if !matches!(&end, Err(error) if !matches!(error, Error::Start { .. })) {
            self.put_back(steward);
        }
        end
    }

    fn put_back(&self, steward: OwnedFd) {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(steward);
    }

    fn start(&self) -> Result<OwnedFd> {
        let (ours, theirs) =
            socket::packet_pair().context(|| "starting a step's steward".to_owned())?;
        role::spawn(ROLE, &[self.scratch.clone().into()], theirs)?;
        Ok(ours)
    }
}

fn conversation(
    steward: &OwnedFd,
    step: &Step,
    cancelled: &dyn Fn() -> bool,
    output: StepOutput<'_>,
) -> Result<StepEnd> {
    let context = || "talking to a step's steward".to_owned();
    let file = request(step).context(context)?;
    socket::send(steward.as_fd(), &[RUN], &[file.as_fd()]).context(context)?;
    drop(file);
    let answer = socket::receive(steward.as_fd()).context(context)?;
    match answer.bytes.split_first() {
        Some((&STARTED, _)) => {}
        Some((&FAILED, json)) => return Err(refusal(json)),
        _ => return Err(lost()),
    }
    let mut pipes = answer.fds.into_iter();
    let (Some(stdout), Some(stderr)) = (pipes.next(), pipes.next()) else {
        return Err(lost());
    };
    let mut streams = [
        (StepStream::Stdout, Some(File::from(stdout))),
        (StepStream::Stderr, Some(File::from(stderr))),
    ];
    let mut killed = false;
    let mut exit = None;
    while exit.is_none() || streams.iter().any(|(_, pipe)| pipe.is_some()) {
        if !killed && cancelled() {
            killed = true;
            socket::send(steward.as_fd(), &[KILL], &[]).context(context)?;
        }
        let ready = wait(exit.is_none().then_some(steward), &streams).context(context)?;
        for ((stream, pipe), ready) in streams.iter_mut().zip(ready.pipes) {
            if ready {
                pass_on(*stream, pipe, output).context(context)?;
            }
        }
        if ready.steward {
            exit = Some(end_of(steward)?);
        }
    }
    Ok(match exit {
        Some(exit) if !killed => StepEnd::Exited(exit),
        _ => StepEnd::Cancelled,
    })
}

fn request(step: &Step) -> std::io::Result<File> {
    let memory = rustix::fs::memfd_create(c"step", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    let json = serde_json::to_vec(step)?;
    file.write_all(&json)?;
    Ok(file)
}

fn refusal(json: &[u8]) -> Error {
    match serde_json::from_slice::<Refusal>(json) {
        Ok(Refusal { kind, message }) => Error::Start { kind, message },
        Err(_garbage) => lost(),
    }
}

fn lost() -> Error {
    Error::Protocol("a step's steward went away".to_owned())
}

fn end_of(steward: &OwnedFd) -> Result<StepExit> {
    let message =
        socket::receive(steward.as_fd()).context(|| "waiting for the end of a step".to_owned())?;
    match message.bytes.split_first() {
        Some((&EXITED, json)) => serde_json::from_slice(json).map_err(|_garbage| lost()),
        _ => Err(lost()),
    }
}

/// What can be read.
struct Ready {
    steward: bool,
    pipes: [bool; 2],
}

fn wait(
    steward: Option<&OwnedFd>,
    streams: &[(StepStream, Option<File>); 2],
) -> std::io::Result<Ready> {
    let [(_, stdout), (_, stderr)] = streams;
    let sources = [
        steward.map(AsFd::as_fd),
        stdout.as_ref().map(AsFd::as_fd),
        stderr.as_ref().map(AsFd::as_fd),
    ];
    let mut polled: Vec<PollFd<'_>> = sources
        .iter()
        .flatten()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(CANCEL_INTERVAL.subsec_nanos()),
    };
    match rustix::event::poll(&mut polled, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
    let [steward, stdout, stderr] =
        sources.map(|source| source.is_some() && ready.next().unwrap_or(false));
    Ok(Ready {
        steward,
        pipes: [stdout, stderr],
    })
}

/// Passes on what a pipe has; at its end the pipe goes.
fn pass_on(
    stream: StepStream,
    pipe: &mut Option<File>,
    output: StepOutput<'_>,
) -> std::io::Result<()> {
    let Some(file) = pipe else {
        return Ok(());
    };
    let mut bytes = vec![0; READ_BYTES];
    match std::io::Read::read(file, &mut bytes) {
        Ok(0) => *pipe = None,
        Ok(count) => output(stream, bytes.get(..count).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests;

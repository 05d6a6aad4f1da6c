//! Starting, signalling, waiting: what clients do with a container through its monitor.

use crate::containers::Containers;
use crate::error::{Context, Error, Result};
use crate::frame::Frame;
use crate::home::{self, Home};
use crate::monitor;
use crate::record::{ContainerId, Record, Status};
use crate::role;
use crate::session::{Answer, Output, Polled, Session, StartOptions};
use lapstrake_runtime::signal;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a container may take to stop when nobody says.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the kernel may take to end a killed container.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

pub(crate) fn start(
    containers: &Containers,
    id: &ContainerId,
    options: &StartOptions,
) -> Result<Session> {
    let container = containers.get(id)?;
    match container.state.status {
        Status::Running => return attach(containers, id, options),
        Status::Paused => return Err(Error::StartPaused),
        Status::Created | Status::Exited | Status::Dead | Status::Removing => {}
    }
    prepare(containers, id, options)?.start(containers, &container.record)
}

/// A monitor that waits for its container to be made. Dropped, it goes away.
#[derive(Debug)]
pub struct Prepared {
    id: ContainerId,
    socket: UnixStream,
}

impl Prepared {
    /// The id that its container must get.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Starts the new container. The session is attached as was said before.
    pub fn start(self, containers: &Containers, record: &Record) -> Result<Session> {
        let lowers = containers.snapshot_of(record)?.overlay().lowers;
        let mut session = Session::new(self.socket, record.config.tty);
        session.send_bytes(&monitor::go(&lowers))?;
        session.expect_started()?;
        Ok(session)
    }
}

/// Starts the monitor of a container, which need not be there yet: the monitor's own start takes about as
/// long as making the container.
pub(crate) fn prepare(
    containers: &Containers,
    id: &ContainerId,
    options: &StartOptions,
) -> Result<Prepared> {
    let args: Vec<OsString> = monitor::arguments(containers.store().root(), id, options);
    let socket = spawn_monitor(&args)?;
    Ok(Prepared {
        id: id.clone(),
        socket,
    })
}

/// Executes this program again as the monitor, connected by its standard input.
fn spawn_monitor(args: &[OsString]) -> Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair().context(|| "starting the monitor".to_owned())?;
    role::spawn(monitor::ROLE, args, OwnedFd::from(theirs))?;
    Ok(ours)
}

pub(crate) fn attach(
    containers: &Containers,
    id: &ContainerId,
    options: &StartOptions,
) -> Result<Session> {
    let container = containers.get(id)?;
    match container.state.status {
        Status::Running => {}
        Status::Paused => return Err(Error::AttachPaused(id.to_string())),
        Status::Created | Status::Exited | Status::Dead | Status::Removing => {
            return Err(Error::AttachStopped);
        }
    }
    let home = containers.home(id);
    let mut session =
        connect(&home, options, container.record.config.tty)?.ok_or(Error::AttachStopped)?;
    if let (true, Some(window)) = (container.record.config.tty, options.window) {
        session.resize(window)?;
    }
    Ok(session)
}

/// A session with the monitor; `None` when there is none.
fn connect(home: &Home, options: &StartOptions, tty: bool) -> Result<Option<Session>> {
    let context = || format!("connecting with the monitor of {}", home.path().display());
    let folder = match home::open_folder(home.path()) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.context(context)?,
    };
    let socket = match UnixStream::connect(monitor::socket_path(folder.as_raw_fd())) {
        Err(error) if is_absent(&error) => return Ok(None),
        other => other.context(context)?,
    };
    let mut session = Session::new(socket, tty);
    session.send(&Frame::Hello(options.interest()))?;
    match session.expect_started() {
        Ok(()) => Ok(Some(session)),
        // It was about to go.
        Err(Error::Protocol(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

/// A session that takes part in nothing; `None` when the container does not run.
pub(crate) fn observe(containers: &Containers, id: &ContainerId) -> Result<Option<Session>> {
    connect(&containers.home(id), &StartOptions::detached(), false)
}

pub(crate) fn wait(containers: &Containers, id: &ContainerId) -> Result<i32> {
    if let Some(session) = observe(containers, id)?
        && let Some(code) = session.wait()?
    {
        return Ok(code);
    }
    Ok(containers.get(id)?.state.exit_code)
}

pub(crate) fn stop(
    containers: &Containers,
    id: &ContainerId,
    typed: Option<&str>,
    timeout: Option<Duration>,
) -> Result<()> {
    let record = containers.get(id)?.record;
    let signal = match typed {
        Some(typed) => parse_signal(typed)?,
        None => stop_signal(&record),
    };
    let Some(mut session) = observe(containers, id)? else {
        return Ok(());
    };
    if session.ask(&Frame::Resume)? == Answer::Ended || ask_signal(&mut session, signal)? {
        return Ok(());
    }
    let patience = timeout.or_else(|| stop_patience(&record));
    if ended_within(&mut session, patience)? || ask_signal(&mut session, SIGKILL)? {
        return Ok(());
    }
    if ended_within(&mut session, Some(KILL_TIMEOUT))? {
        return Ok(());
    }
    Err(Error::StillRunning(id.to_string()))
}

/// How long this container may take to stop; `None` is without a limit.
pub(crate) fn stop_patience(record: &Record) -> Option<Duration> {
    match record.config.stop_timeout {
        None => Some(STOP_TIMEOUT),
        // A negative number is no limit.
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    }
}

/// The signal that asks this container to stop.
pub(crate) fn stop_signal(record: &Record) -> i32 {
    signal::parse(&record.config.stop_signal).unwrap_or(SIGTERM)
}

fn parse_signal(typed: &str) -> Result<i32> {
    signal::parse(typed).ok_or_else(|| Error::InvalidSignal(typed.to_owned()))
}

/// Sends a signal; true when the container had ended.
fn ask_signal(session: &mut Session, signal: i32) -> Result<bool> {
    match session.ask(&Frame::Signal(signal))? {
        Answer::Done => Ok(false),
        Answer::Ended => Ok(true),
        Answer::Refused(message) => Err(Error::Invalid(message)),
    }
}

/// Waits for the exit at most that long.
fn ended_within(session: &mut Session, patience: Option<Duration>) -> Result<bool> {
    let deadline = patience.map(|patience| crate::clock::monotonic().saturating_add(patience));
    loop {
        match session.poll_frame()? {
            Polled::Output(Output::Exit(_)) | Polled::Gone => return Ok(true),
            Polled::Output(_) => continue,
            Polled::NotNow => {}
        }
        let left = deadline.map(|at| at.saturating_sub(crate::clock::monotonic()));
        if left == Some(Duration::ZERO) {
            return Ok(false);
        }
        poll_readable(session, left)?;
    }
}

fn poll_readable(session: &Session, left: Option<Duration>) -> Result<()> {
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    });
    let mut fds = [PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)];
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context(|| "waiting for the monitor".to_owned()),
    }
}

pub(crate) fn kill(containers: &Containers, id: &ContainerId, typed: &str) -> Result<()> {
    let signal = parse_signal(typed)?;
    let not_running = || Error::KillNotRunning {
        typed: id.to_string(),
        id: id.to_string(),
    };
    containers.get(id)?;
    let mut session = observe(containers, id)?.ok_or_else(not_running)?;
    if ask_signal(&mut session, signal)? {
        return Err(not_running());
    }
    // What is killed for sure is waited for, so that it can be removed next.
    if signal == SIGKILL && !ended_within(&mut session, Some(KILL_TIMEOUT))? {
        return Err(Error::StillRunning(id.to_string()));
    }
    Ok(())
}

/// Kills with SIGKILL and waits for the end. Nothing happens when it does not run.
pub(crate) fn kill_and_wait(containers: &Containers, id: &ContainerId) -> Result<()> {
    let Some(mut session) = observe(containers, id)? else {
        return Ok(());
    };
    if ask_signal(&mut session, SIGKILL)? || ended_within(&mut session, Some(KILL_TIMEOUT))? {
        return Ok(());
    }
    Err(Error::StillRunning(id.to_string()))
}

pub(crate) fn pause(containers: &Containers, id: &ContainerId) -> Result<()> {
    match containers.get(id)?.state.status {
        Status::Running => ask(containers, id, &Frame::Pause),
        Status::Paused => Err(Error::AlreadyPaused(id.to_string())),
        _ => Err(Error::NotRunning(id.to_string())),
    }
}

/// A container that stands still until this is dropped, or its holder dies.
#[derive(Debug)]
pub struct Held {
    _session: Session,
}

/// Has a running container stand still; `None` when it does not run, or stands still already.
pub(crate) fn hold(containers: &Containers, id: &ContainerId) -> Result<Option<Held>> {
    if containers.get(id)?.state.status != Status::Running {
        return Ok(None);
    }
    let Some(mut session) = observe(containers, id)? else {
        return Ok(None);
    };
    match session.ask(&Frame::Hold)? {
        Answer::Done => Ok(Some(Held { _session: session })),
        Answer::Ended => Ok(None),
        Answer::Refused(message) => Err(Error::Invalid(message)),
    }
}

pub(crate) fn unpause(containers: &Containers, id: &ContainerId) -> Result<()> {
    match containers.get(id)?.state.status {
        Status::Paused => ask(containers, id, &Frame::Resume),
        _ => Err(Error::NotPaused(id.to_string())),
    }
}

fn ask(containers: &Containers, id: &ContainerId, request: &Frame) -> Result<()> {
    let mut session = observe(containers, id)?.ok_or_else(|| Error::NotRunning(id.to_string()))?;
    match session.ask(request)? {
        Answer::Done => Ok(()),
        Answer::Ended => Err(Error::NotRunning(id.to_string())),
        Answer::Refused(message) => Err(Error::Invalid(message)),
    }
}

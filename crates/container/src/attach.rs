//! The foreground attach: a person's (or a script's) streams on one side, a session on the other.

mod keys;

use crate::error::{Context, Error, Result};
use crate::frame::Frame;
use crate::session::{Output, Polled, Session, Window};
use keys::DetachKeys;
use lapstrake_sys::signal::{self, SignalFd, SignalSet};
use lapstrake_sys::tty::{self, RawMode};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// ctrl-p ctrl-q.
pub const DEFAULT_DETACH_KEYS: &[u8] = &[0x10, 0x11];

/// Bytes of input read at once.
const CHUNK: usize = 16 << 10;
/// Bytes of output written at once: a pipe that has any room takes as much without a wait.
const PIECE: usize = 4 << 10;
/// Outputs taken before input and signals have their turn.
const TURN: usize = 16;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGUSR1: i32 = 10;
const SIGUSR2: i32 = 12;
const SIGTERM: i32 = 15;
const SIGWINCH: i32 = 28;

/// The signals that are passed on to the container.
const PROXIED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM];
/// The signals that end an attach whose terminal is in raw mode, after it was put right again.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// How an attach ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The container ended with this status.
    Exited(i32),
    /// The keys to detach were typed.
    Detached,
    /// A signal that is not passed on ended the attach.
    Interrupted(i32),
    /// The monitor has gone, or nobody reads the output any more; the container may run on.
    Lost,
}

/// The streams and habits of a foreground attach.
#[derive(Debug)]
pub struct Pump<'a> {
    /// Where input comes from; `None` sends none.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Where standard output goes.
    pub stdout: Option<BorrowedFd<'a>>,
    /// Where standard error goes.
    pub stderr: Option<BorrowedFd<'a>>,
    /// The bytes that detach when typed on a terminal ([`DEFAULT_DETACH_KEYS`]); empty never detaches.
    pub detach_keys: &'a [u8],
    /// Pass signals on to the container's first process.
    pub signal_proxy: bool,
}

impl Pump<'_> {
    /// Carries bytes until the container ends or the user detaches. Puts the terminal into raw mode when the
    /// container has one and input comes from one, and follows its size. Blocks the signals it reads for the
    /// calling thread while it runs: the process should have no other thread that would be hit instead.
    pub fn run(self, session: &mut Session) -> Result<Outcome> {
        let context = || "preparing the terminal".to_owned();
        let terminal = self
            .stdin
            .filter(|stdin| session.is_tty() && tty::is_terminal(*stdin));
        let mut watched = Vec::new();
        if self.signal_proxy {
            watched.extend(PROXIED);
        } else if terminal.is_some() {
            watched.extend(ENDING);
        }
        if terminal.is_some() {
            watched.push(SIGWINCH);
        }
        let set = SignalSet::of(&watched);
        let before = signal::set_mask(&set).context(context)?;
        let outcome = SignalFd::new(&set).context(context).and_then(|signals| {
            let raw = terminal.map(RawMode::enter).transpose().context(context)?;
            let mut carrier = Carrier {
                keys: DetachKeys::new(if terminal.is_some() {
                    self.detach_keys
                } else {
                    &[]
                }),
                pending: Vec::new(),
                input_ended: self.stdin.is_none(),
                close_sent: self.stdin.is_none(),
                terminal,
                signals,
                io: self,
            };
            let outcome = carrier.carry(session);
            drop(raw);
            outcome
        });
        signal::set_mask(&before).context(context)?;
        outcome
    }
}

/// What a turn at the output came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is no more at the moment.
    Done,
    /// There may be more.
    NotDone,
    /// The attach is over.
    Over(Outcome),
}

/// An attach at work.
struct Carrier<'a> {
    io: Pump<'a>,
    terminal: Option<BorrowedFd<'a>>,
    signals: SignalFd,
    keys: DetachKeys,
    /// Input that waits for the monitor to take what it has.
    pending: Vec<u8>,
    input_ended: bool,
    close_sent: bool,
}

impl Carrier<'_> {
    fn carry(&mut self, session: &mut Session) -> Result<Outcome> {
        self.resize(session)?;
        loop {
            let turn = self.take_output(session)?;
            if let Turn::Over(outcome) = turn {
                return Ok(outcome);
            }
            self.send_input(session);
            let (input, signals) = self.wait(session, turn == Turn::NotDone)?;
            if signals && let Some(outcome) = self.take_signals(session)? {
                return Ok(outcome);
            }
            if input && self.take_input(session)? {
                return Ok(Outcome::Detached);
            }
        }
    }

    /// Waits for something to happen, or only looks when there is output left: whether there is input,
    /// whether there are signals.
    fn wait(&self, session: &Session, only_look: bool) -> Result<(bool, bool)> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        if let (Some(stdin), false, true) =
            (self.io.stdin, self.input_ended, self.pending.is_empty())
        {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        let timeout = only_look.then(Timespec::default);
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error).context(|| "waiting for the container".to_owned()),
        }
        let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok((ready(2), ready(1)))
    }

    /// Writes what has come, as much as one turn allows.
    fn take_output(&self, session: &mut Session) -> Result<Turn> {
        for _ in 0..TURN {
            let (to, bytes) = match session.poll_frame()? {
                Polled::NotNow => return Ok(Turn::Done),
                Polled::Gone => return Ok(Turn::Over(Outcome::Lost)),
                Polled::Output(Output::Exit(code)) => return Ok(Turn::Over(Outcome::Exited(code))),
                Polled::Output(Output::Stdout(bytes)) => (self.io.stdout, bytes),
                Polled::Output(Output::Stderr(bytes)) => (self.io.stderr, bytes),
                Polled::Output(Output::StdinTaken | Output::Answer(_)) => continue,
            };
            if let Some(to) = to
                && let Some(outcome) = self.write(to, &bytes, session)?
            {
                return Ok(Turn::Over(outcome));
            }
        }
        Ok(Turn::NotDone)
    }

    /// Writes everything; signals are obeyed while nobody reads it. An outcome when it is over.
    fn write(
        &self,
        to: BorrowedFd<'_>,
        mut bytes: &[u8],
        session: &mut Session,
    ) -> Result<Option<Outcome>> {
        let context = || "writing the container's output".to_owned();
        while !bytes.is_empty() {
            let (room, signals) = self.wait_for_room(to).context(context)?;
            if signals && let Some(outcome) = self.take_signals(session)? {
                return Ok(Some(outcome));
            }
            if !room {
                continue;
            }
            let piece = bytes.get(..PIECE).unwrap_or(bytes);
            match rustix::io::write(to, piece) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::PIPE) => return Ok(Some(Outcome::Lost)),
                Err(error) => return Err(error).context(context),
            }
        }
        Ok(None)
    }

    /// Waits until something can be written, or a signal has come: which of the two.
    fn wait_for_room(&self, to: BorrowedFd<'_>) -> std::result::Result<(bool, bool), Errno> {
        let mut fds = [
            PollFd::from_borrowed_fd(to, PollFlags::OUT),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let [room, signals] = fds.map(|fd| !fd.revents().is_empty());
        Ok((room, signals))
    }

    /// Reads input. True when the keys to detach were among it.
    fn take_input(&mut self, session: &mut Session) -> Result<bool> {
        let Some(stdin) = self.io.stdin else {
            return Ok(false);
        };
        let mut buffer = [0_u8; CHUNK];
        match rustix::io::read(stdin, &mut buffer[..]) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(false),
            // A terminal that has gone away gives EIO: the input has ended.
            Ok(0) | Err(_) => self.input_ended = true,
            Ok(count) => {
                let typed = buffer.get(..count).unwrap_or_default();
                if self.keys.feed(typed, &mut self.pending) {
                    self.send_input(session);
                    session.send(&Frame::Detach)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Sends what the monitor has room for. A monitor that has gone tells the end on the other way.
    fn send_input(&mut self, session: &mut Session) {
        if !self.pending.is_empty()
            && let Ok(count) = session.send_stdin(&self.pending)
        {
            self.pending.drain(..count);
        }
        if self.input_ended && self.pending.is_empty() && !self.close_sent {
            self.close_sent = true;
            session.close_stdin().ok();
        }
    }

    fn take_signals(&self, session: &mut Session) -> Result<Option<Outcome>> {
        while let Some(received) = self
            .signals
            .read()
            .context(|| "reading signals".to_owned())?
        {
            if received.signal == SIGWINCH {
                self.resize(session)?;
            } else if !self.io.signal_proxy {
                return Ok(Some(Outcome::Interrupted(received.signal)));
            } else {
                // A container that has just ended takes no signal; its exit is on the way.
                session.signal(received.signal).ok();
            }
        }
        Ok(None)
    }

    fn resize(&self, session: &mut Session) -> Result<()> {
        let Some(terminal) = self.terminal else {
            return Ok(());
        };
        let size = tty::window_size(terminal).context(|| "measuring the terminal".to_owned())?;
        if size.rows > 0 && size.columns > 0 {
            // A monitor that has gone tells the end on the other way.
            session
                .resize(Window {
                    rows: size.rows,
                    columns: size.columns,
                })
                .ok();
        }
        Ok(())
    }
}

/// Reads keys as docker's `--detach-keys` names them: `ctrl-p,ctrl-q`, `ctrl-@`, `a,b`.
pub fn parse_detach_keys(text: &str) -> std::result::Result<Vec<u8>, Error> {
    keys::parse(text)
}

#[cfg(test)]
mod tests;

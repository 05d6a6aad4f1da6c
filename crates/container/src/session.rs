//! A client's end of the conversation with a monitor.

use crate::error::{Context, Error, Result};
use crate::frame::{Decoder, Filled, Frame, Interest, STDIN_WINDOW};
use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// What the starter (or attacher) takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StartOptions {
    /// Sends input.
    pub stdin: bool,
    /// Wants standard output (all output, when the container has a terminal).
    pub stdout: bool,
    /// Wants standard error.
    pub stderr: bool,
    /// The terminal's size, when the container has one.
    pub window: Option<Window>,
}

impl StartOptions {
    /// Takes part in nothing: a detached start. The session still tells the exit.
    pub fn detached() -> Self {
        Self::default()
    }

    pub(crate) fn interest(self) -> Interest {
        Interest {
            stdin: self.stdin,
            stdout: self.stdout,
            stderr: self.stderr,
        }
    }
}

/// What comes out of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes of standard output.
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
    /// The monitor took input: [`Session::stdin_window`] has grown.
    StdinTaken,
    /// A signal, pause or resume was done (`None`) or refused with these words.
    Answer(Option<String>),
    /// The container ended. Nothing comes after it.
    Exit(i32),
}

/// A connection with the monitor of a running container. Dropping it detaches.
#[derive(Debug)]
pub struct Session {
    socket: UnixStream,
    decoder: Decoder,
    in_flight: usize,
    pid: i32,
    tty: bool,
    waiting: VecDeque<Output>,
}

impl Session {
    pub(crate) fn new(socket: UnixStream, tty: bool) -> Self {
        Self {
            socket,
            decoder: Decoder::default(),
            in_flight: 0,
            pid: 0,
            tty,
            waiting: VecDeque::new(),
        }
    }

    /// Waits for the monitor's report on the start. One that is just going says how the container ended
    /// instead, which is kept for later.
    pub(crate) fn expect_started(&mut self) -> Result<()> {
        match self.receive()? {
            Some(Frame::Exit(code)) => {
                self.waiting.push_back(Output::Exit(code));
                Ok(())
            }
            Some(Frame::Started { pid }) => {
                self.pid = pid;
                Ok(())
            }
            Some(Frame::Failed { kind, message }) => Err(Error::Start { kind, message }),
            Some(other) => Err(Error::Protocol(format!("{other:?} instead of a report"))),
            None => Err(Error::Protocol(
                "it went away before the container started".to_owned(),
            )),
        }
    }

    /// The container's process on the host; 0 when attached later.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether the container has a terminal.
    pub fn is_tty(&self) -> bool {
        self.tty
    }

    /// Bytes of input that may be sent now.
    pub fn stdin_window(&self) -> usize {
        STDIN_WINDOW.saturating_sub(self.in_flight)
    }

    /// Sends input; not more than [`Self::stdin_window`] bytes are taken, their number is returned.
    pub fn send_stdin(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = bytes.len().min(self.stdin_window());
        let taken = bytes.get(..count).unwrap_or_default();
        if count > 0 {
            self.send(&Frame::Stdin(taken.to_vec()))?;
            self.in_flight += count;
        }
        Ok(count)
    }

    /// Says that no more input comes.
    pub fn close_stdin(&mut self) -> Result<()> {
        self.send(&Frame::CloseStdin)
    }

    /// Tells the terminal's new size.
    pub fn resize(&mut self, window: Window) -> Result<()> {
        self.send(&Frame::Resize {
            rows: window.rows,
            columns: window.columns,
        })
    }

    /// Sends a signal to the container's first process; [`Output::Answer`] follows.
    pub fn signal(&mut self, signal: i32) -> Result<()> {
        self.send(&Frame::Signal(signal))
    }

    /// Goes away and leaves the container's input open, as ctrl-p ctrl-q does. Merely dropping the session
    /// closes the input of a container that reads from its first client only.
    pub fn detach(mut self) -> Result<()> {
        self.send(&Frame::Detach)
    }

    /// The next output. Blocks until there is one; `None` when the monitor has gone without an exit.
    pub fn next_frame(&mut self) -> Result<Option<Output>> {
        if let Some(output) = self.waiting.pop_front() {
            return Ok(Some(output));
        }
        Ok(self.receive()?.and_then(|frame| self.output(frame)))
    }

    /// The next output that can be had without waiting; read again when the descriptor is readable.
    /// `Ok(None)` means "not now"; [`Polled::Gone`] that the monitor has gone.
    pub fn poll_frame(&mut self) -> Result<Polled> {
        if let Some(output) = self.waiting.pop_front() {
            return Ok(Polled::Output(output));
        }
        loop {
            if let Some(frame) = self.decode()? {
                match self.output(frame) {
                    Some(output) => return Ok(Polled::Output(output)),
                    None => continue,
                }
            }
            self.socket
                .set_nonblocking(true)
                .context(|| "reading from the monitor".to_owned())?;
            let filled = self.decoder.fill(&self.socket);
            self.socket
                .set_nonblocking(false)
                .context(|| "reading from the monitor".to_owned())?;
            match filled.context(|| "reading from the monitor".to_owned())? {
                Filled::Some => {}
                Filled::Nothing => return Ok(Polled::NotNow),
                Filled::End => return Ok(Polled::Gone),
            }
        }
    }

    /// Waits for the exit and drops all output.
    pub fn wait(mut self) -> Result<Option<i32>> {
        loop {
            match self.next_frame()? {
                Some(Output::Exit(code)) => return Ok(Some(code)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Sends a request and waits for its answer; other output is kept for later.
    pub(crate) fn ask(&mut self, request: &Frame) -> Result<Answer> {
        self.send(request)?;
        loop {
            match self.receive()?.and_then(|frame| self.output(frame)) {
                Some(Output::Answer(None)) => return Ok(Answer::Done),
                Some(Output::Answer(Some(message))) => return Ok(Answer::Refused(message)),
                Some(Output::Exit(code)) => {
                    self.waiting.push_back(Output::Exit(code));
                    return Ok(Answer::Ended);
                }
                Some(other) => self.waiting.push_back(other),
                None => return Ok(Answer::Ended),
            }
        }
    }

    /// Sends a frame. To a monitor that has gone it is lost: what it said last is still to be read, and
    /// then that it has gone.
    pub(crate) fn send(&mut self, frame: &Frame) -> Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.send_bytes(&bytes)
    }

    /// [`Self::send`] of bytes that are no frame.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        match self.socket.write_all(bytes) {
            Err(error) if has_gone(&error) => Ok(()),
            other => other.context(|| "writing to the monitor".to_owned()),
        }
    }

    fn output(&mut self, frame: Frame) -> Option<Output> {
        Some(match frame {
            Frame::Stdout(bytes) => Output::Stdout(bytes),
            Frame::Stderr(bytes) => Output::Stderr(bytes),
            Frame::StdinTaken(count) => {
                self.in_flight = self.in_flight.saturating_sub(count as usize);
                Output::StdinTaken
            }
            Frame::Done => Output::Answer(None),
            Frame::Refused(message) => Output::Answer(Some(message)),
            Frame::Exit(code) => Output::Exit(code),
            _ => return None,
        })
    }

    fn receive(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decode()? {
                return Ok(Some(frame));
            }
            let filled = self.decoder.fill(&self.socket);
            if filled.context(|| "reading from the monitor".to_owned())? == Filled::End {
                return Ok(None);
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Frame>> {
        self.decoder
            .next()
            .map_err(|error| Error::Protocol(error.to_string()))
    }
}

fn has_gone(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a look without waiting gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// An output.
    Output(Output),
    /// Nothing at the moment.
    NotNow,
    /// The monitor has gone.
    Gone,
}

/// A monitor's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Refused(String),
    Ended,
}

#[cfg(test)]
mod tests;

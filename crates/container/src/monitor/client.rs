//! One client of the monitor.

use super::{HIGH_WATER, STALL_LIMIT};
use crate::clock;
use crate::frame::{Decoder, Filled, Frame, Interest, put_output};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What is kept of the buffer's memory between bursts.
const KEPT_CAPACITY: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Client {
    socket: UnixStream,
    decoder: Decoder,
    out: Vec<u8>,
    /// How much of `out` is written already.
    written: usize,
    interest: Interest,
    /// Whether it has said hello.
    ready: bool,
    /// Whether it may hold the output back for ever.
    patient: bool,
    stalled_since: Option<Duration>,
    /// It has detached: its going away closes nothing.
    detached: bool,
    gone: bool,
}

impl Client {
    /// The starter's end: no hello, all patience.
    pub(super) fn creator(socket: UnixStream, interest: Interest) -> io::Result<Self> {
        let mut client = Self::accepted(socket)?;
        client.interest = interest;
        client.ready = true;
        client.patient = true;
        Ok(client)
    }

    pub(super) fn accepted(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            decoder: Decoder::default(),
            out: Vec::new(),
            written: 0,
            interest: Interest::default(),
            ready: false,
            patient: false,
            stalled_since: None,
            detached: false,
            gone: false,
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(super) fn drop_it(&mut self) {
        self.gone = true;
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn hello(&mut self, interest: Interest) {
        self.interest = interest;
        self.ready = true;
    }

    pub(super) fn detach(&mut self) {
        self.detached = true;
    }

    /// Whether its going away is the end of the container's input.
    pub(super) fn feeds(&self) -> bool {
        self.interest.stdin && !self.detached
    }

    fn wants(&self, stderr: bool) -> bool {
        self.ready
            && if stderr {
                self.interest.stderr
            } else {
                self.interest.stdout
            }
    }

    fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    pub(super) fn has_output(&self) -> bool {
        self.waiting() > 0 && !self.gone
    }

    pub(super) fn push(&mut self, frame: &Frame) {
        if !self.gone {
            frame.encode(&mut self.out);
            self.flush();
        }
    }

    pub(super) fn push_output(&mut self, stderr: bool, bytes: &[u8]) {
        if self.wants(stderr) && !self.gone {
            put_output(&mut self.out, stderr, bytes);
            self.flush();
        }
    }

    /// Whether the container's output must wait for it.
    pub(super) fn is_congested(&self) -> bool {
        !self.gone && self.waiting() >= HIGH_WATER
    }

    /// Cuts it off when it stands in the way for too long. True while it is being watched.
    pub(super) fn check_stall(&mut self, now: Duration, limit_all: bool) -> bool {
        let stands_in_the_way = self.is_congested() || (limit_all && self.has_output());
        if self.patient || !stands_in_the_way {
            self.stalled_since = None;
            return false;
        }
        let since = *self.stalled_since.get_or_insert(now);
        if now.saturating_sub(since) >= STALL_LIMIT {
            self.gone = true;
        }
        true
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) {
        while !self.gone && self.waiting() > 0 {
            let rest = self.out.get(self.written..).unwrap_or_default();
            match self.socket.write(rest) {
                Ok(0) => self.gone = true,
                Ok(count) => {
                    self.written += count;
                    if self.stalled_since.is_some() {
                        self.stalled_since = Some(clock::monotonic());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.gone = true,
            }
        }
        if self.waiting() == 0 {
            self.out.clear();
            self.out.shrink_to(KEPT_CAPACITY);
            self.written = 0;
        } else if self.written >= HIGH_WATER {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Writes everything, waiting for the client.
    pub(super) fn flush_blocking(&mut self) {
        if self.socket.set_nonblocking(false).is_ok() {
            self.flush();
        }
    }

    /// The frames that have come. A client that breaks the rules is gone.
    pub(super) fn read(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        match self.decoder.fill(&self.socket) {
            Ok(Filled::Some | Filled::Nothing) => {}
            Ok(Filled::End) | Err(_) => self.gone = true,
        }
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        frames
    }
}

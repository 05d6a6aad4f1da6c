//! The monitor's loop: container, log and clients, until the container has ended and everybody knows.

use super::boot::{self, Boot};
use super::client::Client;
use super::log::Log;
use super::stdin::{Stdin, Taken};
use crate::frame::Frame;
use crate::home::Home;
use crate::lifecycle::{stop_patience, stop_signal};
use crate::logs::Stream;
use crate::record::{Record, State, Status};
use crate::{clock, network, remove};
use lapstrake_runtime::{ChildStdio, Running, external};
use lapstrake_sys::lock::Lock;
use lapstrake_sys::signal::SignalFd;
use lapstrake_sys::tty::{WindowSize, set_window_size};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGKILL: i32 = 9;
const SIGPIPE: i32 = 13;
const SIGTERM: i32 = 15;

/// The signals that the monitor reads instead of obeying.
pub(super) const SIGNALS: [i32; 5] = [SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM];

/// Bytes read from the container at once.
const CHUNK: usize = 64 << 10;
/// How long nothing may come after the end before the output counts as complete, when some process still
/// has the pipe.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// How long such a process is listened to at most.
const DRAIN_TOTAL: Duration = Duration::from_secs(10);
/// How often clients that stand in the way are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often the container's folder is looked for: without it nobody can reach the container any more.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Clients at one time.
const CLIENT_LIMIT: usize = 256;

/// The status of a container whose end was not seen.
const UNKNOWN_EXIT: i32 = 255;

/// Something that is polled.
#[derive(Debug, Clone, Copy)]
enum Token {
    Process,
    Signals,
    Listener,
    Source(usize),
    Stdin,
    Client(usize),
}

/// One of the container's outputs.
#[derive(Debug)]
struct Source {
    fd: Option<OwnedFd>,
    stream: Stream,
}

pub(super) struct Pump {
    root: PathBuf,
    home: Home,
    record: Record,
    state: State,
    lock: Lock,
    running: Running,
    runtime: Option<PathBuf>,
    listener: UnixListener,
    signals: SignalFd,
    sources: Vec<Source>,
    stdin: Stdin,
    terminal: Option<OwnedFd>,
    clients: Vec<(u64, Client)>,
    next_client: u64,
    /// The client that has the container stand still while it is there.
    held_by: Option<u64>,
    log: Log,
    exit: Option<i32>,
    drained_by: Option<Duration>,
    drained_for_sure_by: Duration,
    /// When patience with a container that was asked to stop ends.
    killed_by: Option<Duration>,
    /// Whether the monitor was told to end.
    is_dismissed: bool,
    /// When its folder is looked for next.
    next_look: Duration,
    buffer: Vec<u8>,
}

impl Pump {
    pub(super) fn new(boot: Boot, creator: Client, signals: SignalFd) -> Self {
        let mut running = boot.running;
        let stdio = std::mem::replace(&mut running.stdio, ChildStdio::None);
        let (sources, stdin, terminal) = streams(stdio);
        let keeps_log = boot.record.host_config.log_config.kind != "none";
        let log = Log::new(keeps_log.then(|| boot.home.file(crate::logs::FILE)));
        Self {
            root: boot.root,
            home: boot.home,
            record: boot.record,
            state: boot.state,
            lock: boot.lock,
            running,
            runtime: boot.runtime,
            listener: boot.listener,
            signals,
            sources,
            stdin: Stdin::new(stdin),
            terminal,
            clients: vec![(0, creator)],
            next_client: 1,
            held_by: None,
            log,
            exit: None,
            drained_by: None,
            drained_for_sure_by: Duration::MAX,
            killed_by: None,
            is_dismissed: false,
            next_look: clock::monotonic().saturating_add(LOOK_INTERVAL),
            buffer: vec![0; CHUNK],
        }
    }

    pub(super) fn run(mut self) {
        while !self.is_over() {
            for (token, flags) in self.poll() {
                self.handle(token, flags);
            }
            self.watch_clients();
            self.watch_container();
        }
        let lingers = self.state.network.is_some() && !self.is_dismissed;
        let signals = self.finish();
        if lingers {
            linger(&signals);
        }
    }

    /// The process has ended and its output has come to an end too.
    fn is_over(&self) -> bool {
        self.exit.is_some()
            && (self.sources.iter().all(|source| source.fd.is_none())
                || self
                    .drained_by
                    .is_some_and(|limit| clock::monotonic() >= limit))
    }

    /// What is still in the pipes after the end is little: it is taken whatever the clients do, so that the
    /// end is recorded at once.
    fn is_congested(&self) -> bool {
        self.exit.is_none() && self.clients.iter().any(|(_, client)| client.is_congested())
    }

    fn timeout(&self) -> Timespec {
        let watched = self.exit.is_some() || self.killed_by.is_some() || self.is_congested();
        let interval = if watched {
            WATCH_INTERVAL
        } else {
            LOOK_INTERVAL
        };
        Timespec {
            tv_sec: i64::try_from(interval.as_secs()).unwrap_or(1),
            tv_nsec: 0,
        }
    }

    fn poll(&self) -> Vec<(Token, PollFlags)> {
        let congested = self.is_congested();
        let mut tokens = vec![Token::Signals, Token::Listener];
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
        ];
        if self.exit.is_none() {
            tokens.push(Token::Process);
            fds.push(PollFd::from_borrowed_fd(
                self.running.pidfd.as_fd(),
                PollFlags::IN,
            ));
        }
        for (index, source) in self.sources.iter().enumerate() {
            if let (Some(fd), false) = (&source.fd, congested) {
                tokens.push(Token::Source(index));
                fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
            }
        }
        if let Some(fd) = self.stdin.waiting() {
            tokens.push(Token::Stdin);
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT));
        }
        for (index, (_, client)) in self.clients.iter().enumerate() {
            let out = if client.has_output() {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            tokens.push(Token::Client(index));
            fds.push(PollFd::from_borrowed_fd(client.fd(), PollFlags::IN | out));
        }
        // Interrupted or out of memory: the next round tries again.
        if rustix::event::poll(&mut fds, Some(&self.timeout())).is_err() {
            return Vec::new();
        }
        let ready = tokens.into_iter().zip(fds.iter().map(PollFd::revents));
        ready.filter(|(_, flags)| !flags.is_empty()).collect()
    }

    fn handle(&mut self, token: Token, flags: PollFlags) {
        match token {
            Token::Process => self.reap(),
            Token::Signals => self.read_signals(),
            Token::Listener => self.accept(),
            Token::Source(index) => self.read_source(index),
            Token::Stdin => {
                let taken = self.stdin.write();
                self.credit(&taken);
            }
            Token::Client(index) => self.serve(index, flags),
        }
    }

    fn reap(&mut self) {
        match self.running.try_wait() {
            Ok(None) => return,
            Ok(Some(exit)) => self.exit = Some(exit.code),
            Err(_) => self.exit = Some(UNKNOWN_EXIT),
        }
        if !self.running.own_pid_namespace {
            // Without a process namespace of its own the others live on: the container is their all.
            self.running.kill_all().ok();
        }
        let now = clock::monotonic();
        self.drained_by = Some(now.saturating_add(DRAIN_LIMIT));
        self.drained_for_sure_by = now.saturating_add(DRAIN_TOTAL);
        let taken = self.stdin.abandon();
        self.credit(&taken);
    }

    /// The host is going down, say: the container is asked to stop as its configuration wants it, and is
    /// killed when it takes too long.
    fn read_signals(&mut self) {
        while let Ok(Some(received)) = self.signals.read() {
            self.is_dismissed |= received.signal == SIGTERM;
            if received.signal != SIGTERM || self.exit.is_some() {
                continue;
            }
            self.resume().ok();
            self.running.signal(stop_signal(&self.record)).ok();
            if self.killed_by.is_none() {
                let patience = stop_patience(&self.record);
                self.killed_by = patience.map(|by| clock::monotonic().saturating_add(by));
            }
        }
    }

    /// Ends a container whose time is up, and one whose folder was taken away.
    fn watch_container(&mut self) {
        if self.exit.is_some() {
            return;
        }
        let now = clock::monotonic();
        let mut is_over = self.killed_by.is_some_and(|by| now >= by);
        if now >= self.next_look {
            self.next_look = now.saturating_add(LOOK_INTERVAL);
            is_over |= rustix::fs::fstat(&self.lock).is_ok_and(|stat| stat.st_nlink == 0);
        }
        if is_over {
            self.signal(SIGKILL).ok();
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if self.clients.len() < CLIENT_LIMIT
                && let Ok(client) = Client::accepted(socket)
            {
                self.clients.push((self.next_client, client));
                self.next_client += 1;
            }
        }
    }

    fn read_source(&mut self, index: usize) {
        let Some(source) = self.sources.get_mut(index) else {
            return;
        };
        let Some(fd) = &source.fd else {
            return;
        };
        let count = match rustix::io::read(fd, &mut self.buffer[..]) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
            // A terminal answers EIO when the last process has closed it.
            Ok(0) | Err(_) => {
                source.fd = None;
                return;
            }
            Ok(count) => count,
        };
        let bytes = self.buffer.get(..count).unwrap_or_default();
        let stream = source.stream;
        self.log.write(stream, bytes, &clock::now());
        for (_, client) in &mut self.clients {
            client.push_output(stream == Stream::Stderr, bytes);
        }
        if self.exit.is_some() {
            let by = clock::monotonic().saturating_add(DRAIN_LIMIT);
            self.drained_by = Some(by.min(self.drained_for_sure_by));
        }
    }

    fn serve(&mut self, index: usize, flags: PollFlags) {
        let Some((id, client)) = self.clients.get_mut(index) else {
            return;
        };
        let id = *id;
        if flags.contains(PollFlags::OUT) {
            client.flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        let frames = client.read();
        for frame in frames {
            self.obey(index, id, frame);
        }
    }

    fn obey(&mut self, index: usize, id: u64, frame: Frame) {
        let ready = self
            .clients
            .get(index)
            .is_some_and(|(_, client)| client.is_ready());
        if !ready && !matches!(frame, Frame::Hello(_)) {
            return self.cut_off(index);
        }
        match frame {
            Frame::Hello(interest) => {
                if let Some((_, client)) = self.clients.get_mut(index) {
                    client.hello(interest);
                }
                self.answer(
                    index,
                    &Frame::Started {
                        pid: self.running.pid,
                    },
                );
            }
            Frame::Stdin(bytes) => {
                if !self.stdin.push(id, bytes) {
                    self.cut_off(index);
                }
                let taken = self.stdin.write();
                self.credit(&taken);
            }
            Frame::CloseStdin => self.close_stdin(),
            Frame::Detach => {
                if let Some((_, client)) = self.clients.get_mut(index) {
                    client.detach();
                }
            }
            Frame::Resize { rows, columns } => {
                if let Some(terminal) = &self.terminal {
                    // A terminal whose container has just ended cannot be resized, and need not be.
                    set_window_size(terminal.as_fd(), WindowSize { rows, columns }).ok();
                }
            }
            Frame::Signal(signal) => self.request(index, |pump| pump.signal(signal)),
            Frame::Pause => self.request(index, Self::pause),
            Frame::Hold => self.request(index, |pump| pump.hold(id)),
            Frame::Resume => self.request(index, Self::resume),
            // Only monitors say these.
            Frame::Started { .. }
            | Frame::Failed { .. }
            | Frame::Stdout(_)
            | Frame::Stderr(_)
            | Frame::StdinTaken(_)
            | Frame::Done
            | Frame::Refused(_)
            | Frame::Exit(_) => self.cut_off(index),
        }
    }

    fn cut_off(&mut self, index: usize) {
        if let Some((_, client)) = self.clients.get_mut(index) {
            client.drop_it();
        }
    }

    fn answer(&mut self, index: usize, frame: &Frame) {
        if let Some((_, client)) = self.clients.get_mut(index) {
            client.push(frame);
        }
    }

    fn request(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Self) -> Result<(), lapstrake_runtime::Error>,
    ) {
        // After the end there is no answer but the exit that follows.
        if self.exit.is_some() {
            return;
        }
        let answer = match work(self) {
            Ok(()) => Frame::Done,
            Err(error) => Frame::Refused(error.to_string()),
        };
        self.answer(index, &answer);
    }

    fn signal(&mut self, signal: i32) -> Result<(), lapstrake_runtime::Error> {
        self.running.signal(signal)?;
        if signal == SIGKILL && self.state.status == Status::Paused {
            // A frozen process does not die.
            self.resume()?;
        }
        Ok(())
    }

    fn pause(&mut self) -> Result<(), lapstrake_runtime::Error> {
        if self.state.status == Status::Running {
            self.running.pause()?;
            self.note(Status::Paused);
        }
        Ok(())
    }

    /// Pauses for as long as this client is there. A container that stands still already is left alone.
    fn hold(&mut self, client: u64) -> Result<(), lapstrake_runtime::Error> {
        if self.state.status == Status::Running {
            self.pause()?;
            self.held_by = Some(client);
        }
        Ok(())
    }

    fn resume(&mut self) -> Result<(), lapstrake_runtime::Error> {
        self.held_by = None;
        if self.state.status == Status::Paused {
            self.running.resume()?;
            self.note(Status::Running);
        }
        Ok(())
    }

    /// Writes a state that need not survive the host: whoever cannot write it goes on without.
    fn note(&mut self, status: Status) {
        self.state.status = status;
        self.home.write_state(&self.state, false).ok();
    }

    fn credit(&mut self, taken: &[Taken]) {
        for taken in taken {
            let sender = self.clients.iter_mut().find(|(id, _)| *id == taken.client);
            if let Some((_, client)) = sender {
                client.push(&Frame::StdinTaken(taken.count));
            }
        }
    }

    /// The end of a client's input is the container's when it reads from its first client only.
    fn close_stdin(&mut self) {
        if self.record.config.stdin_once && !self.record.config.tty {
            self.stdin.close();
        }
    }

    /// Lets clients go that have gone, and those that stand in the way too long.
    fn watch_clients(&mut self) {
        let now = clock::monotonic();
        for (_, client) in &mut self.clients {
            client.check_stall(now, false);
        }
        let held_by = self.held_by;
        let mut released = false;
        let gone = self.clients.extract_if(.., |(id, client)| {
            let is_gone = client.is_gone();
            released |= is_gone && Some(*id) == held_by;
            is_gone
        });
        if gone.filter(|(_, client)| client.feeds()).count() > 0 {
            self.close_stdin();
        }
        if released {
            // A container that has ended meanwhile has nothing to go on with.
            self.resume().ok();
        }
    }

    /// The container has ended: record it, give everything back, tell everybody.
    /// The signals are what is left of the monitor.
    fn finish(mut self) -> SignalFd {
        let code = self.exit.unwrap_or(UNKNOWN_EXIT);
        self.log.finish(&clock::now());
        match &self.runtime {
            Some(program) => {
                external::delete(&boot::bundle(&self.home), self.record.id.as_str(), program).ok();
            }
            // What is left of a control group is swept with the container's next start or removal.
            None => drop(self.running.delete()),
        }
        // Who has knocked already hears of the end; who comes later finds it recorded, and no door.
        self.accept();
        let trash = if self.record.host_config.auto_remove {
            remove::discard(&self.root, &self.record, true).ok()
        } else {
            let state = State {
                status: Status::Exited,
                pid: 0,
                network: None,
                exit_code: code,
                finished_at: clock::now(),
                ..self.state
            };
            // A disk that is full keeps the old state, which reads as ended once the lock is free.
            self.home.write_state(&state, true).ok();
            None
        };
        // The door goes before the lock, so that the next monitor finds neither.
        boot::close_door(&self.home).ok();
        drop(self.listener);
        drop(self.lock);
        say_goodbye(self.clients, code);
        if let Some(trash) = trash {
            remove::empty(&trash);
        }
        self.signals
    }
}

/// Stays until somebody has to remove the bridge, or `SIGTERM` says that there is no time for it.
pub(super) fn linger(signals: &SignalFd) {
    network::linger(|time| {
        let by = clock::monotonic().saturating_add(time);
        loop {
            let left = by.saturating_sub(clock::monotonic());
            if left.is_zero() {
                return true;
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&timeout)).ok();
            while let Ok(Some(received)) = signals.read() {
                if received.signal == SIGTERM {
                    return false;
                }
            }
        }
    });
}

/// Tells every client of the end and waits until they have taken what is theirs.
fn say_goodbye(mut clients: Vec<(u64, Client)>, code: i32) {
    for (_, client) in &mut clients {
        client.push(&Frame::Exit(code));
    }
    loop {
        clients.retain(|(_, client)| client.has_output());
        if clients.is_empty() {
            return;
        }
        let mut fds: Vec<PollFd<'_>> = clients
            .iter()
            .map(|(_, client)| PollFd::from_borrowed_fd(client.fd(), PollFlags::OUT))
            .collect();
        let timeout = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut fds, Some(&timeout)).ok();
        let now = clock::monotonic();
        for (_, client) in &mut clients {
            client.flush();
            client.check_stall(now, true);
        }
    }
}

/// The container's outputs, its input, and its terminal, all non-blocking.
fn streams(stdio: ChildStdio) -> (Vec<Source>, Option<OwnedFd>, Option<OwnedFd>) {
    let source = |fd: OwnedFd, stream| {
        rustix::io::ioctl_fionbio(&fd, true).ok();
        Source {
            fd: Some(fd),
            stream,
        }
    };
    match stdio {
        ChildStdio::None => (Vec::new(), None, None),
        ChildStdio::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            if let Some(stdin) = &stdin {
                rustix::io::ioctl_fionbio(stdin, true).ok();
            }
            let sources = vec![
                source(stdout, Stream::Stdout),
                source(stderr, Stream::Stderr),
            ];
            (sources, stdin, None)
        }
        ChildStdio::Terminal(master) => {
            let (input, terminal) = (master.try_clone().ok(), master.try_clone().ok());
            (vec![source(master, Stream::Stdout)], input, terminal)
        }
    }
}

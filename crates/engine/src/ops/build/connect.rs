//! Connections to git servers that are no web servers: git's own protocol, and the user's ssh.

use super::remote::Ssh;
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::context::GitAddress;
use lapstrake_build::context::git::{self, Duplex};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a name may take to be found, and then each of its addresses to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most of ssh's messages that is kept.
const SSH_MESSAGES_LIMIT: usize = 4 << 10;
/// How long ssh may take to end once it has nothing more to say, in steps of [`SSH_END_STEP`].
const SSH_END_STEPS: u32 = 100;
const SSH_END_STEP: Duration = Duration::from_millis(20);
/// Settings of ssh with which nothing but the agent of its environment proves who the user is.
const ONLY_THE_AGENT: [&str; 5] = [
    "IdentityAgent=SSH_AUTH_SOCK",
    "IdentityFile=none",
    "PKCS11Provider=none",
    "PreferredAuthentications=publickey",
    "ControlPath=none",
];

/// Whether a repository is reached by ssh: so are all that no other protocol is named for.
pub(super) fn is_ssh(remote: &str) -> bool {
    !["file://", "http", "git://"]
        .iter()
        .any(|other| remote.starts_with(other))
}

/// The connection to a server that is no web server.
pub(super) fn connect(
    address: &GitAddress,
    access: &Ssh,
    cancel: &CancelToken,
) -> Result<Duplex, git::Error> {
    match address.remote.strip_prefix("git://") {
        Some(rest) => daemon(rest, cancel),
        None => ssh(&address.remote, access, cancel),
    }
}

/// What is read and written until the build is cancelled.
struct Watched<T> {
    stream: T,
    cancel: CancelToken,
}

impl<T: Read + AsFd> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            wait(&self.stream, PollFlags::IN, &self.cancel, None)?;
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}

/// The stream must not block: room for one byte is room for a part of the buffer.
impl<T: Write + AsFd> Write for Watched<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            wait(&self.stream, PollFlags::OUT, &self.cancel, None)?;
            match self.stream.write(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Waits until something can be done, the time is over, or the build is cancelled.
fn wait(
    what: impl AsFd,
    flags: PollFlags,
    cancel: &CancelToken,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut set = [
        PollFd::new(&what, flags),
        PollFd::new(cancel, PollFlags::IN),
    ];
    let ready = rustix::io::retry_on_intr(|| poll(&mut set, timeout.as_ref()))?;
    if cancel.is_cancelled() {
        return Err(io::Error::other("context canceled"));
    }
    match ready {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

/// Host and port. Colons in brackets are an address's own.
pub(super) fn authority(host: &str) -> String {
    match host.rsplit_once(':') {
        Some(_) if !host.ends_with(']') => host.to_owned(),
        _ => format!("{host}:9418"),
    }
}

/// git's own protocol: `git://host[:port]/path`.
fn daemon(rest: &str, cancel: &CancelToken) -> Result<Duplex, git::Error> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = authority(host);
    let refused = || git::Error::io(format!("unable to connect to {authority}"));
    let stream = dial(&authority, cancel, CONNECT_TIMEOUT).map_err(refused())?;
    let watched = |stream| Watched {
        stream,
        cancel: cancel.clone(),
    };
    let mut output = watched(stream.try_clone().map_err(refused())?);
    let line = format!("git-upload-pack /{path}\0host={host}\0");
    let packet = format!("{:04x}{line}", line.len().saturating_add(4));
    output.write_all(packet.as_bytes()).map_err(refused())?;
    Ok(Duplex {
        input: Box::new(watched(stream)),
        output: Box::new(output),
    })
}

/// A connection to the first address of a name that answers, which does not block.
pub(super) fn dial(
    authority: &str,
    cancel: &CancelToken,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the name has no address");
    for address in resolve(authority, cancel, timeout)? {
        match dial_one(&address, cancel, timeout) {
            Err(error) if !cancel.is_cancelled() => failure = error,
            other => return other,
        }
    }
    Err(failure)
}

/// The addresses of a name. The system's resolver cannot be stopped: it is left to end by itself.
fn resolve(
    authority: &str,
    cancel: &CancelToken,
    timeout: Duration,
) -> io::Result<Vec<SocketAddr>> {
    let (done, end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (sender, answer) = std::sync::mpsc::sync_channel(1);
    let name = authority.to_owned();
    std::thread::spawn(move || {
        // Nobody listens any more after a timeout.
        sender.send(name.to_socket_addrs()).ok();
        drop(end);
    });
    wait(&done, PollFlags::IN, cancel, Some(timeout))?;
    let addresses = answer
        .try_recv()
        .map_err(|_gone| io::Error::other("no answer"))?;
    Ok(addresses?.collect())
}

fn dial_one(
    address: &SocketAddr,
    cancel: &CancelToken,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            wait(&socket, PollFlags::OUT, cancel, Some(timeout))?;
            net::sockopt::socket_error(&socket)??;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(TcpStream::from(socket))
}

/// The user's ssh, the one program that is asked for help: keys, agents and known hosts are its own.
fn ssh(remote: &str, access: &Ssh, cancel: &CancelToken) -> Result<Duplex, git::Error> {
    let command = ssh_command(remote, access)
        .ok_or_else(|| git::Error::Invalid(format!("invalid address {remote}")))?;
    attend(command, cancel)
}

/// With an agent, its keys are the only ones, whatever other keys and settings the user has: as in
/// BuildKit, the settings are not even read. Known hosts are the user's all the same.
pub(super) fn ssh_command(remote: &str, access: &Ssh) -> Option<std::process::Command> {
    let (host, port, path) = ssh_parts(remote)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "only the user's ssh knows the user's keys and hosts"
    )]
    let mut command = std::process::Command::new("ssh");
    if let Some(port) = port {
        command.args(["-p", port]);
    }
    if let Ssh::Agent(socket) = access {
        command.args(["-F", "/dev/null"]);
        for option in ONLY_THE_AGENT {
            command.args(["-o", option]);
        }
        command.env("SSH_AUTH_SOCK", socket);
    }
    command.args(["-o", "BatchMode=yes", "--", &host]);
    command.arg(format!("git-upload-pack '{}'", path.replace('\'', "'\\''")));
    Some(command)
}

/// Starts ssh. What it says is kept for the case that it fails.
pub(super) fn attend(
    mut command: std::process::Command,
    cancel: &CancelToken,
) -> Result<Duplex, git::Error> {
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().map_err(git::Error::io("run ssh"))?;
    let (Some(output), Some(input), Some(messages)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(git::Error::Invalid("ssh without streams".to_owned()));
    };
    rustix::io::ioctl_fionbio(&output, true)
        .map_err(io::Error::from)
        .map_err(git::Error::io("run ssh"))?;
    let said = Arc::new(Mutex::new(Vec::new()));
    let keeper = Arc::clone(&said);
    // Ends with the last process that holds the other end, which may be ssh's own in the background.
    let listener = std::thread::spawn(move || keep_messages(messages, &keeper));
    let attended = Attended {
        input,
        child,
        said,
        listener,
    };
    Ok(Duplex {
        input: Box::new(Watched {
            stream: attended,
            cancel: cancel.clone(),
        }),
        output: Box::new(Watched {
            stream: output,
            cancel: cancel.clone(),
        }),
    })
}

/// Reads all, so that the program never waits, and keeps the beginning.
fn keep_messages(mut from: impl Read, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SSH_MESSAGES_LIMIT.saturating_sub(said.len());
        said.extend(buffer.iter().take(count.min(room)));
    }
}

/// Host with user, port and path of an ssh address. The brackets of an address of IPv6 are no part of it for ssh.
fn ssh_parts(remote: &str) -> Option<(String, Option<&str>, &str)> {
    let (host, port, path) = match remote.strip_prefix("ssh://") {
        Some(rest) => {
            let at = rest.find('/')?;
            let (authority, path) = rest.split_at(at);
            match authority.rsplit_once(':') {
                Some((host, port)) if !authority.ends_with(']') => (host, Some(port), path),
                _ => (authority, None, path),
            }
        }
        None => {
            let bracket = remote.find("]:").map_or(0, |at| at.saturating_add(1));
            let colon = remote.get(bracket..)?.find(':')?.saturating_add(bracket);
            let (host, path) = remote.split_at_checked(colon)?;
            (host, None, path.get(1..)?)
        }
    };
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match host.strip_suffix(']').and_then(|host| host.split_once('[')) {
        Some((user, address)) if user.is_empty() || user.ends_with('@') => {
            format!("{user}{address}")
        }
        _ => host.to_owned(),
    };
    let sane = !host.is_empty() && !host.starts_with('-') && !path.is_empty();
    (sane && port.is_none_or(is_number)).then_some((host, port, path))
}

/// The output of ssh, which is gone when nobody reads any more.
struct Attended {
    input: std::process::ChildStdout,
    child: std::process::Child,
    said: Arc<Mutex<Vec<u8>>>,
    listener: std::thread::JoinHandle<()>,
}

impl Attended {
    /// What ssh failed with, after its output has ended; nothing when it did not fail.
    fn failure(&mut self) -> Option<io::Error> {
        let mut status = None;
        for _ in 0..SSH_END_STEPS {
            status = self.child.try_wait().ok().flatten();
            if status.is_some() && self.listener.is_finished() {
                break;
            }
            std::thread::sleep(SSH_END_STEP);
        }
        let status = status.filter(|status| !status.success())?;
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said);
        let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let said: String = lines
            .collect::<Vec<_>>()
            .join("; ")
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        let text = match said.as_str() {
            "" => format!("ssh: {status}"),
            said => format!("ssh: {status}: {said}"),
        };
        Some(io::Error::other(text))
    }
}

impl Read for Attended {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if count == 0
            && !buffer.is_empty()
            && let Some(error) = self.failure()
        {
            return Err(error);
        }
        Ok(count)
    }
}

impl AsFd for Attended {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests;

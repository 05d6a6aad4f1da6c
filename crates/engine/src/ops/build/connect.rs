//! Connections to git servers that are no web servers: git's own protocol, and the user's ssh.

use super::remote::Ssh;
use lapstrake_build::cancel::CancelToken;
use lapstrake_build::context::GitAddress;
use lapstrake_build::context::git::{self, Duplex};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The most of ssh's messages that is kept.
const SSH_MESSAGES_LIMIT: usize = 4 << 10;
/// How long ssh may take to end once it has nothing more to say, in steps of [`SSH_END_STEP`].
const SSH_END_STEPS: u32 = 100;
const SSH_END_STEP: Duration = Duration::from_millis(20);

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

/// What is read until the build is cancelled.
struct Watched<T> {
    input: T,
    cancel: CancelToken,
}

impl<T: Read + AsFd> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut set = [
            PollFd::new(&self.input, PollFlags::IN),
            PollFd::new(&self.cancel, PollFlags::IN),
        ];
        rustix::io::retry_on_intr(|| poll(&mut set, None))?;
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("context canceled"));
        }
        self.input.read(buffer)
    }
}

/// git's own protocol: `git://host[:port]/path`.
fn daemon(rest: &str, cancel: &CancelToken) -> Result<Duplex, git::Error> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let authority = match host.rsplit_once(':') {
        Some(_) => host.to_owned(),
        None => format!("{host}:9418"),
    };
    let refused = || git::Error::io(format!("unable to connect to {authority}"));
    let stream = std::net::TcpStream::connect(&authority).map_err(refused())?;
    let mut output = stream.try_clone().map_err(refused())?;
    let line = format!("git-upload-pack /{path}\0host={host}\0");
    let packet = format!("{:04x}{line}", line.len().saturating_add(4));
    output.write_all(packet.as_bytes()).map_err(refused())?;
    Ok(Duplex {
        input: Box::new(Watched {
            input: stream,
            cancel: cancel.clone(),
        }),
        output: Box::new(output),
    })
}

/// The user's ssh, the one program that is asked for help: keys, agents and known hosts are its own.
fn ssh(remote: &str, access: &Ssh, cancel: &CancelToken) -> Result<Duplex, git::Error> {
    let (host, port, path) = ssh_parts(remote)
        .ok_or_else(|| git::Error::Invalid(format!("invalid address {remote}")))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "only the user's ssh knows the user's keys and hosts"
    )]
    let mut command = std::process::Command::new("ssh");
    if let Some(port) = port {
        command.args(["-p", port]);
    }
    command.args(["-o", "BatchMode=yes", "--", host]);
    command.arg(format!("git-upload-pack '{}'", path.replace('\'', "'\\''")));
    if let Ssh::Agent(socket) = access {
        command.env("SSH_AUTH_SOCK", socket);
    }
    attend(command, cancel)
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
            input: attended,
            cancel: cancel.clone(),
        }),
        output: Box::new(output),
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

/// Host with user, port and path of an ssh address.
fn ssh_parts(remote: &str) -> Option<(&str, Option<&str>, &str)> {
    let (host, port, path) = match remote.strip_prefix("ssh://") {
        Some(rest) => {
            let at = rest.find('/')?;
            let (authority, path) = rest.split_at(at);
            match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port), path),
                None => (authority, None, path),
            }
        }
        None => {
            let (host, path) = remote.split_once(':')?;
            (host, None, path)
        }
    };
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
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

//! What answers a step: the agent's protocol, as far as listing and signing.

use super::key::{PrivateKey, Refused};
use super::wire::{Reader, Writer, read_message};
use crate::error::{Error, ErrorKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Bytes of a key's file, as in BuildKit.
const KEY_LIMIT: u64 = 100 << 10;

/// How long to wait for an agent whose queue is full before it is tried again.
const BUSY_PERIOD: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

// Messages: a failure, the list of keys asked for and given, a signature asked for and given.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const REQUEST_SIGNATURE: u8 = 13;
const SIGNATURE: u8 = 14;

/// Who signs for steps.
#[derive(Debug)]
pub(crate) enum Agent {
    /// The agent behind a socket.
    Socket(PathBuf),
    /// Keys that were read from files.
    Keys(Keys),
}

/// Keys in memory.
#[derive(Debug)]
pub(crate) struct Keys(Vec<PrivateKey>);

impl Agent {
    /// Reads keys; `id` is whose they are in `--ssh`.
    pub(crate) fn of_keys(id: &str, paths: &[PathBuf]) -> Result<Self, Error> {
        let keys: Result<Vec<_>, _> = paths.iter().map(|path| read_key(id, path)).collect();
        keys.map(|keys| Self::Keys(Keys(keys)))
    }

    /// Answers until the other side ends, or `connected` says that nobody may be asked any more.
    pub(super) fn serve(
        &self,
        step: &mut UnixStream,
        connected: &dyn Fn(&UnixStream) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut upstream = None;
        while let Some(message) = read_message(step)? {
            let allowed = matches!(
                message.first(),
                Some(&(REQUEST_IDENTITIES | REQUEST_SIGNATURE))
            );
            let answer = match self {
                _ if !allowed => vec![FAILURE],
                Self::Keys(keys) => keys.answer(&message).unwrap_or_else(|| vec![FAILURE]),
                Self::Socket(path) => {
                    let upstream = match &mut upstream {
                        Some(upstream) => upstream,
                        none => {
                            let made = connect(path, step)?;
                            connected(&made)?;
                            none.insert(made)
                        }
                    };
                    upstream.write_all(&Writer::default().string(&message).0)?;
                    read_message(upstream)?.ok_or(io::ErrorKind::UnexpectedEof)?
                }
            };
            step.write_all(&Writer::default().string(&answer).0)?;
        }
        Ok(())
    }
}

/// The user's agent. One that is busy is asked again as long as the step's stream is open: it is shut down
/// when the step ends.
fn connect(path: &Path, step: &UnixStream) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = SocketAddrUnix::new(path)?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Nothing but its end, which is always told.
        let mut set = [PollFd::new(step, PollFlags::empty())];
        match poll(&mut set, Some(&BUSY_PERIOD)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Err(error) => return Err(error.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

impl Keys {
    /// The answer to a message; nothing when it cannot be answered.
    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader(message);
        if reader.byte()? == REQUEST_IDENTITIES {
            let count = u32::try_from(self.0.len()).ok()?;
            let list = Writer(vec![IDENTITIES]).number(count);
            let list = self.0.iter().fold(list, |list, key| {
                list.string(&key.blob).string(key.comment.as_bytes())
            });
            return Some(list.0);
        }
        let (blob, data, flags) = (reader.string()?, reader.string()?, reader.number()?);
        let key = self.0.iter().find(|key| key.blob == blob)?;
        let signature = key.sign(data, flags)?;
        Some(Writer(vec![SIGNATURE]).string(&signature).0)
    }
}

fn read_key(id: &str, path: &Path) -> Result<PrivateKey, Error> {
    let shown = path.display();
    let mut file = Vec::new();
    std::fs::File::open(path)
        .and_then(|opened| opened.take(KEY_LIMIT).read_to_end(&mut file))
        .map_err(|error| {
            let words = lapstrake_image::ErrorKind::io_words(&error);
            let text = format!("could not parse ssh: [{id}={shown}]: open {shown}: {words}");
            Error::new(ErrorKind::InvalidArgument, text)
        })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    PrivateKey::parse(&file, &name).map_err(|refused| {
        let (reason, hint) = match refused {
            Refused::NoKey => ("no private key found", "give the private key, not the `.pub`"),
            Refused::Passphrase => (
                "this private key is passphrase protected",
                "add it to an agent with `ssh-add`, and give the agent: `--ssh default`",
            ),
            Refused::Unsupported => (
                "keys of this kind or size are not supported",
                "known are Ed25519, ECDSA, and RSA of 2048 to 8192 bits; an agent can do more: `--ssh default`",
            ),
        };
        let text = format!("could not parse ssh: [{id}={shown}]: failed to parse {shown}: {reason}");
        Error::new(ErrorKind::InvalidArgument, text).with_hint(hint)
    })
}

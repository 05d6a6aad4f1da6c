//! The socket that one step sees.

use super::Agent;
use lapstrake_build::context::Scratch;
use lapstrake_build::source::AgentSocket;
use lapstrake_store::Store;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid};
use rustix::net::Shutdown;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many connections a step may have open at once.
const CONNECTIONS_LIMIT: usize = 64;
/// How long to wait when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const NAME: &str = "agent";

/// To whom the socket belongs, and who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
}

/// A socket that is served as long as its value lives. It lies in a folder of the store that is
/// removed with it; after a crash the next sweep does so.
#[derive(Debug)]
pub(crate) struct StepSocket {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    _folder: Scratch,
}

#[derive(Debug)]
struct Shared {
    agent: Arc<Agent>,
    listener: UnixListener,
    /// The streams of open connections; nothing once the step has ended.
    open: Mutex<Option<Streams>>,
}

#[derive(Debug, Default)]
struct Streams {
    next: u64,
    of: BTreeMap<u64, Vec<UnixStream>>,
}

impl StepSocket {
    pub(crate) fn serve(agent: &Arc<Agent>, store: &Store, owner: Owner) -> io::Result<Self> {
        let folder = Scratch::create(store)?;
        let path = folder.path().join(NAME);
        let shared = Arc::new(Shared {
            agent: Arc::clone(agent),
            listener: listen(folder.path(), owner)?,
            open: Mutex::new(Some(Streams::default())),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("ssh agent".to_owned())
            .spawn(move || serving.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
            path,
            _folder: folder,
        })
    }
}

impl AgentSocket for StepSocket {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StepSocket {
    fn drop(&mut self) {
        let open = self.shared.streams().take();
        for stream in open
            .into_iter()
            .flat_map(|open| open.of.into_values())
            .flatten()
        {
            // It may have ended by itself.
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
        // Wakes the thread that waits for connections.
        rustix::net::shutdown(&self.shared.listener, Shutdown::Both).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A socket in the folder. Paths of sockets are short, and those of stores need not be.
fn listen(folder: &Path, owner: Owner) -> io::Result<UnixListener> {
    let dir = std::fs::File::open(folder)?;
    let short = format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd());
    let listener = UnixListener::bind(short)?;
    let path = folder.join(NAME);
    // Who is not root owns what he makes, and may give it to nobody.
    if (owner.uid, owner.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        rustix::fs::chownat(CWD, &path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    rustix::fs::chmodat(
        CWD,
        &path,
        Mode::from_raw_mode(owner.mode),
        AtFlags::empty(),
    )?;
    Ok(listener)
}

/// Accepts until all is over. What fails before that may succeed later: descriptors may have run out, or
/// the other side gone.
pub(super) fn accept_all<T>(
    is_over: impl Fn() -> bool,
    mut accept: impl FnMut() -> io::Result<T>,
    mut serve: impl FnMut(T),
) {
    loop {
        let accepted = accept();
        if is_over() {
            return;
        }
        match accepted {
            Ok(stream) => serve(stream),
            Err(_passing) => std::thread::sleep(ACCEPT_PAUSE),
        }
    }
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, Option<Streams>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts until the step has ended, and waits for the last connection.
    fn run(&self) {
        let is_over = || self.streams().is_none();
        std::thread::scope(|scope| {
            let accept = || self.listener.accept().map(|(stream, _)| stream);
            accept_all(is_over, accept, |stream| {
                let Some(number) = self.enter(&stream) else {
                    return;
                };
                let served = std::thread::Builder::new().spawn_scoped(scope, move || {
                    self.connection(number, stream);
                });
                if served.is_err() {
                    self.leave(number);
                }
            });
        });
    }

    /// A number for a new connection; nothing when there are too many, or the step has ended.
    fn enter(&self, stream: &UnixStream) -> Option<u64> {
        let mut open = self.streams();
        let open = open.as_mut()?;
        if open.of.len() >= CONNECTIONS_LIMIT {
            return None;
        }
        let number = open.next;
        open.next = number.wrapping_add(1);
        open.of.insert(number, vec![stream.try_clone().ok()?]);
        Some(number)
    }

    fn leave(&self, number: u64) {
        if let Some(open) = self.streams().as_mut() {
            open.of.remove(&number);
        }
    }

    fn connection(&self, number: u64, mut stream: UnixStream) {
        let connected = |upstream: &UnixStream| {
            let mut open = self.streams();
            let streams = open.as_mut().and_then(|open| open.of.get_mut(&number));
            let streams = streams.ok_or(io::ErrorKind::ConnectionAborted)?;
            streams.push(upstream.try_clone()?);
            Ok(())
        };
        // A program that breaks the protocol off sees the connection end.
        self.agent.serve(&mut stream, &connected).ok();
        self.leave(number);
    }
}

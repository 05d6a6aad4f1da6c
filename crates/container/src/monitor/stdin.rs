//! The container's input: what clients sent, on its way into a pipe or terminal.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// More input than this waiting is a client that ignores its window.
pub(super) const QUEUE_LIMIT: usize = 4 << 20;

/// Bytes that were taken, and the client that sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) client: u64,
    pub(super) count: u32,
}

#[derive(Debug)]
struct Chunk {
    client: u64,
    bytes: Vec<u8>,
    written: usize,
}

/// The write end and what waits for it.
#[derive(Debug)]
pub(super) struct Stdin {
    fd: Option<OwnedFd>,
    queue: VecDeque<Chunk>,
    queued: usize,
    closing: bool,
}

impl Stdin {
    /// `fd` is non-blocking; without one everything is swallowed.
    pub(super) fn new(fd: Option<OwnedFd>) -> Self {
        Self {
            fd,
            queue: VecDeque::new(),
            queued: 0,
            closing: false,
        }
    }

    /// The descriptor, while something waits for it.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        self.fd
            .as_ref()
            .filter(|_| !self.queue.is_empty())
            .map(AsFd::as_fd)
    }

    /// Takes input; false when the client has sent far more than its window.
    pub(super) fn push(&mut self, client: u64, bytes: Vec<u8>) -> bool {
        self.queued = self.queued.saturating_add(bytes.len());
        self.queue.push_back(Chunk {
            client,
            bytes,
            written: 0,
        });
        self.queued <= QUEUE_LIMIT
    }

    /// Closes the write end once everything is written.
    pub(super) fn close(&mut self) {
        self.closing = true;
        if self.queue.is_empty() {
            self.fd = None;
        }
    }

    /// Closes the write end and forgets what waits.
    pub(super) fn abandon(&mut self) -> Vec<Taken> {
        self.fd = None;
        self.write()
    }

    /// Writes what fits. The result is who can be told that how much was taken.
    pub(super) fn write(&mut self) -> Vec<Taken> {
        let mut taken = Vec::new();
        while let Some(chunk) = self.queue.front_mut() {
            let rest = chunk.bytes.get(chunk.written..).unwrap_or_default();
            let count = match &self.fd {
                // Nobody reads: input goes nowhere, as with a closed pipe.
                None => rest.len(),
                Some(fd) => match rustix::io::write(fd, rest) {
                    Ok(count) => count,
                    Err(rustix::io::Errno::AGAIN) => break,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(_) => {
                        self.fd = None;
                        continue;
                    }
                },
            };
            chunk.written += count;
            self.queued -= count;
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            taken.push(Taken {
                client: chunk.client,
                count,
            });
            if chunk.written >= chunk.bytes.len() {
                self.queue.pop_front();
            }
        }
        if self.closing && self.queue.is_empty() {
            self.fd = None;
        }
        taken
    }
}

//! Blocks of a gzip member, deflated independently of each other, here or on other threads.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Input of one block. A larger one makes the output smaller; the parallel writer holds several in memory.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// A deflated block, and the sum and length of what went in.
pub(super) type Deflated = (Vec<u8>, Crc);

/// Deflates one block after the other.
pub(super) struct Deflater {
    compress: Compress,
}

impl Deflater {
    pub(super) fn new(level: u32) -> Self {
        Self {
            compress: Compress::new(Compression::new(level.clamp(1, 9)), false),
        }
    }

    /// Deflates one block to whole bytes.
    pub(super) fn deflate(&mut self, input: &[u8]) -> io::Result<Deflated> {
        self.compress.reset();
        let mut sum = Crc::new();
        sum.update(input);
        // What does not compress is stored, with a few bytes for every 16 KiB.
        let room = input
            .len()
            .saturating_add(input.len() / 64)
            .saturating_add(1024);
        let mut output = Vec::with_capacity(room);
        let mut rest = input;
        loop {
            let before = self.compress.total_in();
            self.compress
                .compress_vec(rest, &mut output, FlushCompress::Sync)?;
            let read = self.compress.total_in().saturating_sub(before);
            rest = rest
                .get(usize::try_from(read).unwrap_or_default()..)
                .unwrap_or_default();
            // With room left there is nothing more to come.
            if rest.is_empty() && output.len() < output.capacity() {
                return Ok((output, sum));
            }
            output.reserve(room);
        }
    }
}

struct Job {
    input: Vec<u8>,
    reply: Sender<io::Result<Deflated>>,
}

/// A block that another thread makes.
pub(super) struct Block {
    reply: Receiver<io::Result<Deflated>>,
}

impl Block {
    pub(super) fn wait(self) -> io::Result<Deflated> {
        self.reply.recv().map_err(gone)?
    }
}

/// Threads that deflate blocks until the pool is dropped.
pub(super) struct Pool {
    jobs: Sender<Job>,
    threads: usize,
}

impl Pool {
    pub(super) fn start(level: u32, threads: usize) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name("gzip".to_owned())
                .spawn(move || work(level, &queue))?;
        }
        Ok(Self { jobs, threads })
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    pub(super) fn submit(&self, input: Vec<u8>) -> io::Result<Block> {
        let (reply, receiver) = channel();
        self.jobs.send(Job { input, reply }).map_err(gone)?;
        Ok(Block { reply: receiver })
    }
}

fn work(level: u32, queue: &Mutex<Receiver<Job>>) {
    let mut deflater = Deflater::new(level);
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_poisoned) => return,
        };
        let Ok(Job { input, reply }) = job else {
            return;
        };
        // Who asked may have given up.
        reply.send(deflater.deflate(&input)).ok();
    }
}

fn gone<E>(_: E) -> io::Error {
    io::Error::other("a compressing thread ended early")
}

//! Reading a container's log.

use crate::containers::Containers;
use crate::error::{Context, Error, Result};
use crate::lifecycle;
use crate::record::ContainerId;
use crate::session::{Output, Polled, Session};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The log's name in the container's folder.
pub(crate) const FILE: &str = "json.log";

/// Read at once while looking for the beginning of the last lines.
const BACKWARD_CHUNK: u64 = 64 << 10;
/// A log line longer than this was not written by a monitor.
const LINE_LIMIT: u64 = 1 << 20;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// What of the log is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Go on until the container ends.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u64>,
    /// Only from this moment on.
    pub since: Option<jiff::Timestamp>,
    /// Only before this moment.
    pub until: Option<jiff::Timestamp>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            stdout: true,
            stderr: true,
            follow: false,
            tail: None,
            since: None,
            until: None,
        }
    }
}

/// One piece of output: a line with its line feed, or a part of a long or unfinished line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it came from.
    pub stream: Stream,
    /// When, as written in the log (RFC 3339 with nanoseconds).
    pub time: String,
    /// The text.
    pub text: String,
}

/// A line of the file.
#[derive(Debug, Deserialize)]
struct Line {
    log: String,
    stream: String,
    time: String,
}

/// An iterator over the entries of a log; blocks while following.
#[derive(Debug)]
pub struct Logs {
    path: PathBuf,
    options: LogOptions,
    reader: Option<BufReader<File>>,
    line: Vec<u8>,
    follow: Option<Follow>,
    done: bool,
}

/// What tells that there may be more.
#[derive(Debug)]
struct Follow {
    session: Session,
    watch: OwnedFd,
    ended: bool,
}

pub(crate) fn open(
    containers: &Containers,
    id: &ContainerId,
    options: &LogOptions,
) -> Result<Logs> {
    let container = containers.get(id)?;
    if container.record.host_config.log_config.kind == "none" {
        return Err(Error::NoLogs);
    }
    let home = containers.home(id);
    // The watch comes before the first read: nothing is missed in between.
    let follow = if options.follow {
        follow(containers, id, home.path())?
    } else {
        None
    };
    let path = home.file(FILE);
    let mut logs = Logs {
        path,
        options: options.clone(),
        reader: None,
        line: Vec::new(),
        follow,
        done: false,
    };
    logs.open_file(options.tail)?;
    Ok(logs)
}

fn follow(containers: &Containers, id: &ContainerId, folder: &Path) -> Result<Option<Follow>> {
    let context = || format!("watching {}", folder.display());
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let watch = inotify::init(flags).context(context)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
    inotify::add_watch(&watch, folder, events).context(context)?;
    let session = lifecycle::observe(containers, id)?;
    Ok(session.map(|session| Follow {
        session,
        watch,
        ended: false,
    }))
}

impl Logs {
    /// The log is made with the first output: it may not be there yet.
    fn open_file(&mut self, tail: Option<u64>) -> Result<()> {
        let path = &self.path;
        let context = || format!("reading {}", path.display());
        let mut file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.context(context)?,
        };
        if let Some(count) = tail {
            let start = last_lines(&mut file, count).context(context)?;
            file.seek(SeekFrom::Start(start)).context(context)?;
        }
        self.reader = Some(BufReader::new(file));
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<LogEntry>> {
        while !self.done {
            if self.read_line()? {
                let line = std::mem::take(&mut self.line);
                if let Some(entry) = self.wanted(&line) {
                    return Ok(Some(entry));
                }
                continue;
            }
            match &mut self.follow {
                Some(follow) if !follow.ended => follow.wait()?,
                _ => self.done = true,
            }
        }
        Ok(None)
    }

    /// Reads on; true when the line is whole.
    fn read_line(&mut self) -> Result<bool> {
        if self.reader.is_none() {
            self.open_file(None)?;
        }
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        reader
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut self.line)
            .context(|| format!("reading {}", self.path.display()))?;
        Ok(self.line.ends_with(b"\n") || self.line.len() as u64 >= LINE_LIMIT)
    }

    /// The entry, if it is one and asked for. What is no entry (a hole that a crash left) is skipped.
    fn wanted(&mut self, line: &[u8]) -> Option<LogEntry> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let stream = if line.stream == "stderr" {
            Stream::Stderr
        } else {
            Stream::Stdout
        };
        let asked = match stream {
            Stream::Stdout => self.options.stdout,
            Stream::Stderr => self.options.stderr,
        };
        if self.options.since.is_some() || self.options.until.is_some() {
            let at: jiff::Timestamp = line.time.parse().ok()?;
            if self.options.until.is_some_and(|until| at > until) {
                self.done = true;
                return None;
            }
            if self.options.since.is_some_and(|since| at < since) {
                return None;
            }
        }
        asked.then_some(LogEntry {
            stream,
            time: line.time,
            text: line.log,
        })
    }
}

impl Iterator for Logs {
    type Item = std::result::Result<LogEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}

impl Follow {
    /// Waits until the log has grown or the container has ended.
    fn wait(&mut self) -> Result<()> {
        let context = || "waiting for the log".to_owned();
        let mut fds = [
            PollFd::from_borrowed_fd(self.session.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.watch.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context(context),
        }
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.watch, &mut space);
        while events.next().is_ok() {}
        loop {
            match self.session.poll_frame()? {
                // What was written before the end is read once more.
                Polled::Output(Output::Exit(_)) | Polled::Gone => self.ended = true,
                Polled::Output(_) => continue,
                Polled::NotNow => {}
            }
            return Ok(());
        }
    }
}

/// Where the last `count` lines of a file begin.
fn last_lines(file: &mut File, count: u64) -> std::io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    if count == 0 {
        return Ok(end);
    }
    let mut seen = 0;
    let mut at = end;
    let mut chunk = Vec::new();
    while at > 0 {
        let size = at.min(BACKWARD_CHUNK);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        chunk.clear();
        file.by_ref().take(size).read_to_end(&mut chunk)?;
        for (index, byte) in chunk.iter().enumerate().rev() {
            let position = at + index as u64;
            // The last line's own end is not the end of a line before it.
            if *byte == b'\n' && position + 1 != end {
                seen += 1;
                if seen == count {
                    return Ok(position + 1);
                }
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests;

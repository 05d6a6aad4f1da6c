//! The only writer of the standard streams.
//!
//! Both streams are locked and buffered; writing to one flushes the other, so that a terminal shows
//! lines in the order they were written. The first failure is kept: a closed pipe makes everything
//! after it silent, any other failure is reported once by [`Output::finish`].

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Writes are gathered up to this size.
const BUFFER: usize = 64 * 1024;

/// The standard output and the standard error.
pub(crate) struct Output {
    streams: Mutex<Streams>,
    out_is_terminal: bool,
    err_is_terminal: bool,
}

struct Streams {
    out: Vec<u8>,
    err: Vec<u8>,
    out_to: Box<dyn Write + Send>,
    err_to: Box<dyn Write + Send>,
    failure: Option<io::Error>,
    line_buffered: bool,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("out_is_terminal", &self.out_is_terminal)
            .finish_non_exhaustive()
    }
}

/// Writes a debug message to the standard error at once, whatever is being gathered.
pub(crate) fn debug_line(text: &str) {
    // Nobody can be told of a message that is lost.
    let _lost = io::stderr().lock().write_all(text.as_bytes());
}

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The standard output.
    Out,
    /// The standard error.
    Err,
}

impl Output {
    /// The process's own streams.
    pub(crate) fn standard() -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        Self {
            streams: Mutex::new(Streams {
                out: Vec::new(),
                err: Vec::new(),
                out_to: Box::new(io::stdout()),
                err_to: Box::new(io::stderr()),
                failure: None,
                line_buffered: out_is_terminal,
            }),
            out_is_terminal,
            err_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Streams for a test.
    #[cfg(test)]
    pub(crate) fn to(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self {
            streams: Mutex::new(Streams {
                out: Vec::new(),
                err: Vec::new(),
                out_to: out,
                err_to: err,
                failure: None,
                line_buffered: false,
            }),
            out_is_terminal: false,
            err_is_terminal: false,
        }
    }

    /// Whether the stream is a terminal.
    pub(crate) fn is_terminal(&self, stream: Stream) -> bool {
        match stream {
            Stream::Out => self.out_is_terminal,
            Stream::Err => self.err_is_terminal,
        }
    }

    /// Writes to a stream as it is.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        match stream {
            Stream::Out => {
                streams.flush_err();
                streams.out.extend_from_slice(bytes);
                if streams.out.len() >= BUFFER || (streams.line_buffered && bytes.contains(&b'\n'))
                {
                    streams.flush_out();
                }
            }
            Stream::Err => {
                streams.flush_out();
                streams.err.extend_from_slice(bytes);
                if bytes.contains(&b'\n') {
                    streams.flush_err();
                }
            }
        }
    }

    /// Writes text to the standard output.
    pub(crate) fn print(&self, text: &str) {
        self.write(Stream::Out, text.as_bytes());
    }

    /// Writes a line to the standard output.
    pub(crate) fn line(&self, text: &str) {
        self.write(Stream::Out, format!("{text}\n").as_bytes());
    }

    /// Writes a line to the standard error.
    pub(crate) fn err_line(&self, text: &str) {
        self.write(Stream::Err, format!("{text}\n").as_bytes());
    }

    /// Sends on what was gathered.
    pub(crate) fn flush(&self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.flush_out();
        streams.flush_err();
    }

    /// Whether nobody reads any more: a command that goes on for long should end.
    pub(crate) fn is_closed(&self) -> bool {
        self.streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failure
            .is_some()
    }

    /// Sends on what was gathered and tells the first failure since the start.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.flush();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.failure.take().map_or(Ok(()), Err)
    }
}

impl Streams {
    fn flush_out(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.out);
        if self.failure.is_none() {
            let written = self
                .out_to
                .write_all(&bytes)
                .and_then(|()| self.out_to.flush());
            self.failure = written.err();
        }
    }

    fn flush_err(&mut self) {
        if self.err.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.err);
        // A lost message about an error has nowhere to be reported.
        let _lost = self
            .err_to
            .write_all(&bytes)
            .and_then(|()| self.err_to.flush());
    }
}

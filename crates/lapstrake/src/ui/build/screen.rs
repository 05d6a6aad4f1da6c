//! A build's events on the standard streams.

use super::json::Json;
use super::plain::Plain;
use super::quiet::Quiet;
use super::tree::Tree;
use super::{Renderer, Size, Style};
use crate::ui::output::{Output, Stream};
use lapstrake_engine::build::event::BuildEvent;
use lapstrake_engine::{Clock, Event, EventSink};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Between two frames of a picture that moves.
const FRAME: Duration = Duration::from_millis(100);

/// Of output that is held back, so much is kept at least.
const HELD_BYTES: usize = 1024 * 1024;

/// Writes what a renderer says to one of the standard streams.
pub(crate) struct Screen<'a> {
    output: &'a Output,
    clock: Clock,
    stream: Stream,
    moves: bool,
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    renderer: Box<dyn Renderer>,
    /// What was not written, when output is held back.
    held: Option<Vec<u8>>,
    /// Findings about the Dockerfile: the warnings that belong to a vertex.
    findings: Vec<String>,
    ended: bool,
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl EventSink for Screen<'_> {
    fn event(&self, event: Event) {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::Build(BuildEvent::Warning {
            vertex: Some(_),
            text,
        }) = &event
        {
            state.findings.push(text.clone());
        }
        let bytes = state.renderer.event(&event, now);
        self.write(&mut state, &bytes);
    }
}

impl<'a> Screen<'a> {
    /// A screen for one of BuildKit's forms; `colours` is whether a terminal gets them, `explains` whether
    /// every step says why it was not cached.
    pub(crate) fn modern(
        output: &'a Output,
        style: Style,
        (colours, explains): (bool, bool),
        clock: Clock,
    ) -> Self {
        let renderer: Box<dyn Renderer> = match style {
            Style::Json => Box::new(Json::default()),
            Style::Terminal => Box::new(Tree::new(colours, explains)),
            Style::Plain => Box::new(Plain::new(explains)),
            Style::Quiet | Style::Silent => Box::new(Quiet::default()),
        };
        let mut screen = Self::new(output, Stream::Err, renderer, clock);
        screen.moves = style == Style::Terminal;
        screen
    }

    /// A screen for the classic form. A quiet build's output is held back.
    pub(crate) fn classic(
        output: &'a Output,
        quiet: bool,
        renderer: super::Classic,
        clock: Clock,
    ) -> Self {
        let mut screen = Self::new(output, Stream::Out, Box::new(renderer), clock);
        let state = screen.state.get_mut();
        state.unwrap_or_else(PoisonError::into_inner).held = quiet.then(Vec::new);
        screen
    }

    fn new(output: &'a Output, stream: Stream, renderer: Box<dyn Renderer>, clock: Clock) -> Self {
        Self {
            output,
            clock,
            stream,
            moves: false,
            state: Mutex::new(State {
                renderer,
                held: None,
                findings: Vec::new(),
                ended: false,
            }),
            ended: Condvar::new(),
        }
    }

    /// Does the work; meanwhile pictures that move are redrawn. At the end says what is left to say.
    pub(crate) fn attend<T>(&self, work: impl FnOnce() -> T) -> T {
        let result = if self.moves {
            std::thread::scope(|scope| {
                scope.spawn(|| self.redraw());
                let result = work();
                self.end();
                result
            })
        } else {
            work()
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = state.renderer.finish((self.clock)(), size());
        self.write(&mut state, &bytes);
        result
    }

    /// What was held back.
    pub(crate) fn held(&self) -> Vec<u8> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held.take().unwrap_or_default()
    }

    /// What was found in the Dockerfile so far.
    pub(crate) fn findings(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.findings.clone()
    }

    fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        self.ended.notify_all();
    }

    fn redraw(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.ended {
            let bytes = state.renderer.tick((self.clock)(), size());
            self.write(&mut state, &bytes);
            let waited = self.ended.wait_timeout(state, FRAME);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, state: &mut State, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(held) = &mut state.held {
            held.extend_from_slice(bytes);
            if held.len() > 2 * HELD_BYTES {
                held.drain(..held.len() - HELD_BYTES);
            }
            return;
        }
        self.output.write(self.stream, bytes);
        // A step's output is wanted when it comes, not when the buffer is full.
        self.output.flush();
    }
}

/// The size of the terminal behind the standard error.
fn size() -> Size {
    match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
            columns: usize::from(size.ws_col),
            rows: usize::from(size.ws_row),
        },
        _ => Size::default(),
    }
}

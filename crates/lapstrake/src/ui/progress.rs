//! Engine events of pull and push as docker's client shows them.
//!
//! On a terminal every layer has a line of its own, found again with cursor movements; elsewhere each
//! state is a line, once, and the moving states (downloading, extracting, pushing) are left out. The
//! cursor always comes back below the lines, so an interrupted transfer leaves the terminal clean.

use super::output::{Output, Stream};
use super::units::{signed, size4};
use crate::ui::text::PushFormat;
use lapstrake_engine::{Clock, Event, EventSink, LayerEvent, LayerState};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A moving state is drawn at most this often.
const REDRAW_MS: i64 = 100;
/// Narrower terminals get no bar.
const BAR_MIN_COLUMNS: usize = 110;
/// The steps of a bar.
const BAR_STEPS: u64 = 50;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing but warnings.
    Quiet,
    /// A line for each state.
    Plain,
    /// A line for each layer, redrawn; the number is the terminal's width.
    Terminal(usize),
}

/// Renders events to one of the standard streams.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    output: &'a Output,
    stream: Stream,
    clock: Clock,
    screen: Mutex<Screen>,
}

impl<'a> Progress<'a> {
    /// A renderer for a stream; terminals get lines that move.
    pub(crate) fn new(output: &'a Output, stream: Stream, quiet: bool, clock: Clock) -> Self {
        let style = match (quiet, output.is_terminal(stream)) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Terminal(columns(stream)),
            (false, false) => Style::Plain,
        };
        Self {
            output,
            stream,
            clock,
            screen: Mutex::new(Screen::new(style)),
        }
    }
}

/// The width of the terminal behind a stream.
pub(crate) fn columns(stream: Stream) -> usize {
    let size = match stream {
        Stream::Out => rustix::termios::tcgetwinsize(rustix::stdio::stdout()),
        Stream::Err => rustix::termios::tcgetwinsize(rustix::stdio::stderr()),
    };
    size.map_or(200, |size| usize::from(size.ws_col))
}

impl EventSink for Progress<'_> {
    fn event(&self, event: Event) {
        let now_ms = (self.clock)().as_millisecond();
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let (stream, text) = match &event {
            Event::ImageMissing { .. } | Event::Tagged { .. } => {
                (Stream::Err, screen.render(&event, now_ms))
            }
            _ => (self.stream, screen.render(&event, now_ms)),
        };
        if !text.is_empty() {
            self.output.write(stream, text.as_bytes());
            if stream == Stream::Out && screen.style != Style::Quiet {
                self.output.flush();
            }
        }
    }
}

/// What was drawn so far.
#[derive(Debug)]
pub(crate) struct Screen {
    style: Style,
    /// The lines of the layers, from the top.
    lines: BTreeMap<String, usize>,
    /// The last state of each layer and when it was drawn.
    last: BTreeMap<String, (String, i64)>,
    /// What is being done with layers.
    work: Work,
}

/// What is being done with layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Pull,
    Push,
    Load,
}

impl Screen {
    /// An empty screen.
    pub(crate) fn new(style: Style) -> Self {
        Self {
            style,
            lines: BTreeMap::new(),
            last: BTreeMap::new(),
            work: Work::Pull,
        }
    }

    /// The bytes that show an event.
    pub(crate) fn render(&mut self, event: &Event, now_ms: i64) -> String {
        if let Event::Layer(layer) = event {
            return self.layer(layer, now_ms);
        }
        if matches!(event, Event::Build(_) | Event::BuildContext { .. }) {
            return String::new();
        }
        match event {
            Event::PushStarted { .. } | Event::CopyStarted { away: true, .. } => {
                self.work = Work::Push;
            }
            Event::LoadStarted => {
                self.work = Work::Load;
                return String::new();
            }
            Event::Fetching { done, total } => return self.fetching(*done, *total, now_ms),
            _ => {}
        }
        let line = sentence(event);
        if self.style == Style::Quiet && !is_result(event) {
            return String::new();
        }
        // Lines of layers above a sentence are history: they are not redrawn.
        self.lines.clear();
        self.last.clear();
        format!("{line}\n")
    }

    fn layer(&mut self, event: &LayerEvent, now_ms: i64) -> String {
        let id = event.digest.short().to_owned();
        let Some((status, moving)) = status(&event.state, self.work) else {
            // The same layer a second time in an image is not waited for either.
            self.last.insert(id, (String::new(), now_ms));
            return String::new();
        };
        // The lines of a load stand in the order of the layers, whichever arrives first.
        let is_place = self.work == Work::Load && moving.is_none();
        if is_place && (self.style == Style::Plain || self.last.contains_key(&id)) {
            return String::new();
        }
        match self.style {
            Style::Quiet => String::new(),
            Style::Plain => {
                if moving.is_some() || self.is_repeated(&id, &status, now_ms) {
                    return String::new();
                }
                format!("{id}: {status}\n")
            }
            Style::Terminal(columns) => {
                let finished = moving.is_none_or(|(done, total)| done >= total);
                if self.is_too_soon(&id, &status, now_ms, finished) {
                    return String::new();
                }
                let bar = moving
                    .map(|(done, total)| bar(done, total, columns))
                    .unwrap_or_default();
                self.draw(&id, &format!("{id}: {status} {bar}"))
            }
        }
    }

    /// A download that is no layer has a line that is written over by what comes next.
    fn fetching(&mut self, done: u64, total: u64, now_ms: i64) -> String {
        const ID: &str = "";
        let Style::Terminal(columns) = self.style else {
            return String::new();
        };
        let finished = done == total;
        if self.is_too_soon(ID, "Importing", now_ms, finished) {
            return String::new();
        }
        let end = if finished { "\n" } else { "\r" };
        format!("\x1b[2K\rImporting {}{end}", bar(done, total, columns))
    }

    /// Whether the layer is in this state already.
    fn is_repeated(&mut self, id: &str, status: &str, now_ms: i64) -> bool {
        let before = self.last.insert(id.to_owned(), (status.to_owned(), now_ms));
        before.is_some_and(|(known, _)| known == status)
    }

    /// Whether the same state was drawn a moment ago.
    fn is_too_soon(&mut self, id: &str, status: &str, now_ms: i64, finished: bool) -> bool {
        if let Some((known, then_ms)) = self.last.get(id)
            && known == status
            && !finished
            && now_ms - then_ms < REDRAW_MS
        {
            return true;
        }
        self.last.insert(id.to_owned(), (status.to_owned(), now_ms));
        false
    }

    /// Moves to the layer's line (a new one at the bottom at first), rewrites it and comes back.
    fn draw(&mut self, id: &str, text: &str) -> String {
        let mut out = String::new();
        let count = self.lines.len();
        let line = *self.lines.entry(id.to_owned()).or_insert_with(|| {
            out.push('\n');
            count
        });
        let up = self.lines.len() - line;
        out.push_fmt(format_args!("\x1b[{up}A\x1b[2K\r{text}\r\x1b[{up}B"));
        out
    }
}

/// Whether a sentence is shown however quiet it is to be.
fn is_result(event: &Event) -> bool {
    matches!(
        event,
        Event::Warning { .. }
            | Event::Renamed { .. }
            | Event::Loaded { .. }
            | Event::LoadedId { .. }
    )
}

/// An event that is a line of its own.
fn sentence(event: &Event) -> String {
    match event {
        Event::DefaultTag { tag } => format!("Using default tag: {tag}"),
        Event::ImageMissing { reference } => {
            format!("Unable to find image '{}' locally", reference.familiar())
        }
        Event::VerifiedPull {
            number,
            total,
            reference,
        } => format!("Pull ({number} of {total}): {}", reference.familiar()),
        Event::Verified { keys } => format!("Signature verified with {}", keys.join(" and ")),
        Event::Signing => "Signing and pushing trust metadata".to_owned(),
        Event::Signed { reference } => format!("Successfully signed {}", reference.canonical()),
        Event::Tagged { from, to } => {
            format!("Tagging {} as {}", from.familiar(), to.familiar())
        }
        Event::PullStarted { tag, path } => format!("{tag}: Pulling from {path}"),
        Event::PushStarted { repository } => {
            format!("The push refers to repository [{repository}]")
        }
        Event::Resolved { digest } => format!("Digest: {digest}"),
        Event::PullFinished {
            reference,
            newer,
            all_tags,
        } => {
            let name = if *all_tags {
                reference.familiar_name()
            } else {
                reference.familiar()
            };
            let what = if *newer {
                "Downloaded newer image"
            } else {
                "Image is up to date"
            };
            format!("Status: {what} for {name}")
        }
        Event::PushFinished { tag, digest, size } => {
            format!("{tag}: digest: {digest} size: {size}")
        }
        Event::Warning { text } if text.starts_with("WARNING") => text.clone(),
        Event::Warning { text } => format!("WARNING: {text}"),
        Event::Renamed { reference, id } => format!(
            "The image {} already exists, renaming the old one with ID {id} to empty string",
            reference.familiar()
        ),
        Event::Loaded { reference } => format!("Loaded image: {}", reference.familiar()),
        Event::LoadedId { id } => format!("Loaded image ID: {id}"),
        Event::CopyStarted { from, to, .. } => format!("Copying {from} to {to}"),
        Event::FetchStarted { url } => format!("Downloading from {url}"),
        Event::Layer(_)
        | Event::Build(_)
        | Event::BuildContext { .. }
        | Event::LoadStarted
        | Event::Fetching { .. } => String::new(),
    }
}

/// The words for a state, and how far it is when it moves; none for a state that is not shown.
fn status(state: &LayerState, work: Work) -> Option<(String, Option<(u64, u64)>)> {
    match (work, state) {
        (Work::Load, LayerState::Downloading { done, total }) => {
            Some(("Loading layer".to_owned(), Some((*done, *total))))
        }
        (Work::Load, LayerState::Queued) => Some(("Loading layer".to_owned(), None)),
        (Work::Load, _) => None,
        (_, state) => Some(transfer_status(state, work == Work::Push)),
    }
}

fn transfer_status(state: &LayerState, pushing: bool) -> (String, Option<(u64, u64)>) {
    let moving = |done: u64, total: u64| (done > 0 || total > 0).then_some((done, total));
    match state {
        LayerState::Queued if pushing => ("Preparing".to_owned(), None),
        LayerState::Queued => ("Pulling fs layer".to_owned(), None),
        LayerState::Waiting => ("Waiting".to_owned(), None),
        LayerState::AlreadyExists if pushing => ("Layer already exists".to_owned(), None),
        LayerState::AlreadyExists => ("Already exists".to_owned(), None),
        LayerState::Downloading { done, total } => {
            ("Downloading".to_owned(), moving(*done, *total))
        }
        LayerState::Verifying => ("Verifying Checksum".to_owned(), None),
        LayerState::Downloaded => ("Download complete".to_owned(), None),
        LayerState::Extracting { done, total } => ("Extracting".to_owned(), moving(*done, *total)),
        LayerState::PullComplete => ("Pull complete".to_owned(), None),
        LayerState::Retrying { after_s } => {
            let unit = if *after_s == 1 { "second" } else { "seconds" };
            (format!("Retrying in {after_s} {unit}"), None)
        }
        LayerState::Pushing { done, total } => ("Pushing".to_owned(), moving(*done, *total)),
        LayerState::Pushed => ("Pushed".to_owned(), None),
        LayerState::Mounted { from } => (format!("Mounted from {from}"), None),
    }
}

/// `[==>   ]  36.45kB/1.064MB`
fn bar(done: u64, total: u64, columns: usize) -> String {
    let done_text = size4(signed(done));
    if total == 0 {
        return format!("{done_text:>8}");
    }
    let steps =
        (u128::from(done) * u128::from(BAR_STEPS) / u128::from(total)).min(u128::from(BAR_STEPS));
    let steps = usize::try_from(steps).unwrap_or(0);
    let blanks = usize::try_from(BAR_STEPS).unwrap_or(0) - steps;
    let picture = if columns > BAR_MIN_COLUMNS {
        format!("[{}>{}] ", "=".repeat(steps), " ".repeat(blanks))
    } else {
        String::new()
    };
    if done > total {
        return format!("{picture}{done_text:>8}");
    }
    format!("{picture}{done_text:>8}/{}", size4(signed(total)))
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;

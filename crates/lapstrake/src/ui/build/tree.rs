//! A terminal: every vertex with its time, parts and last lines of output, redrawn in place.
//!
//! A frame is written at once and over the last one, each line cleared behind its text, so nothing
//! flickers. Frames fit the terminal; the last one does not have to, and stays as the build's record.

use super::picture::{Change, Item, Picture, Vertex};
use super::{Renderer, Size, is_obvious, seconds};
use crate::ui::text::{PushFormat, ellipsis, width};
use jiff::Timestamp;
use lapstrake_engine::Event;
use lapstrake_engine::build::event::VertexEnd;

/// Lines of output that a running step shows.
const OUTPUT_LINES: usize = 6;
/// Columns for a time at the right edge, the blank before it included.
const TIME_COLUMNS: usize = 9;
/// Narrower terminals are drawn as if they had this width.
const MIN_COLUMNS: usize = 20;

/// Colours, as BuildKit has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Plain,
    Faint,
    Blue,
    Red,
    Yellow,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Faint => "\x1b[2m",
            Self::Blue => "\x1b[34m",
            Self::Red => "\x1b[31m",
            Self::Yellow => "\x1b[33m",
        }
    }
}

/// One line of a frame.
#[derive(Debug, Clone)]
struct Line {
    text: String,
    colour: Colour,
}

/// The renderer.
#[derive(Debug)]
pub(super) struct Tree {
    picture: Picture,
    colours: bool,
    /// Tell of every step why it was not cached; otherwise of those of which one would ask.
    explains: bool,
    started: Option<Timestamp>,
    /// The widths of the lines of the last frame.
    drawn: Vec<usize>,
    /// Sentences that belong above the picture.
    above: Vec<String>,
}

impl Renderer for Tree {
    fn event(&mut self, event: &Event, now: Timestamp) -> Vec<u8> {
        self.started.get_or_insert(now);
        match event {
            Event::Build(event) if self.explains || !is_obvious(event) => {
                if let Change::Warning(None, text) = self.picture.apply(event, now) {
                    self.above.push(format!("WARN: {text}"));
                }
            }
            Event::Warning { text } => self.above.push(format!("WARNING: {text}")),
            _ => {}
        }
        Vec::new()
    }

    fn tick(&mut self, now: Timestamp, size: Size) -> Vec<u8> {
        self.draw(now, size, false).into_bytes()
    }

    fn finish(&mut self, now: Timestamp, size: Size) -> Vec<u8> {
        if self.picture.iter().next().is_none() && self.above.is_empty() {
            return Vec::new();
        }
        let mut out = self.draw(now, size, true);
        out.push_str(&self.picture.errors(printable));
        out.into_bytes()
    }
}

impl Tree {
    /// An empty picture; `explains` is whether every step says why it was not cached.
    pub(super) fn new(colours: bool, explains: bool) -> Self {
        Self {
            picture: Picture::default(),
            colours,
            explains,
            started: None,
            drawn: Vec::new(),
            above: Vec::new(),
        }
    }

    /// The bytes that put a new frame in the place of the last one.
    fn draw(&mut self, now: Timestamp, size: Size, is_last: bool) -> String {
        let columns = size.columns.max(MIN_COLUMNS);
        let mut lines = vec![self.header(now, is_last)];
        lines.extend(self.body(now, size, is_last));
        // The terminal may hold the frame back until it is whole; others ignore these codes.
        let mut out = String::from("\x1b[?2026h\x1b[?25l");
        let rows: usize = self.drawn.iter().map(|width| rows(*width, columns)).sum();
        if rows > 0 {
            out.push_fmt(format_args!("\x1b[{rows}A"));
        }
        out.push('\r');
        for sentence in self.above.drain(..) {
            out.push_fmt(format_args!("{}\x1b[K\n", printable(&sentence)));
        }
        self.drawn.clear();
        for line in &lines {
            self.drawn.push(width(&line.text));
            self.push_line(&mut out, line);
        }
        out.push_str("\x1b[J\x1b[?25h\x1b[?2026l");
        out
    }

    fn push_line(&self, out: &mut String, line: &Line) {
        let code = if self.colours { line.colour.code() } else { "" };
        let reset = if code.is_empty() { "" } else { "\x1b[0m" };
        out.push_fmt(format_args!("{code}{}{reset}\x1b[K\n", line.text));
    }

    /// `[+] Building 1.3s (6/9)`
    fn header(&self, now: Timestamp, is_last: bool) -> Line {
        let total = self.picture.iter().count();
        let done = self.picture.iter().filter(|vertex| vertex.end.is_some());
        let took = self.started.map_or(0.0, |started| seconds(started, now));
        let end = if is_last { " FINISHED" } else { "" };
        Line {
            text: format!("[+] Building {took:.1}s ({}/{total}){end}", done.count()),
            colour: Colour::Plain,
        }
    }

    /// Blocks of the vertices. When they do not fit, those that were done first go, then the details.
    fn body(&self, now: Timestamp, size: Size, is_last: bool) -> Vec<Line> {
        let columns = size.columns.max(MIN_COLUMNS);
        let mut blocks: Vec<(bool, Vec<Line>)> = self
            .picture
            .iter()
            .map(|vertex| (vertex.end.is_some(), block(vertex, now, columns)))
            .collect();
        if !is_last {
            fit(&mut blocks, size.rows.saturating_sub(2).max(1));
        }
        blocks.into_iter().flat_map(|(_, lines)| lines).collect()
    }
}

/// Leaves out what does not fit into so many lines.
fn fit(blocks: &mut Vec<(bool, Vec<Line>)>, rows: usize) {
    let count = |blocks: &[(bool, Vec<Line>)]| blocks.iter().map(|(_, lines)| lines.len()).sum();
    let mut total: usize = count(blocks);
    blocks.retain(|(is_done, lines)| {
        let goes = *is_done && total > rows;
        if goes {
            total -= lines.len();
        }
        !goes
    });
    if total > rows {
        for (_, lines) in blocks.iter_mut() {
            lines.truncate(1);
        }
    }
    let rest = blocks.len().saturating_sub(rows);
    if count(blocks) > rows {
        blocks.drain(..rest);
    }
}

/// The lines of one vertex.
fn block(vertex: &Vertex, now: Timestamp, columns: usize) -> Vec<Line> {
    let (word, colour) = match &vertex.end {
        None => ("", Colour::Plain),
        Some((_, VertexEnd::Done)) => ("", Colour::Blue),
        Some((_, VertexEnd::Cached)) => ("CACHED ", Colour::Blue),
        Some((_, VertexEnd::Failed(_))) => ("ERROR ", Colour::Red),
        Some((_, VertexEnd::Cancelled)) => ("CANCELED ", Colour::Yellow),
    };
    let name = format!(" => {word}{}", printable(&vertex.name));
    let details = |mark: &str, text: &str, colour| {
        let text = format!(" => => {mark}{}", printable(text));
        Line {
            text: ellipsis(&text, columns.saturating_sub(1)),
            colour,
        }
    };
    let mut lines = vec![timed(&name, vertex.seconds(now), columns, colour)];
    let is_running = vertex.end.is_none();
    lines.extend(vertex.items.iter().map(|item| part(item, now, columns)));
    for reason in &vertex.reasons {
        lines.push(details("not cached: ", reason, Colour::Faint));
    }
    for warning in &vertex.warnings {
        lines.push(details("WARN: ", warning, Colour::Yellow));
    }
    if is_running {
        let skipped = vertex.tail.len().saturating_sub(OUTPUT_LINES);
        for (_, text) in vertex.tail.iter().skip(skipped) {
            lines.push(details("# ", text, Colour::Faint));
        }
    }
    lines
}

fn part(item: &Item, now: Timestamp, columns: usize) -> Line {
    let took = seconds(item.started, item.completed.unwrap_or(now));
    let colour = if item.completed.is_some() {
        Colour::Blue
    } else {
        Colour::Plain
    };
    let text = format!(" => => {}", printable(&item.text()));
    timed(&text, took, columns, colour)
}

/// A line with its time at the right edge.
fn timed(text: &str, seconds: f64, columns: usize, colour: Colour) -> Line {
    let room = columns.saturating_sub(TIME_COLUMNS + 1);
    let text = ellipsis(text, room);
    let blanks = room.saturating_sub(width(&text));
    let time = format!("{seconds:.1}s");
    Line {
        text: format!("{text}{}{time:>TIME_COLUMNS$}", " ".repeat(blanks)),
        colour,
    }
}

/// How many lines of a terminal a text of this width takes: after a resize, more than it did.
fn rows(width: usize, columns: usize) -> usize {
    width.div_ceil(columns).max(1)
}

/// What a line looks like once a terminal has shown it: no escape sequences, and only what follows the
/// last return to its beginning.
fn printable(text: &str) -> String {
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' => skip_escape(&mut letters),
            '\t' => out.push_str("    "),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

/// Leaves out `[…m` and its like, `]…` up to its end, and two-letter sequences.
fn skip_escape(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match letters.next() {
        Some('[') => {
            letters.find(|letter| ('\x40'..='\x7e').contains(letter));
        }
        Some(']') => {
            letters.find(|letter| matches!(letter, '\x07' | '\x1b' | '\\'));
        }
        _ => {}
    }
}

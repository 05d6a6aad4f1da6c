//! The vertices of a build as the events so far describe them.

use super::seconds;
use crate::ui::text::PushFormat;
use jiff::Timestamp;
use lapstrake_engine::build::event::{BuildEvent, VertexEnd, VertexId};
use std::collections::{BTreeMap, VecDeque};

/// Lines of output that are kept of each vertex, for its error.
const KEPT_LINES: usize = 40;
/// A line of output is cut here: a program that never ends its line must not fill the memory.
const LINE_LIMIT: usize = 64 * 1024;

/// Part of a vertex's work.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Its name, with a colon when a size follows.
    pub(super) name: String,
    /// What is done.
    pub(super) current: u64,
    /// What is to be done.
    pub(super) total: Option<u64>,
    /// When it began.
    pub(super) started: Timestamp,
    /// When it was complete.
    pub(super) completed: Option<Timestamp>,
}

impl Item {
    /// `transferring context: 1.98MB / 4.5MB`
    pub(super) fn text(&self) -> String {
        let name = &self.name;
        match (self.current, self.total.filter(|total| *total > 0)) {
            (current, Some(total)) => {
                format!("{name} {} / {}", size(current), size(total))
            }
            (0, None) => name.clone(),
            (current, None) => format!("{name} {}", size(current)),
        }
    }
}

/// One line of the picture.
#[derive(Debug, Clone)]
pub(super) struct Vertex {
    /// As BuildKit writes it.
    pub(super) name: String,
    /// When work on it began.
    pub(super) started: Timestamp,
    /// When and how it ended.
    pub(super) end: Option<(Timestamp, VertexEnd)>,
    /// Parts of its work.
    pub(super) items: Vec<Item>,
    /// Why it was not in the cache.
    pub(super) reasons: Vec<String>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
    /// The last lines of output: seconds since the start, and the text.
    pub(super) tail: VecDeque<(f64, String)>,
    /// Output after the last end of line.
    partial: Vec<u8>,
}

impl Vertex {
    fn new(name: String, started: Timestamp) -> Self {
        Self {
            name,
            started,
            end: None,
            items: Vec::new(),
            reasons: Vec::new(),
            warnings: Vec::new(),
            tail: VecDeque::new(),
            partial: Vec::new(),
        }
    }

    /// Seconds that it has taken.
    pub(super) fn seconds(&self, now: Timestamp) -> f64 {
        seconds(self.started, self.end.as_ref().map_or(now, |(end, _)| *end))
    }

    /// The error that it ended with.
    pub(super) fn error(&self) -> Option<&str> {
        match &self.end {
            Some((_, VertexEnd::Failed(text))) => Some(text),
            _ => None,
        }
    }

    /// The lines that these bytes complete.
    fn output(&mut self, bytes: &[u8], now: Timestamp) -> Vec<(f64, String)> {
        let at = seconds(self.started, now);
        let mut lines = Vec::new();
        for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(chunk);
            if chunk.ends_with(b"\n") || self.partial.len() >= LINE_LIMIT {
                lines.extend(self.end_of_line(at));
            }
        }
        lines
    }

    /// Ends an unfinished line.
    fn end_of_line(&mut self, at: f64) -> Option<(f64, String)> {
        if self.partial.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let line = (at, text.strip_suffix('\r').unwrap_or(text).to_owned());
        if self.tail.len() >= KEPT_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        Some(line)
    }

    fn progress(&mut self, update: Item) {
        let known = self.items.iter_mut().find(|item| item.name == update.name);
        match known {
            Some(item) => {
                item.current = update.current;
                item.total = update.total;
                item.completed = item.completed.or(update.completed);
            }
            None => self.items.push(update),
        }
    }
}

/// What an event changed in the picture.
#[derive(Debug)]
pub(super) enum Change {
    /// A vertex is new.
    Started(VertexId),
    /// A vertex has more lines of output.
    Lines(VertexId, Vec<(f64, String)>),
    /// A part of a vertex moved on: the place of the item.
    Item(VertexId, usize),
    /// A vertex says why it was not in the cache.
    Reason(VertexId),
    /// A vertex ended; the lines are what was left of its output.
    Finished(VertexId, Vec<(f64, String)>),
    /// Something the user should know.
    Warning(Option<VertexId>, String),
    /// Nothing that this picture shows.
    Nothing,
}

/// All vertices, in the order of their start.
#[derive(Debug, Default)]
pub(super) struct Picture {
    order: Vec<VertexId>,
    vertices: BTreeMap<VertexId, Vertex>,
}

impl Picture {
    /// A vertex.
    pub(super) fn get(&self, id: VertexId) -> Option<&Vertex> {
        self.vertices.get(&id)
    }

    /// The vertices in the order of their start.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Vertex> {
        self.order.iter().filter_map(|id| self.vertices.get(id))
    }

    /// The last lines of the vertices that failed.
    pub(super) fn errors(&self, clean: fn(&str) -> String) -> String {
        let mut out = String::new();
        for vertex in self.iter().filter(|vertex| vertex.error().is_some()) {
            out.push_fmt(format_args!("------\n > {}:\n", vertex.name));
            for (at, line) in &vertex.tail {
                out.push_fmt(format_args!("{} {}\n", elapsed(*at), clean(line)));
            }
            out.push_str("------\n");
        }
        out
    }

    /// Takes an event.
    pub(super) fn apply(&mut self, event: &BuildEvent, now: Timestamp) -> Change {
        match event {
            BuildEvent::Started { vertex, name } => self.started(*vertex, name, now),
            BuildEvent::Output { vertex, bytes, .. } => {
                let lines = self.with(*vertex, |found| found.output(bytes, now));
                Change::Lines(*vertex, lines)
            }
            BuildEvent::Progress {
                vertex,
                item,
                current,
                total,
                done,
            } => {
                let update = Item {
                    name: item_name(item),
                    current: *current,
                    total: *total,
                    started: now,
                    completed: done.then_some(now),
                };
                self.progress(*vertex, update)
            }
            BuildEvent::Explained { vertex, reason, .. } => {
                self.with(*vertex, |found| found.reasons.push(reason.clone()));
                Change::Reason(*vertex)
            }
            BuildEvent::Finished { vertex, end } => {
                let left = self.with(*vertex, |found| {
                    found.end = Some((now, end.clone()));
                    let at = seconds(found.started, now);
                    found.end_of_line(at).into_iter().collect()
                });
                Change::Finished(*vertex, left)
            }
            BuildEvent::Warning { vertex, text } => {
                if let Some(id) = vertex {
                    self.with(*id, |found| found.warnings.push(text.clone()));
                }
                Change::Warning(*vertex, text.clone())
            }
            _ => Change::Nothing,
        }
    }

    fn started(&mut self, id: VertexId, name: &str, now: Timestamp) -> Change {
        if !self.vertices.contains_key(&id) {
            self.order.push(id);
            self.vertices.insert(id, Vertex::new(name.to_owned(), now));
        }
        Change::Started(id)
    }

    fn progress(&mut self, id: VertexId, update: Item) -> Change {
        let name = update.name.clone();
        let place = self.with(id, |found| {
            found.progress(update);
            found.items.iter().position(|item| item.name == name)
        });
        place.map_or(Change::Nothing, |place| Change::Item(id, place))
    }

    fn with<T: Default>(&mut self, id: VertexId, work: impl FnOnce(&mut Vertex) -> T) -> T {
        self.vertices.get_mut(&id).map(work).unwrap_or_default()
    }
}

/// Seconds in five characters, as BuildKit writes them before output: `0.123`, `12.34`.
pub(super) fn elapsed(seconds: f64) -> String {
    let digits = match seconds {
        s if s < 9.9995 => 3,
        s if s < 99.995 => 2,
        s if s < 999.95 => 1,
        _ => 0,
    };
    format!("{seconds:.digits$}")
}

/// A size with two digits after the point, as BuildKit writes it: `1.98MB`, `310B`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = bytes as f64 / 1000.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while value >= 1000.0
        && let Some(next) = units.next()
    {
        value /= 1000.0;
        unit = next;
    }
    format!("{value:.2}{unit}")
}

/// BuildKit puts a colon behind what has a size.
fn item_name(item: &str) -> String {
    let wants_colon = item.starts_with("transferring ") && !item.ends_with(':');
    format!("{item}{}", if wants_colon { ":" } else { "" })
}

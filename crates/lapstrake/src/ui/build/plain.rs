//! BuildKit's plain form: numbered blocks. One vertex has the floor; what others say waits until that
//! one is done, has been silent for a while, or has had the floor for long.

use super::picture::{Change, Item, Picture, elapsed};
use super::{Renderer, Size, is_obvious, seconds};
use crate::ui::text::PushFormat;
use jiff::Timestamp;
use lapstrake_engine::Event;
use lapstrake_engine::build::event::{BuildEvent, VertexEnd, VertexId};
use std::collections::{BTreeMap, BTreeSet};

/// Seconds of silence after which another vertex gets the floor.
const SILENCE_S: f64 = 2.0;
/// Seconds after which a vertex that talks on loses the floor to one that waits.
const PATIENCE_S: f64 = 5.0;
/// Seconds between two lines about a part that is not complete.
const ITEM_PERIOD_S: f64 = 5.0;

/// The renderer.
#[derive(Debug, Default)]
pub(super) struct Plain {
    picture: Picture,
    /// Tell of every step why it was not cached; otherwise of those of which one would ask.
    explains: bool,
    /// Numbers in the order in which blocks are shown.
    numbers: BTreeMap<VertexId, usize>,
    /// Lines that wait, in the order in which their vertices began to.
    waiting: Vec<(VertexId, Vec<String>)>,
    /// Who has the floor: since when, and when it spoke last.
    floor: Option<(VertexId, Timestamp, Timestamp)>,
    /// When a part that is not complete was shown last.
    items: BTreeMap<(VertexId, usize), Timestamp>,
    /// Parts that were shown as complete.
    complete: BTreeSet<(VertexId, usize)>,
}

impl Renderer for Plain {
    fn event(&mut self, event: &Event, now: Timestamp) -> Vec<u8> {
        let text = match event {
            Event::Build(event) => self.build(event, now),
            Event::Warning { text } => format!("WARNING: {text}\n"),
            _ => String::new(),
        };
        text.into_bytes()
    }

    fn finish(&mut self, now: Timestamp, _size: Size) -> Vec<u8> {
        let mut out = String::new();
        self.floor = None;
        while self.next(&mut out, now) {
            self.floor = None;
        }
        out.push_str(&self.picture.errors(str::to_owned));
        out.into_bytes()
    }
}

impl Plain {
    /// A renderer; `explains` is whether every step says why it was not cached.
    pub(super) fn new(explains: bool) -> Self {
        Self {
            explains,
            ..Self::default()
        }
    }

    fn build(&mut self, event: &BuildEvent, now: Timestamp) -> String {
        let change = self.picture.apply(event, now);
        if is_obvious(event) && !self.explains {
            return String::new();
        }
        let Some((vertex, lines)) = self.lines(&change, now) else {
            return match change {
                Change::Warning(None, text) => format!("WARN: {text}\n"),
                _ => String::new(),
            };
        };
        let mut out = String::new();
        self.say(&mut out, vertex, lines, now);
        out
    }

    /// What a change says, without the number.
    fn lines(&mut self, change: &Change, now: Timestamp) -> Option<(VertexId, Vec<String>)> {
        let (id, lines) = match change {
            Change::Started(id) => (*id, Vec::new()),
            Change::Lines(id, lines) => (*id, output(lines)),
            Change::Item(id, place) => (*id, self.item(*id, *place, now)?),
            Change::Reason(id) => (*id, vec![self.reason(*id)?]),
            Change::Finished(id, left) => {
                let mut lines = output(left);
                lines.push(self.end(*id)?);
                (*id, lines)
            }
            Change::Warning(id, text) => ((*id)?, vec![format!("WARN: {text}")]),
            Change::Nothing => return None,
        };
        self.picture.get(id)?;
        Some((id, lines))
    }

    fn reason(&self, id: VertexId) -> Option<String> {
        let reason = self.picture.get(id)?.reasons.last()?;
        Some(format!("not cached: {reason}"))
    }

    /// `DONE 0.1s`, `CACHED`, `ERROR: …`, `CANCELED`
    fn end(&self, id: VertexId) -> Option<String> {
        let vertex = self.picture.get(id)?;
        let (ended, end) = vertex.end.as_ref()?;
        Some(match end {
            VertexEnd::Done => format!("DONE {:.1}s", vertex.seconds(*ended)),
            VertexEnd::Cached => "CACHED".to_owned(),
            VertexEnd::Failed(text) => format!("ERROR: {text}"),
            VertexEnd::Cancelled => "CANCELED".to_owned(),
        })
    }

    /// A part is shown when it is complete, once; before that now and then.
    fn item(&mut self, id: VertexId, place: usize, now: Timestamp) -> Option<Vec<String>> {
        let key = (id, place);
        let item = self.picture.get(id)?.items.get(place)?;
        if item.completed.is_some() {
            return self.complete.insert(key).then(|| vec![status(item, now)]);
        }
        let shown = self.items.entry(key).or_insert(now);
        if seconds(*shown, now) < ITEM_PERIOD_S {
            return None;
        }
        *shown = now;
        Some(vec![status(item, now)])
    }

    /// Lets a vertex speak, now or later.
    fn say(&mut self, out: &mut String, id: VertexId, lines: Vec<String>, now: Timestamp) {
        match self.floor {
            Some((speaker, since, _)) if speaker == id => {
                self.floor = Some((id, since, now));
                self.write(out, id, &lines);
            }
            None => {
                self.waiting.retain(|(waiting, _)| *waiting != id);
                self.take_floor(out, id, now);
                self.write(out, id, &lines);
            }
            Some(_) => self.wait(id, lines),
        }
        self.pass_floor(out, now);
    }

    fn wait(&mut self, id: VertexId, lines: Vec<String>) {
        match self.waiting.iter_mut().find(|(waiting, _)| *waiting == id) {
            Some((_, known)) => known.extend(lines),
            None => self.waiting.push((id, lines)),
        }
    }

    /// Takes the floor from a vertex that is done, or that others should not wait for any more.
    fn pass_floor(&mut self, out: &mut String, now: Timestamp) {
        loop {
            let Some((id, since, spoke)) = self.floor else {
                return;
            };
            let is_done = self
                .picture
                .get(id)
                .is_none_or(|vertex| vertex.end.is_some());
            if !is_done {
                let others_speak = self.waiting.iter().any(|(_, lines)| !lines.is_empty());
                let patience = seconds(spoke, now) < SILENCE_S && seconds(since, now) < PATIENCE_S;
                if !others_speak || patience {
                    return;
                }
                let number = self.number(id);
                out.push_fmt(format_args!("#{number} ...\n"));
                self.waiting.push((id, Vec::new()));
            }
            self.floor = None;
            if !self.next(out, now) {
                return;
            }
        }
    }

    /// Gives the floor to one that waits: those that are done first.
    fn next(&mut self, out: &mut String, now: Timestamp) -> bool {
        let done = self.waiting.iter().position(|(id, _)| {
            self.picture
                .get(*id)
                .is_some_and(|vertex| vertex.end.is_some())
        });
        let speaks = || self.waiting.iter().position(|(_, lines)| !lines.is_empty());
        let Some(place) = done.or_else(speaks) else {
            return self.next_silent(out, now);
        };
        let (id, lines) = self.waiting.remove(place);
        self.take_floor(out, id, now);
        self.write(out, id, &lines);
        true
    }

    /// Nobody has anything to say: the one that began first is shown, if it was not yet.
    fn next_silent(&mut self, out: &mut String, now: Timestamp) -> bool {
        let Some(place) = self
            .waiting
            .iter()
            .position(|(id, _)| !self.numbers.contains_key(id))
        else {
            return false;
        };
        let (id, _) = self.waiting.remove(place);
        self.take_floor(out, id, now);
        true
    }

    fn take_floor(&mut self, out: &mut String, id: VertexId, now: Timestamp) {
        if !self.numbers.is_empty() {
            out.push('\n');
        }
        let number = self.number(id);
        if let Some(vertex) = self.picture.get(id) {
            out.push_fmt(format_args!("#{number} {}\n", vertex.name));
        }
        self.floor = Some((id, now, now));
    }

    fn number(&mut self, id: VertexId) -> usize {
        let next = self.numbers.len() + 1;
        *self.numbers.entry(id).or_insert(next)
    }

    fn write(&mut self, out: &mut String, id: VertexId, lines: &[String]) {
        let number = self.number(id);
        for line in lines {
            out.push_fmt(format_args!("#{number} {line}\n"));
        }
    }
}

fn output(lines: &[(f64, String)]) -> Vec<String> {
    lines
        .iter()
        .map(|(at, line)| format!("{} {line}", elapsed(*at)))
        .collect()
}

/// `transferring context: 1.98MB 0.1s done`
fn status(item: &Item, now: Timestamp) -> String {
    let took = seconds(item.started, item.completed.unwrap_or(now));
    let time = if took > 0.01 {
        format!(" {took:.1}s")
    } else {
        String::new()
    };
    let done = if item.completed.is_some() {
        " done"
    } else {
        ""
    };
    format!("{}{time}{done}", item.text())
}

//! What people see of a build.
//!
//! Events come from the engine one after the other and carry no times; a [`Renderer`] is a function of
//! the events so far and the clock, and gives the bytes to write. [`Screen`] is the only part here that
//! knows the standard streams and the terminal.
//!
//! | form | stream | what it looks like |
//! | --- | --- | --- |
//! | [`classic`] | output | docker's classic builder |
//! | [`plain`] | error | BuildKit's log: numbered blocks, one at a time |
//! | [`tree`] | error | a terminal: all vertices with their times, redrawn |
//! | [`json`] | error | one object per line in the shape of BuildKit's `SolveStatus` |

mod answer;
mod classic;
mod json;
mod picture;
mod plain;
mod quiet;
mod screen;
mod tree;
mod warnings;

pub(crate) use answer::answer;
pub(crate) use classic::{Classic, result as classic_result};
pub(crate) use screen::Screen;
pub(crate) use warnings::{brief, summary};

use jiff::Timestamp;
use lapstrake_engine::Event;
use lapstrake_engine::build::event::BuildEvent;

/// The forms of BuildKit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines.
    Plain,
    /// A picture that moves.
    Terminal,
    /// Objects.
    Json,
    /// Nothing but the id of the image at the end.
    Quiet,
    /// Nothing at all.
    Silent,
}

/// Turns events into bytes.
pub(crate) trait Renderer: Send {
    /// What an event adds.
    fn event(&mut self, event: &Event, now: Timestamp) -> Vec<u8>;

    /// What the passing of time changes; the size is the terminal's.
    fn tick(&mut self, _now: Timestamp, _size: Size) -> Vec<u8> {
        Vec::new()
    }

    /// What is left to say when there are no more events.
    fn finish(&mut self, _now: Timestamp, _size: Size) -> Vec<u8> {
        Vec::new()
    }
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            columns: 80,
            rows: 24,
        }
    }
}

/// Whether an event tells why a step ran, and nobody would ask: it is new, or a step below it ran.
fn is_obvious(event: &BuildEvent) -> bool {
    matches!(
        event,
        BuildEvent::Explained {
            is_obvious: true,
            ..
        }
    )
}

/// Seconds from one moment to another.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests;

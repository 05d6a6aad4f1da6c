//! A build that says nothing unless a step fails.

use super::picture::Picture;
use super::{Renderer, Size};
use jiff::Timestamp;
use lapstrake_engine::Event;

/// The renderer.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    picture: Picture,
}

impl Renderer for Quiet {
    fn event(&mut self, event: &Event, now: Timestamp) -> Vec<u8> {
        if let Event::Build(event) = event {
            self.picture.apply(event, now);
        }
        Vec::new()
    }

    fn finish(&mut self, _now: Timestamp, _size: Size) -> Vec<u8> {
        self.picture.errors(str::to_owned).into_bytes()
    }
}

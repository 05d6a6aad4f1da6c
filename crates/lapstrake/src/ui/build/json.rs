//! BuildKit's `SolveStatus`, one object per line, for programs that watch a build.

use super::Renderer;
use super::picture::{Change, Item, Picture, Vertex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lapstrake_engine::Event;
use lapstrake_engine::build::event::{BuildEvent, VertexEnd, VertexId};
use lapstrake_engine::build::sandbox::Stream;
use lapstrake_engine::spec::Digest;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// The renderer.
#[derive(Debug, Default)]
pub(super) struct Json {
    picture: Picture,
    digests: BTreeMap<VertexId, Digest>,
}

/// A moment in RFC 3339.
#[derive(Debug, Clone, Copy)]
struct At(Timestamp);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What one event changed.
#[derive(Debug, Default, Serialize)]
struct SolveStatus<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vertexes: Option<[VertexStatus<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<[ItemStatus<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<[Log<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<[Warning<'a>; 1]>,
}

#[derive(Debug, Serialize)]
struct VertexStatus<'a> {
    digest: &'a Digest,
    name: &'a str,
    started: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<At>,
    #[serde(skip_serializing_if = "is_false")]
    cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ItemStatus<'a> {
    id: &'a str,
    vertex: &'a Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    current: u64,
    timestamp: At,
    started: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<At>,
}

/// Bytes are in base 64, as Go writes them.
#[derive(Debug, Serialize)]
struct Log<'a> {
    vertex: &'a Digest,
    stream: u8,
    data: String,
    timestamp: At,
}

#[derive(Debug, Serialize)]
struct Warning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vertex: Option<&'a Digest>,
    level: u8,
    short: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Renderer for Json {
    fn event(&mut self, event: &Event, now: Timestamp) -> Vec<u8> {
        match event {
            Event::Build(event) => self.build(event, now),
            Event::Warning { text } => line(&warning(None, text)),
            _ => Vec::new(),
        }
    }
}

impl Json {
    fn build(&mut self, event: &BuildEvent, now: Timestamp) -> Vec<u8> {
        if let BuildEvent::Started { vertex, name } = event {
            // Vertices have no digests here; programs only tell them apart by it.
            let text = format!("{} {name}", vertex.0);
            self.digests
                .entry(*vertex)
                .or_insert_with(|| Digest::sha256(text.as_bytes()));
        }
        let change = self.picture.apply(event, now);
        if let BuildEvent::Output {
            vertex,
            stream,
            bytes,
        } = event
        {
            return self.log(*vertex, *stream, bytes, now);
        }
        match change {
            Change::Started(id) | Change::Finished(id, _) => self.vertex(id),
            Change::Item(id, place) => self.item(id, place, now),
            Change::Reason(id) => self.reason(id),
            Change::Warning(id, text) => {
                line(&warning(id.and_then(|id| self.digests.get(&id)), &text))
            }
            Change::Lines(..) | Change::Nothing => Vec::new(),
        }
    }

    fn found(&self, id: VertexId) -> Option<(&Vertex, &Digest)> {
        Some((self.picture.get(id)?, self.digests.get(&id)?))
    }

    fn vertex(&self, id: VertexId) -> Vec<u8> {
        let Some((vertex, digest)) = self.found(id) else {
            return Vec::new();
        };
        let end = vertex.end.as_ref().map(|(_, end)| end);
        line(&SolveStatus {
            vertexes: Some([VertexStatus {
                digest,
                name: &vertex.name,
                started: At(vertex.started),
                completed: vertex.end.as_ref().map(|(at, _)| At(*at)),
                cached: end == Some(&VertexEnd::Cached),
                error: match end {
                    Some(VertexEnd::Cancelled) => Some("context canceled"),
                    _ => vertex.error(),
                },
            }]),
            ..SolveStatus::default()
        })
    }

    fn item(&self, id: VertexId, place: usize, now: Timestamp) -> Vec<u8> {
        let Some((vertex, digest)) = self.found(id) else {
            return Vec::new();
        };
        let Some(item) = vertex.items.get(place) else {
            return Vec::new();
        };
        let Item {
            name,
            current,
            total,
            started,
            completed,
        } = item;
        line(&SolveStatus {
            statuses: Some([ItemStatus {
                id: name,
                vertex: digest,
                total: *total,
                current: *current,
                timestamp: At(now),
                started: At(*started),
                completed: completed.map(At),
            }]),
            ..SolveStatus::default()
        })
    }

    fn log(&self, id: VertexId, stream: Stream, bytes: &[u8], now: Timestamp) -> Vec<u8> {
        let Some(vertex) = self.digests.get(&id) else {
            return Vec::new();
        };
        line(&SolveStatus {
            logs: Some([Log {
                vertex,
                stream: match stream {
                    Stream::Stdout => 1,
                    Stream::Stderr => 2,
                },
                data: STANDARD.encode(bytes),
                timestamp: At(now),
            }]),
            ..SolveStatus::default()
        })
    }

    /// BuildKit has no place for a reason: it is a warning of the lowest level.
    fn reason(&self, id: VertexId) -> Vec<u8> {
        let Some((vertex, digest)) = self.found(id) else {
            return Vec::new();
        };
        let Some(reason) = vertex.reasons.last() else {
            return Vec::new();
        };
        let mut status = warning(Some(digest), &format!("not cached: {reason}"));
        if let Some([warning]) = &mut status.warnings {
            warning.level = 0;
        }
        line(&status)
    }
}

fn warning<'a>(vertex: Option<&'a Digest>, text: &str) -> SolveStatus<'a> {
    SolveStatus {
        warnings: Some([Warning {
            vertex,
            level: 1,
            short: STANDARD.encode(text),
        }]),
        ..SolveStatus::default()
    }
}

fn line(status: &SolveStatus<'_>) -> Vec<u8> {
    // Texts and numbers always are JSON.
    let mut line = serde_json::to_vec(status).unwrap_or_default();
    line.push(b'\n');
    line
}

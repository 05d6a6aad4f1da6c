//! Output of steps on its way to whoever shows it.

use super::super::driver::Told;
use super::super::forward::forward;
use super::Heard;
use crate::{Event, EventSink};
use lapstrake_build::event::{BuildEvent, Progress, VertexId};
use lapstrake_build::sandbox::Stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn output(vertex: u64, stream: Stream, bytes: Vec<u8>) -> BuildEvent {
    BuildEvent::Output {
        vertex: VertexId(vertex),
        stream,
        bytes,
    }
}

#[test]
fn output_is_clipped_for_each_step_and_stream() {
    const LIMIT: usize = 2 << 20;
    const NOTE: &str = "\n[output clipped, log limit 2MiB reached]\n";
    let heard = Heard::default();
    let told = Told::new(&heard);
    let sent = [
        (1, Stream::Stdout, LIMIT - 1),
        (1, Stream::Stdout, 3),
        (1, Stream::Stdout, 5),
        (1, Stream::Stderr, 7),
        (2, Stream::Stdout, LIMIT),
        (2, Stream::Stdout, 1),
        (2, Stream::Stdout, 1),
    ];
    for (vertex, stream, size) in sent {
        told.event(output(vertex, stream, vec![b'x'; size]));
    }
    let events = heard.0.lock().unwrap();
    let sizes: Vec<(usize, bool)> = events
        .iter()
        .map(|event| match event {
            Event::Build(BuildEvent::Output { bytes, .. }) => {
                (bytes.len(), bytes.ends_with(NOTE.as_bytes()))
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (LIMIT - 1, false),
        (1 + NOTE.len(), true),
        (7, false),
        (LIMIT, false),
        (NOTE.len(), true),
    ];
    assert_eq!(sizes, expected);
}

/// Compares what was sent with what has come.
struct Slow {
    sent: Arc<AtomicUsize>,
    come: AtomicUsize,
}

impl EventSink for Slow {
    fn event(&self, _event: Event) {
        let sent = self.sent.load(Ordering::SeqCst);
        let come = self.come.fetch_add(1, Ordering::SeqCst);
        // Sixteen have room, and one may have been taken but not counted.
        assert!(sent.saturating_sub(come) <= 17, "{sent} {come}");
    }
}

#[test]
fn programs_wait_for_whoever_shows_what_they_print() {
    const COUNT: usize = 200;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (sender, receiver) = forward();
    let slow = Slow {
        sent: Arc::default(),
        come: AtomicUsize::new(0),
    };
    let sent = Arc::clone(&slow.sent);
    let thread = std::thread::spawn(move || {
        for _ in 0..COUNT {
            let bytes = vec![0; 64 << 10];
            sender.event(Event::Build(output(1, Stream::Stdout, bytes)));
            sent.fetch_add(1, Ordering::SeqCst);
        }
    });
    runtime.block_on(receiver.pass_on(&slow));
    thread.join().unwrap();
    assert_eq!(slow.come.load(Ordering::SeqCst), COUNT);
}

#[test]
fn nobody_waits_for_one_who_has_gone() {
    let (sender, receiver) = forward();
    let thread = std::thread::spawn(move || {
        for _ in 0..3 {
            let bytes = vec![0; 4 << 20];
            sender.event(Event::Build(output(1, Stream::Stdout, bytes)));
        }
    });
    drop(receiver);
    thread.join().unwrap();
}

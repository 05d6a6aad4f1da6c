//! Events on their way from the threads of a build to the one that shows them.
//!
//! What programs print may come faster than it can be shown, so it is counted: whoever brings more than
//! [`PENDING_LIMIT`] waits, and with it the program. Other events are few and small; they pass at once, also
//! because those of downloads come from threads that must not wait.

use crate::event::{Event, EventSink};
use lapstrake_build::event::{BuildEvent, Classic};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Bytes of output that nobody has taken yet.
const PENDING_LIMIT: usize = 1 << 20;
/// What an event of output costs besides its bytes: programs may write one at a time.
const EVENT_BYTES: usize = 128;

/// The two ends.
pub(super) fn forward() -> (Sender, Receiver) {
    let (sender, receiver) = unbounded_channel();
    let gate = Arc::new(Gate::default());
    let sender = Sender {
        events: sender,
        gate: Arc::clone(&gate),
    };
    let receiver = Receiver {
        events: receiver,
        gate,
    };
    (sender, receiver)
}

/// Where the threads of a build tell what happens.
pub(super) struct Sender {
    events: UnboundedSender<Event>,
    gate: Arc<Gate>,
}

impl EventSink for Sender {
    fn event(&self, event: Event) {
        self.gate.enter(cost(&event));
        // Nobody listens any more once the future is dropped.
        self.events.send(event).ok();
    }
}

/// Where they come out. Dropping it lets everybody pass.
pub(super) struct Receiver {
    events: UnboundedReceiver<Event>,
    gate: Arc<Gate>,
}

impl Receiver {
    /// Hands events over until the sender is gone.
    pub(super) async fn pass_on(mut self, events: &dyn EventSink) {
        while let Some(event) = self.events.recv().await {
            let cost = cost(&event);
            events.event(event);
            self.gate.leave(cost);
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.gate.open();
    }
}

/// What an event counts; nothing for those that never wait.
fn cost(event: &Event) -> usize {
    match event {
        Event::Build(
            BuildEvent::Output { bytes, .. } | BuildEvent::Classic(Classic::Output { bytes, .. }),
        ) => bytes.len().saturating_add(EVENT_BYTES),
        _ => 0,
    }
}

/// Counts what is on its way.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    less: Condvar,
}

#[derive(Default)]
struct State {
    pending: usize,
    is_open: bool,
}

impl Gate {
    /// Waits for room. One event always has room, however large it is.
    fn enter(&self, cost: usize) {
        if cost == 0 {
            return;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |state: &mut State| {
            let full = state.pending.saturating_add(cost) > PENDING_LIMIT;
            full && state.pending > 0 && !state.is_open
        };
        let mut state = self
            .less
            .wait_while(state, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        state.pending = state.pending.saturating_add(cost);
    }

    fn leave(&self, cost: usize) {
        if cost == 0 {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending = state.pending.saturating_sub(cost);
        drop(state);
        self.less.notify_all();
    }

    fn open(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_open = true;
        drop(state);
        self.less.notify_all();
    }
}

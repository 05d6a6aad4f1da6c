//! The places where a crash is imagined: tests stop the store there.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Asked before every step that changes the disk. An error stops the step.
pub trait Faults: std::fmt::Debug + Send + Sync {
    /// Whether the step may be done.
    fn step(&self, what: &str) -> io::Result<()>;
}

/// Lets so many steps pass and stops every later one, as if the process had been killed there.
#[derive(Debug)]
pub struct FaultPlan {
    left: AtomicU64,
    taken: AtomicU64,
}

impl FaultPlan {
    /// A crash after this many steps.
    pub fn after(steps: u64) -> Self {
        Self {
            left: AtomicU64::new(steps),
            taken: AtomicU64::new(0),
        }
    }

    /// How many steps were asked for.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Faults for FaultPlan {
    fn step(&self, what: &str) -> io::Result<()> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        match left {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(format!("stopped before: {what}"))),
        }
    }
}

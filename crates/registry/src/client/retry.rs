//! When to try again, and after which pause.

use super::failure::{Failure, LostKind};
use super::reply::Reply;
use std::time::Duration;

/// The longest pause that a registry is allowed to ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(60);
/// The longest pause of our own.
const PAUSE_LIMIT: Duration = Duration::from_secs(10);
/// Tries where another one seldom helps: a registry's own failure, a rate limit without a date.
const FEW_ATTEMPTS: u32 = 3;

/// How often to try.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// Tries in all.
    pub(super) attempts: u32,
    /// The first pause.
    pub(super) delay: Duration,
    /// Whether the host has answered before: then being unreachable may pass.
    pub(super) is_known: bool,
    /// Whether a refusal is worth another try, or only a lost answer.
    pub(super) on_replies: bool,
}

impl Policy {
    /// The pause before the next try after `attempt` (from 1) failed. None when it was the last.
    pub(super) fn pause(&self, attempt: u32, failure: &Failure) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        match failure {
            Failure::Transport(lost) => match lost.kind {
                LostKind::Broken | LostKind::Silent | LostKind::Garbage => Some(self.own(attempt)),
                LostKind::Unreachable => self.is_known.then(|| self.own(attempt)),
                LostKind::Tls | LostKind::NoTls => None,
            },
            Failure::Reply(reply) if self.on_replies => self.after_reply(attempt, reply),
            Failure::Auth(refused) => refused.is_transient.then(|| self.own(attempt)),
            Failure::Reply(_) | Failure::Plain(_) => None,
        }
    }

    fn after_reply(&self, attempt: u32, reply: &Reply) -> Option<Duration> {
        match reply.status.as_u16() {
            429 | 503 if reply.retry_after.is_some() => reply
                .retry_after
                .filter(|pause| *pause <= RETRY_AFTER_LIMIT)
                .map(|pause| pause.max(self.own(attempt))),
            429 | 500 => (attempt < FEW_ATTEMPTS).then(|| self.own(attempt)),
            408 | 425 | 502 | 503 | 504 => Some(self.own(attempt)),
            _ => None,
        }
    }

    /// A pause that doubles with each try, give or take a half.
    fn own(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let pause = self
            .delay
            .saturating_mul(1u32 << doublings)
            .min(PAUSE_LIMIT);
        pause.mul_f64(jitter())
    }
}

/// A factor between a half and one and a half.
fn jitter() -> f64 {
    let mut random = [0u8; 1];
    if getrandom::fill(&mut random).is_err() {
        return 1.0;
    }
    let [byte] = random;
    0.5 + f64::from(byte) / 255.0
}

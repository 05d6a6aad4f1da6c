//! Tokens that the built-in token endpoint has issued, in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Tokens kept of each sort; the oldest go first.
const TOKENS_LIMIT: usize = 4096;
/// Scopes that one token may carry.
const SCOPES_LIMIT: usize = 64;

/// What a token allows: actions by resource (`repository:<name>`, `registry:catalog`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Grant {
    actions: BTreeMap<String, BTreeSet<String>>,
}

impl Grant {
    /// Reads scopes, several in one string separated by blanks; keeps the actions that `allowed`
    /// passes.
    pub(super) fn from_scopes<'a>(
        scopes: impl Iterator<Item = &'a str>,
        allowed: impl Fn(&str) -> bool,
    ) -> Self {
        let mut grant = Self::default();
        for scope in scopes.flat_map(str::split_whitespace).take(SCOPES_LIMIT) {
            let Some((resource, actions)) = scope.rsplit_once(':') else {
                continue;
            };
            grant
                .actions
                .entry(resource.to_owned())
                .or_default()
                .extend(
                    actions
                        .split(',')
                        .filter(|action| allowed(action))
                        .map(str::to_owned),
                );
        }
        grant
    }

    pub(super) fn allows(&self, resource: &str, action: &str) -> bool {
        self.actions
            .get(resource)
            .is_some_and(|actions| actions.contains(action) || actions.contains("*"))
    }
}

/// Two bounded sets: access tokens, which expire, and refresh tokens, which stay.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    access: Bounded<(Grant, Instant)>,
    refresh: Bounded<()>,
}

impl Tokens {
    // The moment comes from the runtime's timer, which tests may pause, not from the wall clock.
    pub(super) fn add_access(&mut self, token: String, grant: Grant, lifetime: Duration) {
        let now = Instant::now();
        let deadline = now.checked_add(lifetime).unwrap_or(now);
        self.access.insert(token, (grant, deadline));
    }

    pub(super) fn grant(&mut self, token: &str) -> Option<Grant> {
        let (grant, deadline) = self.access.entries.get(token)?;
        (*deadline > Instant::now()).then(|| grant.clone())
    }

    pub(super) fn add_refresh(&mut self, token: String) {
        self.refresh.insert(token, ());
    }

    pub(super) fn knows_refresh(&self, token: &str) -> bool {
        self.refresh.entries.contains_key(token)
    }
}

#[derive(Debug)]
struct Bounded<T> {
    entries: BTreeMap<String, T>,
    order: VecDeque<String>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Bounded<T> {
    fn insert(&mut self, token: String, value: T) {
        if self.order.len() >= TOKENS_LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(token.clone());
        self.entries.insert(token, value);
    }
}

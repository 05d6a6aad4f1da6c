//! Where debug messages go: nowhere, unless a face wants them.

use std::fmt;
use std::sync::Arc;

/// Takes debug messages. Clones share their taker.
#[derive(Clone, Default)]
pub struct Trace(Option<Taker>);

/// A function that takes messages.
type Taker = Arc<dyn Fn(&str) + Send + Sync>;

impl Trace {
    /// Messages go to this function.
    pub fn to(taker: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(taker)))
    }

    /// Tells a message, which is only made when somebody listens. Secrets stay out of it.
    pub fn say(&self, message: impl FnOnce() -> String) {
        if let Some(taker) = &self.0 {
            taker(&message());
        }
    }

    /// Whether somebody listens.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.is_on()).finish()
    }
}

//! Stopping a build from outside, as Ctrl-C does.

use rustix::event::EventfdFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A flag that is raised once and seen by everybody who holds a clone. Its descriptor becomes readable
/// then, and stays so: whoever waits in `poll` adds it to the set.
#[derive(Debug, Clone)]
pub struct CancelToken {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    raised: AtomicBool,
    event: OwnedFd,
    /// Those that are raised with this one.
    children: Mutex<Vec<Weak<Self>>>,
}

impl Inner {
    fn new() -> io::Result<Self> {
        let event = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            raised: AtomicBool::new(false),
            event,
            children: Mutex::default(),
        })
    }

    fn raise(&self) {
        if self.raised.swap(true, Ordering::SeqCst) {
            return;
        }
        // The counter of a new eventfd has room for one.
        rustix::io::write(&self.event, &1_u64.to_ne_bytes()).ok();
        let children = self.children.lock();
        let children = std::mem::take(&mut *children.unwrap_or_else(PoisonError::into_inner));
        for child in children.iter().filter_map(Weak::upgrade) {
            child.raise();
        }
    }
}

impl CancelToken {
    /// A token that is not raised.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner::new()?),
        })
    }

    /// A token that is raised with this one, and may be raised alone.
    pub fn child(&self) -> io::Result<Self> {
        let child = Self::new()?;
        {
            let children = self.inner.children.lock();
            let mut children = children.unwrap_or_else(PoisonError::into_inner);
            children.retain(|other| other.strong_count() > 0);
            children.push(Arc::downgrade(&child.inner));
        }
        // Whoever raised this one in between may not have seen the child.
        if self.is_cancelled() {
            child.cancel();
        }
        Ok(child)
    }

    /// Raises the flag. Does no more when it is raised.
    pub fn cancel(&self) {
        self.inner.raise();
    }

    /// Whether the flag is raised.
    pub fn is_cancelled(&self) -> bool {
        self.inner.raised.load(Ordering::SeqCst)
    }
}

impl AsFd for CancelToken {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_raised_with_their_parent_and_not_the_other_way() {
        let parent = CancelToken::new().unwrap();
        let (alone, with) = (parent.child().unwrap(), parent.child().unwrap());
        alone.cancel();
        assert!(!parent.is_cancelled() && !with.is_cancelled());
        parent.cancel();
        assert!(with.is_cancelled());
        let mut count = [0; 8];
        rustix::io::read(&with, &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
        assert!(parent.child().unwrap().is_cancelled(), "born late");
    }
}

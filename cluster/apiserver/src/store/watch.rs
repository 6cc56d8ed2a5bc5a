//! A cursor over the events of one resource.
//!
//! A watcher holds no queue of its own: a slow one costs nothing, and when the events that it has
//! not read yet are dropped from memory it is told to list again (410, as with etcd's compaction).

use std::sync::Arc;

use parking_lot::RwLock;

use super::history::Event;
use super::{ResourceKey, State};

/// Why a watch cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WatchEnd {
    /// The events after the requested revision are no longer known.
    #[error("too old resource version")]
    Expired,
    /// The server is stopping.
    #[error("the store is closed")]
    Closed,
}

/// Events of one resource, from a revision on.
pub(crate) struct Watch {
    state: Arc<RwLock<State>>,
    resource: ResourceKey,
    since: u64,
    signal: tokio::sync::watch::Receiver<u64>,
}

impl Watch {
    pub(super) fn start(
        state: Arc<RwLock<State>>,
        resource: ResourceKey,
        since: u64,
    ) -> Result<Self, WatchEnd> {
        let signal = {
            let mut state = state.write();
            if state.events_after(&resource, since).is_none() {
                return Err(WatchEnd::Expired);
            }
            state.subscribe(&resource)
        };
        Ok(Self { state, resource, since, signal })
    }

    /// The next events, at least one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchEnd> {
        loop {
            self.signal.borrow_and_update();
            let events =
                self.state.read().events_after(&self.resource, self.since).ok_or(WatchEnd::Expired)?;
            if let Some(last) = events.last() {
                self.since = last.entry.revision;
                return Ok(events);
            }
            self.signal.changed().await.map_err(|_| WatchEnd::Closed)?;
        }
    }

    /// Revision of the last event that was read.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// A revision up to which this watch has reported everything.
    pub(crate) fn caught_up(&mut self) -> Option<u64> {
        let state = self.state.read();
        let nothing_new = state.resource_revision(&self.resource) <= self.since;
        let revision = state.revision();
        drop(state);
        if nothing_new {
            self.since = self.since.max(revision);
        }
        nothing_new.then_some(self.since)
    }
}

//! The newest events of one resource, shared by all its watchers.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;

use super::memory::Entry;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Added,
    Modified,
    Deleted,
}

impl EventKind {
    /// The word in a watch event.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    /// The object after the change; of a deletion its last state, at the deletion's revision.
    pub(crate) entry: Arc<Entry>,
    pub(crate) previous: Option<Arc<Entry>>,
    frame: OnceLock<Bytes>,
}

impl Event {
    pub(super) fn new(kind: EventKind, entry: Arc<Entry>, previous: Option<Arc<Entry>>) -> Self {
        Self { kind, entry, previous, frame: OnceLock::new() }
    }

    /// The event as a line of a watch, made once for all watchers of the storage version.
    pub(crate) fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| frame(self.kind.as_str(), &self.entry.body)).clone()
    }
}

/// A line of a watch.
pub(crate) fn frame(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}

/// Events of large objects are dropped before there are as many as may be kept.
const BYTES_KEPT: usize = 64 << 20;

/// Events in order of revision.
pub(crate) struct History {
    events: VecDeque<Arc<Event>>,
    /// Size of the objects in `events`.
    bytes: usize,
    /// Revision of the newest event that was dropped.
    dropped: u64,
    signal: watch::Sender<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self { events: VecDeque::new(), bytes: 0, dropped: 0, signal: watch::Sender::new(0) }
    }
}

impl History {
    pub(super) fn push(&mut self, event: Arc<Event>, kept: usize) {
        self.bytes += event.entry.body.len();
        self.events.push_back(event);
        while self.events.len() > kept || (self.bytes > BYTES_KEPT && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= oldest.entry.body.len();
            self.dropped = oldest.entry.revision;
        }
    }

    pub(super) fn newest(&self) -> u64 {
        self.events.back().map_or(self.dropped, |e| e.entry.revision)
    }

    pub(super) fn after(&self, since: u64, oldest: u64) -> Option<Vec<Arc<Event>>> {
        if since < self.dropped || since < oldest {
            return None;
        }
        let start = self.events.partition_point(|e| e.entry.revision <= since);
        Some(self.events.range(start..).cloned().collect())
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.signal.subscribe()
    }

    pub(super) fn notify(&self) {
        self.signal.send_replace(self.newest());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::ObjectKey;

    #[test]
    fn large_objects_leave_sooner_and_watchers_learn_of_it() {
        let mut history = History::default();
        for revision in 1..=10 {
            let object = json!({"metadata": {}, "data": "x".repeat(BYTES_KEPT / 4)});
            let entry = Arc::new(Entry::new(ObjectKey::new("", "x"), revision, object));
            history.push(Arc::new(Event::new(EventKind::Modified, entry, None)), 4096);
        }
        assert_eq!(history.events.len(), 3);
        assert!(history.after(6, 0).is_none());
        assert_eq!(history.after(7, 0).map(|events| events.len()), Some(3));
    }
}

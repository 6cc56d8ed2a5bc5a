//! The newest events of the ledger, read and written out once for all who follow them.
//!
//! Fifty open pages would otherwise each read the same rows of the file for every change.

use std::collections::VecDeque;
use std::sync::Arc;

use seaway_ledger::{Error, EventFilter, Ledger, Order};
use tokio::sync::Mutex;

/// Events that are read at once.
const BATCH: usize = 100;
/// Most events that are held: who is further behind reads the ledger.
const HELD: usize = 1_000;

/// An event, written out.
pub(crate) struct Told {
    pub(crate) id: i64,
    /// See [`seaway_ledger::Event::object`].
    pub(crate) object: String,
    /// The event as JSON, on one line.
    pub(crate) text: String,
}

pub(crate) struct Recent {
    ledger: Ledger,
    held: Mutex<Held>,
}

struct Held {
    /// All events with a larger id, up to the last one of these, are held.
    since: i64,
    events: VecDeque<Arc<Told>>,
}

impl Held {
    fn last(&self) -> i64 {
        self.events.back().map_or(self.since, |event| event.id)
    }
}

impl Recent {
    pub(crate) fn new(ledger: Ledger) -> Self {
        let since = *ledger.newest_event().borrow();
        Self { ledger, held: Mutex::new(Held { since, events: VecDeque::new() }) }
    }

    /// The next events after that one, in their order, at most [`BATCH`]; and whether there are more.
    pub(crate) async fn after(&self, id: i64) -> Result<(Vec<Arc<Told>>, bool), Error> {
        let newest = *self.ledger.newest_event().borrow();
        let mut held = self.held.lock().await;
        let most = i64::try_from(HELD).unwrap_or(i64::MAX);
        if newest.saturating_sub(held.last()) > most {
            // Nobody has listened for long: what happened meanwhile is nobody's news.
            *held = Held { since: newest - most, events: VecDeque::new() };
        }
        while held.last() < newest {
            let (events, _) = self.read(held.last()).await?;
            if events.is_empty() {
                break;
            }
            held.events.extend(events);
        }
        while held.events.len() > HELD
            && let Some(event) = held.events.pop_front()
        {
            held.since = event.id;
        }
        if id < held.since {
            drop(held);
            return self.read(id).await;
        }
        let first = held.events.partition_point(|event| event.id <= id);
        let events: Vec<_> = held.events.range(first..).take(BATCH).cloned().collect();
        let more = first + events.len() < held.events.len();
        Ok((events, more))
    }

    async fn read(&self, id: i64) -> Result<(Vec<Arc<Told>>, bool), Error> {
        let filter = EventFilter { after: Some(id), order: Order::OldestFirst, ..EventFilter::default() };
        let page = self.ledger.events(&filter, BATCH).await?;
        let told = |event: seaway_ledger::Event| {
            // A value that came out of the ledger can be written out as JSON.
            let text = serde_json::to_string(&event).unwrap_or_default();
            Arc::new(Told { id: event.id, object: event.object, text })
        };
        Ok((page.items.into_iter().map(told).collect(), page.more))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;
    use seaway_ledger::NewEvent;
    use serde_json::json;

    use super::*;

    async fn happen(ledger: &Ledger, events: usize) {
        for number in 0..events {
            let event = NewEvent {
                time: Timestamp::now(),
                actor: "ada".to_owned(),
                action: "environment.note".to_owned(),
                object: "Environment/seaway/staging".to_owned(),
                release: None,
                outcome: "succeeded".to_owned(),
                detail: json!({"number": number, "text": "two\r\nlines"}),
            };
            ledger.append(event).await.unwrap();
        }
    }

    async fn all_after(recent: &Recent, mut id: i64) -> Vec<i64> {
        let mut all = Vec::new();
        loop {
            let (events, more) = recent.after(id).await.unwrap();
            all.extend(events.iter().map(|event| event.id));
            id = all.last().copied().unwrap_or(id);
            if !more {
                return all;
            }
        }
    }

    #[tokio::test]
    async fn wherever_one_goes_on_nothing_is_missed_or_told_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, _writer) = Ledger::open(&folder.path().join("ledger.db")).await.unwrap();
        happen(&ledger, 3).await;
        let recent = Recent::new(ledger.clone());
        let ids = |from: i64, to: i64| (from..=to).collect::<Vec<_>>();
        assert_eq!(all_after(&recent, 3).await, ids(4, 3));
        happen(&ledger, 250).await;
        for id in [0, 2, 3, 4, 150, 252, 253, 300] {
            assert_eq!(all_after(&recent, id).await, ids(id + 1, 253), "{id}");
        }
        // More than is held, while nobody listened and while somebody did.
        happen(&ledger, HELD + 10).await;
        let end = 253 + 1_010;
        for id in [0, 253, 254, 263, 264, end - 1, end] {
            assert_eq!(all_after(&recent, id).await, ids(id + 1, end), "{id}");
        }
        happen(&ledger, 90).await;
        for id in [0, end - 950, end, end + 90] {
            assert_eq!(all_after(&recent, id).await, ids(id + 1, end + 90), "{id}");
        }
        assert!(recent.held.lock().await.events.len() <= HELD);
        let (events, _) = recent.after(0).await.unwrap();
        assert!(!events[0].text.contains(['\n', '\r']), "{}", events[0].text);
    }
}

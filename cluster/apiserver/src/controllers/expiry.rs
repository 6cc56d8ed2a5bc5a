//! Events end after an hour, as kube-apiserver's do (`--event-ttl`).

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::CONCURRENCY;
use crate::api::Api;
use crate::store::{Change, Entry, Expect, Write};

/// How often the old ones are looked for.
pub(super) const EVERY: Duration = Duration::from_secs(300);
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Removes the events that have not been repeated for an hour.
pub(super) async fn events(api: &Arc<Api>, now: Timestamp) {
    let old = api
        .store
        .all("/events", None)
        .into_iter()
        .filter(|e| last_seen(e).is_some_and(|t| now - LIFETIME > t));
    futures::stream::iter(old)
        .for_each_concurrent(CONCURRENCY, |entry| async move {
            let write = Write {
                resource: "/events".into(),
                key: entry.key.clone(),
                expect: Expect::Revision(entry.revision),
                change: Change::Delete(entry.value()),
            };
            // One that was repeated meanwhile stays; one that cannot be written is tried again.
            let _ = api.store.write(write).await;
        })
        .await;
}

fn last_seen(entry: &Entry) -> Option<Timestamp> {
    let event = entry.value();
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    times.into_iter().filter_map(Value::as_str).find_map(|t| t.parse().ok())
}

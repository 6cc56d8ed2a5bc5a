//! One endless watch for each kind, for all controllers together.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event, watcher};

use crate::cluster::{Cluster, Kind};

/// Pauses after errors double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How long our own writes may go unseen before the API is asked about them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps the store of a kind up to date. Never returns.
pub(crate) async fn watch<K: Kind>(cluster: Arc<Cluster>) {
    let store = K::store(&cluster);
    let mut events = pin!(watcher(K::everywhere(&cluster.client), watcher::Config::default()));
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    let mut tick = tokio::time::interval(PATIENCE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tick.tick() => {
                verify::<K>(&cluster).await;
                continue;
            }
        };
        match event {
            None => return,
            Some(Ok(event)) => {
                match event {
                    Event::Apply(object) => store.seen(object),
                    Event::Delete(object) => store.seen_gone(&object),
                    Event::Init => store.list_begins(),
                    Event::InitApply(object) => store.listed(object),
                    Event::InitDone => store.list_ends(),
                }
                pause = FIRST_PAUSE;
                told.clear();
            }
            Some(Err(error)) => {
                let message = error.to_string();
                // Once is enough: the same error comes back until its cause is gone.
                if told != message {
                    tracing::warn!(kind = %K::kind(&()), error = %message, "cannot watch; trying again");
                    told = message;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

async fn verify<K: Kind>(cluster: &Cluster) {
    let store = K::store(cluster);
    for object in store.doubtful(PATIENCE) {
        let api = K::api(&cluster.client, &object.namespace().unwrap_or_default());
        if let Ok(found) = api.get_opt(&object.name_any()).await {
            store.verified(&object, found);
        }
    }
}

//! What the server does by itself after a write: garbage collection, the end of namespaces and of
//! definitions, accounts of new namespaces, aggregated roles.
//!
//! Each controller looks at the present state whenever something it cares about has changed, and can
//! be asked again at any time; after a restart everything is looked at once.

mod accounts;
mod aggregation;
pub(crate) mod bootstrap;
mod cleanup;
mod expiry;
mod garbage;
mod quota;

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::api::Api;
use crate::catalog::CRDS;
use crate::store::{Event, EventKind, NAMESPACES, ObjectKey, ResourceKey};

const CLUSTER_ROLES: &str = "rbac.authorization.k8s.io/clusterroles";

/// Objects that one controller changes at the same time.
const CONCURRENCY: usize = 64;

/// Follows every change until the server stops.
pub(crate) async fn run(api: Arc<Api>, mut changes: UnboundedReceiver<(ResourceKey, Arc<Event>)>) {
    everything(&api).await;
    let mut batch = Vec::new();
    let mut expire = tokio::time::interval(expiry::EVERY);
    loop {
        let count = tokio::select! {
            () = api.stopping.cancelled() => return,
            _ = expire.tick() => {
                expiry::events(&api, jiff::Timestamp::now()).await;
                continue;
            }
            count = changes.recv_many(&mut batch, 512) => count,
        };
        if count == 0 {
            return;
        }
        let mut roles_changed = false;
        let mut owned: HashSet<(ResourceKey, ObjectKey)> = HashSet::new();
        // Namespaces and definitions that may be waiting for these very objects to go.
        let mut ending: HashSet<String> = HashSet::new();
        let mut changed: HashSet<String> = HashSet::new();
        for (resource, event) in batch.drain(..) {
            let key = &event.entry.key;
            let gone = event.kind == EventKind::Deleted;
            changed.insert(key.namespace.clone());
            match &*resource {
                NAMESPACES if !gone => {
                    accounts::namespace(&api, &key.name).await;
                    if event.entry.meta.deleting {
                        ending.insert(key.name.clone());
                    }
                }
                CRDS if !gone && event.entry.meta.deleting => cleanup::definition(&api, &key.name).await,
                CLUSTER_ROLES => roles_changed = true,
                "/serviceaccounts" | "/configmaps" if gone => accounts::namespace(&api, &key.namespace).await,
                _ => {}
            }
            if gone {
                garbage::owner_gone(&api, &event.entry).await;
                if !key.namespace.is_empty() {
                    ending.insert(key.namespace.clone());
                }
                cleanup::last_of_definition(&api, &resource).await;
                owned.extend(garbage::owners(&api, &event.entry));
                continue;
            }
            if let Some(before) = &event.previous
                && before.meta.owners != event.entry.meta.owners
            {
                owned.extend(garbage::owners(&api, before));
            }
            if event.entry.meta.deleting || !event.entry.meta.owners.is_empty() {
                owned.insert((resource, key.clone()));
            }
        }
        for (resource, key) in owned {
            garbage::look_at(&api, &resource, &key).await;
        }
        for namespace in ending {
            cleanup::namespace(&api, &namespace).await;
        }
        for namespace in changed.iter().filter(|n| !n.is_empty()) {
            quota::namespace(&api, namespace).await;
        }
        if roles_changed {
            aggregation::run(&api).await;
        }
    }
}

/// Looks at everything once, after a start.
async fn everything(api: &Arc<Api>) {
    aggregation::run(api).await;
    for entry in api.store.all(NAMESPACES, None) {
        accounts::namespace(api, &entry.key.name).await;
        cleanup::namespace(api, &entry.key.name).await;
    }
    for entry in api.store.all(CRDS, None).into_iter().filter(|e| e.meta.deleting) {
        cleanup::definition(api, &entry.key.name).await;
    }
    let pending: Vec<(ResourceKey, ObjectKey)> = api.store.read(|state| {
        let resources: Vec<ResourceKey> = state.counts().map(|(key, _)| key.clone()).collect();
        resources
            .iter()
            .flat_map(|r| {
                state
                    .range(r, None)
                    .filter(|(_, e)| e.meta.deleting || !e.meta.owners.is_empty())
                    .map(|(key, _)| (r.clone(), key.clone()))
            })
            .collect()
    });
    for (resource, key) in pending {
        garbage::look_at(api, &resource, &key).await;
    }
}

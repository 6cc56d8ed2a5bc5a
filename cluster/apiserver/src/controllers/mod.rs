//! What the server does by itself after a write: garbage collection, the end of namespaces and of
//! definitions, accounts of new namespaces, aggregated roles.
//!
//! Each controller looks at the present state whenever something it cares about has changed, and can
//! be asked again at any time; after a restart everything is looked at once.

mod accounts;
mod aggregation;
pub(crate) mod bootstrap;
mod certificates;
mod cleanup;
mod expiry;
mod garbage;
mod quota;

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) use accounts::TOKEN_SECRET;
pub(crate) use cleanup::empty_namespace;

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
        let mut round = Round::default();
        let count = tokio::select! {
            () = api.stopping.cancelled() => return,
            _ = expire.tick() => {
                let all = ObjectKey::new("", "");
                round.look("expiry", "/events", &all, expiry::events(&api, jiff::Timestamp::now())).await;
                continue;
            }
            count = changes.recv_many(&mut batch, 512) => count,
        };
        if count == 0 {
            return;
        }
        follow(&api, &mut round, batch.drain(..)).await;
        // What was not done, or done by half, is found again like after a start.
        if round.failed {
            everything(&api).await;
        }
    }
}

/// Looks at everything that these changes may concern.
async fn follow(api: &Arc<Api>, round: &mut Round, changes: impl Iterator<Item = (ResourceKey, Arc<Event>)>) {
    let mut roles_changed = false;
    let mut owned: HashSet<(ResourceKey, ObjectKey)> = HashSet::new();
    // Namespaces and definitions that may be waiting for these very objects to go.
    let mut ending: HashSet<String> = HashSet::new();
    let mut changed: HashSet<String> = HashSet::new();
    for (resource, event) in changes {
        let key = &event.entry.key;
        let gone = event.kind == EventKind::Deleted;
        changed.insert(key.namespace.clone());
        match &*resource {
            NAMESPACES if !gone => {
                round.look("accounts", &resource, key, accounts::namespace(api, &key.name)).await;
                if event.entry.meta.deleting {
                    ending.insert(key.name.clone());
                }
            }
            CRDS if !gone && event.entry.meta.deleting => {
                round.look("definitions", &resource, key, cleanup::definition(api, &key.name)).await;
            }
            CLUSTER_ROLES => roles_changed = true,
            certificates::REQUESTS if !gone => {
                round.look("certificates", &resource, key, certificates::request(api, &key.name)).await;
            }
            "/secrets" if !gone => {
                round.look("accounts", &resource, key, accounts::token_secret(api, key)).await;
            }
            "/serviceaccounts" | "/configmaps" if gone => {
                round.look("accounts", &resource, key, accounts::namespace(api, &key.namespace)).await;
                let tokens = accounts::token_secrets(api, &key.namespace);
                round.look("accounts", &resource, key, tokens).await;
            }
            _ => {}
        }
        if gone {
            round.look("dependents", &resource, key, garbage::owner_gone(api, &event.entry)).await;
            if !key.namespace.is_empty() {
                ending.insert(key.namespace.clone());
            }
            round.look("definitions", &resource, key, cleanup::last_of_definition(api, &resource)).await;
            let owners = async { garbage::owners(api, &event.entry) };
            owned.extend(round.look("owners", &resource, key, owners).await);
            continue;
        }
        if let Some(before) = &event.previous
            && before.meta.owners != event.entry.meta.owners
        {
            let owners = async { garbage::owners(api, before) };
            owned.extend(round.look("owners", &resource, key, owners).await);
        }
        if event.entry.meta.deleting || !event.entry.meta.owners.is_empty() {
            owned.insert((resource, key.clone()));
        }
    }
    for (resource, key) in owned {
        round.look("garbage", &resource, &key, garbage::look_at(api, &resource, &key)).await;
    }
    for namespace in ending {
        let key = ObjectKey::new("", namespace);
        round.look("namespaces", NAMESPACES, &key, cleanup::namespace(api, &key.name)).await;
    }
    for namespace in changed.into_iter().filter(|n| !n.is_empty()) {
        let key = ObjectKey::new("", namespace);
        round.look("quotas", NAMESPACES, &key, quota::namespace(api, &key.name)).await;
    }
    if roles_changed {
        let all = ObjectKey::new("", "");
        round.look("aggregation", CLUSTER_ROLES, &all, aggregation::run(api)).await;
    }
}

/// Looks at everything once, after a start or a failure.
async fn everything(api: &Arc<Api>) {
    // What fails here is passed over: it would fail again and again, and nothing else would be done.
    let mut round = Round::default();
    let all = ObjectKey::new("", "");
    round.look("aggregation", CLUSTER_ROLES, &all, aggregation::run(api)).await;
    for entry in api.store.all(NAMESPACES, None) {
        let name = &entry.key.name;
        round.look("accounts", NAMESPACES, &entry.key, accounts::namespace(api, name)).await;
        round.look("namespaces", NAMESPACES, &entry.key, cleanup::namespace(api, name)).await;
        round.look("accounts", NAMESPACES, &entry.key, accounts::token_secrets(api, name)).await;
    }
    for entry in api.store.all(certificates::REQUESTS, None) {
        let name = &entry.key.name;
        round
            .look("certificates", certificates::REQUESTS, &entry.key, certificates::request(api, name))
            .await;
    }
    for entry in api.store.all(CRDS, None).into_iter().filter(|e| e.meta.deleting) {
        round.look("definitions", CRDS, &entry.key, cleanup::definition(api, &entry.key.name)).await;
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
        round.look("garbage", &resource, &key, garbage::look_at(api, &resource, &key)).await;
    }
}

/// One pass over what changed. A defect that one object brings to light must not end the care for all others.
#[derive(Default)]
struct Round {
    /// Something was not looked at to its end.
    failed: bool,
}

impl Round {
    /// Does one piece of work; a panic in it is logged with what was being looked at.
    async fn look<T: Default>(
        &mut self,
        controller: &'static str,
        resource: &str,
        key: &ObjectKey,
        work: impl Future<Output = T>,
    ) -> T {
        let work = async {
            break_down(controller, key);
            work.await
        };
        // Whatever it leaves half done is in the store, which changes as a whole or not at all.
        let outcome = std::panic::AssertUnwindSafe(work).catch_unwind().await;
        outcome.unwrap_or_else(|panic| {
            let text = |p: &Box<dyn std::any::Any + Send>| {
                let owned = p.downcast_ref::<String>().cloned();
                owned.or_else(|| p.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            };
            let panic = text(&panic).unwrap_or_else(|| "without a message".into());
            let ObjectKey { namespace, name } = key;
            tracing::error!(
                controller,
                resource,
                namespace,
                name,
                panic,
                "a controller broke down over an object; this is a defect of Seaway: please report it"
            );
            self.failed = true;
            T::default()
        })
    }
}

/// Where tests let a controller break down.
#[cfg(not(test))]
fn break_down(_: &str, _: &ObjectKey) {}

#[cfg(test)]
use tests::break_down;

#[cfg(test)]
mod tests;

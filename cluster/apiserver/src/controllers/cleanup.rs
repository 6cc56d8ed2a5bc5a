//! The end of a namespace and of a definition: first their objects, then they themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::CONCURRENCY;
use super::CRDS;
use super::garbage::{remove_finalizer, report};
use crate::api::Api;
use crate::catalog::Served;
use crate::definitions::CLEANUP;
use crate::resources::{Deletion, Propagation, delete_object, finish_if_done};
use crate::store::{Change, Entry, NAMESPACES, ObjectKey, ResourceKey};

/// Empties a namespace that is being deleted, and ends it when it is empty.
pub(super) async fn namespace(api: &Arc<Api>, name: &str) {
    let key = ObjectKey::new("", name);
    let Some(entry) = api.store.get(NAMESPACES, &key) else { return };
    if !entry.meta.deleting {
        return;
    }
    if let Some(kept) = delete_content(api, name).await {
        // Objects that go by themselves, such as pods that end, are not worth a write each.
        if !kept.finalizers.is_empty() {
            kept.tell(api, &key).await;
        }
        return;
    }
    let finalized = |entry: &Entry| {
        let mut value = entry.value();
        if let Some(finalizers) = value["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != "kubernetes");
        }
        if finish_if_done(&value) {
            return Some(Change::Delete(value));
        }
        // Otherwise others' finalizers are waited for.
        (value != entry.value()).then_some(Change::Put(value))
    };
    let resource: ResourceKey = NAMESPACES.into();
    let result = api.store.modify(&resource, &key, finalized).await;
    report(result.map(drop));
}

/// Deletes everything in a namespace; whether nothing is left in it. The caller sees that nothing new comes.
pub(crate) fn empty_namespace<'a>(api: &'a Arc<Api>, name: &'a str) -> BoxFuture<'a, bool> {
    // Boxed: a deletion of a namespace leads here, and from here to deletions.
    async move { delete_content(api, name).await.is_none() }.boxed()
}

/// Begins the deletion of everything in a namespace; what is left of it, if anything is.
async fn delete_content(api: &Arc<Api>, name: &str) -> Option<Kept> {
    let snapshot = api.catalog.now();
    let mut left = None;
    for served in snapshot.resources.iter().filter(|s| s.resource.namespaced && !s.resource.is_virtual()) {
        if !delete_all(api, served, Some(name)).await {
            let kept: &mut Kept = left.get_or_insert_default();
            kept.add(served, &api.store.all(&served.storage, Some(name)));
        }
    }
    left
}

/// What keeps a namespace from its end.
#[derive(Default)]
struct Kept {
    /// How many objects of each resource are left.
    resources: BTreeMap<String, usize>,
    /// How many objects have each finalizer.
    finalizers: BTreeMap<String, usize>,
}

impl Kept {
    fn add(&mut self, served: &Served, left: &[Arc<Entry>]) {
        if left.is_empty() {
            return;
        }
        let name = format!("{}.{}", served.resource.plural, served.resource.group);
        *self.resources.entry(name).or_default() += left.len();
        for entry in left {
            let value = entry.value();
            let finalizers = value.pointer("/metadata/finalizers").and_then(Value::as_array);
            for finalizer in finalizers.into_iter().flatten().filter_map(Value::as_str) {
                *self.finalizers.entry(finalizer.to_owned()).or_default() += 1;
            }
        }
    }

    /// The conditions of a namespace that is being deleted (k8s.io/api/core/v1, NamespaceConditionType).
    fn conditions(&self) -> [(&'static str, &'static str, String); 2] {
        let list = |all: &BTreeMap<String, usize>, word: &str| {
            let each = all.iter().map(|(name, count)| format!("{name} {word} {count} resource instances"));
            each.collect::<Vec<_>>().join(", ")
        };
        [
            (
                "NamespaceContentRemaining",
                "SomeResourcesRemain",
                format!("Some resources are remaining: {}", list(&self.resources, "has")),
            ),
            (
                "NamespaceFinalizersRemaining",
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    list(&self.finalizers, "in")
                ),
            ),
        ]
    }

    /// Writes into the namespace what keeps it, unless it stands there.
    async fn tell(&self, api: &Arc<Api>, key: &ObjectKey) {
        let conditions = self.conditions();
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let change = |entry: &Entry| {
            let mut value = entry.value();
            let status =
                value.as_object_mut()?.entry("status").or_insert_with(|| json!({})).as_object_mut()?;
            let present = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
            let stands = conditions.iter().all(|(name, _, message)| {
                present
                    .iter()
                    .any(|condition| condition["type"] == *name && condition["message"] == **message)
            });
            if stands {
                return None;
            }
            let new = conditions.iter().map(|(name, reason, message)| {
                let before = present.iter().find(|condition| condition["type"] == *name);
                let since =
                    before.and_then(|condition| condition["lastTransitionTime"].as_str()).unwrap_or(&now);
                json!({"type": name, "status": "True", "reason": reason, "message": message,
                       "lastTransitionTime": since})
            });
            status.insert("conditions".to_owned(), new.collect());
            Some(Change::Put(value))
        };
        let resource: ResourceKey = NAMESPACES.into();
        report(api.store.modify(&resource, key, change).await.map(drop));
    }
}

/// Deletes the objects of a definition that is being deleted, and ends it when they are gone.
pub(super) async fn definition(api: &Arc<Api>, name: &str) {
    let key = ObjectKey::new("", name);
    let Some(entry) = api.store.get(CRDS, &key) else { return };
    if !entry.meta.deleting {
        return;
    }
    let crd = entry.value();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let storage =
        crate::store::resource_key(&text(&crd["spec"]["group"]), &text(&crd["spec"]["names"]["plural"]));
    // A definition of what is built in has no objects of its own.
    let served = api.catalog.now().by_storage(&storage).filter(|served| served.custom.is_some()).cloned();
    let empty = match served {
        Some(served) => delete_all(api, &served, None).await,
        None => true,
    };
    if empty {
        let resource: ResourceKey = CRDS.into();
        report(remove_finalizer(api, &resource, &key, CLEANUP).await);
    }
}

/// A custom object is gone: its definition may have waited for it.
pub(super) async fn last_of_definition(api: &Arc<Api>, resource: &str) {
    if let Some((group, plural)) = resource.split_once('/')
        && !group.is_empty()
    {
        definition(api, &format!("{plural}.{group}")).await;
    }
}

/// Begins the deletion of all objects; true when none is left.
async fn delete_all(api: &Arc<Api>, served: &Arc<Served>, namespace: Option<&str>) -> bool {
    let present = api.store.all(&served.storage, namespace).into_iter();
    let present = present.filter(|e| !e.meta.deleting || !e.is_readable());
    futures::stream::iter(present)
        .for_each_concurrent(CONCURRENCY, |entry| async move {
            // With their namespace or definition also those go that nobody can read.
            let deletion = Deletion {
                propagation: Some(Propagation::Background),
                ignores_read_errors: true,
                ..Deletion::default()
            };
            if let Err(error) = delete_object(api, served, entry, &deletion).await {
                tracing::debug!(%error, "an object changed while it was deleted");
            }
        })
        .await;
    api.store.all(&served.storage, namespace).is_empty()
}

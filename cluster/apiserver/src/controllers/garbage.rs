//! Garbage collection by owner references, with foreground and orphan deletion.

use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;

use super::CONCURRENCY;
use crate::api::Api;
use crate::catalog::Served;
use crate::resources::{Deletion, FOREGROUND, ORPHAN, Outcome, Propagation, delete_object, finish_if_done};
use crate::store::{Change, Entry, ObjectKey, ResourceKey, WriteError};

/// An owner is gone: its dependents go too, unless somebody else owns them.
pub(super) async fn owner_gone(api: &Arc<Api>, owner: &Entry) {
    let dependents = api.store.read(|s| s.dependents(&owner.meta.uid));
    // Side by side, so that their deletions share commits.
    futures::stream::iter(dependents)
        .for_each_concurrent(
            CONCURRENCY,
            |(resource, key)| async move { look_at(api, &resource, &key).await },
        )
        .await;
}

/// The owners of a dependent that is gone, or of its state before it let some of them go: those that wait for it in
/// the foreground may go on.
pub(super) fn owners(api: &Api, dependent: &Entry) -> Vec<(ResourceKey, ObjectKey)> {
    if dependent.meta.owners.is_empty() {
        return vec![];
    }
    let value = dependent.value();
    let references = value["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    references
        .filter_map(|reference| locate(api, reference, &dependent.key.namespace))
        .map(|(served, key)| (served.storage.clone(), key))
        .collect()
}

/// Where the owner that a reference names is stored.
fn locate(api: &Api, reference: &Value, namespace: &str) -> Option<(Arc<Served>, ObjectKey)> {
    let api_version = reference["apiVersion"].as_str()?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let served = api.catalog.now().by_kind(group, version, reference["kind"].as_str()?)?.clone();
    // An object of no namespace cannot say in which one its owner is.
    if served.resource.namespaced && namespace.is_empty() {
        return None;
    }
    let namespace = if served.resource.namespaced { namespace } else { "" };
    let key = ObjectKey::new(namespace, reference["name"].as_str()?);
    Some((served, key))
}

/// Does what owner references and deletion finalizers ask of one object.
pub(super) async fn look_at(api: &Arc<Api>, resource: &ResourceKey, key: &ObjectKey) {
    let Some(entry) = api.store.get(resource, key) else { return };
    if entry.meta.deleting {
        let value = entry.value();
        let has =
            |f: &str| value["metadata"]["finalizers"].as_array().is_some_and(|l| l.iter().any(|x| x == f));
        if has(ORPHAN) {
            orphan_dependents(api, &entry).await;
            report(remove_finalizer(api, resource, key, ORPHAN).await);
        } else if has(FOREGROUND) && delete_dependents(api, &entry).await {
            report(remove_finalizer(api, resource, key, FOREGROUND).await);
        }
    }
    if !entry.meta.owners.is_empty() {
        check_owners(api, resource, &entry).await;
    }
}

/// Deletes an object none of whose owners is left; drops references to owners that are gone or about to go.
async fn check_owners(api: &Arc<Api>, resource: &ResourceKey, entry: &Arc<Entry>) {
    let value = entry.value();
    let references: Vec<Value> = value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let (mut solid, mut useless, mut waiting) = (0, Vec::new(), false);
    for reference in &references {
        let uid = reference["uid"].as_str().unwrap_or_default();
        match locate(api, reference, &entry.key.namespace) {
            // A kind that is not served now may come back: its owner is not known to be gone.
            None => solid += 1,
            Some((served, key)) => match api.store.get(&served.storage, &key) {
                // One that cannot be read may be just that owner.
                Some(owner) if !owner.is_readable() => solid += 1,
                Some(owner) if owner.meta.uid == uid => {
                    let foreground = owner.meta.deleting
                        && owner.value()["metadata"]["finalizers"]
                            .as_array()
                            .is_some_and(|f| f.iter().any(|f| f == FOREGROUND));
                    if foreground {
                        waiting = true;
                        useless.push(uid.to_owned());
                    } else {
                        solid += 1;
                    }
                }
                _ => useless.push(uid.to_owned()),
            },
        }
    }
    if solid > 0 {
        // Another owner keeps it: the ones that go need not wait for it.
        if !useless.is_empty() {
            report(drop_references(api, resource, &entry.key, &useless).await);
        }
        return;
    }
    if entry.meta.deleting {
        return;
    }
    // Its own dependents are waited for when an owner waits for it.
    let has_dependents = api.store.read(|s| !s.dependents(&entry.meta.uid).is_empty());
    let keeps =
        |f: &str| value["metadata"]["finalizers"].as_array().is_some_and(|l| l.iter().any(|x| x == f));
    let propagation = match waiting {
        _ if keeps(ORPHAN) => Propagation::Orphan,
        true if has_dependents => Propagation::Foreground,
        _ if keeps(FOREGROUND) => Propagation::Foreground,
        _ => Propagation::Background,
    };
    delete(api, resource, entry, propagation).await;
}

async fn delete(api: &Arc<Api>, resource: &ResourceKey, entry: &Arc<Entry>, propagation: Propagation) {
    let Some(served) = api.catalog.now().by_storage(resource).cloned() else { return };
    let deletion =
        Deletion { propagation: Some(propagation), uid: Some(entry.meta.uid.clone()), ..Deletion::default() };
    match delete_object(api, &served, entry.clone(), &deletion).await {
        Ok(Outcome::Gone(_) | Outcome::Pending(_)) => {}
        Err(error) => tracing::debug!(%error, name = %entry.key.name, "garbage was changed by somebody else"),
    }
}

/// Deletes what blocks an owner; true when nothing does any more.
async fn delete_dependents(api: &Arc<Api>, owner: &Entry) -> bool {
    let mut blocked = false;
    for (resource, key) in api.store.read(|s| s.dependents(&owner.meta.uid)) {
        let Some(entry) = api.store.get(&resource, &key) else { continue };
        let value = entry.value();
        let references = value["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        if references.len() > 1 {
            Box::pin(check_owners(api, &resource, &entry)).await;
        } else if !entry.meta.deleting {
            let has_dependents = api.store.read(|s| !s.dependents(&entry.meta.uid).is_empty());
            let propagation = if has_dependents { Propagation::Foreground } else { Propagation::Background };
            delete(api, &resource, &entry, propagation).await;
        }
        blocked |= api.store.get(&resource, &key).is_some_and(|entry| blocks(&entry, owner));
    }
    !blocked
}

/// Whether a dependent holds up its owner.
fn blocks(dependent: &Entry, owner: &Entry) -> bool {
    let value = dependent.value();
    let mut references = value["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    references.any(|r| r["uid"] == owner.meta.uid.as_str() && r["blockOwnerDeletion"] == true)
}

async fn orphan_dependents(api: &Arc<Api>, owner: &Entry) {
    for (resource, key) in api.store.read(|s| s.dependents(&owner.meta.uid)) {
        report(drop_references(api, &resource, &key, std::slice::from_ref(&owner.meta.uid)).await);
    }
}

async fn drop_references(
    api: &Api,
    resource: &ResourceKey,
    key: &ObjectKey,
    uids: &[String],
) -> Result<(), WriteError> {
    let dropped = |entry: &Entry| {
        let mut value = entry.value();
        let metadata = value["metadata"].as_object_mut()?;
        let references = metadata.get_mut("ownerReferences")?.as_array_mut()?;
        let before = references.len();
        references.retain(|r| !uids.iter().any(|uid| r["uid"] == uid.as_str()));
        let (after, empty) = (references.len(), references.is_empty());
        if empty {
            metadata.remove("ownerReferences");
        }
        (after != before).then_some(Change::Put(value))
    };
    api.store.modify(resource, key, dropped).await.map(drop)
}

/// Takes one finalizer off; the object goes when it was the last.
pub(super) async fn remove_finalizer(
    api: &Api,
    resource: &ResourceKey,
    key: &ObjectKey,
    finalizer: &str,
) -> Result<(), WriteError> {
    let removed = |entry: &Entry| {
        let mut value = entry.value();
        let metadata = value["metadata"].as_object_mut()?;
        let finalizers = metadata.get_mut("finalizers")?.as_array_mut()?;
        let before = finalizers.len();
        finalizers.retain(|f| f != finalizer);
        if finalizers.len() == before {
            return None;
        }
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        }
        Some(if finish_if_done(&value) { Change::Delete(value) } else { Change::Put(value) })
    };
    api.store.modify(resource, key, removed).await.map(drop)
}

/// The store refuses when the disk does; the next change or start tries again.
pub(super) fn report(result: Result<(), WriteError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "garbage collection could not write");
    }
}

//! What has left Git.
//!
//! Operators copy labels to what they create, so that a label alone proves nothing: an object is pruned only if it
//! carries our label, we have applied it, no controller owns it, and it is the very object that the last inventory
//! names. A namespace goes only if Seaway made it.

use std::collections::{BTreeSet, HashMap};

use seaway_api::FIELD_MANAGER;
use seaway_object::{GroupVersionKind, ObjectId, identity};
use serde_json::Value;

use super::{Action, InventoryEntry, ObjectRef, PlanInput, PlannedObject};
use crate::applyset::PART_OF_LABEL;
use crate::hooks::{END_RUN, HOOK_RUN};
use crate::options::{HookDeletion, ObjectOptions, Prune, deletion_approved};
use crate::ownership::Ownership;

pub(super) fn prune(input: &PlanInput<'_>, kept: &BTreeSet<ObjectId>) -> Vec<PlannedObject> {
    let known: HashMap<ObjectId, &InventoryEntry> =
        input.inventory.iter().map(|entry| (entry.object.id(), entry)).collect();
    let mut objects = Vec::new();
    for (id, live) in input.live {
        if kept.contains(id) || !is_ours(input, live) {
            continue;
        }
        let Ok(kind) = GroupVersionKind::of(live) else { continue };
        let options = ObjectOptions::of(live);
        // Hooks have their own policies of deletion, and go at the end of their environment.
        let hook = options.is_hook();
        // One that runs for the end itself is not what is deleted before it.
        let of_a_sync = |run: &str| !run.starts_with(END_RUN);
        let goes = input.policy.ending && identity::annotation(live, HOOK_RUN).is_some_and(of_a_sync);
        if options.skip || options.only_at_end() || hook && !goes {
            continue;
        }
        let reason = match hook {
            true => reason_to_keep_hook(live, &options),
            false => reason_to_keep(input, &kind, live, known.get(id).copied(), &options),
        };
        objects.push(PlannedObject {
            wave: options.wave,
            held_back: reason.is_some(),
            options,
            live_uid: identity::uid(live).map(str::to_owned),
            ..PlannedObject::told(ObjectRef::new(&kind, id), Action::Prune, reason.unwrap_or_default())
        });
    }
    objects.sort_by(|a, b| a.object.cmp(&b.object));
    objects
}

/// Applied by us under this environment's label, and nobody's child.
fn is_ours(input: &PlanInput<'_>, live: &Value) -> bool {
    let owners = live.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let controlled = owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true));
    identity::label(live, PART_OF_LABEL) == Some(input.apply_set)
        && Ownership::of(live).applied_by(FIELD_MANAGER).is_some()
        && !controlled
}

fn reason_to_keep(
    input: &PlanInput<'_>,
    kind: &GroupVersionKind,
    live: &Value,
    entry: Option<&InventoryEntry>,
    options: &ObjectOptions,
) -> Option<String> {
    if let Some(reason) = being_deleted(live) {
        return Some(reason);
    }
    let approved = deletion_approved(live);
    let Some(entry) = entry.filter(|entry| Some(entry.uid.as_str()) == identity::uid(live)) else {
        return (!approved).then(|| {
            "it carries the environment's label but is not in the inventory: annotate it with \
             seaway.dev/deletion-approved=true if it may go"
                .to_owned()
        });
    };
    if kind.group.is_empty() && kind.kind == "Namespace" {
        if !entry.created {
            return Some("Seaway did not make this namespace: delete it by hand".to_owned());
        }
        if input.allowed.namespaces.contains(identity::name(live)) && !input.policy.ending {
            return Some("the environment's objects are in this namespace (spec.destination)".to_owned());
        }
    }
    if let Some(reason) = unwanted(if input.policy.ending { options.delete } else { options.prune }, live) {
        return Some(reason);
    }
    (!input.policy.prune).then(|| "pruning is off (spec.sync.prune)".to_owned())
}

/// It was made by a sync, which the annotation of its run proves.
fn reason_to_keep_hook(live: &Value, options: &ObjectOptions) -> Option<String> {
    if let Some(reason) = being_deleted(live) {
        return Some(reason);
    }
    match options.delete {
        _ if options.hook_deletion.contains(&HookDeletion::Never) => {
            Some("its options forbid deletion".to_owned())
        }
        asks => unwanted(asks, live),
    }
}

/// Why an object's options keep it.
fn unwanted(asks: Prune, live: &Value) -> Option<String> {
    match asks {
        Prune::Never => Some("its options forbid deletion".to_owned()),
        Prune::Confirm if !deletion_approved(live) => Some(
            "its options ask for a confirmation: annotate it with seaway.dev/deletion-approved=true"
                .to_owned(),
        ),
        _ => None,
    }
}

/// What keeps an object whose deletion has begun.
fn being_deleted(live: &Value) -> Option<String> {
    live.pointer("/metadata/deletionTimestamp")?;
    let finalizers = live.pointer("/metadata/finalizers").and_then(Value::as_array);
    let names: Vec<&str> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
    Some(match names.as_slice() {
        [] => "it is being deleted".to_owned(),
        names => format!(
            "it is being deleted, and waits until its finalizers are taken away: {}",
            names.join(", ")
        ),
    })
}

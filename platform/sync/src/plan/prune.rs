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
use crate::account::CREATED_FOR;
use crate::applyset::PART_OF_LABEL;
use crate::options::{ObjectOptions, Phase, Prune, deletion_approved};
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
        // Hooks have their own policies of deletion.
        if options.skip || options.is_hook() {
            continue;
        }
        let entry = known.get(id).copied();
        let reason = reason_to_keep(input, &kind, live, entry, &options);
        objects.push(PlannedObject {
            object: ObjectRef::new(&kind, id),
            action: Action::Prune,
            component: String::new(),
            origin: None,
            phase: Phase::Sync,
            wave: options.wave,
            fields: Vec::new(),
            held_back: reason.is_some(),
            message: reason.unwrap_or_default(),
            value: None,
            digest: String::new(),
            options,
            live_uid: identity::uid(live).map(str::to_owned),
            late_kind: false,
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
    if live.pointer("/metadata/deletionTimestamp").is_some() {
        let finalizers = live.pointer("/metadata/finalizers").and_then(Value::as_array);
        let names: Vec<&str> = finalizers.into_iter().flatten().filter_map(Value::as_str).collect();
        return Some(match names.as_slice() {
            [] => "it is being deleted".to_owned(),
            names => format!(
                "it is being deleted, and waits until its finalizers are taken away: {}",
                names.join(", ")
            ),
        });
    }
    let approved = deletion_approved(live);
    let Some(entry) = entry.filter(|entry| Some(entry.uid.as_str()) == identity::uid(live)) else {
        return (!approved).then(|| {
            "it carries the environment's label but is not in the inventory: annotate it with \
             seaway.dev/deletion-approved=true if it may go"
                .to_owned()
        });
    };
    let made = entry.created || identity::annotation(live, CREATED_FOR) == Some(input.environment);
    if kind.group.is_empty() && kind.kind == "Namespace" && !made {
        return Some("Seaway did not make this namespace: delete it by hand".to_owned());
    }
    let in_use = || input.allowed.namespaces.contains(identity::name(live)) && !input.policy.ending;
    if kind.group.is_empty() && kind.kind == "Namespace" && in_use() {
        return Some("the environment's objects are in this namespace (spec.destination)".to_owned());
    }
    match if input.policy.ending { options.delete } else { options.prune } {
        Prune::Never => return Some("its options forbid deletion".to_owned()),
        Prune::Confirm if !approved => {
            return Some(
                "its options ask for a confirmation: annotate it with seaway.dev/deletion-approved=true"
                    .to_owned(),
            );
        }
        _ => {}
    }
    (!input.policy.prune).then(|| "pruning is off (spec.sync.prune)".to_owned())
}

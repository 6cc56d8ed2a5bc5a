//! What an environment may not have: kinds, namespaces, accounts of somebody else.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Action, Allowed, PlanInput, PlannedObject};
use crate::desired::{Desired, Scope};

pub(super) fn forbidden(allowed: &Allowed, wanted: &Desired) -> Option<String> {
    match (wanted.scope, &wanted.id.namespace) {
        (Some(Scope::Cluster), _) => {
            let name = if wanted.kind.group.is_empty() {
                wanted.kind.kind.clone()
            } else {
                format!("{}.{}", wanted.kind.kind, wanted.kind.group)
            };
            (!allowed.cluster_kinds.contains(&name)).then(|| {
                format!("the stack does not allow the cluster-scoped kind {name}: add it to spec.allow.clusterKinds")
            })
        }
        (_, Some(namespace)) if !allowed.namespaces.contains(namespace) => Some(format!(
            "the environment has no namespace {namespace}: add it to spec.destination.namespaces, or remove it \
             from the object"
        )),
        _ => None,
    }
}

/// Where kinds that make pods say as whom these run.
const ACCOUNTS: [&str; 4] = [
    "/spec/serviceAccountName",
    "/spec/template/spec/serviceAccountName",
    "/spec/jobTemplate/spec/template/spec/serviceAccountName",
    "/template/spec/serviceAccountName",
];

/// As whom the pods of an object run; `None` for the namespace's own account, and for what makes none.
pub(crate) fn account_of_pods(object: &Value) -> Option<&str> {
    ACCOUNTS.iter().find_map(|pointer| object.pointer(pointer)?.as_str()).filter(|name| !name.is_empty())
}

/// Pods of one environment do not run with the rights of another.
pub(super) fn foreign_account(input: &PlanInput<'_>, wanted: &Desired) -> Option<String> {
    let (name, namespace) = (account_of_pods(&wanted.value)?, wanted.id.namespace.as_deref()?);
    let owner = (input.accounts)(namespace, name)?;
    Some(format!(
        "its pods would run as the ServiceAccount {namespace}/{name} of {owner}: use one of its own"
    ))
}

/// Pods of a copy run as nobody else: an account that is not the copy's own may be somebody's who may do more.
pub(super) fn forbid_foreign_accounts(desired: &[Desired], objects: &mut [PlannedObject]) {
    let own: BTreeSet<(Option<&str>, &str)> = desired
        .iter()
        .filter(|object| object.kind.group.is_empty() && object.kind.kind == "ServiceAccount")
        .map(|object| (object.id.namespace.as_deref(), object.id.name.as_str()))
        .collect();
    for planned in objects.iter_mut().filter(|planned| !planned.action.is_blocking()) {
        let foreign = planned.value.as_ref().and_then(account_of_pods).filter(|name| {
            *name != "default" && !own.contains(&(planned.object.namespace.as_deref(), *name))
        });
        let message = foreign.map(|name| {
            format!(
                "it would run as the ServiceAccount {name}, which is not the copy's own: add that to the component, or \
                 leave serviceAccountName out"
            )
        });
        if let Some(message) = message {
            planned.action = Action::Forbidden;
            planned.fields.clear();
            planned.message = message;
        }
    }
}

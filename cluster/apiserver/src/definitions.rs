//! CustomResourceDefinitions: what the server itself decides of them.

use serde_json::{Value, json};

use crate::api::{Api, now};
use crate::catalog::CRDS;

/// Finalizer under which the objects of a definition are deleted first.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Accepts the names of a definition (or says who has them) and establishes it in the same write,
/// so that its objects can be made as soon as the request is answered.
pub(crate) fn complete(api: &Api, crd: &mut Value) {
    let name = crd["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let taken = taken(api, &name, crd);
    let accepted =
        if taken.is_none() { crd["spec"]["names"].clone() } else { crd["status"]["acceptedNames"].clone() };
    let generation = crd["metadata"]["generation"].clone();
    let mut stored: Vec<Value> = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    for version in crd["spec"]["versions"].as_array().into_iter().flatten() {
        if version["storage"] == true && !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    let mut conditions: Vec<Value> = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ok = taken.is_none();
    let why = taken.unwrap_or_default();
    set(
        &mut conditions,
        "NamesAccepted",
        ok,
        if ok { "NoConflicts" } else { "NameConflict" },
        if ok { "no conflicts found" } else { &why },
    );
    let established = ok || conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True");
    set(
        &mut conditions,
        "Established",
        established,
        if established { "InitialNamesAccepted" } else { "NotAccepted" },
        if established { "the initial names have been accepted" } else { "not all names are accepted" },
    );
    crd["status"] = json!({
        "acceptedNames": if accepted.is_null() { json!({"kind": "", "plural": ""}) } else { accepted },
        "conditions": conditions, "storedVersions": stored,
    });
    if !generation.is_null() {
        crd["status"]["observedGeneration"] = generation;
    }
}

/// The definition is to be deleted: its objects go first.
pub(crate) fn terminate(crd: &mut Value) {
    let mut finalizers = crd["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|f| f == CLEANUP) {
        finalizers.push(CLEANUP.into());
        crd["metadata"]["finalizers"] = finalizers.into();
    }
    let mut conditions = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
    set(
        &mut conditions,
        "Terminating",
        true,
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    );
    crd["status"]["conditions"] = conditions.into();
}

fn set(conditions: &mut Vec<Value>, kind: &str, status: bool, reason: &str, message: &str) {
    let status = if status { "True" } else { "False" };
    let new = json!({"type": kind, "status": status, "reason": reason, "message": message,
                     "lastTransitionTime": now()});
    match conditions.iter_mut().find(|c| c["type"] == kind) {
        Some(old) if old["status"] == status => {
            let since = old["lastTransitionTime"].clone();
            *old = new;
            old["lastTransitionTime"] = since;
        }
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Who already has one of the names in the same group.
fn taken(api: &Api, name: &str, crd: &Value) -> Option<String> {
    let group = &crd["spec"]["group"];
    let names = |of: &Value| -> Vec<String> {
        let mut out: Vec<String> =
            ["plural", "singular"].iter().filter_map(|f| of[*f].as_str().map(str::to_owned)).collect();
        let short = of["shortNames"].as_array().into_iter().flatten();
        out.extend(short.filter_map(|s| s.as_str().map(str::to_owned)));
        out
    };
    let mine = names(&crd["spec"]["names"]);
    let kinds = |of: &Value| [of["kind"].clone(), of["listKind"].clone()];
    for entry in api.store.all(CRDS, None) {
        if entry.key.name == name {
            continue;
        }
        let other = entry.value();
        if other["spec"]["group"] != *group {
            continue;
        }
        let accepted = &other["status"]["acceptedNames"];
        if let Some(name) = names(accepted).into_iter().find(|n| mine.contains(n)) {
            return Some(format!("\"{name}\" is already in use"));
        }
        if let Some(kind) =
            kinds(&crd["spec"]["names"]).iter().find(|k| kinds(accepted).contains(k) && k.is_string())
        {
            return Some(format!("{kind} is already in use"));
        }
    }
    None
}

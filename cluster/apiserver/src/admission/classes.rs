//! Classes that objects name, or get when they name none: of storage, of ingresses and of pods' runtimes.

use std::cmp::Reverse;

use seaway_kinds::quantity::Quantity;
use serde_json::{Value, json};

use crate::api::Api;
use crate::status::{ApiError, Result};
use crate::store::ObjectKey;

const STORAGE_CLASSES: &str = "storage.k8s.io/storageclasses";
const INGRESS_CLASSES: &str = "networking.k8s.io/ingressclasses";
const RUNTIME_CLASSES: &str = "node.k8s.io/runtimeclasses";

/// Annotations that make a class the default, and those by which objects named a class before there was a field.
const DEFAULT_STORAGE: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const DEFAULT_INGRESS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
const OLD_STORAGE: &str = "volume.beta.kubernetes.io/storage-class";
const OLD_INGRESS: &str = "kubernetes.io/ingress.class";

/// Gives a new claim the default StorageClass when it names none.
pub(super) fn default_storage(api: &Api, claim: &mut Value) {
    give(api, claim, (STORAGE_CLASSES, &DEFAULT_STORAGE), "storageClassName", OLD_STORAGE);
}

/// Gives a new Ingress the default IngressClass when it names none.
pub(super) fn default_ingress(api: &Api, ingress: &mut Value) {
    give(api, ingress, (INGRESS_CLASSES, &DEFAULT_INGRESS), "ingressClassName", OLD_INGRESS);
}

fn give(api: &Api, object: &mut Value, (classes, marks): (&str, &[&str]), field: &str, old: &str) {
    if !object["spec"].is_object()
        || !object["spec"][field].is_null()
        || !object["metadata"]["annotations"][old].is_null()
    {
        return;
    }
    let all = api.store.all(classes, None).into_iter().filter(|entry| entry.is_readable());
    let marked = all
        .map(|entry| (entry.key.name.clone(), entry.value()))
        .filter(|(_, class)| marks.iter().any(|mark| class["metadata"]["annotations"][*mark] == "true"));
    // The newest, and of several the first by name.
    let newest = marked.max_by_key(|(name, class)| {
        let made = class["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        (made, Reverse(name.clone()))
    });
    if let Some((name, _)) = newest {
        object["spec"][field] = name.into();
    }
}

/// A claim grows only when it is bound, and of a class that says that its volumes can.
pub(super) fn growth(api: &Api, before: &Value, claim: &Value) -> Result<()> {
    let asked = |claim: &Value| Quantity::from_value(claim.pointer("/spec/resources/requests/storage")?).ok();
    let grows = matches!((asked(before), asked(claim)), (Some(had), Some(wants)) if had < wants);
    if !grows {
        return Ok(());
    }
    let refuse = |why: &str| {
        let name = claim["metadata"]["name"].as_str().unwrap_or_default();
        Err(ApiError::forbidden("", "persistentvolumeclaims", name, why))
    };
    if before["status"]["phase"] != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = |claim: &Value| claim["spec"]["storageClassName"].as_str().unwrap_or_default().to_owned();
    let allows = class(before) == class(claim)
        && api
            .store
            .get(STORAGE_CLASSES, &ObjectKey::new("", class(claim)))
            .is_some_and(|entry| entry.value()["allowVolumeExpansion"] == true);
    if allows {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}

/// Gives a new pod what its RuntimeClass adds (KEP-688, KEP-585), or refuses one that names a class that is not there.
pub(super) fn runtime(api: &Api, pod: &mut Value) -> Result<()> {
    let refuse = |pod: &Value, why: String| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        Err(ApiError::forbidden("", "pods", name, why))
    };
    let class = match pod["spec"]["runtimeClassName"].as_str() {
        None => None,
        Some(name) => match api.store.get(RUNTIME_CLASSES, &ObjectKey::new("", name)) {
            Some(entry) => Some(entry.value()),
            None => return refuse(pod, format!("pod rejected: RuntimeClass \"{name}\" not found")),
        },
    };
    let overhead = class.as_ref().map(|class| &class["overhead"]["podFixed"]).filter(|all| all.is_object());
    let said = &pod["spec"]["overhead"];
    match overhead {
        None if said.is_object() => {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return refuse(pod, why.to_owned());
        }
        Some(overhead) if said.is_object() && !same_amounts(said, overhead) => {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return refuse(pod, why.to_owned());
        }
        Some(overhead) => pod["spec"]["overhead"] = overhead.clone(),
        None => {}
    }
    let Some(scheduling) = class.as_ref().map(|class| &class["scheduling"]).filter(|s| s.is_object()) else {
        return Ok(());
    };
    for (label, wanted) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let had = &pod["spec"]["nodeSelector"][label.as_str()];
        if !had.is_null() && had != wanted {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {}; pod.spec.nodeSelector[{label}] = {}",
                text(wanted),
                text(had)
            );
            return refuse(pod, why);
        }
        pod["spec"]["nodeSelector"][label.as_str()] = wanted.clone();
    }
    let tolerations = scheduling["tolerations"].as_array().cloned().unwrap_or_default();
    let mut all = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let new: Vec<Value> = tolerations.into_iter().filter(|one| !all.contains(one)).collect();
    if !new.is_empty() {
        all.extend(new);
        pod["spec"]["tolerations"] = json!(all);
    }
    Ok(())
}

/// Whether two lists of amounts say the same, however they are written.
fn same_amounts(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return false };
    let same = |a: &Value, b: &Value| {
        a == b || matches!((Quantity::from_value(a), Quantity::from_value(b)), (Ok(a), Ok(b)) if a == b)
    };
    one.len() == other.len()
        && one.iter().all(|(name, amount)| other.get(name).is_some_and(|b| same(amount, b)))
}

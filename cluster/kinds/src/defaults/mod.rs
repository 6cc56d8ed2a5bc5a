//! The defaults that the API server writes into an object when it reads a request.
//!
//! Besides the documented defaults this brings an object into the form in which the real server
//! hands it out, so that two ways of writing the same thing do not look like a change: no `null`s,
//! canonical quantities, no zero where Go omits it, both names of a Pod's service account.

mod admission;
mod autoscaling;
mod containers;
mod networking;
mod pod;
mod policy;
mod storage;
mod volumes;
mod workloads;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::fields::{at_mut, fill, fill_absent, items, set, structure, text};
use crate::quantity::Quantity;

/// Fills in what the real server's versioned defaulting fills in, on create and on update alike.
///
/// `group` is empty for the core group. Kinds without defaults only lose their `null`s. Kinds that
/// are not built in are left alone, and so are values of a wrong type: refusing them is the
/// decoder's task. Applying it twice changes nothing more.
pub fn default_object(group: &str, version: &str, kind: &str, object: &mut Value) {
    if !object.is_object() || !crate::strategy::is_built_in_group(group) {
        return;
    }
    if !keeps_nulls(group, kind) {
        drop_nulls(object);
    }
    match (group, kind) {
        ("", "Pod") => pod::default_pod(object),
        ("", "PodTemplate") => pod::default_template(object),
        ("", "ReplicationController") => workloads::default_replication_controller(object),
        ("", "Service") => networking::default_service(object),
        ("", "Endpoints") => networking::default_endpoints(object),
        ("", "Namespace") => {
            if let Some(status) = structure(object, "status") {
                fill(status, "phase", "Active");
            }
            label_namespace(object);
        }
        ("", "Secret") => default_secret(object),
        ("", "PersistentVolumeClaim") => storage::default_claim(object),
        ("", "PersistentVolume") => storage::default_volume(object),
        ("", "LimitRange") => policy::default_limit_range(object),
        ("", "ResourceQuota") => {
            if let Some(hard) = at_mut(object, "spec.hard") {
                canonical_quantities(hard);
            }
        }
        ("", "Node") => default_node(object),
        ("apps", "Deployment") => workloads::default_deployment(object),
        ("apps", "ReplicaSet") => workloads::default_replica_set(object),
        ("apps", "StatefulSet") => workloads::default_stateful_set(object),
        ("apps", "DaemonSet") => workloads::default_daemon_set(object),
        ("batch", "Job") => workloads::default_job(object),
        ("batch", "CronJob") => workloads::default_cron_job(object),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::default_autoscaler(version, object),
        ("networking.k8s.io", "NetworkPolicy") => networking::default_network_policy(object),
        ("networking.k8s.io", "IngressClass") => networking::default_ingress_class(object),
        ("networking.k8s.io", "Ingress") => {
            if let Some(status) = structure(object, "status") {
                structure(status, "loadBalancer");
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => networking::default_endpoint_slice(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            policy::default_binding(object);
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            fill(object, "preemptionPolicy", "PreemptLowerPriority");
        }
        ("storage.k8s.io", "StorageClass") => {
            fill_absent(object, "reclaimPolicy", "Delete");
            fill_absent(object, "volumeBindingMode", "Immediate");
        }
        ("storage.k8s.io", "CSIDriver") => storage::default_csi_driver(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => policy::default_definition(object),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => {
            admission::default_webhooks(object, false);
        }
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => {
            admission::default_webhooks(object, true);
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => admission::default_policy(object),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            admission::default_policy_binding(object);
        }
        _ => {}
    }
}

/// A namespace can be selected by its name (KEP-2161).
pub(crate) fn label_namespace(namespace: &mut Value) {
    let Some(metadata) = at_mut(namespace, "metadata") else { return };
    let name = metadata.get("name").cloned().unwrap_or_default();
    if name.as_str().is_some_and(|name| !name.is_empty())
        && let Some(labels) = structure(metadata, "labels")
    {
        crate::fields::set(labels, "kubernetes.io/metadata.name", name);
    }
}

/// Kinds that carry free JSON, in which `null` is a value.
fn keeps_nulls(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("apps", "ControllerRevision") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// Removes fields that are `null`. In maps of texts Go reads `null` as the empty text.
fn drop_nulls(value: &mut Value) {
    const TEXT_MAPS: [&str; 8] = [
        "annotations",
        "data",
        "labels",
        "matchLabels",
        "nodeSelector",
        "parameters",
        "selector",
        "stringData",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            for (name, field) in fields.iter_mut() {
                let is_text_map = TEXT_MAPS.contains(&name.as_str())
                    && field.as_object().is_some_and(|map| {
                        map.values().all(|v| v.is_null() || v.is_string()) && !map.contains_key("matchLabels")
                    });
                if is_text_map {
                    for entry in field.as_object_mut().into_iter().flatten() {
                        if entry.1.is_null() {
                            *entry.1 = Value::from("");
                        }
                    }
                } else {
                    drop_nulls(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Moves `stringData` into `data`, as reading a Secret does, and fills in the type.
fn default_secret(secret: &mut Value) {
    fill(secret, "type", "Opaque");
    fold_string_data(secret);
}

/// Writes the texts of a Secret's `stringData` into `data`, where they win, and drops the field.
pub(crate) fn fold_string_data(secret: &mut Value) {
    let Some(Value::Object(texts)) = secret.as_object_mut().and_then(|fields| fields.remove("stringData"))
    else {
        return;
    };
    if texts.is_empty() {
        return;
    }
    let Some(Value::Object(data)) = structure(secret, "data") else {
        return;
    };
    for (key, text) in texts {
        let bytes = text.as_str().unwrap_or_default();
        data.insert(key, Value::from(STANDARD.encode(bytes)));
    }
}

/// A Node that tells no allocatable amounts can give all it has. The older field for its network says what the first
/// of the newer one says.
fn default_node(node: &mut Value) {
    if let Some(spec) = at_mut(node, "spec") {
        let one = text(spec, "podCIDR").to_owned();
        match items(spec, "podCIDRs").first().cloned() {
            Some(first) => set(spec, "podCIDR", first),
            None if !one.is_empty() => set(spec, "podCIDRs", vec![one]),
            None => {}
        }
    }
    let Some(status) = at_mut(node, "status") else {
        return;
    };
    if let Some(capacity) = at_mut(status, "capacity") {
        canonical_quantities(capacity);
        let capacity = capacity.clone();
        fill_absent(status, "allocatable", capacity);
    }
    if let Some(allocatable) = at_mut(status, "allocatable") {
        canonical_quantities(allocatable);
    }
}

/// Brings every quantity of a resource list into canonical form, rounded up to thousandths. What is
/// no quantity stays for validation to refuse.
fn canonical_quantities(list: &mut Value) {
    for (_, amount) in list.as_object_mut().into_iter().flatten() {
        if let Ok(quantity) = Quantity::from_value(amount) {
            *amount = Value::from(quantity.round_to_milli().to_string());
        }
    }
}

/// Brings one quantity into canonical form.
fn canonical_quantity(owner: &mut Value, name: &str) {
    if let Some(amount) = at_mut(owner, name)
        && let Ok(quantity) = Quantity::from_value(amount)
    {
        *amount = Value::from(quantity.to_string());
    }
}

/// Removes the named fields where they hold the zero of their type, which Go does not write.
fn omit_zero(value: &mut Value, names: &[&str]) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    for name in names {
        let zero = match fields.get(*name) {
            Some(Value::Bool(flag)) => !flag,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Number(number)) => number.as_f64() == Some(0.0),
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(entries)) => entries.is_empty(),
            _ => false,
        };
        if zero {
            fields.remove(*name);
        }
    }
}

/// Copies the entries of one resource list that another lacks into that one.
fn fill_from(owner: &mut Value, target: &str, source: &Map<String, Value>) {
    if source.is_empty() {
        return;
    }
    if let Some(Value::Object(target)) = structure(owner, target) {
        for (key, value) in source {
            target.entry(key).or_insert_with(|| value.clone());
        }
    }
}

#[cfg(test)]
mod tests;

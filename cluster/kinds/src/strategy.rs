//! What the server decides itself before an object is stored: the REST strategies.
//!
//! Order in a request: decode, [`crate::defaults::default_object`], admission, one of these
//! functions, [`crate::validation`], store. Name, namespace, uid, creation time and
//! `managedFields` are the server's own business and are not touched here.

mod service;

use serde_json::{Value, json};

use crate::defaults::fold_string_data;
use crate::fields::{
    at, at_mut, count, integer, is_true, items, items_mut, remove, same, set, structure, text,
};
use crate::quantity::Quantity;

/// Prepares a new object of a built-in kind, after defaulting and before validation.
///
/// Kinds with a `status` get their initial one whatever the request said; kinds that count
/// generations start at 1. Other kinds are left alone (custom resources: see
/// [`prepare_custom_for_create`]).
pub fn prepare_for_create(group: &str, kind: &str, object: &mut Value) {
    if !is_built_in_group(group) || !object.is_object() {
        return;
    }
    clear_deletion(object);
    if counts_generations(group, kind)
        && let Some(metadata) = structure(object, "metadata")
    {
        set(metadata, "generation", 1);
    }
    if let Some(status) = initial_status(group, kind, object) {
        set(object, "status", status);
    }
    match (group, kind) {
        ("", "Namespace") => {
            require_kubernetes_finalizer(object);
            // Its name may have been generated after the defaults.
            crate::defaults::label_namespace(object);
        }
        ("", "Secret") => fold_string_data(object),
        ("", "Service") => service::prepare_for_create(object),
        ("", "PersistentVolumeClaim") => {
            if let Some(spec) = at_mut(object, "spec") {
                join_data_sources(spec);
            }
        }
        ("batch", "Job") => select_own_pods(object),
        ("apps", "DaemonSet") => number_template(object, None),
        _ => {}
    }
}

/// Prepares an update through the main resource of a built-in kind: `status` stays as it was where
/// the kind has it as a subresource, and `metadata.generation` counts up when what the kind's
/// controllers act on has changed.
pub fn prepare_for_update(group: &str, kind: &str, new: &mut Value, old: &Value) {
    if !is_built_in_group(group) || !new.is_object() {
        return;
    }
    keep_metadata(new, old, &["generation", "deletionTimestamp", "deletionGracePeriodSeconds"]);
    if has_status(group, kind) {
        keep(new, old, "status");
    }
    match (group, kind) {
        ("", "Namespace") => {
            if let Some(spec) = structure(new, "spec") {
                keep_field(spec, old.get("spec"), "finalizers");
            }
        }
        ("", "Secret") => fold_string_data(new),
        ("certificates.k8s.io", "CertificateSigningRequest") => keep(new, old, "spec"),
        ("", "Service") => {
            service::prepare_for_update(new, old);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => add_stored_version(new),
        ("apps", "DaemonSet") => number_template(new, Some(old)),
        _ => {}
    }
    if counts_generations(group, kind) && changed(group, kind, new, old) {
        count_up(new, old);
    }
}

/// Prepares an update through the `status` subresource of a built-in kind: everything but `status`
/// and `managedFields` stays as it was, except labels and annotations of the kinds whose real
/// strategy lets them pass.
pub fn prepare_for_status_update(group: &str, kind: &str, new: &mut Value, old: &Value) {
    if !is_built_in_group(group) || !new.is_object() {
        return;
    }
    let names: Vec<String> = [&*new, old]
        .iter()
        .filter_map(|object| object.as_object())
        .flat_map(|fields| fields.keys().cloned())
        .filter(|name| !matches!(name.as_str(), "status" | "metadata" | "apiVersion" | "kind"))
        .collect();
    for name in names {
        keep(new, old, &name);
    }
    keep_metadata(
        new,
        old,
        &["generation", "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences"],
    );
    match (group, kind) {
        ("apps", "Deployment") => keep_metadata(new, old, &["labels"]),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            keep_metadata(new, old, &["labels", "annotations", "finalizers"]);
        }
        _ => {}
    }
}

/// Prepares a new custom resource. `has_status` tells whether its version has the `status`
/// subresource.
pub fn prepare_custom_for_create(object: &mut Value, has_status: bool) {
    clear_deletion(object);
    if has_status {
        remove(object, "status");
    }
    if let Some(metadata) = structure(object, "metadata") {
        set(metadata, "generation", 1);
    }
}

/// Prepares an update of a custom resource through the main resource: with the `status` subresource
/// `status` stays; any change outside `metadata` (and `status`) counts the generation up.
pub fn prepare_custom_for_update(new: &mut Value, old: &Value, has_status: bool) {
    keep_metadata(new, old, &["generation", "deletionTimestamp", "deletionGracePeriodSeconds"]);
    if has_status {
        keep(new, old, "status");
    }
    let counted = |name: &str| name != "metadata" && !(has_status && name == "status");
    let differs = |one: &Value, other: &Value| {
        one.as_object().is_some_and(|fields| {
            fields.iter().any(|(name, value)| counted(name) && other.get(name) != Some(value))
        })
    };
    if differs(new, old) || differs(old, new) {
        count_up(new, old);
    }
}

/// Prepares an update of a custom resource through its `status` subresource: all but `status` and
/// `managedFields` stays.
pub fn prepare_custom_for_status_update(new: &mut Value, old: &Value) {
    let status = new.get("status").cloned();
    let managed = at(new, "metadata.managedFields").cloned();
    *new = old.clone();
    match status {
        Some(status) => set(new, "status", status),
        None => remove(new, "status"),
    }
    if let Some(metadata) = structure(new, "metadata") {
        match managed {
            Some(managed) => set(metadata, "managedFields", managed),
            None => remove(metadata, "managedFields"),
        }
    }
}

/// What an update of a Pod through `ephemeralcontainers` cannot change: everything else.
pub fn keep_all_but_ephemeral_containers(object: &mut Value, before: &Value) {
    let asked = std::mem::replace(object, before.clone());
    take_bookkeeping(object, &asked);
    if let Some(spec) = structure(object, "spec") {
        match at(&asked, "spec.ephemeralContainers").filter(|added| !added.is_null()) {
            Some(added) => set(spec, "ephemeralContainers", added.clone()),
            None => remove(spec, "ephemeralContainers"),
        }
    }
}

/// What an update of a Pod through `resize` cannot change: everything but the resources of its containers.
pub fn keep_all_but_container_resources(object: &mut Value, before: &Value) {
    let asked = std::mem::replace(object, before.clone());
    take_bookkeeping(object, &asked);
    for list in ["spec.containers", "spec.initContainers"] {
        let asked = items(&asked, list);
        for container in items_mut(object, list) {
            let same_name = |other: &&Value| text(other, "name") == text(container, "name");
            let Some(resources) = asked.iter().find(same_name).map(|other| other.get("resources")) else {
                continue;
            };
            match resources {
                Some(resources) => set(container, "resources", resources.clone()),
                None => remove(container, "resources"),
            }
        }
    }
}

/// What an update of a CertificateSigningRequest through `approval` cannot change: everything but the conditions.
pub fn keep_all_but_conditions(object: &mut Value, before: &Value) {
    let asked = std::mem::replace(object, before.clone());
    take_bookkeeping(object, &asked);
    let conditions = at(&asked, "status.conditions").cloned();
    if let Some(status) = structure(object, "status") {
        match conditions {
            Some(conditions) => set(status, "conditions", conditions),
            None => remove(status, "conditions"),
        }
    }
}

/// Whose fields they are is settled by what has changed, and which revision is replaced is the client's to say.
fn take_bookkeeping(object: &mut Value, asked: &Value) {
    let Some(metadata) = structure(object, "metadata") else { return };
    for field in ["managedFields", "resourceVersion"] {
        match asked.get("metadata").and_then(|m| m.get(field)).filter(|value| !value.is_null()) {
            Some(value) => set(metadata, field, value.clone()),
            None => remove(metadata, field),
        }
    }
}

/// How long the deletion of a Pod waits, in seconds: what its spec says, or 30. `None` for kinds
/// that are deleted at once.
///
/// A Pod without a node has nothing that could end, nor has one that is over: 0.
pub fn graceful_deletion_seconds(group: &str, kind: &str, object: &Value) -> Option<i64> {
    if (group, kind) != ("", "Pod") {
        return None;
    }
    let over = matches!(text(object, "status.phase"), "Failed" | "Succeeded");
    if over || text(object, "spec.nodeName").is_empty() {
        return Some(0);
    }
    let seconds = integer(object, "spec.terminationGracePeriodSeconds").unwrap_or(30);
    // Negative periods were once accepted; they stand for the shortest.
    Some(if seconds < 0 { 1 } else { seconds })
}

/// Whether the API group belongs to Kubernetes itself, so that its kinds are not custom resources.
pub(crate) fn is_built_in_group(group: &str) -> bool {
    matches!(
        group,
        "" | "apps"
            | "autoscaling"
            | "batch"
            | "policy"
            | "admissionregistration.k8s.io"
            | "apiextensions.k8s.io"
            | "apiregistration.k8s.io"
            | "authentication.k8s.io"
            | "authorization.k8s.io"
            | "certificates.k8s.io"
            | "coordination.k8s.io"
            | "discovery.k8s.io"
            | "events.k8s.io"
            | "flowcontrol.apiserver.k8s.io"
            | "networking.k8s.io"
            | "node.k8s.io"
            | "rbac.authorization.k8s.io"
            | "resource.k8s.io"
            | "scheduling.k8s.io"
            | "storage.k8s.io"
    )
}

/// The kinds whose `metadata.generation` counts changes.
fn counts_generations(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("", "Pod" | "ReplicationController")
            | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("batch", "Job" | "CronJob")
            | ("networking.k8s.io", "Ingress" | "IngressClass" | "NetworkPolicy")
            | ("policy", "PodDisruptionBudget")
            | ("discovery.k8s.io", "EndpointSlice")
            | ("scheduling.k8s.io", "PriorityClass")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
    ) || group == "admissionregistration.k8s.io"
}

/// The kinds that keep `status` apart from the rest.
fn has_status(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        (
            "",
            "Pod"
                | "Service"
                | "Namespace"
                | "Node"
                | "ReplicationController"
                | "PersistentVolume"
                | "PersistentVolumeClaim"
                | "ResourceQuota"
        ) | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("batch", "Job" | "CronJob")
            | ("autoscaling", "HorizontalPodAutoscaler")
            | ("networking.k8s.io", "Ingress")
            | ("policy", "PodDisruptionBudget")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("apiregistration.k8s.io", "APIService")
            | ("certificates.k8s.io", "CertificateSigningRequest")
            | ("storage.k8s.io", "VolumeAttachment")
            | ("flowcontrol.apiserver.k8s.io", "FlowSchema" | "PriorityLevelConfiguration")
    )
}

/// The status of a new object, in the form in which the real server shows it: counters that Go
/// always writes are 0. `None` where a request may bring its own (Nodes) or there is none.
fn initial_status(group: &str, kind: &str, object: &Value) -> Option<Value> {
    if !has_status(group, kind) {
        return None;
    }
    Some(match (group, kind) {
        ("", "Node") => return None,
        ("", "Pod") => json!({"phase": "Pending", "qosClass": quality_of_service(object)}),
        ("", "Namespace") => json!({"phase": "Active"}),
        ("", "PersistentVolume" | "PersistentVolumeClaim") => json!({"phase": "Pending"}),
        ("", "Service") | ("networking.k8s.io", "Ingress") => json!({"loadBalancer": {}}),
        ("", "ReplicationController") | ("apps", "ReplicaSet") => json!({"replicas": 0}),
        ("apps", "StatefulSet") => json!({"replicas": 0, "availableReplicas": 0}),
        ("apps", "DaemonSet") => json!({
            "currentNumberScheduled": 0,
            "desiredNumberScheduled": 0,
            "numberMisscheduled": 0,
            "numberReady": 0,
        }),
        ("policy", "PodDisruptionBudget") => json!({
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "disruptionsAllowed": 0,
            "expectedPods": 0,
        }),
        ("autoscaling", "HorizontalPodAutoscaler") => json!({"desiredReplicas": 0}),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let stored: Vec<&str> = items(object, "spec.versions")
                .iter()
                .filter(|version| is_true(version, "storage"))
                .map(|version| text(version, "name"))
                .take(1)
                .collect();
            json!({
                "acceptedNames": object.pointer("/spec/names").cloned().unwrap_or_default(),
                "conditions": [],
                "storedVersions": stored,
            })
        }
        _ => json!({}),
    })
}

/// Counts a DaemonSet's templates where the first versions of the kind had a field for it: clients still find the number
/// there, and pods carry it.
fn number_template(new: &mut Value, old: Option<&Value>) {
    const NUMBER: &str = "deprecated.daemonset.template.generation";
    let number = |object: &Value| -> Option<i64> {
        let annotations = at(object, "metadata.annotations")?;
        annotations.get(NUMBER)?.as_str()?.parse().ok().filter(|number| *number > 0)
    };
    let next = match old {
        None => number(new).unwrap_or(1),
        Some(old) => {
            let differs = !same(at(new, "spec.template"), at(old, "spec.template"));
            number(old).unwrap_or(1).saturating_add(i64::from(differs))
        }
    };
    if let Some(annotations) =
        structure(new, "metadata").and_then(|metadata| structure(metadata, "annotations"))
    {
        set(annotations, NUMBER, next.to_string());
    }
}

/// Whether an update changed what the kind's generation counts.
fn changed(group: &str, kind: &str, new: &Value, old: &Value) -> bool {
    let differs = |path: &str| !same(at(new, path), at(old, path));
    match (group, kind) {
        // Annotations of a Deployment are copied to its ReplicaSets.
        ("apps", "Deployment") => differs("spec") || differs("metadata.annotations"),
        ("discovery.k8s.io", "EndpointSlice") => {
            ["addressType", "endpoints", "ports", "metadata.labels"].into_iter().any(differs)
        }
        ("scheduling.k8s.io", "PriorityClass") => false,
        ("admissionregistration.k8s.io", _) => differs("webhooks") || differs("spec"),
        _ => differs("spec"),
    }
}

/// A Pod's class, from the processor and memory amounts of the Pod as a whole, or of its containers.
pub(crate) fn quality_of_service(pod: &Value) -> &'static str {
    let mut requests: [Quantity; 2] = [Quantity::ZERO; 2];
    let mut limits: [Quantity; 2] = [Quantity::ZERO; 2];
    let mut guaranteed = true;
    let whole = at(pod, "spec.resources").filter(|all| count(all, "requests") + count(all, "limits") > 0);
    let containers = items(pod, "spec.containers").iter().chain(items(pod, "spec.initContainers"));
    let resources: Vec<Option<&Value>> = match whole {
        Some(whole) => vec![Some(whole)],
        None => containers.map(|container| container.get("resources")).collect(),
    };
    for resources in resources {
        for (index, resource) in ["cpu", "memory"].into_iter().enumerate() {
            let amount = |list: &str| {
                resources
                    .and_then(|resources| resources.get(list))
                    .and_then(|list| list.get(resource))
                    .and_then(|amount| Quantity::from_value(amount).ok())
                    .filter(|amount| amount.sign() > 0)
            };
            if let Some(request) = amount("requests") {
                requests[index] = requests[index].plus(&request);
            }
            match amount("limits") {
                Some(limit) => limits[index] = limits[index].plus(&limit),
                None => guaranteed = false,
            }
        }
    }
    if requests.iter().chain(&limits).all(Quantity::is_zero) {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn require_kubernetes_finalizer(namespace: &mut Value) {
    let Some(spec) = structure(namespace, "spec") else {
        return;
    };
    let mut finalizers = items(spec, "finalizers").to_vec();
    if !finalizers.iter().any(|one| one == "kubernetes") {
        finalizers.push(json!("kubernetes"));
    }
    set(spec, "finalizers", finalizers);
}

/// Labels and selector that tie pods to just this Job; the uid must be there already. A value that
/// the request brought stays, for validation to refuse if it is another Job's.
fn select_own_pods(job: &mut Value) {
    if is_true(job, "spec.manualSelector") {
        return;
    }
    let uid = text(job, "metadata.uid").to_owned();
    let name = text(job, "metadata.name").to_owned();
    let Some(spec) = structure(job, "spec") else {
        return;
    };
    if let Some(Value::Object(labels)) = structure(spec, "template")
        .and_then(|template| structure(template, "metadata"))
        .and_then(|metadata| structure(metadata, "labels"))
    {
        for (label, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            labels.entry(label).or_insert_with(|| json!(value));
        }
    }
    if let Some(Value::Object(labels)) =
        structure(spec, "selector").and_then(|selector| structure(selector, "matchLabels"))
    {
        labels.entry("batch.kubernetes.io/controller-uid").or_insert_with(|| json!(uid));
    }
}

/// A claim that names its source in one of two fields has it in both.
fn join_data_sources(spec: &mut Value) {
    let source = at(spec, "dataSource").cloned();
    let reference = at(spec, "dataSourceRef").cloned();
    match (source, reference) {
        (Some(source), None) => set(spec, "dataSourceRef", source),
        (None, Some(reference)) if text(&reference, "namespace").is_empty() => {
            set(spec, "dataSource", reference);
        }
        _ => {}
    }
}

/// A version that becomes the stored one is remembered as such.
fn add_stored_version(definition: &mut Value) {
    let stored = items(definition, "spec.versions")
        .iter()
        .find(|version| is_true(version, "storage"))
        .map(|version| text(version, "name").to_owned());
    if let Some(stored) = stored
        && let Some(status) = structure(definition, "status")
    {
        let mut versions = items(status, "storedVersions").to_vec();
        if !versions.iter().any(|version| *version == stored) {
            versions.push(json!(stored));
            set(status, "storedVersions", versions);
        }
    }
}

fn clear_deletion(object: &mut Value) {
    if let Some(metadata) = at_mut(object, "metadata") {
        for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            remove(metadata, name);
        }
    }
}

fn count_up(new: &mut Value, old: &Value) {
    let next = integer(old, "metadata.generation").unwrap_or(0).saturating_add(1);
    if let Some(metadata) = structure(new, "metadata") {
        set(metadata, "generation", next);
    }
}

/// Gives the top-level field the value it had.
fn keep(new: &mut Value, old: &Value, name: &str) {
    keep_field(new, Some(old), name);
}

fn keep_metadata(new: &mut Value, old: &Value, names: &[&str]) {
    let old = old.get("metadata");
    if let Some(metadata) = structure(new, "metadata") {
        for name in names {
            keep_field(metadata, old, name);
        }
    }
}

fn keep_field(new: &mut Value, old: Option<&Value>, name: &str) {
    match old.and_then(|old| old.get(name)) {
        Some(value) => set(new, name, value.clone()),
        None => remove(new, name),
    }
}

#[cfg(test)]
mod tests;

//! Server-side printing: the columns and cells of `kubectl get`, and the `meta.k8s.io/v1 Table` around them.
//!
//! Columns are those of Kubernetes 1.37; like there, a table always has the columns of `-o wide` as well and the
//! client leaves them out by their priority. Kinds that Kubernetes gives no printer show NAME and CREATED AT.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::fields::text;
use crate::resources::Resource;

mod access;
mod cluster;
pub mod custom;
mod format;
mod jsonpath;
mod networking;
mod pods;
mod storage;
mod workloads;

pub use custom::{CustomColumn, custom_columns};
pub use format::human_duration;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, in words (`Up-to-date`); kubectl prints it in capitals.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date` (the definition's `type`).
    pub kind: String,
    /// `name` for the object's name, else empty or a format of the type.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i32,
}

/// What a row carries of its object (`?includeObject=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// How a kind is printed.
struct Printer {
    columns: &'static [Spec],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

/// A column of a built-in kind.
#[derive(Clone, Copy)]
struct Spec {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    description: &'static str,
    priority: i32,
}

/// A column that is always shown.
const fn spec(name: &'static str, kind: &'static str, description: &'static str) -> Spec {
    Spec { name, kind, format: "", description, priority: 0 }
}

/// A column of `-o wide`.
const fn wide(name: &'static str, kind: &'static str, description: &'static str) -> Spec {
    Spec { priority: 1, ..spec(name, kind, description) }
}

const NAME: Spec = Spec { format: "name", ..spec("Name", "string", "The object's name") };
const AGE: Spec = spec("Age", "string", "Time since the object was created");

/// What Kubernetes prints for kinds without columns of their own.
static CREATED_AT: Printer = Printer {
    columns: &[NAME, spec("Created At", "date", "When the object was created")],
    cells: |object, _now| {
        let created = match text(object, "metadata.creationTimestamp") {
            "" => Value::Null,
            time => time.into(),
        };
        vec![format::name(object), created]
    },
};

/// Kinds whose printer has nothing to add.
static NAME_AND_AGE: Printer = Printer {
    columns: &[NAME, AGE],
    cells: |object, now| vec![format::name(object), format::age(object, now)],
};

fn printer(resource: &Resource) -> &'static Printer {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => &pods::POD,
        ("", "PodTemplate") => &pods::POD_TEMPLATE,
        ("", "ReplicationController") => &workloads::REPLICATION_CONTROLLER,
        ("", "Service") => &networking::SERVICE,
        ("", "Endpoints") => &networking::ENDPOINTS,
        ("", "Node") => &cluster::NODE,
        ("", "Namespace") => &cluster::NAMESPACE,
        ("", "ConfigMap") => &cluster::CONFIG_MAP,
        ("", "Secret") => &cluster::SECRET,
        ("", "Event") | ("events.k8s.io", "Event") => &cluster::EVENT,
        ("", "ResourceQuota") => &cluster::RESOURCE_QUOTA,
        ("", "PersistentVolume") => &storage::PERSISTENT_VOLUME,
        ("", "PersistentVolumeClaim") => &storage::PERSISTENT_VOLUME_CLAIM,
        ("apps", "Deployment") => &workloads::DEPLOYMENT,
        ("apps", "ReplicaSet") => &workloads::REPLICA_SET,
        ("apps", "StatefulSet") => &workloads::STATEFUL_SET,
        ("apps", "DaemonSet") => &workloads::DAEMON_SET,
        ("apps", "ControllerRevision") => &workloads::CONTROLLER_REVISION,
        ("batch", "Job") => &workloads::JOB,
        ("batch", "CronJob") => &workloads::CRON_JOB,
        ("policy", "PodDisruptionBudget") => &workloads::POD_DISRUPTION_BUDGET,
        ("autoscaling", "HorizontalPodAutoscaler") => &workloads::HORIZONTAL_POD_AUTOSCALER,
        ("autoscaling", "Scale") => &workloads::SCALE,
        ("networking.k8s.io", "Ingress") => &networking::INGRESS,
        ("networking.k8s.io", "IngressClass") => &networking::INGRESS_CLASS,
        ("networking.k8s.io", "NetworkPolicy") => &networking::NETWORK_POLICY,
        ("discovery.k8s.io", "EndpointSlice") => &networking::ENDPOINT_SLICE,
        ("coordination.k8s.io", "Lease") => &cluster::LEASE,
        ("scheduling.k8s.io", "PriorityClass") => &cluster::PRIORITY_CLASS,
        ("node.k8s.io", "RuntimeClass") => &cluster::RUNTIME_CLASS,
        ("storage.k8s.io", "StorageClass") => &storage::STORAGE_CLASS,
        ("storage.k8s.io", "VolumeAttachment") => &storage::VOLUME_ATTACHMENT,
        ("storage.k8s.io", "CSINode") => &storage::CSI_NODE,
        ("storage.k8s.io", "CSIDriver") => &storage::CSI_DRIVER,
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => &access::ROLE_BINDING,
        ("certificates.k8s.io", "CertificateSigningRequest") => &access::CERTIFICATE_SIGNING_REQUEST,
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => &access::WEBHOOK_CONFIGURATION,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => &access::VALIDATING_ADMISSION_POLICY,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            &access::VALIDATING_ADMISSION_POLICY_BINDING
        }
        ("", "LimitRange")
        | ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => &CREATED_AT,
        _ => &NAME_AND_AGE,
    }
}

/// The columns of a built-in resource; of any other NAME and AGE.
pub fn columns(resource: &Resource) -> Vec<Column> {
    let columns = printer(resource).columns.iter();
    columns
        .map(|spec| Column {
            name: spec.name.to_owned(),
            kind: spec.kind.to_owned(),
            format: spec.format.to_owned(),
            description: spec.description.to_owned(),
            priority: spec.priority,
        })
        .collect()
}

/// The cells of an object, one for each of [`columns`]. `now` is what ages are counted to.
pub fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    (printer(resource).cells)(object, now)
}

/// A `meta.k8s.io/v1 Table` of objects.
///
/// `custom` are the columns of a custom resource ([`custom_columns`]), `None` prints as a built-in kind.
/// `list_metadata` is the list's metadata (`resourceVersion`, `continue`, `remainingItemCount`), for a single object
/// its `resourceVersion` alone. In a watch only the first table needs its `columnDefinitions`; the caller may empty
/// those of the others.
pub fn table<'a>(
    resource: &Resource,
    custom: Option<&[CustomColumn]>,
    objects: impl IntoIterator<Item = &'a Value>,
    now: Timestamp,
    include: IncludeObject,
    list_metadata: Map<String, Value>,
) -> Value {
    let columns = match custom {
        Some(columns) => columns.iter().map(|c| c.column.clone()).collect(),
        None => columns(resource),
    };
    let definitions: Vec<Value> = columns
        .iter()
        .map(|c| {
            json!({
                "name": c.name, "type": c.kind, "format": c.format,
                "description": c.description, "priority": c.priority,
            })
        })
        .collect();
    let rows: Vec<Value> =
        objects.into_iter().map(|object| row(resource, custom, object, now, include)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn row(
    resource: &Resource,
    custom: Option<&[CustomColumn]>,
    object: &Value,
    now: Timestamp,
    include: IncludeObject,
) -> Value {
    let cells = match custom {
        Some(columns) => custom::cells(columns, object, now),
        None => cells(resource, object, now),
    };
    let mut row = json!({"cells": cells});
    if resource.group.is_empty()
        && resource.kind == "Pod"
        && let Some(conditions) = pods::row_conditions(object)
    {
        row["conditions"] = conditions;
    }
    row["object"] = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
        }),
        IncludeObject::Object => object.clone(),
    };
    row
}

#[cfg(test)]
mod tests;

//! What the real server rejects, with the same reasons, field paths and texts.
//!
//! The checks expect objects after [`crate::defaults::default_object`] and the functions of
//! [`crate::strategy`]. `metadata` is checked apart, by [`validate_metadata`] and
//! [`validate_metadata_update`], since every kind has it. Values of a wrong type count as absent:
//! the decoder refuses them with a better message. Where the real server appends a Go diff of two
//! structures to a sentence, only the sentence is told here.

mod admission;
mod autoscaling;
mod batch;
mod certificates;
mod config;
mod containers;
mod cron;
mod definitions;
mod drivers;
mod endpoints;
mod environment;
mod events;
mod job_policies;
mod labels;
mod metadata;
mod networking;
mod node;
mod operating_system;
mod pod;
mod pod_resources;
mod pod_update;
mod policy;
mod probes;
mod quotas;
mod rbac;
mod resources;
mod scheduling;
mod schema;
mod security;
mod service;
pub mod service_network;
mod status;
mod storage;
mod volumes;
mod windows;
mod workloads;

pub(crate) use seaway_schema::names as formats;
use serde_json::Value;

use crate::field_error::{FieldError, Path};
use crate::fields::{at, integer, same};

pub use metadata::{validate_metadata, validate_metadata_update};

/// The rule that the names of a kind follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// A DNS subdomain (RFC 1123), at most 253 bytes: most kinds.
    Subdomain,
    /// A DNS label (RFC 1123), at most 63 bytes.
    Label,
    /// A DNS label (RFC 1035): as above, and it begins with a letter.
    Label1035,
    /// Anything that can stand alone in a URL path: RBAC kinds.
    PathSegment,
    /// Anything: certificate signing requests.
    Any,
}

/// The rule for the names of a kind. Custom resources have subdomains.
pub fn name_rule(group: &str, kind: &str) -> NameRule {
    match (group, kind) {
        ("", "Namespace") | ("apps", "StatefulSet") => NameRule::Label,
        ("", "Service") => NameRule::Label1035,
        ("rbac.authorization.k8s.io", _) => NameRule::PathSegment,
        ("certificates.k8s.io", "CertificateSigningRequest") => NameRule::Any,
        _ => NameRule::Subdomain,
    }
}

/// Checks everything but `metadata` of a new object of a built-in kind. Kinds without rules, and
/// custom resources, have no errors.
pub fn validate_create(group: &str, kind: &str, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if (group, kind) == ("", "Service") {
        errors = service_network::validate(object, None);
        if !errors.is_empty() {
            return errors;
        }
    }
    validate(&mut errors, group, kind, object);
    match (group, kind) {
        ("", "Pod") => pod::validate_create_only(&mut errors, object),
        ("", "Namespace") => config::validate_pod_security(&mut errors, object, None),
        ("", "Node") => node::validate_node(&mut errors, object),
        ("batch", "CronJob") => {
            batch::validate_time_zone(&mut errors, object, None);
            batch::validate_cron_job_name(&mut errors, object);
        }
        ("batch", "Job") => {
            batch::validate_generated_selector(&mut errors, object);
            job_policies::validate_indexed_name(&mut errors, object);
        }
        ("events.k8s.io", "Event") => events::validate_strict(&mut errors, object),
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            certificates::validate_request(&mut errors, object, None);
        }
        ("storage.k8s.io", "VolumeAttachment") => drivers::validate_attachment_create(&mut errors, object),
        (ADMISSION, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            admission::validate_webhooks(&mut errors, object, None);
        }
        (ADMISSION, "ValidatingAdmissionPolicy") => {
            admission::validate_policy(&mut errors, object, None);
        }
        ("networking.k8s.io", "Ingress") => {
            networking::validate_ingress_class_choice(&mut errors, object);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            definitions::validate_costs(&mut errors, object, None);
        }
        _ => {}
    }
    errors
}

/// Checks everything but `metadata` of an update of a built-in kind: the new object, and what it
/// may not change.
pub fn validate_update(group: &str, kind: &str, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    // In the real server's order: what may not change comes first for some kinds.
    match (group, kind) {
        ("", "Service") => {
            service::validate_update(&mut errors, new, old);
            if errors.is_empty() {
                errors = service_network::validate(new, Some(old));
            }
            if !errors.is_empty() {
                return errors;
            }
        }
        ("", "Secret") => config::validate_secret_update(&mut errors, new, old),
        ("", "ConfigMap") => config::validate_config_map_update(&mut errors, new, old),
        _ => {}
    }
    validate(&mut errors, group, kind, new);
    match (group, kind) {
        ("", "Pod") => pod_update::validate_update(&mut errors, new, old),
        ("", "PersistentVolumeClaim") => storage::validate_claim_update(&mut errors, new, old),
        ("", "PersistentVolume") => storage::validate_volume_update(&mut errors, new, old),
        ("", "ResourceQuota") => quotas::validate_quota_update(&mut errors, new, old),
        ("", "Namespace") => config::validate_pod_security(&mut errors, new, Some(old)),
        ("", "Node") => node::validate_node_update(&mut errors, new, old),
        ("events.k8s.io", "Event") => events::validate_strict_update(&mut errors, new, old),
        ("apps", "ControllerRevision") => immutable(&mut errors, new, old, "data"),
        ("batch", "CronJob") => batch::validate_time_zone(&mut errors, new, Some(old)),
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            certificates::validate_update(&mut errors, new, old, certificates::Part::Main);
        }
        ("storage.k8s.io", "CSIDriver") => drivers::validate_driver_update(&mut errors, new, old),
        ("storage.k8s.io", "CSINode") => drivers::validate_csi_node_update(&mut errors, new, old),
        ("storage.k8s.io", "VolumeAttachment") => {
            drivers::validate_attachment_update(&mut errors, new, old);
        }
        ("node.k8s.io", "RuntimeClass") => node::validate_runtime_class_update(&mut errors, new, old),
        (ADMISSION, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            admission::validate_webhooks(&mut errors, new, Some(old));
        }
        (ADMISSION, "ValidatingAdmissionPolicy") => {
            admission::validate_policy(&mut errors, new, Some(old));
        }
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => {
            immutable(&mut errors, new, old, "spec.selector");
        }
        ("apps", "StatefulSet") => workloads::validate_stateful_set_update(&mut errors, new, old),
        ("batch", "Job") => batch::validate_job_update(&mut errors, new, old),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            rbac::validate_binding_update(&mut errors, new, old);
        }
        ("storage.k8s.io", "StorageClass") => storage::validate_class_update(&mut errors, new, old),
        ("scheduling.k8s.io", "PriorityClass") => {
            policy::validate_priority_class_update(&mut errors, new, old);
        }
        ("discovery.k8s.io", "EndpointSlice") => immutable(&mut errors, new, old, "addressType"),
        ("networking.k8s.io", "IngressClass") => {
            immutable(&mut errors, new, old, "spec.controller");
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            definitions::validate_definition_update(&mut errors, new, old);
            definitions::validate_costs(&mut errors, new, Some(old));
        }
        _ => {}
    }
    errors
}

/// Checks an update of a built-in kind through `status`: what the new status says. The rest of the object is as it
/// was, and what was accepted once stays so.
pub fn validate_status_update(group: &str, kind: &str, new: &Value, old: &Value) -> Vec<FieldError> {
    if group == "apiextensions.k8s.io" {
        return validate_update(group, kind, new, old);
    }
    let mut errors = Vec::new();
    status::validate(&mut errors, group, kind, new, old);
    errors
}

/// Checks an update of a CertificateSigningRequest through `approval`: its conditions.
pub fn validate_approval_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    certificates::validate_update(&mut errors, new, old, certificates::Part::Approval);
    errors
}

/// Checks an update of a Pod through `ephemeralcontainers`: they can be added, and nothing else.
pub fn validate_ephemeral_containers_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate(&mut errors, "", "Pod", new);
    pod_update::validate_ephemeral_containers(&mut errors, new, old);
    errors
}

/// Checks an update of a Pod through `resize` (KEP-1287): CPU and memory of containers, within the class of service.
pub fn validate_pod_resize(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate(&mut errors, "", "Pod", new);
    pod_update::validate_resize(&mut errors, new, old);
    errors
}

/// What holds for an object whether it is new or not.
fn validate(errors: &mut Vec<FieldError>, group: &str, kind: &str, object: &Value) {
    match (group, kind) {
        ("", "Pod") => pod::validate_pod(errors, object),
        ("", "PodTemplate") => pod::validate_template(errors, object, &Path::new("template")),
        ("", "Service") => service::validate_service(errors, object),
        ("", "Namespace") => config::validate_namespace(errors, object),
        ("", "ConfigMap") => config::validate_config_map(errors, object),
        ("", "Secret") => config::validate_secret(errors, object),
        ("", "Endpoints") => endpoints::validate_endpoints(errors, object),
        ("", "PersistentVolumeClaim") => {
            storage::validate_claim_spec(errors, object, &Path::new("spec"));
        }
        ("", "PersistentVolume") => storage::validate_volume(errors, object),
        ("", "ResourceQuota") => quotas::validate_quota(errors, object),
        ("", "LimitRange") => quotas::validate_limit_range(errors, object),
        ("", "ReplicationController") => {
            workloads::validate_replication_controller(errors, object);
        }
        ("apps", "Deployment") => workloads::validate_deployment(errors, object),
        ("apps", "ReplicaSet") => workloads::validate_replica_set(errors, object),
        ("apps", "StatefulSet") => workloads::validate_stateful_set(errors, object),
        ("apps", "DaemonSet") => workloads::validate_daemon_set(errors, object),
        ("apps", "ControllerRevision") => workloads::validate_revision(errors, object),
        ("batch", "Job") => batch::validate_job(errors, object),
        ("batch", "CronJob") => batch::validate_cron_job(errors, object),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            autoscaling::validate_autoscaler(errors, object);
        }
        ("networking.k8s.io", "Ingress") => networking::validate_ingress(errors, object),
        ("networking.k8s.io", "IngressClass") => networking::validate_ingress_class(errors, object),
        ("networking.k8s.io", "NetworkPolicy") => networking::validate_policy(errors, object),
        ("discovery.k8s.io", "EndpointSlice") => {
            endpoints::validate_endpoint_slice(errors, object);
        }
        ("" | "events.k8s.io", "Event") => events::validate_event(errors, object),
        ("node.k8s.io", "RuntimeClass") => node::validate_runtime_class(errors, object),
        ("storage.k8s.io", "CSIDriver") => drivers::validate_driver(errors, object),
        ("storage.k8s.io", "CSINode") => drivers::validate_csi_node(errors, object),
        ("storage.k8s.io", "VolumeAttachment") => drivers::validate_attachment(errors, object),
        (ADMISSION, "ValidatingAdmissionPolicyBinding") => {
            admission::validate_policy_binding(errors, object);
        }
        ("coordination.k8s.io", "Lease") => policy::validate_lease(errors, object),
        ("policy", "PodDisruptionBudget") => policy::validate_disruption_budget(errors, object),
        ("scheduling.k8s.io", "PriorityClass") => policy::validate_priority_class(errors, object),
        ("storage.k8s.io", "StorageClass") => storage::validate_class(errors, object),
        ("rbac.authorization.k8s.io", "Role") => rbac::validate_role(errors, object, true),
        ("rbac.authorization.k8s.io", "ClusterRole") => rbac::validate_role(errors, object, false),
        ("rbac.authorization.k8s.io", "RoleBinding") => rbac::validate_binding(errors, object, true),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => {
            rbac::validate_binding(errors, object, false);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            definitions::validate_definition(errors, object);
        }
        _ => {}
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const IMMUTABLE: &str = "field is immutable";
const NEGATIVE: &str = "must be greater than or equal to 0";

/// One `Invalid` for each text.
fn push_all(errors: &mut Vec<FieldError>, path: &Path, value: &str, texts: Vec<String>) {
    for text in texts {
        errors.push(FieldError::invalid(path, value, text));
    }
}

/// As [`push_all`], for numbers.
fn push_all_number(errors: &mut Vec<FieldError>, path: &Path, value: i64, texts: Vec<String>) {
    for text in texts {
        errors.push(FieldError::invalid(path, value, text));
    }
}

/// The number in the field `name` of `owner`, if there is one, must not be negative.
fn nonnegative(errors: &mut Vec<FieldError>, owner: &Value, name: &str, path: &Path) {
    if let Some(value) = integer(owner, name)
        && value < 0
    {
        errors.push(FieldError::invalid(&path.child(name), value, NEGATIVE));
    }
}

/// The field at `path`, from the top of the object, may not change.
fn immutable(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &str) {
    let value = at(new, path);
    if !same(value, at(old, path)) {
        let value = value.cloned().unwrap_or_default();
        errors.push(FieldError::invalid(&Path::new(path), value, IMMUTABLE));
    }
}

/// A text that must be there and one of `supported`.
fn one_of(errors: &mut Vec<FieldError>, path: &Path, value: &str, supported: &[&str]) {
    if value.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !supported.contains(&value) {
        errors.push(FieldError::not_supported(path, value, supported));
    }
}

#[cfg(test)]
mod tests;

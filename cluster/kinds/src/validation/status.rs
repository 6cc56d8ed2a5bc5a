//! What a `status` may say, whoever writes it: of the rest of the object only that it stays is asked, and that is so.

use serde_json::Value;

use super::formats::{dns_1123_subdomain, ip_address};
use super::{certificates, drivers, nonnegative, push_all};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, integer, items, text};

/// Checks an update through `status` of a built-in kind.
pub(super) fn validate(errors: &mut Vec<FieldError>, group: &str, kind: &str, new: &Value, old: &Value) {
    match (group, kind) {
        ("", "Pod") => validate_pod(errors, new, old),
        ("", "Namespace") => validate_namespace(errors, new),
        ("", "Service") | ("networking.k8s.io", "Ingress") => validate_load_balancer(errors, new),
        ("", "ReplicationController") | ("apps", "ReplicaSet") => {
            let numbers = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
            validate_replicas(errors, new, &numbers);
        }
        ("apps", "Deployment") => {
            let numbers = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
            validate_replicas(errors, new, &numbers);
            validate_numbers(errors, new, &["unavailableReplicas"]);
        }
        ("apps", "StatefulSet") => {
            let numbers =
                ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
            validate_replicas(errors, new, &numbers);
        }
        ("apps", "DaemonSet") => validate_numbers(
            errors,
            new,
            &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ],
        ),
        ("batch", "Job") => {
            validate_numbers(errors, new, &["active", "succeeded", "failed", "ready", "terminating"]);
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            validate_numbers(errors, new, &["currentReplicas", "desiredReplicas"]);
        }
        ("policy", "PodDisruptionBudget") => validate_numbers(
            errors,
            new,
            &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
        ),
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            certificates::validate_update(errors, new, old, certificates::Part::Status);
        }
        ("storage.k8s.io", "VolumeAttachment") => drivers::validate_attachment_status(errors, new),
        _ => {}
    }
}

fn validate_numbers(errors: &mut Vec<FieldError>, object: &Value, numbers: &[&str]) {
    let empty = Value::Null;
    let status = object.get("status").unwrap_or(&empty);
    for number in numbers {
        nonnegative(errors, status, number, &Path::new("status"));
    }
}

/// Numbers of pods, none of them above `replicas`, the first; those available are ready.
fn validate_replicas(errors: &mut Vec<FieldError>, object: &Value, numbers: &[&str]) {
    validate_numbers(errors, object, numbers);
    validate_numbers(errors, object, &["observedGeneration", "collisionCount"]);
    let number = |name: &str| integer(object, &format!("status.{name}")).unwrap_or(0);
    let mut above = |name: &str, most: &str, shown: &str| {
        if number(name) > number(most) {
            errors.push(FieldError::invalid(
                &Path::new("status").child(name),
                number(name),
                format!("cannot be greater than {shown}"),
            ));
        }
    };
    for name in numbers.iter().skip(1) {
        above(name, "replicas", "status.replicas");
    }
    above("availableReplicas", "readyReplicas", "readyReplicas");
}

fn validate_pod(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let path = Path::new("status");
    let nominated = text(new, "status.nominatedNodeName");
    if !nominated.is_empty() && nominated != text(old, "status.nominatedNodeName") {
        push_all(errors, &path.child("nominatedNodeName"), nominated, dns_1123_subdomain(nominated));
    }
    for list in ["podIPs", "hostIPs"] {
        for (index, address) in items(new, &format!("status.{list}")).iter().enumerate() {
            let address = text(address, "ip");
            push_all(errors, &path.child(list).index(index), address, ip_address(address));
        }
    }
}

fn validate_namespace(errors: &mut Vec<FieldError>, namespace: &Value) {
    let phase = text(namespace, "status.phase");
    let (expected, when) = match at(namespace, "metadata.deletionTimestamp") {
        None => ("Active", "empty"),
        Some(_) => ("Terminating", "not empty"),
    };
    if phase != expected {
        // The real server's path.
        errors.push(FieldError::invalid(
            &Path::new("status.Phase"),
            phase,
            format!("may only be '{expected}' if `deletionTimestamp` is {when}"),
        ));
    }
}

fn validate_load_balancer(errors: &mut Vec<FieldError>, object: &Value) {
    for (index, ingress) in items(object, "status.loadBalancer.ingress").iter().enumerate() {
        let path = Path::new("status.loadBalancer.ingress").index(index);
        let address = text(ingress, "ip");
        if !address.is_empty() {
            push_all(errors, &path.child("ip"), address, ip_address(address));
        }
        let name = text(ingress, "hostname");
        if !name.is_empty() {
            push_all(errors, &path.child("hostname"), name, dns_1123_subdomain(name));
            if ip_address(name).is_empty() {
                errors.push(FieldError::invalid(
                    &path.child("hostname"),
                    name,
                    "must be a DNS name, not an IP address",
                ));
            }
        }
    }
}

//! Containers of a Pod: regular, init and ephemeral.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1123_label, port_name, port_number};
use super::{environment, one_of, probes, push_all, push_all_number, resources, security, volumes};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, integer, is_true, items, text};

/// The protocols of a port, in the order in which errors list them.
pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// Checks the three lists of containers of a pod spec.
pub(super) fn validate_all(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let regular = items(spec, "containers");
    let regular_path = path.child("containers");
    if regular.is_empty() {
        errors.push(FieldError::required(&regular_path, ""));
    }
    let mut names = BTreeSet::new();
    for (index, container) in regular.iter().enumerate() {
        let path = regular_path.index(index);
        let name = validate_name(errors, container, &path);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        validate_container(errors, container, spec, &path);
        validate_probes(errors, container, spec, &path);
    }
    validate_host_ports(errors, regular, &regular_path);
    let init_path = path.child("initContainers");
    for (index, container) in items(spec, "initContainers").iter().enumerate() {
        let path = init_path.index(index);
        let name = validate_name(errors, container, &path);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        validate_container(errors, container, spec, &path);
        validate_init_container(errors, container, spec, &path);
        validate_host_ports(errors, std::slice::from_ref(container), &init_path);
    }
    let ephemeral_path = path.child("ephemeralContainers");
    for (index, container) in items(spec, "ephemeralContainers").iter().enumerate() {
        let path = ephemeral_path.index(index);
        let name = validate_name(errors, container, &path);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        validate_container(errors, container, spec, &path);
        validate_ephemeral_container(errors, container, spec, &path);
    }
    validate_host_network(errors, spec, &regular_path);
}

fn validate_name<'a>(errors: &mut Vec<FieldError>, container: &'a Value, path: &Path) -> &'a str {
    let name = text(container, "name");
    let path = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else {
        push_all(errors, &path, name, dns_1123_label(name));
    }
    name
}

/// What holds for every container.
fn validate_container(errors: &mut Vec<FieldError>, container: &Value, spec: &Value, path: &Path) {
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(&path.child("image"), ""));
    }
    let message_policy = text(container, "terminationMessagePolicy");
    if !matches!(message_policy, "File" | "FallbackToLogsOnError") {
        let path = path.child("terminationMessagePolicy");
        const EXPECTED: &str = "must be 'File' or 'FallbackToLogsOnError'";
        errors.push(if message_policy.is_empty() {
            FieldError::required(&path, EXPECTED)
        } else {
            FieldError::invalid(&path, message_policy, EXPECTED)
        });
    }
    validate_ports(errors, container, &path.child("ports"));
    environment::validate_environment(errors, container, path);
    volumes::validate_mounts(errors, container, spec, &path.child("volumeMounts"));
    volumes::validate_devices(errors, container, spec, &path.child("volumeDevices"));
    one_of(
        errors,
        &path.child("imagePullPolicy"),
        text(container, "imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
    );
    resources::validate_requirements(
        errors,
        container,
        &path.child("resources"),
        resources::validate_container_name,
    );
    validate_resize_policy(errors, container, spec, &path.child("resizePolicy"));
    security::validate_container_context(errors, container, &path.child("securityContext"));
}

/// What becomes of a container whose resources change (KEP-1287).
fn validate_resize_policy(errors: &mut Vec<FieldError>, container: &Value, spec: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, policy) in items(container, "resizePolicy").iter().enumerate() {
        let (resource, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(index), resource));
        }
        one_of(errors, path, resource, &["cpu", "memory"]);
        one_of(errors, path, restart, &["NotRequired", "RestartContainer"]);
        if text(spec, "restartPolicy") == "Never" && restart != "NotRequired" {
            errors.push(FieldError::invalid(
                path,
                restart,
                "must be 'NotRequired' when `restartPolicy` is 'Never'",
            ));
        }
    }
}

fn validate_probes(errors: &mut Vec<FieldError>, container: &Value, spec: &Value, path: &Path) {
    let grace = integer(spec, "terminationGracePeriodSeconds");
    probes::validate_lifecycle(errors, container, grace, &path.child("lifecycle"));
    for (field, once) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
        if let Some(probe) = at(container, field) {
            probes::validate_probe(errors, probe, &path.child(field), once);
        }
    }
}

/// An init container runs once, unless it restarts always (a sidecar); then it may have hooks and
/// probes.
fn validate_init_container(errors: &mut Vec<FieldError>, container: &Value, spec: &Value, path: &Path) {
    let policy = text(container, "restartPolicy");
    if policy == "Always" {
        validate_probes(errors, container, spec, path);
        return;
    }
    if !policy.is_empty() {
        errors.push(FieldError::not_supported(&path.child("restartPolicy"), policy, &["Always"]));
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if at(container, field).is_some() {
            errors.push(FieldError::forbidden(
                &path.child(field),
                "may not be set for init containers without restartPolicy=Always",
            ));
        }
    }
}

fn validate_ephemeral_container(errors: &mut Vec<FieldError>, container: &Value, spec: &Value, path: &Path) {
    let target = text(container, "targetContainerName");
    let known = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| items(spec, list))
        .any(|container| text(container, "name") == target);
    if !target.is_empty() && !known {
        errors.push(FieldError::not_found(&path.child("targetContainerName"), target));
    }
    for field in ["lifecycle", "livenessProbe", "ports", "readinessProbe", "resources", "startupProbe"] {
        let given = match at(container, field) {
            Some(Value::Object(entries)) if field == "resources" => !entries.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            other => other.is_some(),
        };
        if given {
            errors
                .push(FieldError::forbidden(&path.child(field), "cannot be set for an Ephemeral Container"));
        }
    }
    for (index, mount) in items(container, "volumeMounts").iter().enumerate() {
        for field in ["subPath", "subPathExpr"] {
            if !text(mount, field).is_empty() {
                errors.push(FieldError::forbidden(
                    &path.child("volumeMounts").index(index).child(field),
                    "cannot be set for an Ephemeral Container",
                ));
            }
        }
    }
}

fn validate_ports(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let mut names = BTreeSet::new();
    for (index, port) in items(container, "ports").iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = port_name(name);
            if !wrong.is_empty() {
                push_all(errors, &path.child("name"), name, wrong);
            } else if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        match integer(port, "containerPort").unwrap_or(0) {
            0 => errors.push(FieldError::required(&path.child("containerPort"), "")),
            number => push_all_number(errors, &path.child("containerPort"), number, port_number(number)),
        }
        match integer(port, "hostPort").unwrap_or(0) {
            0 => {}
            number => {
                push_all_number(errors, &path.child("hostPort"), number, port_number(number));
            }
        }
        one_of(errors, &path.child("protocol"), text(port, "protocol"), &PROTOCOLS);
    }
}

/// Ports of the host are there once.
fn validate_host_ports(errors: &mut Vec<FieldError>, containers: &[Value], path: &Path) {
    let mut seen = BTreeSet::new();
    for (container_index, container) in containers.iter().enumerate() {
        for (index, port) in items(container, "ports").iter().enumerate() {
            let Some(host_port) = integer(port, "hostPort").filter(|number| *number != 0) else {
                continue;
            };
            let key = format!("{}/{}/{host_port}", text(port, "protocol"), text(port, "hostIP"));
            if !seen.insert(key.clone()) {
                let path = path.index(container_index).child("ports").index(index);
                errors.push(FieldError::duplicate(&path.child("hostPort"), key));
            }
        }
    }
}

/// With the host's network the ports of a container are the host's. (A template may leave that open.)
fn validate_host_network(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if !is_true(spec, "hostNetwork") {
        return;
    }
    for (container_index, container) in items(spec, "containers").iter().enumerate() {
        for (index, port) in items(container, "ports").iter().enumerate() {
            let host_port = integer(port, "hostPort").unwrap_or(0);
            if host_port != 0 && integer(port, "containerPort") != Some(host_port) {
                errors.push(FieldError::invalid(
                    &path.index(container_index).child("ports").index(index).child("hostPort"),
                    host_port,
                    "must match `containerPort` when `hostNetwork` is true",
                ));
            }
        }
    }
}

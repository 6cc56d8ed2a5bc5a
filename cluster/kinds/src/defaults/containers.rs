//! Containers: pull policy, ports, probes, environment.

use serde_json::Value;

use super::{canonical_quantities, canonical_quantity, omit_zero};
use crate::fields::{at_mut, fill, fill_absent, items_mut, structure, text};

pub(super) fn default_container(container: &mut Value) {
    let policy = pull_policy(text(container, "image"));
    fill(container, "imagePullPolicy", policy);
    fill(container, "terminationMessagePath", "/dev/termination-log");
    fill(container, "terminationMessagePolicy", "File");
    omit_zero(container, &["stdin", "stdinOnce", "tty", "workingDir"]);
    for port in items_mut(container, "ports") {
        fill(port, "protocol", "TCP");
        omit_zero(port, &["hostPort", "hostIP", "name"]);
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = at_mut(container, probe) {
            default_probe(probe);
        }
    }
    for hook in ["lifecycle.postStart", "lifecycle.preStop"] {
        if let Some(handler) = at_mut(container, hook) {
            default_handler(handler);
        }
    }
    for variable in items_mut(container, "env") {
        omit_zero(variable, &["value"]);
        if let Some(reference) = at_mut(variable, "valueFrom.fieldRef") {
            fill(reference, "apiVersion", "v1");
        }
        if let Some(reference) = at_mut(variable, "valueFrom.resourceFieldRef") {
            default_resource_field(reference);
        }
    }
    for mount in items_mut(container, "volumeMounts") {
        omit_zero(mount, &["readOnly", "subPath", "subPathExpr"]);
    }
    if let Some(resources) = structure(container, "resources") {
        default_resources(resources);
    }
}

/// Canonical amounts.
pub(super) fn default_resources(resources: &mut Value) {
    for list in ["limits", "requests"] {
        if let Some(list) = at_mut(resources, list) {
            canonical_quantities(list);
        }
    }
}

/// The divisor of a reference to a container's resource: zero stands for "the unit of the resource".
pub(super) fn default_resource_field(reference: &mut Value) {
    fill_absent(reference, "divisor", "0");
    canonical_quantity(reference, "divisor");
}

fn default_probe(probe: &mut Value) {
    fill(probe, "timeoutSeconds", 1);
    fill(probe, "periodSeconds", 10);
    fill(probe, "successThreshold", 1);
    fill(probe, "failureThreshold", 3);
    omit_zero(probe, &["initialDelaySeconds"]);
    default_handler(probe);
    if let Some(grpc) = at_mut(probe, "grpc") {
        fill_absent(grpc, "service", "");
    }
}

fn default_handler(handler: &mut Value) {
    if let Some(get) = at_mut(handler, "httpGet") {
        fill(get, "path", "/");
        fill(get, "scheme", "HTTP");
        omit_zero(get, &["host"]);
    }
    if let Some(socket) = at_mut(handler, "tcpSocket") {
        omit_zero(socket, &["host"]);
    }
}

/// `Always` for the tag `latest`, which also stands for no tag at all; a digest needs no second look.
pub(super) fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map(|(_, tag)| tag);
    match tag {
        Some("latest") => "Always",
        None if !digest && !image.is_empty() => "Always",
        _ => "IfNotPresent",
    }
}

//! Pods and pod templates.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1123_label, dns_1123_subdomain, in_range, ip_address, qualified_name};
use super::labels::validate_labels;
use super::{
    containers, one_of, operating_system, pod_resources, push_all, push_all_number, resources, scheduling,
    security, volumes,
};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, text};

/// Checks a Pod, new or changed.
pub(super) fn validate_pod(errors: &mut Vec<FieldError>, pod: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = pod.get("spec").unwrap_or(&empty);
    validate_pod_annotations(errors, pod, spec);
    validate_spec(errors, spec, &path);
    if text(spec, "serviceAccountName").is_empty() {
        for (index, volume) in items(spec, "volumes").iter().enumerate() {
            let path = path.child("volumes").index(index).child("projected.sources");
            for (index, source) in items(volume, "projected.sources").iter().enumerate() {
                if at(source, "serviceAccountToken").is_some() {
                    errors.push(FieldError::forbidden(
                        &path.index(index).child("serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set",
                    ));
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in items(spec, list).iter().enumerate() {
            let image = text(container, "image");
            if image.trim() != image {
                errors.push(FieldError::invalid(
                    &path.child(list).index(index).child("image"),
                    image,
                    "must not have leading or trailing whitespace",
                ));
            }
        }
    }
}

/// Annotations of a Pod that mean something to Kubernetes.
fn validate_pod_annotations(errors: &mut Vec<FieldError>, pod: &Value, spec: &Value) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    let path = Path::new("metadata.annotations");
    let annotation = |name: &str| {
        at(pod, "metadata.annotations").and_then(|annotations| annotations.get(name)).and_then(Value::as_str)
    };
    if let Some(mirror) = annotation(MIRROR)
        && text(spec, "nodeName").is_empty()
    {
        errors.push(FieldError::invalid(
            &path.key(MIRROR),
            mirror,
            "must set spec.nodeName if mirror pod annotation is set",
        ));
    }
    if let Some(cost) = annotation(COST) {
        // As other programs write numbers: no plus sign, no leading zeros.
        let plain = cost.strip_prefix('-').unwrap_or(cost);
        let written = plain.starts_with(|c: char| matches!(c, '1'..='9')) || cost == "0";
        if !written || cost.parse::<i32>().is_err() {
            errors.push(FieldError::invalid(&path.key(COST), cost, "must be a 32bit integer"));
        }
    }
}

/// What only a new Pod may not have.
pub(super) fn validate_create_only(errors: &mut Vec<FieldError>, pod: &Value) {
    if count(pod, "spec.ephemeralContainers") > 0 {
        errors.push(FieldError::forbidden(&Path::new("spec.ephemeralContainers"), "cannot be set on create"));
    }
    let gates = count(pod, "spec.schedulingGates");
    if gates > 0 && !text(pod, "spec.nodeName").is_empty() {
        errors.push(FieldError::forbidden(
            &Path::new("spec.nodeName"),
            "cannot be set until all schedulingGates have been cleared",
        ));
    }
}

/// Checks the pod template in the field that `path` ends with: `owner.template`.
pub(super) fn validate_template(errors: &mut Vec<FieldError>, owner: &Value, path: &Path) {
    let empty = Value::Null;
    let template = owner.get("template").unwrap_or(&empty);
    let metadata = template.get("metadata").unwrap_or(&empty);
    validate_labels(errors, at(metadata, "labels"), &path.child("labels"));
    super::metadata::validate_annotations(errors, metadata, &path.child("annotations"));
    let spec = template.get("spec").unwrap_or(&empty);
    validate_spec(errors, spec, &path.child("spec"));
    if count(spec, "ephemeralContainers") > 0 {
        errors.push(FieldError::forbidden(
            &path.child("spec.ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        ));
    }
}

fn validate_spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    volumes::validate_volumes(errors, spec, &path.child("volumes"));
    pod_resources::validate_claims(errors, spec, path);
    containers::validate_all(errors, spec, path);
    pod_resources::validate_whole(errors, spec, path);
    one_of(
        errors,
        &path.child("restartPolicy"),
        text(spec, "restartPolicy"),
        &["Always", "OnFailure", "Never"],
    );
    one_of(
        errors,
        &path.child("dnsPolicy"),
        text(spec, "dnsPolicy"),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    for (key, value) in crate::fields::entries(spec, "nodeSelector") {
        let path = path.child("nodeSelector");
        push_all(errors, &path, key, qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        push_all(errors, &path.key(key), value, super::formats::label_value(value));
    }
    security::validate_pod_context(errors, spec, path);
    for (index, secret) in items(spec, "imagePullSecrets").iter().enumerate() {
        let only_name = secret.as_object().is_some_and(|fields| fields.keys().all(|name| name == "name"));
        if !only_name {
            errors.push(FieldError::invalid(
                &path.child("imagePullSecrets").index(index),
                secret.clone(),
                "only name may be set",
            ));
        }
    }
    scheduling::validate_affinity(errors, spec, &path.child("affinity"));
    validate_dns(errors, spec, &path.child("dnsConfig"));
    for (index, gate) in items(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        push_all(
            errors,
            &path.child("readinessGates").index(index).child("conditionType"),
            kind,
            qualified_name(kind),
        );
    }
    validate_scheduling_gates(errors, spec, &path.child("schedulingGates"));
    scheduling::validate_spread(errors, spec, &path.child("topologySpreadConstraints"));
    operating_system::validate_host_processes(errors, spec, path);
    operating_system::validate_users(errors, spec, path);
    for (field, check) in [
        ("serviceAccountName", dns_1123_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", dns_1123_subdomain),
    ] {
        let value = text(spec, field);
        if !value.is_empty() {
            push_all(errors, &path.child(field), value, check(value));
        }
    }
    if let Some(deadline) = integer(spec, "activeDeadlineSeconds") {
        push_all_number(
            errors,
            &path.child("activeDeadlineSeconds"),
            deadline,
            in_range(deadline, 1, i64::from(i32::MAX)),
        );
    }
    for field in ["hostname", "subdomain"] {
        let value = text(spec, field);
        if !value.is_empty() {
            push_all(errors, &path.child(field), value, dns_1123_label(value));
        }
    }
    scheduling::validate_tolerations(errors, spec, &path.child("tolerations"));
    for (index, alias) in items(spec, "hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        let address = text(alias, "ip");
        push_all(errors, &path.child("ip"), address, ip_address(address));
        for (index, name) in items(alias, "hostnames").iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            push_all(errors, &path.child("hostnames").index(index), name, dns_1123_subdomain(name));
        }
    }
    for field in ["priorityClassName", "runtimeClassName"] {
        let value = text(spec, field);
        if !value.is_empty() {
            push_all(errors, &path.child(field), value, dns_1123_subdomain(value));
        }
    }
    let preemption = text(spec, "preemptionPolicy");
    if !preemption.is_empty() {
        one_of(errors, &path.child("preemptionPolicy"), preemption, &["PreemptLowerPriority", "Never"]);
    }
    if at(spec, "overhead").is_some() {
        resources::validate_list(errors, spec.get("overhead"), &path.child("overhead"));
    }
    operating_system::validate_system(errors, spec, path);
}

fn validate_scheduling_gates(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, gate) in items(spec, "schedulingGates").iter().enumerate() {
        let path = path.index(index);
        let name = text(gate, "name");
        push_all(errors, &path, name, qualified_name(name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
    }
}

/// `dnsConfig`, which must be there with the policy `None`.
fn validate_dns(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const NAMESERVERS: usize = 3;
    const SEARCHES: usize = 32;
    const SEARCH_BYTES: usize = 2048;
    let empty = Value::Null;
    let config = at(spec, "dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        if config.is_none() {
            errors.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        }
        if config.is_some_and(|config| count(config, "nameservers") == 0) {
            errors.push(FieldError::required(
                &path.child("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            ));
            return;
        }
    }
    let config = config.unwrap_or(&empty);
    let servers = items(config, "nameservers");
    if servers.len() > NAMESERVERS {
        errors.push(FieldError::invalid(
            &path.child("nameservers"),
            servers.to_vec(),
            format!("must not have more than {NAMESERVERS} nameservers"),
        ));
    }
    for (index, server) in servers.iter().enumerate() {
        let server = server.as_str().unwrap_or_default();
        push_all(errors, &path.child("nameservers").index(index), server, ip_address(server));
    }
    let searches = items(config, "searches");
    if searches.len() > SEARCHES {
        errors.push(FieldError::invalid(
            &path.child("searches"),
            searches.to_vec(),
            format!("must not have more than {SEARCHES} search paths"),
        ));
    }
    let bytes: usize = searches.iter().map(|search| search.as_str().unwrap_or_default().len() + 1).sum();
    if bytes > SEARCH_BYTES + 1 {
        errors.push(FieldError::invalid(
            &path.child("searches"),
            searches.to_vec(),
            format!(
                "must not have more than {SEARCH_BYTES} characters (including spaces) in the search list"
            ),
        ));
    }
    for (index, search) in searches.iter().enumerate() {
        let search = search.as_str().unwrap_or_default();
        let name = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            push_all(errors, &path.child("searches").index(index), search, dns_1123_subdomain(name));
        }
    }
    for (index, option) in items(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(&path.child("options").index(index), "must not be empty"));
        }
    }
}

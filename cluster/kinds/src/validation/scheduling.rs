//! Where a Pod may run: affinity, tolerations, spread.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1123_label, dns_1123_subdomain, label_value, qualified_name};
use super::labels::validate_selector;
use super::push_all;
use crate::field_error::{FieldError, Path};
use crate::fields::{at, integer, items, text};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks `affinity` of a pod spec.
pub(super) fn validate_affinity(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let Some(affinity) = at(spec, "affinity") else {
        return;
    };
    if let Some(node) = at(affinity, "nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(selector) = at(node, REQUIRED) {
            validate_node_selector(errors, selector, &path.child(REQUIRED));
        }
        for (index, term) in items(node, PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(index);
            validate_weight(errors, term, &path);
            if let Some(preference) = at(term, "preference") {
                validate_node_term(errors, preference, &path.child("preference"));
            }
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = at(affinity, kind) else {
            continue;
        };
        let path = path.child(kind);
        for (index, term) in items(pods, REQUIRED).iter().enumerate() {
            validate_pod_term(errors, term, &path.child(REQUIRED).index(index));
        }
        for (index, weighted) in items(pods, PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(index);
            validate_weight(errors, weighted, &path);
            let empty = Value::Null;
            let term = at(weighted, "podAffinityTerm").unwrap_or(&empty);
            validate_pod_term(errors, term, &path.child("podAffinityTerm"));
        }
    }
}

fn validate_weight(errors: &mut Vec<FieldError>, term: &Value, path: &Path) {
    let weight = integer(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(&path.child("weight"), weight, "must be in the range 1-100"));
    }
}

/// A selector of nodes: at least one term.
pub(super) fn validate_node_selector(errors: &mut Vec<FieldError>, selector: &Value, path: &Path) {
    let path = path.child("nodeSelectorTerms");
    let terms = items(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        errors.push(FieldError::required(&path, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        validate_node_term(errors, term, &path.index(index));
    }
}

fn validate_node_term(errors: &mut Vec<FieldError>, term: &Value, path: &Path) {
    for (index, requirement) in items(term, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = items(requirement, "values");
        let operator = text(requirement, "operator");
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                &path.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "Gt" | "Lt" if values.len() != 1 => errors.push(FieldError::required(
                &path.child("values"),
                "must be specified single value when `operator` is 'Lt' or 'Gt'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => errors.push(FieldError::invalid(
                &path.child("operator"),
                operator,
                "not a valid selector operator",
            )),
        }
        let key = text(requirement, "key");
        push_all(errors, &path.child("key"), key, qualified_name(key));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let path = path.child("values").index(index);
            push_all(errors, &path, value, label_value(value));
        }
    }
    for (index, requirement) in items(term, "matchFields").iter().enumerate() {
        let path = path.child("matchFields").index(index);
        let operator = text(requirement, "operator");
        let values = items(requirement, "values");
        if !matches!(operator, "In" | "NotIn") {
            errors.push(FieldError::invalid(
                &path.child("operator"),
                operator,
                "not a valid selector operator",
            ));
        } else if values.len() != 1 {
            errors.push(FieldError::required(
                &path.child("values"),
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            ));
        }
        let key = text(requirement, "key");
        if key != "metadata.name" {
            errors.push(FieldError::invalid(&path.child("key"), key, "not a valid field selector key"));
            continue;
        }
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let path = path.child("values").index(index);
            push_all(errors, &path, value, dns_1123_subdomain(value));
        }
    }
}

fn validate_pod_term(errors: &mut Vec<FieldError>, term: &Value, path: &Path) {
    for field in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = at(term, field) {
            validate_selector(errors, selector, &path.child(field));
        }
    }
    for name in items(term, "namespaces").iter().filter_map(Value::as_str) {
        push_all(errors, &path.child("namespace"), name, dns_1123_label(name));
    }
    let path = path.child("topologyKey");
    let key = text(term, "topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(&path, "can not be empty"));
    }
    push_all(errors, &path, key, qualified_name(key));
}

/// A key of node labels that must be there.
fn validate_topology_key(errors: &mut Vec<FieldError>, owner: &Value, path: &Path) {
    let key = text(owner, "topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(path, "can not be empty"));
    } else {
        push_all(errors, path, key, qualified_name(key));
    }
}

/// Checks `tolerations` of a pod spec.
pub(super) fn validate_tolerations(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    for (index, toleration) in items(spec, "tolerations").iter().enumerate() {
        let path = path.index(index);
        let key = text(toleration, "key");
        let operator = text(toleration, "operator");
        let value = text(toleration, "value");
        let effect = text(toleration, "effect");
        if !key.is_empty() {
            push_all(errors, &path.child("key"), key, qualified_name(key));
        } else if operator != "Exists" {
            errors.push(FieldError::invalid(
                &path.child("operator"),
                operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
        if at(toleration, "tolerationSeconds").is_some() && effect != "NoExecute" {
            errors.push(FieldError::invalid(
                &path.child("effect"),
                effect,
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        match operator {
            "" | "Equal" => {
                let wrong = label_value(value);
                if !wrong.is_empty() {
                    errors.push(FieldError::invalid(&path.child("operator"), value, wrong.join(";")));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    errors.push(FieldError::invalid(
                        &path.child("operator"),
                        toleration.clone(),
                        "value must be empty when `operator` is 'Exists'",
                    ));
                }
            }
            _ => errors.push(FieldError::not_supported(
                &path.child("operator"),
                operator,
                &["Equal", "Exists"],
            )),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            errors.push(FieldError::not_supported(&path.child("effect"), effect, &EFFECTS));
        }
    }
}

/// Checks `topologySpreadConstraints` of a pod spec.
pub(super) fn validate_spread(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, constraint) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = path.index(index);
        let skew = integer(constraint, "maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid(&path.child("maxSkew"), skew, "must be greater than zero"));
        }
        validate_topology_key(errors, constraint, &path.child("topologyKey"));
        let action = text(constraint, "whenUnsatisfiable");
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            errors.push(FieldError::not_supported(
                &path.child("whenUnsatisfiable"),
                action,
                &["DoNotSchedule", "ScheduleAnyway"],
            ));
        }
        let pair = format!("{{{}, {action}}}", text(constraint, "topologyKey"));
        if !seen.insert(pair.clone()) {
            errors.push(FieldError::duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        if let Some(domains) = integer(constraint, "minDomains") {
            if domains <= 0 {
                errors.push(FieldError::invalid(
                    &path.child("minDomains"),
                    domains,
                    "must be greater than zero",
                ));
            }
            if action != "DoNotSchedule" {
                errors.push(FieldError::invalid(
                    &path.child("minDomains"),
                    domains,
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
                ));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = text(constraint, field);
            if !matches!(policy, "" | "Honor" | "Ignore") {
                errors.push(FieldError::not_supported(&path.child(field), policy, &["Honor", "Ignore"]));
            }
        }
        if let Some(selector) = at(constraint, "labelSelector") {
            validate_selector(errors, selector, &path.child("labelSelector"));
        }
    }
}

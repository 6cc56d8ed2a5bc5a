//! HorizontalPodAutoscalers.

use serde_json::Value;

use super::formats::{dns_1123_label, path_segment};
use super::{push_all, resources};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, text};
use crate::quantity::Quantity;

/// The kinds of metrics with the field that holds each, in the order in which they are checked.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// Checks an autoscaler's spec, of either version.
pub(super) fn validate_autoscaler(errors: &mut Vec<FieldError>, autoscaler: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = autoscaler.get("spec").unwrap_or(&empty);
    let least = integer(spec, "minReplicas");
    let most = integer(spec, "maxReplicas").unwrap_or(0);
    if let Some(least) = least
        && least < 1
    {
        errors.push(FieldError::invalid(
            &path.child("minReplicas"),
            least,
            "must be greater than or equal to 1",
        ));
    }
    if most < 1 {
        errors.push(FieldError::invalid(&path.child("maxReplicas"), most, "must be greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        errors.push(FieldError::invalid(
            &path.child("maxReplicas"),
            most,
            "must be greater than or equal to `minReplicas`",
        ));
    }
    validate_target_object(errors, spec, "scaleTargetRef", &path);
    for (index, metric) in items(spec, "metrics").iter().enumerate() {
        validate_metric(errors, metric, &path.child("metrics").index(index));
    }
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = at(spec, "behavior").and_then(|behavior| at(behavior, direction)) {
            validate_rules(errors, rules, &path.child("behavior").child(direction));
        }
    }
}

fn validate_target_object(errors: &mut Vec<FieldError>, owner: &Value, field: &str, path: &Path) {
    let path = path.child(field);
    let empty = Value::Null;
    let reference = owner.get(field).unwrap_or(&empty);
    for field in ["kind", "name"] {
        let value = text(reference, field);
        if value.is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        } else {
            push_all(errors, &path.child(field), value, path_segment(value, false));
        }
    }
}

fn validate_metric(errors: &mut Vec<FieldError>, metric: &Value, path: &Path) {
    const KINDS: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    let kind = text(metric, "type");
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric source type"));
    }
    if !KINDS.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &KINDS));
    }
    let mut present: Vec<&str> = Vec::new();
    for (_, field) in SOURCES {
        if let Some(source) = at(metric, field) {
            if present.is_empty() {
                validate_source(errors, field, source, &path.child(field));
            }
            present.push(field);
        }
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    if let Some(expected) = expected
        && !present.contains(&expected)
    {
        errors.push(FieldError::required(
            &path.child(expected),
            "must populate information for the given metric source",
        ));
    }
    if present.len() != 1 {
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            errors.push(FieldError::forbidden(
                &path.child(field),
                "must populate the given metric source only",
            ));
        }
    }
}

fn validate_source(errors: &mut Vec<FieldError>, kind: &str, source: &Value, path: &Path) {
    if matches!(kind, "resource" | "containerResource") {
        let name = text(source, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), "must specify a resource name"));
        } else if kind == "containerResource" {
            resources::validate_container_name(errors, name, &path.child("name"));
        }
        if kind == "containerResource" {
            let container = text(source, "container");
            if container.is_empty() {
                errors.push(FieldError::required(&path.child("container"), "must specify a container"));
            } else {
                push_all(errors, &path.child("container"), container, dns_1123_label(container));
            }
        }
    } else {
        if kind == "object" {
            validate_target_object(errors, source, "describedObject", path);
        }
        let name = text(source, "metric.name");
        let path = path.child("metric.name");
        if name.is_empty() {
            errors.push(FieldError::required(&path, "must specify a metric name"));
        } else {
            push_all(errors, &path, name, path_segment(name, false));
        }
    }
    let empty = Value::Null;
    let target = source.get("target").unwrap_or(&empty);
    validate_target(errors, kind, target, &path.child("target"));
}

fn validate_target(errors: &mut Vec<FieldError>, kind: &str, target: &Value, path: &Path) {
    let given = text(target, "type");
    if given.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric target type"));
    }
    if !matches!(given, "Utilization" | "Value" | "AverageValue") {
        errors.push(FieldError::invalid(
            &path.child("type"),
            given,
            "must be either Utilization, Value, or AverageValue",
        ));
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = at(target, field)
            && !Quantity::from_value(amount).is_ok_and(|amount| amount.sign() > 0)
        {
            errors.push(FieldError::invalid(&path.child(field), amount.clone(), "must be positive"));
        }
    }
    let utilization = integer(target, "averageUtilization");
    if let Some(percent) = utilization
        && percent < 1
    {
        errors.push(FieldError::invalid(
            &path.child("averageUtilization"),
            percent,
            "must be greater than 0",
        ));
    }
    let value = at(target, "value").is_some();
    let average = at(target, "averageValue").is_some();
    let utilization = utilization.is_some();
    let mut require = |field: &str, detail: &str| {
        errors.push(FieldError::required(&path.child(field), detail));
    };
    match kind {
        "object" if !value && !average => {
            require("averageValue", "must set either a target value or averageValue");
        }
        "external" if !value && !average => {
            require("averageValue", "must set either a target value for metric or a per-pod target")
        }
        "external" if value && average => errors.push(FieldError::forbidden(
            &path.child("value"),
            "may not set both a target value for metric and a per-pod target",
        )),
        "pods" if !average => {
            require("averageValue", "must specify a positive target averageValue");
        }
        "resource" | "containerResource" if !utilization && !average => {
            require("averageUtilization", "must set either a target raw value or a target utilization")
        }
        "resource" | "containerResource" if utilization && average => {
            errors.push(FieldError::forbidden(
                &path.child("averageValue"),
                "may not set both a target raw value and a target utilization",
            ));
        }
        _ => {}
    }
}

fn validate_rules(errors: &mut Vec<FieldError>, rules: &Value, path: &Path) {
    const WINDOW: i64 = 3600;
    const PERIOD: i64 = 1800;
    if let Some(window) = integer(rules, "stabilizationWindowSeconds") {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            errors.push(FieldError::invalid(&path, window, "must be greater than or equal to zero"));
        }
        if window > WINDOW {
            errors.push(FieldError::invalid(
                &path,
                window,
                format!("must be less than or equal to {WINDOW}"),
            ));
        }
    }
    let select = text(rules, "selectPolicy");
    if !matches!(select, "" | "Disabled" | "Max" | "Min") {
        errors.push(FieldError::not_supported(
            &path.child("selectPolicy"),
            select,
            &["Disabled", "Max", "Min"],
        ));
    }
    let path = path.child("policies");
    if count(rules, "policies") == 0 {
        errors.push(FieldError::required(&path, "must specify at least one Policy"));
    }
    for (index, policy) in items(rules, "policies").iter().enumerate() {
        let path = path.index(index);
        let kind = text(policy, "type");
        if !matches!(kind, "Pods" | "Percent") {
            errors.push(FieldError::not_supported(&path.child("type"), kind, &["Percent", "Pods"]));
        }
        for field in ["value", "periodSeconds"] {
            let value = integer(policy, field).unwrap_or(0);
            if value <= 0 {
                errors.push(FieldError::invalid(&path.child(field), value, "must be greater than zero"));
            }
        }
        let period = integer(policy, "periodSeconds").unwrap_or(0);
        if period > PERIOD {
            errors.push(FieldError::invalid(
                &path.child("periodSeconds"),
                period,
                format!("must be less than or equal to {PERIOD}"),
            ));
        }
    }
}

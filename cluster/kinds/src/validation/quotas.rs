//! Resource quotas and limit ranges.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::formats::qualified_name;
use super::{push_all, resources};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, entries, items, text};
use crate::quantity::Quantity;

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

/// Checks a ResourceQuota's spec.
pub(super) fn validate_quota(errors: &mut Vec<FieldError>, quota: &Value) {
    let hard = Path::new("spec.hard");
    for (name, amount) in entries(quota, "spec.hard") {
        let path = hard.key(name);
        resources::validate_quota_name(errors, name, &path);
        resources::validate_amount(errors, name, amount, &path);
    }
    validate_scopes(errors, quota);
    validate_scope_selector(errors, quota);
}

/// Whether a scope says something about a resource.
fn applies(scope: &str, resource: &str) -> bool {
    const COMPUTE: [&str; 6] =
        ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || COMPUTE.contains(&resource),
        _ => true,
    }
}

fn conflicting(scopes: &[&str]) -> bool {
    [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]]
        .iter()
        .any(|pair| pair.iter().all(|scope| scopes.contains(scope)))
}

fn validate_scopes(errors: &mut Vec<FieldError>, quota: &Value) {
    let path = Path::new("spec.scopes");
    let scopes: Vec<&str> = items(quota, "spec.scopes").iter().filter_map(Value::as_str).collect();
    let mut wrong = |detail: &str| {
        errors.push(FieldError::invalid(&path, scopes.clone(), detail));
    };
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            wrong("unsupported scope");
        }
        for (resource, _) in entries(quota, "spec.hard") {
            if !applies(scope, resource) {
                wrong("unsupported scope applied to resource");
            }
        }
    }
    if conflicting(&scopes) {
        wrong("conflicting scopes");
    }
}

fn validate_scope_selector(errors: &mut Vec<FieldError>, quota: &Value) {
    let path = Path::new("spec.scopeSelector.matchExpressions");
    let mut scopes = Vec::new();
    for requirement in items(quota, "spec.scopeSelector.matchExpressions") {
        let scope = text(requirement, "scopeName");
        scopes.push(scope);
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        for (resource, _) in entries(quota, "spec.hard") {
            if !applies(scope, resource) {
                errors.push(FieldError::invalid(
                    &path,
                    at(quota, "spec.scopeSelector").cloned().unwrap_or_default(),
                    "unsupported scope applied to resource",
                ));
            }
        }
        let operator = text(requirement, "operator");
        let values = items(requirement, "values");
        if !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && operator != "Exists" {
            errors.push(FieldError::invalid(
                &path.child("operator"),
                operator,
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
            ));
        }
        match operator {
            "In" | "NotIn" => {
                if values.is_empty() {
                    errors.push(FieldError::required(
                        &path.child("values"),
                        "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                    ));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    errors.push(FieldError::invalid(
                        &path.child("values"),
                        values.to_vec(),
                        "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                    ));
                }
            }
            _ => errors.push(FieldError::invalid(
                &path.child("operator"),
                operator,
                "not a valid selector operator",
            )),
        }
    }
    if conflicting(&scopes) {
        errors.push(FieldError::invalid(&path, scopes, "conflicting scopes"));
    }
}

/// A quota keeps its scopes.
pub(super) fn validate_quota_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let scopes = |quota| -> BTreeSet<String> {
        items(quota, "spec.scopes").iter().filter_map(|scope| Some(scope.as_str()?.to_owned())).collect()
    };
    if scopes(new) != scopes(old) {
        errors.push(FieldError::invalid(
            &Path::new("spec.scopes"),
            items(new, "spec.scopes").to_vec(),
            super::IMMUTABLE,
        ));
    }
}

/// Checks a LimitRange's spec.
pub(super) fn validate_limit_range(errors: &mut Vec<FieldError>, range: &Value) {
    let mut kinds = BTreeSet::new();
    for (index, limit) in items(range, "spec.limits").iter().enumerate() {
        let path = Path::new("spec.limits").index(index);
        let kind = text(limit, "type");
        let kind_path = path.child("type");
        let wrong = qualified_name(kind);
        if !wrong.is_empty() {
            push_all(errors, &kind_path, kind, wrong);
        } else if !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
            errors.push(FieldError::invalid(
                &kind_path,
                kind,
                "must be a standard limit type or fully qualified",
            ));
        }
        if !kinds.insert(kind) {
            errors.push(FieldError::duplicate(&kind_path, kind));
        }
        validate_limit(errors, limit, kind, &path);
    }
}

fn validate_limit(errors: &mut Vec<FieldError>, limit: &Value, kind: &str, path: &Path) {
    let mut lists: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let list_path = path.child(list);
        if kind == "Pod" && matches!(list, "default" | "defaultRequest") {
            if count(limit, list) > 0 {
                errors.push(FieldError::forbidden(&list_path, "may not be specified when `type` is 'Pod'"));
            }
            continue;
        }
        if list == "maxLimitRequestRatio"
            && kind == "PersistentVolumeClaim"
            && at(limit, "min.storage").is_none()
            && at(limit, "max.storage").is_none()
        {
            errors.push(FieldError::required(
                &path.child("limits"),
                "either minimum or maximum storage value is required, but neither was provided",
            ));
        }
        for (name, amount) in entries(limit, list) {
            let path = list_path.key(name);
            if matches!(kind, "Pod" | "Container") {
                resources::validate_container_name(errors, name, &path);
            } else {
                resources::validate_name(errors, name, &path);
            }
            if let Some(quantity) = resources::parse(errors, amount, &path) {
                lists.entry(list).or_default().insert(name, quantity);
            }
        }
    }
    let names: BTreeSet<&str> = lists.values().flat_map(|list| list.keys().copied()).collect();
    for name in names {
        let of = |list: &str| lists.get(list).and_then(|list| list.get(name)).copied();
        compare(errors, name, &of, path);
    }
}

/// The amounts of one resource must be in order: min, default request, default, max.
fn compare(errors: &mut Vec<FieldError>, name: &str, of: &dyn Fn(&str) -> Option<Quantity>, path: &Path) {
    let (min, max) = (of("min"), of("max"));
    let (default, request) = (of("default"), of("defaultRequest"));
    // Which must not be above which, the list and the amount that the error shows, and its words.
    let orders = [
        (min, max, "min", min, "min value", "max value"),
        (min, request, "defaultRequest", request, "min value", "default request value"),
        (request, max, "defaultRequest", request, "default request value", "max value"),
        (request, default, "defaultRequest", request, "default request value", "default limit value"),
        (min, default, "default", min, "min value", "default value"),
        (default, max, "default", max, "default value", "max value"),
    ];
    for (less, more, list, shown, less_name, more_name) in orders {
        if let (Some(less), Some(more), Some(shown)) = (less, more, shown)
            && less > more
        {
            errors.push(FieldError::invalid(
                &path.child(list).key(name),
                shown.to_string(),
                format!("{less_name} {less} is greater than {more_name} {more}"),
            ));
        }
    }
    let Some(ratio) = of("maxLimitRequestRatio") else {
        return;
    };
    let ratio_path = path.child("maxLimitRequestRatio").key(name);
    if ratio < Quantity::from_integer(1) {
        errors.push(FieldError::invalid(
            &ratio_path,
            ratio.to_string(),
            format!("ratio {ratio} is less than 1"),
        ));
    }
    if let (Some(min), Some(max)) = (min, max)
        && !min.is_zero()
    {
        let most = max.milli_value() as f64 / min.milli_value() as f64;
        if ratio.milli_value() as f64 / 1000.0 > most {
            errors.push(FieldError::invalid(
                &ratio_path,
                ratio.to_string(),
                format!("ratio {ratio} is greater than max/min = {most:.6}"),
            ));
        }
    }
}

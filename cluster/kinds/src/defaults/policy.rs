//! Role bindings, limit ranges and custom resource definitions.

use serde_json::{Value, json};

use super::{canonical_quantities, fill_from};
use crate::fields::{at, at_mut, fill, fill_absent, items, items_mut, set, structure, text};

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn default_binding(binding: &mut Value) {
    if let Some(reference) = at_mut(binding, "roleRef") {
        fill(reference, "apiGroup", RBAC);
    }
    for subject in items_mut(binding, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            fill(subject, "apiGroup", RBAC);
        }
    }
}

/// Limits of containers fill each other: the default from the maximum, the default request from the
/// default, then from the minimum.
pub(super) fn default_limit_range(range: &mut Value) {
    for limit in items_mut(range, "spec.limits") {
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            if let Some(list) = at_mut(limit, list) {
                canonical_quantities(list);
            }
        }
        if text(limit, "type") != "Container" {
            continue;
        }
        for (target, source) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")]
        {
            if let Some(Value::Object(source)) = at(limit, source).cloned() {
                fill_from(limit, target, &source);
            }
        }
    }
}

pub(super) fn default_definition(definition: &mut Value) {
    let Some(spec) = structure(definition, "spec") else {
        return;
    };
    if let Some(names) = structure(spec, "names") {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            fill(names, "singular", kind.to_lowercase());
            fill(names, "listKind", format!("{kind}List"));
        }
    }
    if at(spec, "conversion").is_none() {
        set(spec, "conversion", json!({"strategy": "None"}));
    }
    if let Some(service) = at_mut(spec, "conversion.webhook.clientConfig.service") {
        fill_absent(service, "port", 443);
    }
    let stored = items(spec, "versions")
        .iter()
        .find(|version| crate::fields::is_true(version, "storage"))
        .map(|version| text(version, "name").to_owned());
    if let Some(stored) = stored
        && items(definition, "status.storedVersions").is_empty()
        && let Some(status) = structure(definition, "status")
    {
        set(status, "storedVersions", json!([stored]));
    }
}

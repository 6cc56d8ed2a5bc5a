//! Roles and their bindings.

use serde_json::Value;

use super::formats::{dns_1123_subdomain, path_segment};
use super::labels::validate_selector;
use super::push_all;
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, items, same, text};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks the rules of a Role or ClusterRole.
pub(super) fn validate_role(errors: &mut Vec<FieldError>, role: &Value, namespaced: bool) {
    for (index, rule) in items(role, "rules").iter().enumerate() {
        validate_rule(errors, rule, &Path::new("rules").index(index), namespaced);
    }
    if namespaced {
        return;
    }
    if let Some(aggregation) = at(role, "aggregationRule") {
        let path = Path::new("aggregationRule.clusterRoleSelectors");
        let selectors = items(aggregation, "clusterRoleSelectors");
        if selectors.is_empty() {
            errors.push(FieldError::required(
                &path,
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (index, selector) in selectors.iter().enumerate() {
            validate_selector(errors, selector, &path.index(index));
        }
    }
}

fn validate_rule(errors: &mut Vec<FieldError>, rule: &Value, path: &Path, namespaced: bool) {
    if count(rule, "verbs") == 0 {
        errors.push(FieldError::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    let urls = items(rule, "nonResourceURLs");
    if !urls.is_empty() {
        let path = path.child("nonResourceURLs");
        if namespaced {
            errors.push(FieldError::invalid(
                &path,
                urls.to_vec(),
                "namespaced rules cannot apply to non-resource URLs",
            ));
        }
        if count(rule, "apiGroups") + count(rule, "resources") + count(rule, "resourceNames") > 0 {
            errors.push(FieldError::invalid(
                &path,
                urls.to_vec(),
                "rules cannot apply to both regular resources and non-resource URLs",
            ));
        }
        return;
    }
    for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        if count(rule, field) == 0 {
            errors.push(FieldError::required(
                &path.child(field),
                format!("resource rules must supply at least one {what}"),
            ));
        }
    }
}

/// Checks a RoleBinding or ClusterRoleBinding.
pub(super) fn validate_binding(errors: &mut Vec<FieldError>, binding: &Value, namespaced: bool) {
    let path = Path::new("roleRef");
    let group = text(binding, "roleRef.apiGroup");
    if group != GROUP {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(binding, "roleRef.kind");
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
    }
    let name = text(binding, "roleRef.name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else {
        push_all(errors, &path.child("name"), name, path_segment(name, false));
    }
    for (index, subject) in items(binding, "subjects").iter().enumerate() {
        let path = Path::new("subjects").index(index);
        validate_subject(errors, subject, &path, namespaced);
    }
}

fn validate_subject(errors: &mut Vec<FieldError>, subject: &Value, path: &Path, namespaced: bool) {
    let name = text(subject, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let group = text(subject, "apiGroup");
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                push_all(errors, &path.child("name"), name, dns_1123_subdomain(name));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
            }
        }
        kind => errors.push(FieldError::not_supported(
            &path.child("kind"),
            kind,
            &["ServiceAccount", "User", "Group"],
        )),
    }
}

/// A binding keeps its role.
pub(super) fn validate_binding_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    if !same(new.get("roleRef"), old.get("roleRef")) {
        errors.push(FieldError::invalid(
            &Path::new("roleRef"),
            new.get("roleRef").cloned().unwrap_or_default(),
            "cannot change roleRef",
        ));
    }
}

//! Custom resource definitions, except their schemas.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1035_label, dns_1123_subdomain};
use super::{immutable, one_of, schema};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, is_true, items, text};
use crate::structural::costs;

/// Checks a CustomResourceDefinition.
pub(super) fn validate_definition(errors: &mut Vec<FieldError>, definition: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = definition.get("spec").unwrap_or(&empty);
    let name = text(definition, "metadata.name");
    let plural = text(spec, "names.plural");
    let group = text(spec, "group");
    if name != format!("{plural}.{group}") {
        errors.push(FieldError::invalid(
            &Path::new("metadata.name"),
            name,
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let group_path = path.child("group");
    let wrong = dns_1123_subdomain(group);
    if group.is_empty() {
        errors.push(FieldError::required(&group_path, ""));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(&group_path, group, wrong.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(&group_path, group, "should be a domain with at least one dot"));
    }
    one_of(errors, &path.child("scope"), text(spec, "scope"), &["Cluster", "Namespaced"]);
    validate_versions(errors, spec, &path);
    validate_names(errors, spec, &path.child("names"));
    validate_conversion(errors, spec, &path.child("conversion"));
    validate_stored_versions(errors, definition);
    validate_approval(errors, definition, group);
    if is_true(spec, "preserveUnknownFields") {
        errors.push(FieldError::invalid(
            &path.child("preserveUnknownFields"),
            true,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
}

/// What an update may not change: what resources are stored under, and once clients rely on it, the
/// kind and the scope.
pub(super) fn validate_definition_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let established = items(old, "status.conditions")
        .iter()
        .any(|condition| text(condition, "type") == "Established" && text(condition, "status") == "True");
    if established {
        immutable(errors, new, old, "spec.scope");
        immutable(errors, new, old, "spec.names.kind");
    }
    immutable(errors, new, old, "spec.group");
    immutable(errors, new, old, "spec.names.plural");
}

/// Checks what the rules of the schemas cost at most. A schema that is not new is not refused for it: it may have been
/// accepted when other costs counted.
pub(super) fn validate_costs(errors: &mut Vec<FieldError>, new: &Value, old: Option<&Value>) {
    if !errors.is_empty() {
        return;
    }
    let versions = items(new, "spec.versions");
    let schema = |version: &Value| at(version, "schema.openAPIV3Schema").cloned().unwrap_or_default();
    let known = |version: &Value| {
        let before = old.map(|old| items(old, "spec.versions")).unwrap_or_default();
        before.iter().any(|one| text(one, "name") == text(version, "name") && schema(one) == schema(version))
    };
    let identical = versions.iter().all(|version| at(version, "schema") == at(&versions[0], "schema"));
    let path = Path::new("spec");
    for (index, version) in versions.iter().enumerate().filter(|(_, version)| !known(version)) {
        let path = match identical {
            true => path.child("validation"),
            false => path.child("versions").index(index).child("schema"),
        };
        costs::check(errors, &schema(version), &path.child("openAPIV3Schema"));
        if identical {
            return;
        }
    }
}

fn validate_versions(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let versions = items(spec, "versions");
    let versions_path = path.child("versions");
    for (index, version) in versions.iter().enumerate() {
        if at(version, "schema.openAPIV3Schema").is_none() {
            errors.push(FieldError::required(
                &versions_path.index(index).child("schema.openAPIV3Schema"),
                "schemas are required",
            ));
        }
    }
    let mut names = BTreeSet::new();
    let mut unique = true;
    for (index, version) in versions.iter().enumerate() {
        let path = versions_path.index(index);
        let name = text(version, "name");
        unique &= names.insert(name);
        let wrong = dns_1035_label(name);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(&path.child("name"), name, wrong.join(",")));
        }
        if let Some(warning) = at(version, "deprecationWarning").and_then(Value::as_str)
            && !is_true(version, "deprecated")
        {
            errors.push(FieldError::invalid(
                &path.child("deprecationWarning"),
                warning,
                "can only be set for deprecated versions",
            ));
        }
    }
    // What all versions share is checked once, under the name it has above them.
    for (field, shared) in [
        ("schema", "validation"),
        ("subresources", "subresources"),
        ("additionalPrinterColumns", "additionalPrinterColumns"),
        ("selectableFields", "selectableFields"),
    ] {
        let first = versions.first().and_then(|version| at(version, field));
        let identical = versions.iter().all(|version| at(version, field) == first);
        if identical {
            if let Some(version) = versions.first() {
                validate_part(errors, version, field, &path.child(shared));
            }
        } else {
            for (index, version) in versions.iter().enumerate() {
                let path = versions_path.index(index).child(field);
                validate_part(errors, version, field, &path);
            }
        }
    }
    if !unique {
        errors.push(FieldError::invalid(
            &versions_path,
            versions.to_vec(),
            "must contain unique version names",
        ));
    }
    let stored = versions.iter().filter(|version| is_true(version, "storage"));
    if stored.count() != 1 {
        errors.push(FieldError::invalid(
            &versions_path,
            versions.to_vec(),
            "must have exactly one version marked as storage version",
        ));
    }
}

/// One field of a version, at the path where errors about it belong.
fn validate_part(errors: &mut Vec<FieldError>, version: &Value, field: &str, path: &Path) {
    match field {
        "schema" => {
            if let Some(root) = at(version, "schema.openAPIV3Schema") {
                let has_status = at(version, "subresources.status").is_some();
                schema::validate_root(errors, root, has_status, &path.child("openAPIV3Schema"));
            }
        }
        "subresources" => validate_scale(errors, version, path),
        "selectableFields" => validate_selectable(errors, version, path),
        _ => {
            for (index, column) in items(version, field).iter().enumerate() {
                validate_column(errors, column, &path.index(index));
            }
        }
    }
}

/// Fields that objects may be selected by, of one version (KEP-4358).
const MOST_SELECTABLE: usize = 8;

fn validate_selectable(errors: &mut Vec<FieldError>, version: &Value, path: &Path) {
    let fields = items(version, "selectableFields");
    if fields.len() > MOST_SELECTABLE {
        errors.push(FieldError::too_many(path, fields.len(), MOST_SELECTABLE));
    }
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let path = path.index(index).child("jsonPath");
        let given = text(field, "jsonPath");
        if given.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        let root = at(version, "schema.openAPIV3Schema");
        let found = given.strip_prefix('.').and_then(|names| {
            names.split('.').try_fold(root?, |schema, name| schema.get("properties")?.get(name))
        });
        let problem = match found {
            _ if given == ".metadata" || given.starts_with(".metadata.") => {
                Some("must not point to fields in metadata")
            }
            None => Some("is an invalid path: does not refer to a valid field"),
            Some(schema) if !matches!(text(schema, "type"), "string" | "boolean" | "integer") => Some(
                "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                 formats are allowed.",
            ),
            Some(_) => None,
        };
        match problem {
            Some(problem) => errors.push(FieldError::invalid(&path, given, problem)),
            None if !seen.insert(given) => errors.push(FieldError::duplicate(&path, given)),
            None => {}
        }
    }
}

fn validate_scale(errors: &mut Vec<FieldError>, version: &Value, path: &Path) {
    let Some(scale) = at(version, "subresources.scale") else {
        return;
    };
    let path = path.child("scale");
    for (field, below) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let given = text(scale, field);
        let path = path.child(field);
        if given.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !given.starts_with('.') {
            errors.push(FieldError::invalid(&path, given, "must be a simple json path starting with ."));
        } else if !given.starts_with(below) {
            let root = below.trim_end_matches('.');
            errors.push(FieldError::invalid(&path, given, format!("should be a json path under {root}")));
        }
    }
    let selector = text(scale, "labelSelectorPath");
    let path = path.child("labelSelectorPath");
    if selector.is_empty() {
        return;
    }
    if !selector.starts_with('.') {
        errors.push(FieldError::invalid(&path, selector, "must be a simple json path starting with ."));
    } else if !selector.starts_with(".spec.") && !selector.starts_with(".status.") {
        errors.push(FieldError::invalid(
            &path,
            selector,
            "should be a json path under either .spec or .status",
        ));
    }
}

fn validate_column(errors: &mut Vec<FieldError>, column: &Value, path: &Path) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    if text(column, "name").is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    let kind = text(column, "type");
    let expected = format!("must be one of {}", TYPES.join(","));
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), expected));
    } else if !TYPES.contains(&kind) {
        errors.push(FieldError::invalid(&path.child("type"), kind, expected));
    }
    let format = text(column, "format");
    if !format.is_empty() && !FORMATS.contains(&format) {
        errors.push(FieldError::invalid(
            &path.child("format"),
            format,
            format!("must be one of {}", FORMATS.join(",")),
        ));
    }
    let given = text(column, "jsonPath");
    if given.is_empty() {
        errors.push(FieldError::required(&path.child("JSONPath"), ""));
    } else if !given.starts_with('.') {
        errors.push(FieldError::invalid(
            &path.child("JSONPath"),
            given,
            "must be a simple json path starting with .",
        ));
    }
}

fn validate_names(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let name = spec.get("names").map_or("", |names| text(names, field));
        if name.is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    let empty = Value::Null;
    let names = spec.get("names").unwrap_or(&empty);
    for (field, prefix) in [
        ("plural", ""),
        ("singular", ""),
        ("kind", "may have mixed case, but should otherwise match: "),
        ("listKind", "may have mixed case, but should otherwise match: "),
    ] {
        let name = text(names, field);
        let lower = name.to_lowercase();
        let wrong = dns_1035_label(if prefix.is_empty() { name } else { &lower });
        if !name.is_empty() && !wrong.is_empty() {
            errors.push(FieldError::invalid(
                &path.child(field),
                name,
                format!("{prefix}{}", wrong.join(",")),
            ));
        }
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in items(names, field).iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            let wrong = dns_1035_label(name);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&path.child(field).index(index), name, wrong.join(",")));
            }
        }
    }
    let list = text(names, "listKind");
    if !list.is_empty() && list == text(names, "kind") {
        errors.push(FieldError::invalid(
            &path.child("listKind"),
            list,
            "kind and listKind may not be the same",
        ));
    }
}

fn validate_conversion(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let Some(conversion) = at(spec, "conversion") else {
        return;
    };
    let strategy = text(conversion, "strategy");
    one_of(errors, &path.child("strategy"), strategy, &["None", "Webhook"]);
    let webhook = at(conversion, "webhook");
    let client = webhook.and_then(|webhook| at(webhook, "clientConfig"));
    let client_path = path.child("webhookClientConfig");
    if strategy == "Webhook" {
        match client {
            None => {
                errors.push(FieldError::required(&client_path, "required when strategy is set to Webhook"))
            }
            Some(client) => {
                if at(client, "url").is_some() == at(client, "service").is_some() {
                    errors.push(FieldError::required(
                        &client_path,
                        "exactly one of url or service is required",
                    ));
                }
            }
        }
        let versions = webhook.map_or(&[][..], |webhook| items(webhook, "conversionReviewVersions"));
        let path = path.child("conversionReviewVersions");
        if versions.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !versions.iter().any(|one| one == "v1" || one == "v1beta1") {
            errors.push(FieldError::invalid(
                &path,
                versions.to_vec(),
                "must include at least one of v1, v1beta1",
            ));
        }
    } else if client.is_some() {
        errors.push(FieldError::forbidden(
            &client_path,
            "should not be set when strategy is not set to Webhook",
        ));
    }
}

/// Every version that was ever stored must still be served from.
fn validate_stored_versions(errors: &mut Vec<FieldError>, definition: &Value) {
    let path = Path::new("status.storedVersions");
    let stored = items(definition, "status.storedVersions");
    if stored.is_empty() {
        errors.push(FieldError::invalid(&path, stored.to_vec(), "must have at least one stored version"));
        return;
    }
    let versions = items(definition, "spec.versions");
    for version in versions.iter().filter(|version| is_true(version, "storage")) {
        let name = text(version, "name");
        if !stored.iter().any(|one| one == name) {
            errors.push(FieldError::invalid(
                &path,
                stored.to_vec(),
                format!("must have the storage version {name}"),
            ));
        }
    }
    for (index, name) in stored.iter().filter_map(Value::as_str).enumerate() {
        if !versions.iter().any(|version| text(version, "name") == name) {
            errors.push(FieldError::invalid(&path.index(index), name, "must appear in spec.versions"));
        }
    }
}

/// Groups below the names of Kubernetes' community need its approval, or to say that they lack it.
fn validate_approval(errors: &mut Vec<FieldError>, definition: &Value, group: &str) {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    const SEE: &str = "see https://github.com/kubernetes/enhancements/pull/1111";
    let protected =
        ["k8s.io", "kubernetes.io"].iter().any(|name| group == *name || group.ends_with(&format!(".{name}")));
    if !protected {
        return;
    }
    let path = Path::new("metadata.annotations").key(ANNOTATION);
    let value = at(definition, "metadata.annotations")
        .and_then(|annotations| annotations.get(ANNOTATION))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_url = value.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty());
    if value.is_empty() {
        errors.push(FieldError::required(
            &path,
            format!("protected groups must have approval annotation \"{ANNOTATION}\", {SEE}"),
        ));
    } else if !value.starts_with("unapproved") && !is_url {
        errors.push(FieldError::invalid(
            &path,
            value,
            format!(
                "protected groups must have approval annotation \"{ANNOTATION}\" with either a URL or a reason starting with \"unapproved\", {SEE}"
            ),
        ));
    }
}

//! `metadata` of every kind.

use serde_json::Value;

use super::formats::{dns_1035_label, dns_1123_label, dns_1123_subdomain, path_segment, qualified_name};
use super::labels::validate_labels;
use super::{NameRule, nonnegative, push_all};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, entries, integer, is_true, items, same, text};

/// All annotations of an object together: keys and values.
const ANNOTATIONS_MAX: usize = 256 * 1024;
/// The name of a field manager.
const MANAGER_MAX: usize = 128;

/// What is wrong with `name` under `rule`. Of a prefix (`generateName`) more characters follow.
fn name_errors(rule: NameRule, name: &str, is_prefix: bool) -> Vec<String> {
    // What the server appends makes a final dash harmless.
    let masked = match name.strip_suffix('-') {
        Some(rest) if is_prefix && !rest.is_empty() => {
            let mut masked = rest.to_owned();
            masked.pop();
            masked.push('a');
            masked
        }
        _ => name.to_owned(),
    };
    match rule {
        NameRule::Subdomain => dns_1123_subdomain(&masked),
        NameRule::Label => dns_1123_label(&masked),
        NameRule::Label1035 => dns_1035_label(&masked),
        NameRule::PathSegment => path_segment(name, is_prefix),
        NameRule::Any => Vec::new(),
    }
}

/// Checks `metadata` of a new object: name or `generateName` by the kind's rule, namespace, labels,
/// annotations (syntax, 256 KiB together), owner references, finalizers.
pub fn validate_metadata(object: &Value, namespaced: bool, name_rule: NameRule) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let empty = Value::Null;
    let metadata = object.get("metadata").unwrap_or(&empty);
    let prefix = text(metadata, "generateName");
    if !prefix.is_empty() {
        push_all(&mut errors, &path.child("generateName"), prefix, name_errors(name_rule, prefix, true));
    }
    let name = text(metadata, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        push_all(&mut errors, &path.child("name"), name, name_errors(name_rule, name, false));
    }
    let namespace = text(metadata, "namespace");
    let namespace_path = path.child("namespace");
    if !namespaced {
        if !namespace.is_empty() {
            errors.push(FieldError::forbidden(&namespace_path, "not allowed on this type"));
        }
    } else if namespace.is_empty() {
        errors.push(FieldError::required(&namespace_path, ""));
    } else {
        push_all(&mut errors, &namespace_path, namespace, dns_1123_label(namespace));
    }
    nonnegative(&mut errors, metadata, "generation", &path);
    validate_changeable(&mut errors, metadata, &path);
    validate_finalizers(&mut errors, metadata, &path.child("finalizers"));
    errors
}

/// Checks `metadata` of an update: what may not change, and the syntax of what may.
///
/// `metadata.resourceVersion` is the server's business: whether it may be absent depends on the
/// kind and is decided before this.
pub fn validate_metadata_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    let empty = Value::Null;
    let old = old.get("metadata").unwrap_or(&empty);
    let new = new.get("metadata").unwrap_or(&empty);
    if at(old, "deletionTimestamp").is_some() {
        let known = items(old, "finalizers");
        let mut added: Vec<&str> = items(new, "finalizers")
            .iter()
            .filter(|finalizer| !known.contains(finalizer))
            .filter_map(Value::as_str)
            .collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let added: Vec<String> = added.iter().map(|one| format!("{one:?}")).collect();
            errors.push(FieldError::forbidden(
                &path.child("finalizers"),
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.join(", ")
                ),
            ));
        }
    }
    let generation = |metadata| integer(metadata, "generation").unwrap_or(0);
    if generation(new) < generation(old) {
        errors.push(FieldError::invalid(
            &path.child("generation"),
            generation(new),
            "must not be decremented",
        ));
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let given = |metadata| at(metadata, field).filter(|value| *value != "");
        if !same(given(new), given(old)) {
            let value = match (given(new), field) {
                (Some(value), _) => value.clone(),
                (None, "name" | "namespace" | "uid") => Value::from(""),
                (None, _) => Value::Null,
            };
            errors.push(FieldError::invalid(&path.child(field), value, super::IMMUTABLE));
        }
    }
    validate_changeable(&mut errors, new, &path);
    errors
}

/// Labels, annotations, owner references and managers: checked on create and update alike.
fn validate_changeable(errors: &mut Vec<FieldError>, metadata: &Value, path: &Path) {
    for entry in items(metadata, "managedFields") {
        let manager = text(entry, "manager");
        if manager.len() > MANAGER_MAX {
            errors.push(FieldError::too_long(&path.child("fieldManager"), MANAGER_MAX));
        }
    }
    validate_labels(errors, at(metadata, "labels"), &path.child("labels"));
    validate_annotations(errors, metadata, &path.child("annotations"));
    validate_owners(errors, metadata, &path.child("ownerReferences"));
    for entry in items(metadata, "managedFields") {
        let path = path.child("managedFields");
        let operation = text(entry, "operation");
        if !matches!(operation, "Apply" | "Update") {
            errors.push(FieldError::invalid(
                &path.child("operation"),
                operation,
                "must be `Apply` or `Update`",
            ));
        }
        let kind = text(entry, "fieldsType");
        if !matches!(kind, "" | "FieldsV1") {
            errors.push(FieldError::invalid(&path.child("fieldsType"), kind, "must be `FieldsV1`"));
        }
    }
}

/// Annotations of `metadata`: qualified names in any case, not too much in all.
pub(super) fn validate_annotations(errors: &mut Vec<FieldError>, metadata: &Value, path: &Path) {
    let mut size = 0;
    for (key, value) in entries(metadata, "annotations") {
        push_all(errors, path, key, qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_MAX));
    }
}

fn validate_owners(errors: &mut Vec<FieldError>, metadata: &Value, path: &Path) {
    let owners = items(metadata, "ownerReferences");
    let mut controller = "";
    for owner in owners {
        let version = text(owner, "apiVersion");
        let (group, bare) = version.split_once('/').unwrap_or(("", version));
        let mut require = |field: &str, given: &str, what: &str| {
            if given.is_empty() {
                errors.push(FieldError::invalid(
                    &path.child(field),
                    text(owner, field),
                    format!("{what} must not be empty"),
                ));
            }
        };
        require("apiVersion", bare, "version");
        require("kind", text(owner, "kind"), "kind");
        require("name", text(owner, "name"), "name");
        require("uid", text(owner, "uid"), "uid");
        if (group, bare, text(owner, "kind")) == ("", "v1", "Event") {
            errors.push(FieldError::invalid(
                path,
                owner.clone(),
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if is_true(owner, "controller") {
            let name = text(owner, "name");
            if controller.is_empty() {
                controller = name;
            } else {
                errors.push(FieldError::invalid(
                    path,
                    owners.to_vec(),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {controller} and {name}"
                    ),
                ));
            }
        }
    }
}

fn validate_finalizers(errors: &mut Vec<FieldError>, metadata: &Value, path: &Path) {
    let finalizers = items(metadata, "finalizers");
    for finalizer in finalizers.iter().filter_map(Value::as_str) {
        push_all(errors, path, finalizer, qualified_name(finalizer));
    }
    let has = |name: &str| finalizers.iter().any(|one| one == name);
    if has("orphan") && has("foregroundDeletion") {
        errors.push(FieldError::invalid(
            path,
            finalizers.to_vec(),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

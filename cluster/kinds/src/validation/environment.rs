//! Environment variables of a container, and references to fields and resources of its Pod.

use serde_json::Value;

use super::formats::{config_key, dns_1123_subdomain, environment_name, qualified_name};
use super::push_all;
use crate::field_error::{FieldError, Path};
use crate::fields::{at, items, text};
use crate::quantity::Quantity;

/// Fields of a Pod that an environment variable can hold.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of a Pod that can be written to a file of a volume.
pub(super) const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Checks `env` and `envFrom` of a container.
pub(super) fn validate_environment(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    for (index, variable) in items(container, "env").iter().enumerate() {
        let path = path.child("env").index(index);
        let name = text(variable, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else {
            push_all(errors, &path.child("name"), name, environment_name(name));
        }
        validate_source(errors, variable, &path.child("valueFrom"));
    }
    for (index, source) in items(container, "envFrom").iter().enumerate() {
        let list_path = path.child("envFrom");
        let path = list_path.index(index);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            push_all(errors, &path.child("prefix"), prefix, environment_name(prefix));
        }
        let mut found = 0;
        for kind in ["configMapRef", "secretRef"] {
            let Some(reference) = at(source, kind) else {
                continue;
            };
            found += 1;
            let path = path.child(kind).child("name");
            let name = text(reference, "name");
            if name.is_empty() {
                errors.push(FieldError::required(&path, ""));
            } else {
                push_all(errors, &path, name, dns_1123_subdomain(name));
            }
        }
        if found != 1 {
            let detail = if found == 0 {
                "must specify one of: `configMapRef` or `secretRef`"
            } else {
                "may not have more than one field specified at a time"
            };
            // The real server names the list, not the item.
            errors.push(FieldError::invalid(&list_path, "", detail));
        }
    }
}

fn validate_source(errors: &mut Vec<FieldError>, variable: &Value, path: &Path) {
    let Some(source) = at(variable, "valueFrom") else {
        return;
    };
    let mut found = 0;
    if let Some(reference) = at(source, "fieldRef") {
        found += 1;
        validate_field(errors, reference, &FIELDS, &path.child("fieldRef"));
    }
    if let Some(reference) = at(source, "resourceFieldRef") {
        found += 1;
        validate_resource(errors, reference, &path.child("resourceFieldRef"), false);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let Some(reference) = at(source, kind) else {
            continue;
        };
        found += 1;
        let path = path.child(kind);
        let name = text(reference, "name");
        // An absent name was once written by clients and stays accepted.
        if !name.is_empty() {
            push_all(errors, &path.child("name"), name, dns_1123_subdomain(name));
        }
        let key = text(reference, "key");
        if key.is_empty() {
            errors.push(FieldError::required(&path.child("key"), ""));
        } else {
            push_all(errors, &path.child("key"), key, config_key(key));
        }
    }
    if at(source, "fileKeyRef").is_some() {
        found += 1;
    }
    let detail = match found {
        0 => "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        _ if !text(variable, "value").is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(FieldError::invalid(path, "", detail));
}

/// A reference to a field of the Pod: one of `known`, labels and annotations also by key.
pub(super) fn validate_field(errors: &mut Vec<FieldError>, reference: &Value, known: &[&str], path: &Path) {
    if text(reference, "apiVersion").is_empty() {
        errors.push(FieldError::required(&path.child("apiVersion"), ""));
        return;
    }
    let field = text(reference, "fieldPath");
    let field_path = path.child("fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(&field_path, ""));
        return;
    }
    let subscript = field.split_once("['").and_then(|(name, rest)| Some((name, rest.strip_suffix("']")?)));
    if let Some((name, key)) = subscript {
        match name {
            "metadata.annotations" => {
                push_all(errors, path, key, qualified_name(&key.to_lowercase()));
            }
            "metadata.labels" => push_all(errors, path, key, qualified_name(key)),
            _ => errors.push(FieldError::invalid(path, name, "does not support subscript")),
        }
        return;
    }
    // Fields that can be selected by somewhere, if not here.
    let convertible = FIELDS.contains(&field)
        || FILE_FIELDS.contains(&field)
        || matches!(
            field,
            "spec.restartPolicy" | "spec.schedulerName" | "status.phase" | "status.nominatedNodeName"
        );
    if !convertible {
        errors.push(FieldError::invalid(
            &field_path,
            field,
            format!("error converting fieldPath: field label not supported: {field}"),
        ));
    } else if !known.contains(&field) {
        errors.push(FieldError::not_supported(&field_path, field, known));
    }
}

/// A reference to an amount of a container; from a volume it names the container.
pub(super) fn validate_resource(
    errors: &mut Vec<FieldError>,
    reference: &Value,
    path: &Path,
    from_volume: bool,
) {
    const RESOURCES: [&str; 6] = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let resource = text(reference, "resource");
    if from_volume && text(reference, "containerName").is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&resource)
        && !["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix))
    {
        errors.push(FieldError::not_supported(&path.child("resource"), resource, &RESOURCES));
    }
    let Some(divisor) = at(reference, "divisor").and_then(|one| Quantity::from_value(one).ok()) else {
        return;
    };
    if divisor.is_zero() {
        return;
    }
    const BYTES: [&str; 13] =
        ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let (allowed, detail): (&[&str], String) = if resource.ends_with(".cpu") {
        (&["1m", "1"], "only divisor's values 1m and 1 are supported with the cpu resource".to_owned())
    } else {
        let name = match resource.split_once('.').map(|(_, name)| name) {
            Some("memory") => "memory",
            Some("ephemeral-storage") => "local ephemeral storage",
            Some(name) if name.starts_with("hugepages-") => "hugepages",
            _ => return,
        };
        (&BYTES, format!("only divisor's values {} are supported with the {name} resource", BYTES.join(", ")))
    };
    let written = divisor.to_string();
    if !allowed.contains(&written.as_str()) {
        errors.push(FieldError::invalid(&path.child("divisor"), resource, detail));
    }
}

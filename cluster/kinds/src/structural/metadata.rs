//! Objects inside of objects (`x-kubernetes-embedded-resource`): they have a kind, and metadata as any object.

use seaway_schema::schema::Schema;
use serde_json::{Value, json};

use crate::field_error::{FieldError, Path};
use crate::fields::text;
use crate::validation::formats::dns_1035_label;
use crate::validation::{NameRule, validate_metadata};

/// Checks every embedded object in a value.
pub(crate) fn validate(schema: &Schema, path: &Path, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(&mut errors, schema, path, value);
    errors
}

fn check(errors: &mut Vec<FieldError>, schema: &Schema, path: &Path, value: &Value) {
    match value {
        Value::Object(fields) => {
            if schema.embedded {
                check_embedded(errors, path, value);
            }
            for (name, field) in fields {
                if let Some(property) = schema.properties.get(name) {
                    check(errors, property, &path.child(name), field);
                } else if let Some(each) = schema.each() {
                    check(errors, each, &path.key(name), field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(each) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check(errors, each, &path.index(index), item);
                }
            }
        }
        _ => {}
    }
}

/// Checks kind, version and metadata of an embedded object.
pub(crate) fn check_embedded(errors: &mut Vec<FieldError>, path: &Path, object: &Value) {
    for name in ["apiVersion", "kind"] {
        let path = path.child(name);
        match object.get(name) {
            None => errors.push(FieldError::required(&path, "")),
            Some(Value::String(text)) if text.is_empty() => errors.push(FieldError::required(&path, "")),
            Some(Value::String(text)) => check_type(errors, name, text, &path),
            Some(other) => errors.push(FieldError::invalid(&path, other.clone(), "must be a string")),
        }
    }
    let Some(metadata) = object.get("metadata").filter(|metadata| !metadata.is_null()) else {
        return;
    };
    let path = path.child("metadata");
    if let Err(problem) = well_typed(metadata) {
        errors.push(FieldError::invalid(&path, metadata.clone(), problem));
        return;
    }
    let mut metadata = metadata.clone();
    // A template needs no name.
    if text(&metadata, "name").is_empty() {
        metadata["name"] = "fakename".into();
    }
    let namespaced = !text(&metadata, "namespace").is_empty();
    let object = json!({ "metadata": metadata });
    for mut error in validate_metadata(&object, namespaced, NameRule::PathSegment) {
        let below = error.field.strip_prefix("metadata").unwrap_or(&error.field).to_owned();
        error.field = format!("{path}{below}");
        errors.push(error);
    }
}

fn check_type(errors: &mut Vec<FieldError>, name: &str, text: &str, path: &Path) {
    if name == "apiVersion" {
        if text.matches('/').count() > 1 {
            errors.push(FieldError::invalid(path, text, format!("unexpected GroupVersion string: {text}")));
        }
        return;
    }
    let wrong = dns_1035_label(&text.to_lowercase());
    if !wrong.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.push(FieldError::invalid(path, text, detail));
    }
}

/// Metadata has Go types of its own, whatever the schema says.
fn well_typed(metadata: &Value) -> Result<(), String> {
    let Some(fields) = metadata.as_object() else {
        return Err(format!(
            "json: cannot unmarshal {} into Go value of type v1.ObjectMeta",
            go_type(metadata)
        ));
    };
    let wrong = |value: &Value, field: &str, expected: &str| {
        Err(format!(
            "json: cannot unmarshal {} into Go struct field ObjectMeta.{field} of type {expected}",
            go_type(value)
        ))
    };
    for name in ["name", "generateName", "namespace", "uid", "resourceVersion"] {
        match fields.get(name) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => return wrong(other, name, "string"),
        }
    }
    for name in ["labels", "annotations"] {
        match fields.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                if let Some(other) = entries.values().find(|value| !value.is_string()) {
                    return wrong(other, name, "string");
                }
            }
            Some(other) => return wrong(other, name, "map[string]string"),
        }
    }
    for name in ["finalizers", "ownerReferences", "managedFields"] {
        if let Some(other) = fields.get(name).filter(|value| !value.is_array() && !value.is_null()) {
            return wrong(other, name, "list");
        }
    }
    Ok(())
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

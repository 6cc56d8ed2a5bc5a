//! What schemas are made of.

use serde_json::{Map, Value, json};

pub(super) fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

pub(super) fn flag(description: &str, default: bool) -> Value {
    json!({"type": "boolean", "description": description, "default": default})
}

pub(super) fn name(description: &str) -> Value {
    json!({"type": "string", "description": description, "minLength": 1, "maxLength": 63,
           "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"})
}

pub(super) fn choice(description: &str, values: &[&str]) -> Value {
    json!({"type": "string", "description": description, "enum": values})
}

pub(super) fn texts(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}})
}

pub(super) fn open(description: &str) -> Value {
    json!({"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": true})
}

pub(super) fn object(description: &str, required: &[&str], properties: Value) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("description".into(), description.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema.insert("properties".into(), properties);
    Value::Object(schema)
}

/// A list whose elements are told apart by a field.
pub(super) fn list(key: &str, most: u32, items: Value) -> Value {
    json!({"type": "array", "maxItems": most, "items": items,
           "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})
}

pub(super) fn with(mut schema: Value, key: &str, value: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(key.to_owned(), value);
    }
    schema
}

pub(super) fn rule(schema: Value, rule: &str, field: &str, message: &str) -> Value {
    with(schema, "x-kubernetes-validations", json!([{"rule": rule, "fieldPath": field, "message": message}]))
}

pub(super) fn repository(description: &str) -> Value {
    json!({"type": "string", "description": description, "minLength": 1, "maxLength": 2048, "pattern": "^[^-]"})
}

pub(super) fn conditions() -> Value {
    let condition = object(
        "A condition.",
        &["type", "status", "lastTransitionTime", "reason", "message"],
        json!({
            "type": text("What."), "status": choice("Whether.", &["True", "False", "Unknown"]),
            "reason": text("Why, in a word."), "message": text("Why, in a sentence."),
            "lastTransitionTime": {"type": "string", "format": "date-time", "description": "Since when."},
            "observedGeneration": {"type": "integer", "format": "int64", "description": "Of which generation."},
        }),
    );
    list("type", 32, condition)
}

pub(super) fn observed_generation() -> Value {
    json!({"type": "integer", "format": "int64", "description": "The generation that was looked at."})
}

pub(super) fn image() -> Value {
    object(
        "An image that takes the place of another.",
        &["name"],
        json!({
            "name": text("The image's name, without tag and digest."),
            "newName": text("What the name becomes."),
            "tag": text("What the tag becomes."),
            "digest": {"type": "string", "description": "What the digest becomes.", "pattern": "^sha256:[0-9a-f]{64}$"},
        }),
    )
}

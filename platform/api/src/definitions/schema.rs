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

/// Rules about one value, each with what it says.
pub(super) fn rules(schema: Value, rules: &[(&str, &str)]) -> Value {
    let rules: Vec<Value> =
        rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect();
    with(schema, "x-kubernetes-validations", rules.into())
}

/// What can be said of a URL before it is used: nothing that `seaway_git` would take is refused.
pub(super) fn repository(description: &str) -> Value {
    let schema = json!({"type": "string", "description": description, "minLength": 1, "maxLength": 2048, "pattern": "^[^-]"});
    rules(
        schema,
        &[
            (
                "self.contains('://') || self.contains('[') || !self.contains('::')",
                "it names a remote helper (such as ext::), which could run any program",
            ),
            (
                r"!self.contains('://') || self.matches('^(?i)(https?|ssh|git\\+ssh|ssh\\+git|file)://')",
                "it has a scheme other than https, ssh, http and file",
            ),
            (
                "self.startsWith('/') || self.contains(':')",
                "it is neither a URL nor user@host:path nor an absolute path",
            ),
            (
                "!self.matches('^[A-Za-z+]+://[^/]*:[^/]*@')",
                "it contains a password: put that into a Secret with the label seaway.dev/credentials=git",
            ),
        ],
    )
}

/// A branch, a tag or a commit, as git-check-ref-format(1) allows them.
pub(super) fn revision(description: &str) -> Value {
    rules(
        json!({"type": "string", "description": description, "minLength": 1, "maxLength": 250}),
        &[(
            r"!self.startsWith('-') && !self.contains('..') && !self.matches('[\\s~^:?*\\[\\\\]')",
            "it is no branch, tag or commit: those begin with no hyphen, and expressions are not taken",
        )],
    )
}

/// Parameters, which nothing that renders today takes.
pub(super) fn parameters(description: &str) -> Value {
    with(open(description), "maxProperties", 0.into())
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

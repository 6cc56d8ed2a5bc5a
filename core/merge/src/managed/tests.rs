#![allow(clippy::unwrap_used)]
mod apply;
mod laws;
mod recorded;
mod update;

use super::{ApplyError, Manager};
use crate::schema::{TypeRef, for_kind, from_structural};
use serde_json::{Value, json};

const NOON: &str = "2026-01-01T12:00:00Z";
const LATER: &str = "2026-01-01T13:00:00Z";

fn manager(name: &str, api_version: &str) -> Manager {
    Manager {
        name: name.to_owned(),
        api_version: api_version.to_owned(),
        time: NOON.to_owned(),
        ..Manager::default()
    }
}

fn config_map() -> TypeRef {
    for_kind("", "v1", "ConfigMap").unwrap()
}

fn deployment() -> TypeRef {
    for_kind("apps", "v1", "Deployment").unwrap()
}

fn data(pairs: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": pairs})
}

/// A custom resource with a list of each kind.
fn custom() -> TypeRef {
    from_structural(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "atomic": {"type": "array", "items": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "value": {"type": "string"}, "extra": {"type": "string"}}}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "number": {"type": "integer"},
    }}, "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}}}}))
    .unwrap()
}

fn thing(spec: Value) -> Value {
    json!({"apiVersion": "e.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})
}

fn apply_as(name: &str, live: Option<&Value>, applied: &Value, ty: &TypeRef) -> Result<Value, ApplyError> {
    super::apply(live, applied, ty, &manager(name, applied["apiVersion"].as_str().unwrap()), false)
}

fn force_as(name: &str, live: Option<&Value>, applied: &Value, ty: &TypeRef) -> Value {
    super::apply(live, applied, ty, &manager(name, applied["apiVersion"].as_str().unwrap()), true).unwrap()
}

fn update_as(name: &str, live: Option<&Value>, new: &Value, ty: &TypeRef) -> Value {
    super::update(live, new, ty, &manager(name, new["apiVersion"].as_str().unwrap())).unwrap()
}

/// As stored: with a uid.
fn stored(mut object: Value) -> Value {
    object["metadata"]["uid"] = "u".into();
    object
}

/// The fields of one manager, or null.
fn fields_of(object: &Value, name: &str, operation: &str) -> Value {
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|entry| entry["manager"] == name && entry["operation"] == operation)
        .map_or(Value::Null, |entry| entry["fieldsV1"].clone())
}

fn bare(object: &Value) -> Value {
    super::without_managed_fields(object)
}

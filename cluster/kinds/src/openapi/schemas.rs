//! The schemas of a document: Kubernetes' definitions, and those of custom resources.

use std::collections::BTreeMap;

use seaway_merge::schema::Schemas;
use serde_json::{Map, Value, json};

use super::{META, REFERENCE, descriptions, reference};
use crate::resources::Resource;

/// The name of a kind's schema: Kubernetes' definition, or `com.example.v1.Widget` for a custom resource.
pub(super) fn name(group: &str, version: &str, kind: &str) -> String {
    match Schemas::kubernetes().definition_name(group, version, kind) {
        Some(name) => name.to_owned(),
        None => {
            let reversed: Vec<&str> = group.split('.').rev().collect();
            format!("{}.{version}.{kind}", reversed.join("."))
        }
    }
}

/// The schemas of a custom resource and its list.
pub(super) fn custom(resource: &Resource, schema: Option<&Value>) -> [(String, Value); 2] {
    let gvk = |kind: &str| json!([{"group": resource.group, "version": resource.version, "kind": kind}]);
    let mut object = match schema {
        Some(Value::Object(schema)) => schema.clone(),
        _ => Map::from_iter([("x-kubernetes-preserve-unknown-fields".to_owned(), true.into())]),
    };
    object.insert("type".to_owned(), "object".into());
    object.insert("x-kubernetes-group-version-kind".to_owned(), gvk(&resource.kind));
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        // What a CRD says of metadata (name patterns) is a validation, not another type.
        properties
            .insert("metadata".to_owned(), json!({"allOf": [reference(&format!("{META}.ObjectMeta"))]}));
        // What every object has means the same in each.
        descriptions::describe_fields("io.k8s.api.core.v1.ConfigMap", properties);
    }
    let item = name(&resource.group, &resource.version, &resource.kind);
    let list = json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [reference(&format!("{META}.ListMeta"))]},
            "items": {"type": "array", "items": reference(&item)},
        },
        "x-kubernetes-group-version-kind": gvk(&resource.list_kind),
    });
    [(item, Value::Object(object)), (name(&resource.group, &resource.version, &resource.list_kind), list)]
}

/// The schemas that paths refer to, directly or through other schemas. `own` are those that Kubernetes does not know.
pub(super) fn reachable(paths: &Map<String, Value>, own: BTreeMap<String, Value>) -> Map<String, Value> {
    let mut pending = Vec::new();
    for path in paths.values() {
        references(path, &mut pending);
    }
    let mut found = Map::new();
    while let Some(name) = pending.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let schema = match own.get(&name) {
            Some(schema) => schema.clone(),
            None => {
                let Some(schema) = Schemas::kubernetes().definition(&name) else { continue };
                let mut schema = schema.clone();
                descriptions::describe(&name, &mut schema);
                wrap_references(&mut schema);
                schema
            }
        };
        references(&schema, &mut pending);
        found.insert(name, schema);
    }
    found
}

fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref")
                && let Some(name) = target.strip_prefix(REFERENCE)
            {
                names.push(name.to_owned());
            }
            map.values().for_each(|value| references(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

/// OpenAPI 3.0 ignores what stands beside a `$ref`: such a reference moves into an `allOf` of its own.
fn wrap_references(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.len() > 1
                && let Some(target) = map.get("$ref").filter(|target| target.is_string()).cloned()
            {
                map.remove("$ref");
                map.insert("allOf".to_owned(), json!([{"$ref": target}]));
            }
            map.values_mut().for_each(wrap_references);
        }
        Value::Array(items) => items.iter_mut().for_each(wrap_references),
        _ => {}
    }
}

//! What the server decides in an object's `metadata`.

use serde_json::{Map, Value};

use crate::api::now;

fn metadata_mut(value: &mut Value) -> &mut Map<String, Value> {
    if !value["metadata"].is_object() {
        value["metadata"] = Value::Object(Map::new());
    }
    value["metadata"].as_object_mut().expect("it was made an object")
}

/// What the server decides in a new object.
pub(super) fn new_metadata(value: &mut Value) {
    let metadata = metadata_mut(value);
    for field in ["resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".into(), now().into());
    let empty = metadata.get("name").and_then(Value::as_str).is_none_or(str::is_empty);
    if empty
        && let Some(base) = metadata.get("generateName").and_then(Value::as_str).filter(|b| !b.is_empty())
    {
        let name = generate_name(base);
        metadata.insert("name".into(), name.into());
    }
}

/// A name as Kubernetes makes them: the base, shortened to 58, and five characters without vowels.
fn generate_name(base: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut name: String = base.chars().take(58).collect();
    for _ in 0..5 {
        name.push(char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]));
    }
    name
}

/// What an update cannot change; a client that leaves it out gets it back.
pub(super) fn kept_metadata(value: &mut Value, before: &Value) {
    let old = &before["metadata"];
    let metadata = metadata_mut(value);
    metadata.remove("selfLink");
    for field in ["uid", "creationTimestamp", "generation"] {
        let empty = metadata.get(field).is_none_or(|v| v.is_null() || v == "");
        if empty || field != "uid" {
            keep(metadata, old, field);
        }
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"] {
        keep(metadata, old, field);
    }
}

fn keep(metadata: &mut Map<String, Value>, old: &Value, field: &str) {
    match old.get(field) {
        Some(kept) => drop(metadata.insert(field.into(), kept.clone())),
        None => drop(metadata.remove(field)),
    }
}

//! Uniqueness in lists: the items of a set, the keys of a map list.

use std::collections::HashMap;

use seaway_schema::schema::{ListType, Schema};
use serde_json::{Map, Value};

use crate::field_error::{FieldError, Path};

/// What occurs twice in the lists of a value.
pub(crate) fn validate(schema: &Schema, path: &Path, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(&mut errors, schema, path, value);
    errors
}

fn check(errors: &mut Vec<FieldError>, schema: &Schema, path: &Path, value: &Value) {
    match value {
        Value::Array(items) => {
            match schema.list_type {
                Some(ListType::Set) => {
                    for index in repeated(items) {
                        errors.push(FieldError::duplicate(&path.index(index), items[index].clone()));
                    }
                }
                Some(ListType::Map) => check_keys(errors, schema, path, items),
                Some(ListType::Atomic) | None => {}
            }
            if let Some(each) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check(errors, each, &path.index(index), item);
                }
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(property) = schema.properties.get(name) {
                    check(errors, property, &path.child(name), field);
                } else if let Some(each) = schema.each() {
                    check(errors, each, &path.key(name), field);
                }
            }
        }
        _ => {}
    }
}

fn check_keys(errors: &mut Vec<FieldError>, schema: &Schema, path: &Path, items: &[Value]) {
    if let Some(index) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        errors.push(FieldError::invalid(
            &path.index(index),
            items[index].clone(),
            "must be an object for an array of list-type map",
        ));
        return;
    }
    let keys: Vec<Value> = items
        .iter()
        .map(|item| {
            let named =
                schema.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
            Value::Object(named.collect::<Map<_, _>>())
        })
        .collect();
    for index in repeated(&keys) {
        errors.push(FieldError::duplicate(&path.index(index), keys[index].clone()));
    }
}

/// The places where a value stands for the second time.
fn repeated(items: &[Value]) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(items.len());
    let mut places = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let times = seen.entry(canonical(item)).or_default();
        *times += 1;
        if *times == 2 {
            places.push(index);
        }
    }
    places
}

/// A text that is the same for equal values.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let inner: Vec<String> =
                fields.into_iter().map(|(name, field)| format!("{name:?}:{}", canonical(field))).collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

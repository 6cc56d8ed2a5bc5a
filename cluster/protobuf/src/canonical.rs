//! The JSON form that Go's encoder gives an object after it was decoded into its Go type.
//!
//! A client may write `labels: {}`, `minReadySeconds: 0` or `volumes: null`; a server whose objects are Go structs
//! forgets the difference to an absent field and prints what the type's tags say. Who compares objects, or owners of
//! fields, with such a server needs the same form.

use crate::facts::{Facts, Field, Message, Type};
use serde_json::{Map, Value};

/// Rewrites an object into the form in which Go's encoder prints it: zero values of `omitempty` fields are left out,
/// those of other fields are written, empty lists and maps count as absent. Fields that the type does not know stay.
/// Of kinds without facts (custom resources) only `metadata` is rewritten.
///
/// `metadata.managedFields` stay as they are: an empty list there asks for something.
pub fn canonical(object: &mut Value) {
    let owners = object.get_mut("metadata").and_then(|m| m.get_mut("managedFields")).map(Value::take);
    rewrite_object(object);
    if let (Some(owners), Some(Value::Object(metadata))) = (owners, object.get_mut("metadata"))
        && !owners.is_null()
    {
        metadata.insert("managedFields".into(), owners);
    }
}

fn rewrite_object(object: &mut Value) {
    let facts = Facts::get();
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let kind = facts.kind(text("apiVersion"), text("kind"));
    match kind.and_then(|kind| facts.message(kind)) {
        Some(message) => rewrite(facts, message, object),
        None => {
            let metadata = facts.kind("v1", "ConfigMap").and_then(|kind| facts.message(kind));
            let metadata = metadata.and_then(|m| m.values().find(|f| f.name == "metadata"));
            if let (Some(field), Some(value)) = (metadata, object.get_mut("metadata")) {
                inside(facts, &field.ty, value);
            }
        }
    }
}

fn rewrite(facts: &Facts, message: &Message, value: &mut Value) {
    let Value::Object(map) = value else { return };
    fields(facts, message, map);
}

fn fields(facts: &Facts, message: &Message, map: &mut Map<String, Value>) {
    for field in message.values() {
        if field.name.is_empty() {
            if let Type::Message(index) = field.ty
                && let Some(embedded) = facts.message(index)
            {
                fields(facts, embedded, map);
            }
            continue;
        }
        if let Some(value) = map.get_mut(&field.name) {
            inside(facts, &field.ty, value);
            if !is_zero(&field.ty, value) {
                continue;
            }
        }
        if omitted(field) {
            map.remove(&field.name);
        } else {
            map.insert(field.name.clone(), zero(facts, &field.ty));
        }
    }
}

/// Whether Go leaves out the zero value. `omitempty` says nothing about structs.
fn omitted(field: &Field) -> bool {
    let is_struct = matches!(
        field.ty,
        Type::Message(_) | Type::Time | Type::MicroTime | Type::Quantity | Type::IntOrString
    );
    field.omit_zero || (field.omit_empty && !is_struct)
}

fn inside(facts: &Facts, ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Pointer(inner), value) => inside(facts, inner, value),
        (Type::Message(index), value) => {
            if let Some(message) = facts.message(*index) {
                rewrite(facts, message, value);
            }
        }
        (Type::List(inner) | Type::Wrapped(inner), Value::Array(list)) => {
            list.iter_mut().for_each(|item| inside(facts, inner, item));
        }
        (Type::Map(inner), Value::Object(map)) => {
            for value in map.values_mut() {
                inside(facts, inner, value);
                if value.is_null() {
                    *value = zero(facts, inner);
                }
            }
        }
        _ => {}
    }
}

fn is_zero(ty: &Type, value: &Value) -> bool {
    match (ty, value) {
        (_, Value::Null) => true,
        (Type::Bool, value) => *value == Value::Bool(false),
        (Type::Int32 | Type::Int64 | Type::Float64, value) => value.as_f64() == Some(0.0),
        (Type::String | Type::Bytes, value) => *value == "",
        (Type::List(_) | Type::Wrapped(_), value) => value.as_array().is_some_and(Vec::is_empty),
        (Type::Map(_), value) => value.as_object().is_some_and(Map::is_empty),
        // Structs that are there, and what a pointer points to, are printed.
        _ => false,
    }
}

fn zero(facts: &Facts, ty: &Type) -> Value {
    match ty {
        Type::Bool => false.into(),
        Type::Int32 | Type::Int64 | Type::IntOrString => 0.into(),
        Type::Float64 => 0.0.into(),
        Type::String => "".into(),
        Type::Quantity => "0".into(),
        Type::Message(index) => {
            let mut map = Map::new();
            if let Some(message) = facts.message(*index) {
                fields(facts, message, &mut map);
            }
            map.into()
        }
        Type::Bytes
        | Type::Time
        | Type::MicroTime
        | Type::Json
        | Type::Wrapped(_)
        | Type::Pointer(_)
        | Type::List(_)
        | Type::Map(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(mut object: Value) -> Value {
        canonical(&mut object);
        object
    }

    #[test]
    fn empty_is_absent_unless_the_type_points_to_it() {
        let pod = of(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {}},
            "spec": {"hostNetwork": false, "automountServiceAccountToken": false, "nodeName": "",
                     "volumes": [{"name": "v", "emptyDir": {}}], "tolerations": [],
                     "containers": [{"name": "c", "env": null}]}}));
        assert_eq!(
            pod,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
                "spec": {"automountServiceAccountToken": false, "volumes": [{"name": "v", "emptyDir": {}}],
                         "containers": [{"name": "c", "resources": {}}]},
                "status": {}})
        );
    }

    #[test]
    fn what_has_no_omitempty_is_always_printed() {
        let role = of(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                             "metadata": {"name": "a"}, "rules": []}));
        assert_eq!(role["rules"], Value::Null);
        assert!(role.as_object().is_some_and(|r| r.contains_key("rules")));
    }

    #[test]
    fn of_custom_resources_only_the_metadata_is_known() {
        let custom = of(json!({"apiVersion": "example.com/v1", "kind": "Widget",
                               "metadata": {"name": "a", "annotations": {}}, "spec": {"list": []}}));
        assert_eq!(custom["metadata"], json!({"name": "a"}));
        assert_eq!(custom["spec"], json!({"list": []}));
    }
}

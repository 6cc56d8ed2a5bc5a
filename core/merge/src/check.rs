//! An object against its type: unknown fields, pruning, wrong types, defaults.
//!
//! Nothing here knows values: lengths, patterns, ranges and rules across fields are the API server's.

use crate::schema::{ObjectType, Shape, TypeRef};
use crate::value::type_name;
use serde_json::{Map, Value};

/// A value of another JSON type than the schema says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeProblem {
    /// The field (`spec.replicas`, `spec.ports[0].port`).
    pub path: String,
    /// The schema's type: `string`, `date-time`, `base64`, `integer`, `int32`, `int64`, `number`, `boolean`, `array`,
    /// `object`, `integer or string`, `quantity`.
    pub expected: &'static str,
    /// The value's type: `null`, `boolean`, `integer`, `number`, `string`, `array`, `object`.
    pub got: &'static str,
}

/// Every field that the type does not know, worded as Kubernetes does: `unknown field "spec.foo"`.
pub fn unknown_fields(value: &Value, ty: &TypeRef) -> Vec<String> {
    unknown_paths(value, ty).iter().map(|path| format!("unknown field {path:?}")).collect()
}

/// Every field that the type does not know, by its path (`spec.foo`, `spec.ports[0].foo`).
pub fn unknown_paths(value: &Value, ty: &TypeRef) -> Vec<String> {
    let mut found = Vec::new();
    visit(value, ty, &mut String::new(), &mut |event| {
        if let Event::Unknown(path) = event {
            found.push(path);
        }
    });
    found
}

/// Every value of a wrong JSON type. `null` is no value, so it has no wrong type.
pub fn wrong_types(value: &Value, ty: &TypeRef) -> Vec<TypeProblem> {
    let mut found = Vec::new();
    visit(value, ty, &mut String::new(), &mut |event| {
        if let Event::Wrong(problem) = event {
            found.push(problem);
        }
    });
    found
}

/// Drops every field that the type does not know; what is under `x-kubernetes-preserve-unknown-fields` or has no
/// declared shape stays.
pub fn prune(value: &mut Value, ty: &TypeRef) {
    match (&ty.shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            if !keeps_unknown(object) {
                map.retain(|name, _| object.fields.contains_key(name));
            }
            for (name, child) in map {
                if let Some(ty) = ty.field(name) {
                    prune(child, &ty);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                prune(item, &list.element);
            }
        }
        _ => {}
    }
}

/// Sets the schema's defaults where a field is absent or `null` without being nullable, and drops such nulls that have
/// no default (structural defaulting, as custom resources have it).
///
/// On a built-in kind this adds the structs that are held by value (`status: {}`) and the protocol of ports; every
/// other default of a built-in kind is code, not schema.
pub fn default(value: &mut Value, ty: &TypeRef) {
    match (&ty.shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            for (name, field) in &object.fields {
                let absent = match map.get(name) {
                    None => true,
                    Some(value) => value.is_null() && !field.ty.nullable,
                };
                if !absent {
                    continue;
                }
                match field.default.as_ref().or(field.ty.default.as_ref()) {
                    Some(default) => {
                        map.insert(name.clone(), default.clone());
                    }
                    None => {
                        map.remove(name);
                    }
                }
            }
            for (name, child) in map {
                let Some(ty) = ty.field(name) else { continue };
                default_element(child, &ty);
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                default_element(item, &list.element);
            }
        }
        _ => {}
    }
}

fn default_element(value: &mut Value, ty: &TypeRef) {
    if let (true, false, Some(default)) = (value.is_null(), ty.nullable, &ty.default) {
        *value = default.clone();
    }
    default(value, ty);
}

/// Drops the declared fields that are `null` without being nullable: there `null` means absent.
pub fn drop_nulls(value: &mut Value, ty: &TypeRef) {
    match (&ty.shape, value) {
        (Shape::Object(object), Value::Object(map)) => {
            map.retain(|name, child| {
                !child.is_null() || object.fields.get(name).is_none_or(|field| field.ty.nullable)
            });
            for (name, child) in map {
                if let Some(ty) = ty.field(name) {
                    drop_nulls(child, &ty);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                drop_nulls(item, &list.element);
            }
        }
        _ => {}
    }
}

fn keeps_unknown(object: &ObjectType) -> bool {
    object.preserve_unknown || object.additional.is_some()
}

enum Event {
    Unknown(String),
    Wrong(TypeProblem),
}

fn visit(value: &Value, ty: &TypeRef, path: &mut String, found: &mut dyn FnMut(Event)) {
    if value.is_null() {
        return;
    }
    let expected = match &ty.shape {
        Shape::Any | Shape::Deduced => return,
        Shape::Object(object) => {
            if let Value::Object(map) = value {
                for (name, child) in map {
                    let length = path.len();
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                    match object.fields.get(name).map(|field| &field.ty).or(object.additional.as_ref()) {
                        Some(ty) => visit(child, ty, path, found),
                        None if object.preserve_unknown => {}
                        None => found(Event::Unknown(path.clone())),
                    }
                    path.truncate(length);
                }
                return;
            }
            "object"
        }
        Shape::List(list) => {
            if let Value::Array(items) = value {
                for (index, item) in items.iter().enumerate() {
                    let length = path.len();
                    path.push_str(&format!("[{index}]"));
                    visit(item, &list.element, path, found);
                    path.truncate(length);
                }
                return;
            }
            "array"
        }
        Shape::String => match (value.as_str(), ty.format.as_deref()) {
            (None, _) => "string",
            (Some(text), Some("date-time")) if !is_time(text) => "date-time",
            (Some(text), Some("byte")) if !is_base64(text) => "base64",
            (Some(_), _) => return,
        },
        Shape::Boolean if value.is_boolean() => return,
        Shape::Boolean => "boolean",
        Shape::Number if value.is_number() => return,
        Shape::Number => "number",
        Shape::Integer => match (whole(value), ty.format.as_deref()) {
            (None, _) if is_fractionless(value) => "int64",
            (None, _) => "integer",
            (Some(number), Some("int32")) if i32::try_from(number).is_err() => "int32",
            (Some(_), _) => return,
        },
        Shape::IntOrString => match whole(value) {
            _ if value.is_string() => return,
            Some(number) if i32::try_from(number).is_ok() => return,
            Some(_) => "int32",
            None if is_fractionless(value) => "int32",
            None => "integer or string",
        },
        Shape::Quantity if value.is_string() || value.is_number() => return,
        Shape::Quantity => "quantity",
    };
    found(Event::Wrong(TypeProblem { path: path.clone(), expected, got: type_name(value) }));
}

/// `3` and `3.0` are whole, `3.5` is not, nor is what 64 bits do not hold.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|n| number.is_f64() && n.fract() == 0.0)?;
            // Beyond 2^53 a float does not say which whole number is meant.
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the range")]
            (float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        }),
        _ => None,
    }
}

fn is_fractionless(value: &Value) -> bool {
    value.as_f64().is_some_and(|n| n.fract() == 0.0)
}

/// A time as Go's `time.RFC3339` reads it, with or without fractions of a second.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let shape =
        digits(0..4) && digits(5..7) && digits(8..10) && digits(11..13) && digits(14..16) && digits(17..19);
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let two = |from: usize| text.get(from..from + 2).and_then(|digits| digits.parse::<u8>().ok());
    let fraction = match bytes.get(19..).unwrap_or_default() {
        [b'.', digits @ ..] => 1 + digits.iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    let zone = 19 + fraction;
    let in_zone = match bytes.get(zone..) {
        Some(b"Z") => true,
        Some([b'+' | b'-', _, _, b':', _, _]) => {
            digits(zone + 1..zone + 3)
                && digits(zone + 4..zone + 6)
                && two(zone + 1).is_some_and(|hours| hours <= 23)
                && two(zone + 4).is_some_and(|minutes| minutes <= 59)
        }
        _ => false,
    };
    shape
        && (at(4), at(7), at(10), at(13), at(16)) == (b'-', b'-', b'T', b':', b':')
        && fraction != 1
        && in_zone
        && two(17).is_some_and(|seconds| seconds <= 59)
        && text.parse::<jiff::Timestamp>().is_ok()
}

/// Bytes as Go's encoding/json reads them, which passes over line breaks.
fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text.replace(['\r', '\n'], "")).is_ok()
}

/// Brings values into the form in which Go, having read them, would write them: elements of lists that are `null`
/// become the empty value of their type, `3.0` in an integer field becomes 3, base64 loses its line breaks. Typed
/// clients could not read them otherwise. For values that have no [`wrong_types`].
pub fn normalize(value: &mut Value, ty: &TypeRef) {
    match (&ty.shape, &mut *value) {
        (Shape::Object(object), Value::Object(map)) => {
            for (name, child) in map {
                if let Some(ty) =
                    object.fields.get(name).map(|field| &field.ty).or(object.additional.as_ref())
                {
                    normalize(child, ty);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                if item.is_null()
                    && let Some(empty) = empty_value(&list.element)
                {
                    *item = empty;
                }
                normalize(item, &list.element);
            }
        }
        (Shape::Integer | Shape::IntOrString, Value::Number(number)) if number.is_f64() => {
            if let Some(number) = whole(value) {
                *value = number.into();
            }
        }
        (Shape::String, Value::String(text)) if ty.format.as_deref() == Some("byte") => {
            text.retain(|c| c != '\r' && c != '\n');
        }
        _ => {}
    }
}

/// What Go has in place of a `null` that it reads into a value of this type.
fn empty_value(ty: &TypeRef) -> Option<Value> {
    Some(match &ty.shape {
        Shape::Object(_) => Value::Object(Map::new()),
        Shape::List(_) => Value::Array(vec![]),
        Shape::String => "".into(),
        Shape::Boolean => false.into(),
        Shape::Number | Shape::Integer | Shape::IntOrString => 0.into(),
        Shape::Quantity => "0".into(),
        Shape::Any | Shape::Deduced => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::schema::{for_kind, from_structural};
    use serde_json::json;

    #[test]
    fn unknown_fields_are_named_with_their_whole_path() {
        let deployment = for_kind("apps", "v1", "Deployment").unwrap();
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labelz": {}},
            "spec": {"replicaz": 1, "template": {"spec": {"containers": [{"name": "x", "imagee": "y"}]}}},
        });
        let mut found = unknown_fields(&object, &deployment);
        found.sort();
        assert_eq!(
            found,
            [
                r#"unknown field "metadata.labelz""#,
                r#"unknown field "spec.replicaz""#,
                r#"unknown field "spec.template.spec.containers[0].imagee""#,
            ]
        );
    }

    #[test]
    fn free_form_parts_of_built_in_kinds_know_every_field() {
        let config = for_kind("", "v1", "ConfigMap").unwrap();
        assert_eq!(unknown_fields(&json!({"data": {"any": "x"}}), &config), Vec::<String>::new());
        let crd = for_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
        let object = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"properties": {"a": {
            "default": {"any": ["thing"]}, "additionalProperties": {"type": "string"}, "enum": [1, "x"]}}}}}]}});
        assert_eq!(unknown_fields(&object, &crd), Vec::<String>::new());
    }

    #[test]
    fn pruning_keeps_what_is_declared_or_preserved() {
        let ty = from_structural(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "known": {"type": "string"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "strict": {"type": "object", "properties": {"a": {"type": "string"}}}}},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {
                    "a": {"type": "string"}}}},
                "embedded": {"type": "object", "x-kubernetes-embedded-resource": true},
            }},
        }}))
        .unwrap();
        let mut object = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "n", "bad": 1}, "top": 1,
            "spec": {"known": "x", "unknown": 1, "free": {"anything": {"deep": 1}, "strict": {"a": "1", "b": 2}},
                "map": {"k": {"a": "1", "b": 2}}, "embedded": {"apiVersion": "v1", "kind": "Pod", "x": 1}}});
        prune(&mut object, &ty);
        assert_eq!(
            object,
            json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "n"},
                "spec": {"known": "x", "free": {"anything": {"deep": 1}, "strict": {"a": "1"}},
                    "map": {"k": {"a": "1"}}, "embedded": {"apiVersion": "v1", "kind": "Pod"}}})
        );
    }

    #[test]
    fn wrong_types_name_field_and_both_types() {
        let service = for_kind("", "v1", "Service").unwrap();
        let object = json!({"spec": {"ports": [{"port": "80", "targetPort": true}], "clusterIP": 1,
            "healthCheckNodePort": 3_000_000_000_u32, "selector": []}});
        let found = wrong_types(&object, &service);
        let problem = |path: &str, expected, got| TypeProblem { path: path.to_owned(), expected, got };
        for expected in [
            problem("spec.ports[0].port", "integer", "string"),
            problem("spec.ports[0].targetPort", "integer or string", "boolean"),
            problem("spec.clusterIP", "string", "integer"),
            problem("spec.healthCheckNodePort", "int32", "integer"),
            problem("spec.selector", "object", "array"),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn what_typed_clients_could_not_read_is_a_wrong_type() {
        let deployment = for_kind("apps", "v1", "Deployment").unwrap();
        let wrong = |object: serde_json::Value| {
            let found = wrong_types(&object, &deployment);
            found.into_iter().map(|p| format!("{} {}", p.path, p.expected)).collect::<Vec<_>>()
        };
        assert_eq!(wrong(json!({"spec": {"replicas": 99_999_999_999_i64}})), ["spec.replicas int32"]);
        assert_eq!(
            wrong(json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1e22}}}})),
            ["spec.template.spec.terminationGracePeriodSeconds int64"]
        );
        assert_eq!(wrong(json!({"metadata": {"generation": u64::MAX}})), ["metadata.generation int64"]);
        let surge =
            |n: serde_json::Value| wrong(json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": n}}}}));
        assert_eq!(surge(json!(2_147_483_648_i64)), ["spec.strategy.rollingUpdate.maxSurge int32"]);
        assert_eq!(surge(json!(-1e30)), ["spec.strategy.rollingUpdate.maxSurge int32"]);
        assert!(surge(json!(1.0)).is_empty() && surge(json!("25%")).is_empty());
        let created = |text: &str| wrong(json!({"metadata": {"creationTimestamp": text}}));
        for good in ["2026-11-28T05:44:31Z", "2026-11-28T05:44:31.123456Z", "2026-11-28T05:44:31+02:00"] {
            assert!(created(good).is_empty(), "{good}");
        }
        for bad in [
            "yesterday",
            "",
            "2026-11-28",
            "2026-11-28 05:44:31Z",
            "2026-13-28T05:44:31Z",
            "2026-11-28T05:44:31",
            "2026-11-28T05:44:60Z",
            "2026-11-28T05:44:31+25:00",
            "2026-11-28T05:44:31+02:00:30",
            "2026-11-28T05:44:31.Z",
        ] {
            assert_eq!(created(bad), ["metadata.creationTimestamp date-time"], "{bad}");
        }
    }

    #[test]
    fn values_take_the_form_in_which_typed_clients_read_them() {
        let pod = for_kind("", "v1", "Pod").unwrap();
        let mut object = json!({"spec": {"terminationGracePeriodSeconds": 30.0, "tolerations": [null],
            "containers": [{"args": ["a", null], "ports": [{"containerPort": 80.0}]}],
            "volumes": [{"name": "a", "projected": {"sources": [null]}}]}});
        assert!(wrong_types(&object, &pod).is_empty());
        normalize(&mut object, &pod);
        assert_eq!(
            object,
            json!({"spec": {"terminationGracePeriodSeconds": 30, "tolerations": [{}],
                "containers": [{"args": ["a", ""], "ports": [{"containerPort": 80}]}],
                "volumes": [{"name": "a", "projected": {"sources": [{}]}}]}})
        );
        let mut secret = json!({"data": {"a": "YWJj\nZGVm\n"}});
        normalize(&mut secret, &for_kind("", "v1", "Secret").unwrap());
        assert_eq!(secret, json!({"data": {"a": "YWJjZGVm"}}));
    }

    #[test]
    fn structural_defaults_fill_absent_fields_at_every_depth() {
        let ty = from_structural(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "default": {}, "properties": {
                "size": {"type": "integer", "default": 3},
                "nothing": {"type": "string", "nullable": true, "default": "x"},
                "gone": {"type": "string"},
                "items": {"type": "array", "items": {"type": "object", "properties": {
                    "mode": {"type": "string", "default": "on"}}}},
            }},
        }}))
        .unwrap();
        let mut empty = json!({});
        default(&mut empty, &ty);
        assert_eq!(empty, json!({"spec": {"size": 3, "nothing": "x"}}));
        let mut object =
            json!({"spec": {"size": null, "nothing": null, "gone": null, "items": [{}, {"mode": "off"}]}});
        default(&mut object, &ty);
        assert_eq!(
            object,
            json!({"spec": {"size": 3, "nothing": null, "items": [{"mode": "on"}, {"mode": "off"}]}})
        );
    }
}

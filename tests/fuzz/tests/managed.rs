//! Ownership of fields: `fieldsV1` and server-side apply.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Json, fuzz};
use seaway_merge::fieldset::FieldSet;
use seaway_merge::managed::{self, ApplyError, Manager};
use seaway_merge::schema::{self, TypeRef};
use serde_json::{Value, json};

fn fields() -> Json {
    let good = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}, "v:\"x\"": {}, "i:3": {}}}});
    let words = [
        ".",
        "f:",
        "f:a",
        "k:{}",
        "k:{\"name\":1,\"a\":null}",
        "k:[]",
        "v:1.0",
        "v:1",
        "v:{\"a\":[1]}",
        "v:",
        "i:-1",
        "i:1",
        "x:",
        "f:é",
    ];
    Json { good: vec![good], words: words.map(Value::from).to_vec() }
}

fuzz!(fields_v1, fields(), |input: &Value| {
    let Ok(set) = FieldSet::from_fields_v1(input) else { return false };
    let printed = set.to_fields_v1();
    assert_eq!(FieldSet::from_fields_v1(&printed).as_ref(), Ok(&set), "{printed}");
    assert_eq!(set.union(&set), set);
    assert_eq!(set.intersection(&set), set);
    assert!(set.difference(&set).is_empty());
    assert_eq!(set.paths().len(), set.len());
    for path in set.paths() {
        assert!(set.has(&path));
    }
    true
});

fn objects() -> Json {
    let object = |image: &str, replicas: i64| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "labels": {"x": image}, "finalizers": ["f/g"]},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {
                "containers": [{"name": "a", "image": image, "env": [{"name": "E", "value": "1"}],
                                "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
                "tolerations": [{"key": "k"}], "nodeSelector": {"n": "m"}}}}})
    };
    let words = [
        "metadata",
        "spec",
        "managedFields",
        "containers",
        "ports",
        "containerPort",
        "protocol",
        "labels",
        "finalizers",
        "manager",
        "operation",
        "Apply",
        "Update",
        "fieldsV1",
        "annotations",
        "kubectl.kubernetes.io/last-applied-configuration",
    ];
    Json {
        good: vec![json!([object("b", 1), object("c", 2), object("b", 3)])],
        words: words.map(Value::from).to_vec(),
    }
}

fn manager(name: &str) -> Manager {
    Manager {
        name: name.to_owned(),
        api_version: "apps/v1".to_owned(),
        time: "2024-01-02T03:04:05Z".to_owned(),
        reset: vec!["status".to_owned()],
        ..Manager::default()
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().any(has_null),
        Value::Array(list) => list.iter().any(has_null),
        _ => false,
    }
}

/// One applies, another one does, somebody updates, and the first one applies again.
fn story(input: &Value, schema: &TypeRef) -> bool {
    let Some([first, second, third]) = input.as_array().map(Vec::as_slice) else { return false };
    let (one, other, updater) = (manager("one"), manager("kubectl"), manager("updater"));
    // A null as the key of an element is refused by validation, which this is not.
    let twice = |live: &Value, applied: &Value, by: &Manager| {
        if has_null(applied) {
            return;
        }
        let again = managed::apply(Some(live), applied, schema, by, true);
        assert_eq!(again.as_ref(), Ok(live), "applied twice by {}", by.name);
    };
    let Ok(live) = managed::apply(None, first, schema, &one, false) else { return false };
    twice(&live, first, &one);
    let forced = managed::apply(Some(&live), second, schema, &other, true);
    match managed::apply(Some(&live), second, schema, &other, false) {
        Ok(unforced) => assert_eq!(forced.as_ref(), Ok(&unforced)),
        Err(ApplyError::Conflict(conflicts)) => assert!(!conflicts.is_empty() && forced.is_ok()),
        Err(error) => assert_eq!(forced, Err(error)),
    }
    let Ok(live) = forced else { return true };
    // As above: an update's nulls are gone, or defaults in their place, before ownership is looked at.
    if has_null(third) {
        return true;
    }
    let updated = managed::update(Some(&live), third, schema, &updater);
    let Ok(updated) = updated else {
        assert!(!third.is_object());
        return true;
    };
    if let Ok(last) = managed::apply(Some(&updated), first, schema, &one, true) {
        twice(&last, first, &one);
    }
    true
}

fuzz!(server_side_apply, objects(), |input: &Value| {
    story(input, &schema::for_kind("apps", "v1", "Deployment").unwrap())
});
fuzz!(server_side_apply_without_a_schema, objects(), |input: &Value| story(input, &schema::untyped()));

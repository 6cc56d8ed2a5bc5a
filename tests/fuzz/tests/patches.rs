//! Patches: an input is an object and a patch of it.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Json, fuzz};
use seaway_merge::{patch, schema, strategic};
use serde_json::{Value, json};

fn parts(input: &Value) -> Option<(&Value, &Value)> {
    let [object, patch] = input.as_array()?.as_slice() else { return None };
    Some((object, patch))
}

fn depth(value: &Value) -> usize {
    let deepest = match value {
        Value::Object(map) => map.values().map(depth).max(),
        Value::Array(list) => list.iter().map(depth).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "a", "labels": {"x": "y"}, "finalizers": ["f/g"]},
        "spec": {"replicas": 1, "template": {"spec": {
            "containers": [{"name": "a", "image": "b", "ports": [{"containerPort": 80, "protocol": "TCP"}]}, {"name": "c"}],
            "tolerations": [{"key": "k"}], "volumes": [{"name": "v", "emptyDir": {}}]}}}})
}

fn json_patches() -> Json {
    let patch = json!([
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "d"}},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
        {"op": "copy", "from": "/metadata/labels", "path": "/metadata/annotations"},
        {"op": "move", "from": "/metadata/finalizers/0", "path": "/metadata/labels/a~1b"},
        {"op": "remove", "path": "/spec/template/spec/volumes/0"},
        {"op": "test", "path": "/metadata/name", "value": "a"},
    ]);
    let words = [
        "op",
        "path",
        "from",
        "value",
        "add",
        "replace",
        "remove",
        "copy",
        "move",
        "test",
        "",
        "/",
        "/-",
        "/0",
        "/spec",
        "/spec/template/spec/containers/0",
        "/metadata/labels/~01",
        "/01",
        "/18446744073709551616",
        "/é",
    ];
    Json { good: vec![json!([deployment(), patch])], words: words.map(Value::from).to_vec() }
}

fuzz!(json_patch, json_patches(), |input: &Value| {
    let Some((object, patch)) = parts(input) else { return false };
    let Ok(patched) = patch::json_patch(object, patch) else { return false };
    assert!(depth(&patched) <= 128);
    assert!(size(&patched) <= size(object) + size(patch) + 3 * 1024 * 1024);
    // All or none, and the same again.
    assert_eq!(patch::json_patch(object, patch), Ok(patched));
    true
});

fn merge_patches() -> Json {
    let patch =
        json!({"metadata": {"labels": {"x": null, "z": "w"}}, "spec": {"replicas": 3, "template": null}});
    Json { good: vec![json!([deployment(), patch])], words: vec!["spec".into(), "metadata".into()] }
}

fuzz!(merge_patch, merge_patches(), |input: &Value| {
    let Some((object, patch)) = parts(input) else { return false };
    let Ok(patched) = patch::merge_patch(object, patch) else { return false };
    assert!(depth(&patched) <= depth(object).max(depth(patch)));
    assert_eq!(patch::merge_patch(&patched, patch).as_ref(), Ok(&patched), "applied twice");
    true
});

fn strategic_patches() -> Json {
    let patch = json!({"metadata": {"labels": {"x": null}, "$deleteFromPrimitiveList/finalizers": ["f/g"]},
        "spec": {"$retainKeys": ["replicas", "template"], "template": {"spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "a", "image": "d", "ports": [{"containerPort": 81}]}, {"name": "c", "$patch": "delete"}],
            "volumes": [{"$patch": "replace"}, {"name": "w"}]}}}});
    let words = [
        "$patch",
        "delete",
        "replace",
        "merge",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "$setElementOrder/finalizers",
        "containers",
        "finalizers",
        "tolerations",
        "ports",
        "containerPort",
        "image",
    ];
    Json { good: vec![json!([deployment(), patch])], words: words.map(Value::from).to_vec() }
}

fn has_directives(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| key.starts_with('$') || has_directives(value)),
        Value::Array(list) => list.iter().any(has_directives),
        _ => false,
    }
}

fuzz!(strategic_merge_patch, strategic_patches(), |input: &Value| {
    let Some((object, patch)) = parts(input) else { return false };
    let schema = schema::for_kind("apps", "v1", "Deployment").unwrap();
    let Ok(patched) = strategic::patch(object, patch, &schema) else { return false };
    assert!(depth(&patched) <= depth(object).max(depth(patch)) + 1);
    assert!(size(&patched) <= size(object) + size(patch));
    let again = strategic::patch(&patched, patch, &schema);
    if !has_directives(patch) && !has_directives(object) {
        assert_eq!(again.as_ref(), Ok(&patched), "applied twice");
    }
    let untyped = strategic::patch(object, patch, &schema::untyped());
    assert!(untyped.is_err() || size(&untyped.unwrap()) <= size(object) + size(patch));
    true
});

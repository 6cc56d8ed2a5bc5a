//! Server-side apply.

use super::*;
use crate::Error;
use crate::managed::{LAST_APPLIED, apply};

#[test]
fn an_applier_owns_what_it_sent_and_not_the_containers_on_the_way() {
    let applied = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [
            {"name": "x", "image": "i", "ports": [{"containerPort": 80}], "args": ["1"]}]}}}});
    let out = apply_as("me", None, &applied, &deployment()).unwrap();
    assert_eq!(bare(&out), applied);
    assert_eq!(
        out["metadata"]["managedFields"],
        json!([{"manager": "me", "operation": "Apply", "apiVersion": "apps/v1", "time": NOON, "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:replicas": {}, "f:selector": {},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:image": {},
                    "f:args": {}, "f:ports": {
                        "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}}}])
    );
}

#[test]
fn two_appliers_of_one_value_share_it_and_another_value_conflicts() {
    let live = stored(apply_as("a", None, &data(json!({"x": "1"})), &config_map()).unwrap());
    let shared = apply_as("b", Some(&live), &data(json!({"x": "1"})), &config_map()).unwrap();
    assert_eq!(fields_of(&shared, "a", "Apply"), fields_of(&shared, "b", "Apply"));

    let error = apply_as("b", Some(&live), &data(json!({"x": "2"})), &config_map()).unwrap_err();
    assert_eq!(error.to_string(), r#"Apply failed with 1 conflict: conflict with "a": .data.x"#);
}

#[test]
fn conflicts_are_printed_as_kubernetes_prints_them() {
    let new = data(json!({"x": "1", "y": "1"}));
    let live = stored(update_as("kubectl", None, &new, &config_map()));
    let error = apply_as("b", Some(&live), &data(json!({"x": "2"})), &config_map()).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"Apply failed with 1 conflict: conflict with "kubectl" using v1: .data.x"#
    );
    let error = apply_as("b", Some(&live), &data(json!({"x": "2", "y": "2"})), &config_map()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using v1:\n- .data.x\n- .data.y"
    );
    let ApplyError::Conflict(conflicts) = error else { panic!("{error}") };
    assert_eq!(conflicts[0].owner(), r#""kubectl" using v1"#);
    assert_eq!(conflicts[0].field, ".data.x");
}

#[test]
fn force_takes_the_field_from_everybody_else() {
    let live = stored(apply_as("a", None, &data(json!({"x": "1", "y": "1"})), &config_map()).unwrap());
    let out = force_as("b", Some(&live), &data(json!({"x": "2"})), &config_map());
    assert_eq!(out["data"], json!({"x": "2", "y": "1"}));
    assert_eq!(fields_of(&out, "a", "Apply"), json!({"f:data": {"f:y": {}}}));
    assert_eq!(fields_of(&out, "b", "Apply"), json!({"f:data": {"f:x": {}}}));
}

#[test]
fn what_is_no_longer_applied_goes_unless_somebody_owns_it() {
    let live =
        stored(apply_as("a", None, &data(json!({"x": "1", "y": "1", "z": "1"})), &config_map()).unwrap());
    let live = apply_as("b", Some(&live), &data(json!({"y": "1"})), &config_map()).unwrap();
    let out = apply_as("a", Some(&live), &data(json!({"x": "1"})), &config_map()).unwrap();
    assert_eq!(out["data"], json!({"x": "1", "y": "1"}));
    assert_eq!(fields_of(&out, "a", "Apply"), json!({"f:data": {"f:x": {}}}));
}

#[test]
fn an_unowned_or_updated_field_inside_keeps_its_container() {
    let container = |extra: Value| {
        let mut container = json!({"name": "x", "image": "i"});
        container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let live = stored(apply_as("a", None, &container(json!({})), &deployment()).unwrap());
    let mut new = live.clone();
    new["spec"]["template"]["spec"]["containers"][0]["tty"] = true.into();
    new["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "sidecar"}));
    let live = update_as("injector", Some(&live), &new, &deployment());

    let mut none = container(json!({}));
    none["spec"] = json!({"replicas": 1});
    let out = apply_as("a", Some(&live), &none, &deployment()).unwrap();
    assert_eq!(
        out["spec"],
        json!({"replicas": 1, "template": {"spec": {"containers": [{"name": "sidecar"}]}}}),
        "an element goes with its owner, others stay"
    );
}

#[test]
fn applying_the_same_again_returns_the_live_object() {
    let applied = data(json!({"x": "1"}));
    let live = stored(apply_as("a", None, &applied, &config_map()).unwrap());
    let later = Manager { time: LATER.to_owned(), ..manager("a", "v1") };
    assert_eq!(apply(Some(&live), &applied, &config_map(), &later, false).unwrap(), live);
    // Also when others wrote in between, and the server added to the object.
    let mut new = live.clone();
    new["data"]["y"] = "2".into();
    new["metadata"]["creationTimestamp"] = NOON.into();
    let live = update_as("b", Some(&live), &new, &config_map());
    assert_eq!(apply(Some(&live), &applied, &config_map(), &later, false).unwrap(), live);
}

#[test]
fn lists_merge_as_their_type_says() {
    let live = thing(
        json!({"atomic": ["a"], "set": ["a", "b"], "map": [{"name": "a", "value": "1"}], "whole": {"a": "1"}}),
    );
    let live = stored(apply_as("a", None, &live, &custom()).unwrap());
    let other =
        thing(json!({"set": ["c", "b"], "map": [{"name": "b", "value": "2"}, {"name": "a", "extra": "e"}]}));
    let out = apply_as("b", Some(&live), &other, &custom()).unwrap();
    assert_eq!(out["spec"]["set"], json!(["a", "c", "b"]));
    assert_eq!(
        out["spec"]["map"],
        json!([{"name": "b", "value": "2"}, {"name": "a", "value": "1", "extra": "e"}])
    );
    assert_eq!(
        fields_of(&out, "b", "Apply"),
        json!({"f:spec": {"f:set": {"v:\"b\"": {}, "v:\"c\"": {}},
            "f:map": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:extra": {}},
                "k:{\"name\":\"b\"}": {".": {}, "f:name": {}, "f:value": {}}}}})
    );

    let whole = thing(json!({"atomic": ["b"], "whole": {"b": "2"}}));
    let error = apply_as("b", Some(&live), &whole, &custom()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .spec.atomic\n- .spec.whole"
    );
    let out = force_as("b", Some(&live), &whole, &custom());
    assert_eq!((&out["spec"]["atomic"], &out["spec"]["whole"]), (&json!(["b"]), &json!({"b": "2"})));
    assert_eq!(
        fields_of(&out, "a", "Apply"),
        json!({"f:spec": {"f:set": {"v:\"a\"": {}, "v:\"b\"": {}},
            "f:map": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:value": {}}}}})
    );
}

#[test]
fn an_object_without_a_schema_merges_maps_and_replaces_lists() {
    let ty = crate::schema::untyped();
    let live = stored(apply_as("a", None, &thing(json!({"m": {"a": 1}, "l": [1]})), &ty).unwrap());
    assert_eq!(
        fields_of(&live, "a", "Apply"),
        json!({"f:spec": {".": {}, "f:l": {}, "f:m": {".": {}, "f:a": {}}}})
    );
    let out = apply_as("b", Some(&live), &thing(json!({"m": {"b": 2}})), &ty).unwrap();
    assert_eq!(out["spec"], json!({"m": {"a": 1, "b": 2}, "l": [1]}));
    let error = apply_as("b", Some(&live), &thing(json!({"l": [2]})), &ty).unwrap_err();
    assert_eq!(error.to_string(), r#"Apply failed with 1 conflict: conflict with "a": .spec.l"#);
}

#[test]
fn what_cannot_be_applied_is_refused_with_the_field() {
    let duplicate = thing(json!({"map": [{"name": "a"}, {"name": "a"}]}));
    assert_eq!(
        apply_as("a", None, &duplicate, &custom()).unwrap_err(),
        ApplyError::Invalid(Error::Object {
            path: ".spec.map".into(),
            problem: "duplicate entries for key [name=\"a\"]".into()
        })
    );
    for (spec, path, problem) in [
        (json!({"map": [{"value": "x"}]}), ".spec.map", "omits all key fields [name]"),
        (json!({"set": [{}]}), ".spec.set", "map type"),
        (json!({"number": "x"}), ".spec.number", "expected numeric (int or float), got string"),
        (json!({"set": "x"}), ".spec.set", "expected list, got string"),
        (json!({"nowhere": 1}), ".spec.nowhere", "field not declared in schema"),
    ] {
        let error = apply_as("a", None, &thing(spec), &custom()).unwrap_err();
        let ApplyError::Invalid(Error::Object { path: at, problem: what }) = &error else {
            panic!("{error}")
        };
        assert_eq!(at, path);
        assert!(what.contains(problem), "{what:?} should mention {problem:?}");
    }
    let mut with_fields = data(json!({}));
    with_fields["metadata"]["managedFields"] = json!([]);
    assert_eq!(
        apply_as("a", None, &with_fields, &config_map()).unwrap_err(),
        ApplyError::BadRequest("metadata.managedFields must be nil".to_owned())
    );
    let error = apply(None, &data(json!({})), &config_map(), &manager("a", "v2"), false).unwrap_err();
    assert!(matches!(error, ApplyError::BadRequest(text) if text.contains("Incorrect version")));
}

#[test]
fn an_applier_with_nothing_left_has_no_entry() {
    let live = stored(apply_as("a", None, &data(json!({"x": "1"})), &config_map()).unwrap());
    let nothing = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    let out = apply_as("a", Some(&live), &nothing, &config_map()).unwrap();
    assert_eq!(out.get("data"), None);
    assert_eq!(out["metadata"].get("managedFields"), None);
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner() {
    let live = stored(data(json!({"x": "1"})));
    let error = apply_as("a", Some(&live), &data(json!({"x": "2"})), &config_map()).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.x"#
    );
    let out = apply_as("a", Some(&live), &data(json!({"y": "2"})), &config_map()).unwrap();
    assert_eq!(fields_of(&out, "before-first-apply", "Update"), json!({"f:data": {".": {}, "f:x": {}}}));
    assert_eq!(fields_of(&out, "a", "Apply"), json!({"f:data": {"f:y": {}}}));
}

/// `kubectl apply`, then `kubectl apply --server-side`.
#[test]
fn kubectl_takes_over_from_client_side_apply_without_force() {
    let mut config = data(json!({"x": "1"}));
    let mut created = config.clone();
    created["metadata"]["annotations"] = json!({ LAST_APPLIED: config.to_string() });
    let live = stored(update_as("kubectl-client-side-apply", None, &created, &config_map()));
    config["data"]["x"] = "2<".into();
    let out = apply_as("kubectl", Some(&live), &config, &config_map()).unwrap();
    assert_eq!(out["data"]["x"], "2<");
    let last = out["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap();
    assert!(last.contains(r"2\u003c") && last.ends_with('\n'), "{last:?}");

    // Not what somebody changed since, and not for other managers.
    let mut edited = live.clone();
    edited["data"]["x"] = "edited".into();
    let edited = update_as("kubectl-edit", Some(&live), &edited, &config_map());
    assert!(apply_as("kubectl", Some(&edited), &config, &config_map()).is_err());
    assert!(apply_as("other", Some(&live), &config, &config_map()).is_err());
}

#[test]
fn an_endpoint_that_resets_a_field_neither_owns_nor_fights_for_it() {
    let mut applied = thing(json!({"number": 1}));
    applied["status"] = json!({"ready": true});
    let main = Manager { reset: vec!["status".to_owned()], ..manager("a", "e.com/v1") };
    let out = apply(None, &applied, &custom(), &main, false).unwrap();
    assert_eq!(fields_of(&out, "a", "Apply"), json!({"f:spec": {"f:number": {}}}));
}

#[test]
fn a_list_that_became_atomic_is_owned_as_a_whole() {
    let granular = custom();
    let atomic =
        from_structural(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "map": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        "number": {"type": "integer"}}}}}))
        .unwrap();
    let list = json!({"map": [{"name": "a", "value": "1"}]});
    let live = stored(apply_as("a", None, &thing(list), &granular).unwrap());
    let out = apply_as("b", Some(&live), &thing(json!({"number": 1})), &atomic).unwrap();
    assert_eq!(fields_of(&out, "a", "Apply"), json!({"f:spec": {"f:map": {}}}));
}

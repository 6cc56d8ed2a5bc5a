#![allow(clippy::unwrap_used)]
use super::patch;
use crate::patch::PatchError;
use crate::schema::{TypeRef, for_kind};
use proptest::prelude::*;
use serde_json::{Value, json};

fn deployment() -> TypeRef {
    for_kind("apps", "v1", "Deployment").unwrap()
}

fn pod() -> TypeRef {
    for_kind("", "v1", "Pod").unwrap()
}

/// Patches the pod spec.
fn spec(original: Value, change: Value) -> Value {
    patch(&json!({"spec": original}), &json!({"spec": change}), &pod()).unwrap()["spec"].clone()
}

#[test]
fn lists_with_a_merge_key_merge_by_it() {
    let merged = spec(
        json!({"containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}]}),
        json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "2"}]}]}),
    );
    assert_eq!(
        merged,
        json!({"containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "2"}]}]})
    );
}

#[test]
fn a_new_element_stands_before_those_that_only_the_server_has() {
    let merged =
        spec(json!({"containers": [{"name": "a"}, {"name": "b"}]}), json!({"containers": [{"name": "c"}]}));
    assert_eq!(merged, json!({"containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}));
}

#[test]
fn lists_without_a_strategy_are_replaced() {
    let merged = spec(
        json!({"containers": [{"name": "a", "args": ["1", "2"]}]}),
        json!({"containers": [{"name": "a", "args": ["3"]}]}),
    );
    assert_eq!(merged, json!({"containers": [{"name": "a", "args": ["3"]}]}));
}

#[test]
fn null_removes_a_field_and_says_nothing_where_there_is_none() {
    let merged = spec(
        json!({"hostname": "h", "containers": [{"name": "a", "image": "x"}]}),
        json!({"hostname": null, "subdomain": null, "containers": [{"name": "a", "image": null}, {"name": "b",
            "image": null}]}),
    );
    assert_eq!(merged, json!({"containers": [{"name": "a"}, {"name": "b"}]}));
}

#[test]
fn patch_delete_removes_an_element_and_patch_replace_the_rest() {
    let list = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}]});
    assert_eq!(
        spec(list.clone(), json!({"containers": [{"$patch": "delete", "name": "a"}]})),
        json!({"containers": [{"name": "b"}]})
    );
    assert_eq!(
        spec(list.clone(), json!({"containers": [{"$patch": "replace"}, {"name": "c"}]})),
        json!({"containers": [{"name": "c"}]})
    );
    assert_eq!(
        spec(list, json!({"containers": [{"name": "a"}, {"$patch": "replace", "name": "b"}]})),
        json!({"containers": [{"name": "a"}]}),
        "the mark is no element"
    );
}

#[test]
fn patch_replace_and_delete_work_on_maps() {
    let original = json!({"metadata": {"labels": {"a": "1"}, "annotations": {"b": "2"}}});
    let change =
        json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}, "annotations": {"$patch": "delete"}}});
    assert_eq!(
        patch(&original, &change, &pod()).unwrap(),
        json!({"metadata": {"labels": {"c": "3"}, "annotations": {}}})
    );
}

#[test]
fn primitive_lists_merge_as_sets_and_can_lose_elements() {
    let original = json!({"metadata": {"finalizers": ["a", "b", "c"]}});
    let change = json!({"metadata": {"finalizers": ["c", "d"]}});
    assert_eq!(
        patch(&original, &change, &pod()).unwrap(),
        json!({"metadata": {"finalizers": ["a", "b", "c", "d"]}})
    );
    let change = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b", "x"]}});
    assert_eq!(patch(&original, &change, &pod()).unwrap(), json!({"metadata": {"finalizers": ["a", "c"]}}));
}

#[test]
fn set_element_order_orders_what_it_names_and_leaves_the_rest_in_place() {
    let merged = spec(
        json!({"containers": [{"name": "a"}, {"name": "server"}, {"name": "b"}]}),
        json!({
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}, {"name": "c"}],
            "containers": [{"name": "c", "image": "new"}],
        }),
    );
    let names: Vec<&str> =
        merged["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["server", "b", "a", "c"]);

    let wrong =
        json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "z"}]}});
    let error = patch(&json!({"spec": {}}), &wrong, &pod()).unwrap_err();
    assert!(matches!(error, PatchError::Unprocessable(text) if text.contains("$setElementOrder")));
}

#[test]
fn retain_keys_drops_the_other_members_of_a_union() {
    let original = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let change = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(
        patch(&original, &change, &deployment()).unwrap(),
        json!({"spec": {"strategy": {"type": "Recreate"}}})
    );
    let merged = spec(
        json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
        json!({"volumes": [{"$retainKeys": ["name", "secret"], "name": "v", "secret": {"secretName": "s"}}]}),
    );
    assert_eq!(merged, json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}));
    let unlisted = json!({"spec": {"strategy": {"$retainKeys": [], "type": "Recreate"}}});
    assert_eq!(
        patch(&original, &unlisted, &deployment()).unwrap_err(),
        PatchError::Malformed("invalid patch format of retainKeys".to_owned())
    );
}

#[test]
fn a_field_with_strategy_replace_is_replaced() {
    let budget = for_kind("policy", "v1", "PodDisruptionBudget").unwrap();
    let original = json!({"spec": {"selector": {"matchLabels": {"a": "1"}}}});
    let change = json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}});
    assert_eq!(patch(&original, &change, &budget).unwrap(), change);
}

#[test]
fn broken_patches_are_refused() {
    let original = json!({"metadata": {}, "spec": {"containers": [{"name": "a"}]}});
    for (change, part) in [
        (json!([]), "must be an object"),
        (json!({"$patch": "explode"}), "unknown patch type"),
        (json!({"spec": {"containers": [{"image": "x"}]}}), "does not contain declared merge key: name"),
        (json!({"spec": {"containers": [["x"]]}}), "lists of lists"),
        (json!({"spec": {"$retainKeys": 1}}), "retainKeys"),
        (json!({"spec": {"$setElementOrder/containers": 1}}), "setElementOrder"),
        (json!({"metadata": {"$deleteFromPrimitiveList/finalizers": 1}}), "primitive list"),
    ] {
        let error = patch(&original, &change, &pod()).unwrap_err().to_string();
        assert!(error.contains(part), "{error:?} should mention {part:?}");
    }
}

fn containers() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", (0..3_u8, prop::option::of(0..2_u8)), 0..4).prop_map(|all| {
        let list: Vec<Value> = all
            .into_iter()
            .map(|(name, (image, tty))| {
                let mut container = json!({"name": name, "image": image.to_string()});
                if let Some(tty) = tty {
                    container["tty"] = (tty == 1).into();
                }
                container
            })
            .collect();
        json!({"spec": {"containers": list}})
    })
}

proptest! {
    #[test]
    fn a_patch_applies_once_or_twice_alike(a in containers(), b in containers()) {
        let once = patch(&a, &b, &pod()).unwrap();
        prop_assert_eq!(patch(&once, &b, &pod()).unwrap(), once);
    }

    #[test]
    fn an_object_is_a_patch_to_itself(a in containers()) {
        prop_assert_eq!(patch(&a, &a, &pod()).unwrap(), a.clone());
        prop_assert_eq!(patch(&a, &json!({}), &pod()).unwrap(), a);
    }

    #[test]
    fn no_element_is_lost_or_doubled(a in containers(), b in containers()) {
        let merged = patch(&a, &b, &pod()).unwrap();
        let names = |object: &Value| -> Vec<String> {
            let mut names: Vec<String> = object["spec"]["containers"].as_array().into_iter().flatten()
                .map(|c| c["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        let mut expected = names(&a);
        expected.extend(names(&b));
        expected.sort();
        expected.dedup();
        prop_assert_eq!(names(&merged), expected);
    }
}

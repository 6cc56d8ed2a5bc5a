//! Ownership of plain writes.

use super::*;
use crate::managed::update;

/// What a real server records for `kubectl create deployment`.
#[test]
fn a_create_owns_what_differs_from_an_empty_object() {
    let new = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "1", "generation": 1,
            "creationTimestamp": NOON, "labels": {"app": "web"}},
        "spec": {
            "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                "containers": [{"name": "nginx", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
                "dnsPolicy": "ClusterFirst", "securityContext": {}, "terminationGracePeriodSeconds": 30}},
        },
        "status": {},
    });
    let out = update_as("kubectl-create", None, &new, &deployment());
    assert_eq!(bare(&out), new);
    assert_eq!(
        out["metadata"]["managedFields"],
        json!([{
            "manager": "kubectl-create", "operation": "Update", "apiVersion": "apps/v1", "time": NOON,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:revisionHistoryLimit": {},
                    "f:selector": {},
                    "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}},
                    "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {
                        "f:containers": {"k:{\"name\":\"nginx\"}": {".": {}, "f:image": {}, "f:imagePullPolicy": {},
                            "f:name": {}, "f:resources": {}, "f:ports": {".": {},
                                "k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                                    {".": {}, "f:containerPort": {}, "f:protocol": {}}}}},
                        "f:dnsPolicy": {}, "f:securityContext": {}, "f:terminationGracePeriodSeconds": {}}},
                },
            },
        }])
    );
}

#[test]
fn a_config_map_owns_its_map_and_each_entry() {
    let out = update_as("curl", None, &data(json!({"a": "1"})), &config_map());
    assert_eq!(fields_of(&out, "curl", "Update"), json!({"f:data": {".": {}, "f:a": {}}}));
}

#[test]
fn a_change_moves_ownership_and_a_removal_ends_it() {
    let live = stored(update_as("a", None, &data(json!({"x": "1", "y": "1", "z": "1"})), &config_map()));
    let mut new = live.clone();
    new["data"] = json!({"x": "2", "y": "1"});
    let out = update_as("b", Some(&live), &new, &config_map());
    assert_eq!(fields_of(&out, "a", "Update"), json!({"f:data": {".": {}, "f:y": {}}}));
    assert_eq!(fields_of(&out, "b", "Update"), json!({"f:data": {"f:x": {}}}));
}

#[test]
fn a_write_that_changes_nothing_changes_no_entry_and_no_time() {
    let live = stored(update_as("a", None, &data(json!({"x": "1"})), &config_map()));
    let later = Manager { time: LATER.to_owned(), ..manager("b", "v1") };
    assert_eq!(update(Some(&live), &live, &config_map(), &later).unwrap(), live);
}

#[test]
fn a_second_write_joins_the_managers_entry_and_renews_its_time() {
    let live = stored(update_as("a", None, &data(json!({"x": "1"})), &config_map()));
    let mut new = live.clone();
    new["data"]["y"] = "2".into();
    let later = Manager { time: LATER.to_owned(), ..manager("a", "v1") };
    let out = update(Some(&live), &new, &config_map(), &later).unwrap();
    assert_eq!(out["metadata"]["managedFields"].as_array().unwrap().len(), 1);
    assert_eq!(out["metadata"]["managedFields"][0]["time"], LATER);
    assert_eq!(fields_of(&out, "a", "Update"), json!({"f:data": {".": {}, "f:x": {}, "f:y": {}}}));
}

#[test]
fn writes_through_a_subresource_have_an_entry_of_their_own() {
    let live = stored(update_as("a", None, &thing(json!({"number": 1})), &custom()));
    let mut new = live.clone();
    new["status"] = json!({"ready": true});
    new["metadata"]["managedFields"] = json!([]);
    let status = Manager {
        subresource: "status".to_owned(),
        reset: vec!["spec".to_owned(), "metadata".to_owned()],
        ..manager("a", "e.com/v1")
    };
    let out = update(Some(&live), &new, &custom(), &status).unwrap();
    let entries = out["metadata"]["managedFields"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "a reset through a subresource is ignored");
    assert_eq!(entries[1]["subresource"], "status");
    assert_eq!(entries[1]["fieldsV1"], json!({"f:status": {".": {}, "f:ready": {}}}));
}

#[test]
fn fields_that_the_endpoint_resets_are_nobodys() {
    let mut new = thing(json!({"number": 1}));
    new["status"] = json!({"ready": true});
    let main = Manager { reset: vec!["status".to_owned()], ..manager("a", "e.com/v1") };
    let out = update(None, &new, &custom(), &main).unwrap();
    assert_eq!(fields_of(&out, "a", "Update"), json!({"f:spec": {".": {}, "f:number": {}}}));
}

#[test]
fn managed_fields_can_be_reset_and_stay_away() {
    let live = stored(update_as("a", None, &data(json!({"x": "1"})), &config_map()));
    for reset in [json!([]), json!([{}])] {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = reset;
        new["data"]["x"] = "2".into();
        let out = update_as("b", Some(&live), &new, &config_map());
        assert_eq!(out["metadata"].get("managedFields"), None);
        let mut again = out.clone();
        again["data"]["x"] = "3".into();
        assert_eq!(update_as("b", Some(&out), &again, &config_map()), again);
    }
}

#[test]
fn managed_fields_that_a_client_sends_are_taken_and_broken_ones_are_not() {
    let live = stored(update_as("a", None, &data(json!({"x": "1"})), &config_map()));
    let mut new = live.clone();
    new["metadata"]["managedFields"][0]["manager"] = "renamed".into();
    let out = update_as("b", Some(&live), &new, &config_map());
    assert_eq!(fields_of(&out, "renamed", "Update"), json!({"f:data": {".": {}, "f:x": {}}}));

    for broken in
        [json!("x"), json!([{"operation": "Update"}]), json!([{"manager": "m", "operation": "Sing"}])]
    {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = broken;
        assert_eq!(update_as("b", Some(&live), &new, &config_map()), live);
    }
    let mut new = live.clone();
    new["metadata"].as_object_mut().unwrap().remove("managedFields");
    assert_eq!(update_as("b", Some(&live), &new, &config_map()), live);
}

#[test]
fn an_object_keeps_ten_updaters_and_merges_the_oldest() {
    let mut live = stored(update_as("m00", None, &data(json!({"k0": "v"})), &config_map()));
    for number in 1..=11 {
        let mut new = live.clone();
        new["data"][format!("k{number}")] = "v".into();
        let who = Manager {
            time: format!("2026-01-01T12:{number:02}:00Z"),
            ..manager(&format!("m{number:02}"), "v1")
        };
        live = update(Some(&live), &new, &config_map(), &who).unwrap();
    }
    let names: Vec<&str> = live["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["ancient-changes", "m03", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11"]);
    assert_eq!(
        fields_of(&live, "ancient-changes", "Update"),
        json!({"f:data": {".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}}})
    );
    assert_eq!(live["metadata"]["managedFields"][0]["time"], "2026-01-01T12:02:00Z");
}

#[test]
fn an_update_takes_a_field_from_an_applier() {
    let live = stored(apply_as("a", None, &data(json!({"x": "1", "y": "1"})), &config_map()).unwrap());
    let mut new = live.clone();
    new["data"]["x"] = "2".into();
    let out = update_as("b", Some(&live), &new, &config_map());
    assert_eq!(fields_of(&out, "a", "Apply"), json!({"f:data": {"f:y": {}}}));
    assert_eq!(fields_of(&out, "b", "Update"), json!({"f:data": {"f:x": {}}}));
}

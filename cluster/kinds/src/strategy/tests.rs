//! What the strategies promise.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn created(group: &str, kind: &str, mut object: Value) -> Value {
    prepare_for_create(group, kind, &mut object);
    object
}

fn updated(group: &str, kind: &str, mut new: Value, old: &Value) -> Value {
    prepare_for_update(group, kind, &mut new, old);
    new
}

#[test]
fn a_new_object_brings_no_status_of_its_own() {
    let claimed = json!({"status": {"replicas": 7}});
    assert_eq!(created("apps", "ReplicaSet", claimed.clone())["status"], json!({"replicas": 0}));
    assert_eq!(created("apps", "Deployment", claimed.clone())["status"], json!({}));
    assert_eq!(created("", "Service", claimed.clone())["status"], json!({"loadBalancer": {}}));
    assert_eq!(created("", "Node", claimed.clone())["status"], json!({"replicas": 7}));
    assert_eq!(created("example.com", "Own", claimed.clone()), claimed);
}

#[test]
fn generations_start_at_one_for_kinds_that_count_them() {
    let generation = |group: &str, kind: &str| {
        created(group, kind, json!({"metadata": {"generation": 9}}))["metadata"]["generation"].clone()
    };
    assert_eq!(generation("apps", "Deployment"), 1);
    assert_eq!(generation("networking.k8s.io", "NetworkPolicy"), 1);
    assert!(created("", "ConfigMap", json!({"metadata": {}}))["metadata"].get("generation").is_none());
}

#[test]
fn the_templates_of_a_daemon_set_are_counted_for_old_clients() {
    const NUMBER: &str = "deprecated.daemonset.template.generation";
    let set = |image: &str| json!({"metadata": {"name": "a"}, "spec": {"template": {"image": image}}});
    let first = created("apps", "DaemonSet", set("a:1"));
    assert_eq!(first["metadata"]["annotations"][NUMBER], "1");
    // Whoever replaces it need not know of the number, and cannot set it.
    let same = updated("apps", "DaemonSet", set("a:1"), &first);
    assert_eq!(same["metadata"]["annotations"][NUMBER], "1");
    let mut other = set("a:2");
    other["metadata"]["annotations"] = json!({NUMBER: "9", "mine": "x"});
    let second = updated("apps", "DaemonSet", other, &first);
    assert_eq!(second["metadata"]["annotations"], json!({NUMBER: "2", "mine": "x"}));
}

#[test]
fn namespaces_begin_active_with_the_kubernetes_finalizer() {
    let namespace = created("", "Namespace", json!({"metadata": {"deletionTimestamp": "x"}}));
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(namespace["status"], json!({"phase": "Active"}));
    assert!(namespace["metadata"].get("deletionTimestamp").is_none());
    let old = json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let new = updated("", "Namespace", json!({"spec": {"finalizers": []}}), &old);
    assert_eq!(new["spec"]["finalizers"], json!(["kubernetes"]));
}

#[test]
fn pods_begin_pending_in_their_class() {
    let class = |resources: Value| {
        let pod = created("", "Pod", json!({"spec": {"containers": [{"resources": resources}]}}));
        assert_eq!(pod["status"]["phase"], "Pending");
        pod["status"]["qosClass"].as_str().unwrap().to_owned()
    };
    assert_eq!(class(json!({})), "BestEffort");
    assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
    let all = json!({"cpu": "1", "memory": "1Gi"});
    assert_eq!(class(json!({"requests": all, "limits": all})), "Guaranteed");
    assert_eq!(class(json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": all})), "Burstable");
    assert_eq!(class(json!({"limits": {"cpu": "1"}})), "Burstable");
    let whole = json!({"spec": {"resources": {"requests": all, "limits": all}, "containers": [{}]}});
    assert_eq!(created("", "Pod", whole)["status"]["qosClass"], "Guaranteed");
}

#[test]
fn a_job_selects_its_own_pods_unless_told_otherwise() {
    let job =
        created("batch", "Job", json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}}));
    assert_eq!(job["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"],
        json!({"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j",
               "controller-uid": "u", "job-name": "j"})
    );
    let manual = json!({"metadata": {"uid": "u"}, "spec": {"manualSelector": true, "template": {}}});
    assert!(created("batch", "Job", manual)["spec"].get("selector").is_none());
}

#[test]
fn an_update_keeps_status_and_counts_changes_of_the_spec() {
    let old = json!({"metadata": {"generation": 4}, "spec": {"replicas": 1}, "status": {"replicas": 1}});
    let changed = json!({"metadata": {}, "spec": {"replicas": 2}, "status": {"replicas": 9}});
    let new = updated("apps", "ReplicaSet", changed, &old);
    assert_eq!(new["metadata"]["generation"], 5);
    assert_eq!(new["status"], json!({"replicas": 1}));
    let same =
        json!({"metadata": {"annotations": {"a": "b"}, "generation": 1}, "spec": {"replicas": 1, "x": null}});
    assert_eq!(updated("apps", "ReplicaSet", same.clone(), &old)["metadata"]["generation"], 4);
    assert_eq!(updated("apps", "Deployment", same, &old)["metadata"]["generation"], 5);
}

#[test]
fn a_status_update_changes_nothing_but_status() {
    let old =
        json!({"metadata": {"generation": 1, "labels": {"a": "b"}}, "spec": {"replicas": 1}, "status": {}});
    let mut new = json!({"metadata": {"generation": 7, "labels": {}}, "spec": {"replicas": 5}, "status": {"replicas": 1}, "extra": 1});
    prepare_for_status_update("apps", "Deployment", &mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"generation": 1, "labels": {"a": "b"}}, "spec": {"replicas": 1}, "status": {"replicas": 1}})
    );
}

#[test]
fn custom_resources_count_every_change_outside_metadata() {
    let old = json!({"metadata": {"generation": 1}, "spec": {"a": 1}, "status": {"s": 1}});
    let update = |new: Value, has_status: bool| {
        let mut new = new;
        prepare_custom_for_update(&mut new, &old, has_status);
        new
    };
    let status = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"a": 1}, "status": {"s": 2}});
    assert_eq!(update(status.clone(), true)["metadata"]["generation"], 1);
    assert_eq!(update(status.clone(), true)["status"], json!({"s": 1}));
    assert_eq!(update(status.clone(), false)["metadata"]["generation"], 2);
    let spec = json!({"metadata": {}, "other": 1, "spec": {"a": 1}});
    assert_eq!(update(spec, true)["metadata"]["generation"], 2);

    let mut new = json!({"metadata": {"labels": {"x": "y"}, "managedFields": [1]}, "spec": {"a": 9}, "status": {"s": 2}});
    prepare_custom_for_status_update(&mut new, &old);
    assert_eq!(
        new,
        json!({"metadata": {"generation": 1, "managedFields": [1]}, "spec": {"a": 1}, "status": {"s": 2}})
    );
    let mut created = json!({"metadata": {}, "status": {"s": 1}});
    prepare_custom_for_create(&mut created, true);
    assert_eq!(created, json!({"metadata": {"generation": 1}}));
}

#[test]
fn services_join_their_addresses_and_drop_what_another_type_had() {
    let service = created("", "Service", json!({"spec": {"clusterIP": "10.0.0.1"}}));
    assert_eq!(service["spec"]["clusterIPs"], json!(["10.0.0.1"]));
    let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
        "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "nodePort": 30000}]}});
    let mut new = old.clone();
    new["spec"]["type"] = json!("ClusterIP");
    let new = updated("", "Service", new, &old);
    assert_eq!(
        new["spec"],
        json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}],
               "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"})
    );
    let mut name = new.clone();
    name["spec"]["type"] = json!("ExternalName");
    let name = updated("", "Service", name, &new);
    assert!(name["spec"].get("clusterIP").is_none());
    assert!(name["spec"].get("clusterIPs").is_none());
}

#[test]
fn services_have_the_family_of_the_cluster() {
    let families = |spec: Value| {
        let spec = created("", "Service", json!({"spec": spec}))["spec"].clone();
        (spec["ipFamilyPolicy"].clone(), spec["ipFamilies"].clone())
    };
    let of = |policy: &str, families: Value| (json!(policy), families);
    assert_eq!(families(json!({"type": "ClusterIP"})), of("SingleStack", json!(["IPv4"])));
    let policy = json!({"type": "NodePort", "ipFamilyPolicy": "PreferDualStack"});
    assert_eq!(families(policy), of("PreferDualStack", json!(["IPv4"])));
    let headless = json!({"type": "ClusterIP", "clusterIP": "None", "selector": {"a": "b"}});
    assert_eq!(families(headless), of("SingleStack", json!(["IPv4"])));
    let selectorless = json!({"type": "ClusterIP", "clusterIP": "None"});
    assert_eq!(families(selectorless), of("RequireDualStack", json!(["IPv4", "IPv6"])));
    assert_eq!(families(json!({"type": "ExternalName"})), (Value::Null, Value::Null));
}

#[test]
fn definitions_remember_every_version_that_was_stored() {
    let versions = |stored: &str| json!([{"name": "v1", "storage": stored == "v1"}, {"name": "v2", "storage": stored == "v2"}]);
    let group = "apiextensions.k8s.io";
    let old = created(group, "CustomResourceDefinition", json!({"spec": {"versions": versions("v1")}}));
    assert_eq!(old["status"]["storedVersions"], json!(["v1"]));
    let new = updated(group, "CustomResourceDefinition", json!({"spec": {"versions": versions("v2")}}), &old);
    assert_eq!(new["status"]["storedVersions"], json!(["v1", "v2"]));
    assert_eq!(new["metadata"]["generation"], 2);
}

#[test]
fn only_running_pods_are_given_time_to_end() {
    let seconds = |pod: Value| graceful_deletion_seconds("", "Pod", &pod);
    assert_eq!(seconds(json!({"spec": {"nodeName": "n"}})), Some(30));
    assert_eq!(seconds(json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}})), Some(5));
    assert_eq!(seconds(json!({"spec": {}})), Some(0));
    assert_eq!(seconds(json!({"spec": {"nodeName": "n"}, "status": {"phase": "Failed"}})), Some(0));
    assert_eq!(graceful_deletion_seconds("apps", "Deployment", &json!({})), None);
}

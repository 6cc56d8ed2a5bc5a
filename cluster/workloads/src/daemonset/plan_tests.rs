#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn set(spec: Value) -> DaemonSet {
    let mut object = json!({
        "metadata": {"name": "agent", "namespace": "shop", "uid": "d"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}},
                 "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []}}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn node(name: &str, taints: Value) -> Arc<Node> {
    Arc::new(
        serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"name": name}}, "spec": {"taints": taints}}))
        .unwrap(),
    )
}

fn pod_on(node: &str, hash: &str, ready: bool) -> Arc<Pod> {
    let status = if ready { "True" } else { "False" };
    Arc::new(serde_json::from_value(json!({
        "metadata": {"name": format!("agent-{node}"), "uid": node, "labels": {"controller-revision-hash": hash}},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]}})).unwrap())
}

fn planned(set: &DaemonSet, nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Plan {
    plan(&Observed { set, nodes, pods, hash: "new", now: Timestamp::from_second(1_800_000_000).unwrap() })
}

fn deleted(plan: &Plan) -> Vec<String> {
    plan.delete.iter().map(|p| p.name_any()).collect()
}

#[test]
fn each_node_that_fits_gets_a_pod_that_is_meant_for_it() {
    let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect}]);
    let nodes = [
        node("a", json!([])),
        node("tainted", taint("team", "NoSchedule")),
        node("troubled", taint("node.kubernetes.io/unschedulable", "NoSchedule")),
    ];
    let plan = planned(&set(json!({})), &nodes, &[]);
    let places: Vec<_> = plan.create.iter().map(|p| node_of(p).unwrap()).collect();
    assert_eq!(places, ["a", "troubled"]);
    assert_eq!(plan.create[0].labels()["controller-revision-hash"], "new");
    assert_eq!(plan.status.desired_number_scheduled, 2);
    let choosy = json!({"template": {"spec": {"containers": [], "nodeSelector": {"name": "b"}}}});
    assert!(planned(&set(choosy), &nodes, &[]).create.is_empty());
}

#[test]
fn a_daemon_carries_the_number_of_its_template() {
    let mut set = set(json!({}));
    let number = ("deprecated.daemonset.template.generation".to_owned(), "3".to_owned());
    set.metadata.annotations = Some([number].into());
    let plan = planned(&set, &[node("a", json!([]))], &[]);
    assert_eq!(plan.create[0].labels()["pod-template-generation"], "3");
}

#[test]
fn pods_leave_nodes_where_they_must_not_be() {
    let evicting = node("a", json!([{"key": "gone", "effect": "NoExecute"}]));
    let tolerating = node("b", json!([{"key": "full", "effect": "NoSchedule"}]));
    let pods = [pod_on("a", "new", true), pod_on("b", "new", true), pod_on("vanished", "new", true)];
    let plan = planned(&set(json!({})), &[evicting, tolerating], &pods);
    assert_eq!(deleted(&plan), ["agent-a", "agent-vanished"]);
    assert_eq!(plan.status.number_misscheduled, 2);
}

#[test]
fn an_update_replaces_so_many_at_a_time_and_broken_ones_at_once() {
    let nodes: Vec<_> = ["a", "b", "c", "d"].iter().map(|n| node(n, json!([]))).collect();
    let all_old: Vec<_> = ["a", "b", "c", "d"].iter().map(|n| pod_on(n, "old", true)).collect();
    assert_eq!(deleted(&planned(&set(json!({})), &nodes, &all_old)), ["agent-a"]);
    let two =
        set(json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}}}));
    assert_eq!(deleted(&planned(&two, &nodes, &all_old)), ["agent-a", "agent-b"]);
    let broken =
        [pod_on("a", "old", true), pod_on("b", "old", false), all_old[2].clone(), all_old[3].clone()];
    assert_eq!(deleted(&planned(&set(json!({})), &nodes, &broken)), ["agent-b"]);
    let starting = [pod_on("a", "new", false), all_old[1].clone(), all_old[2].clone(), all_old[3].clone()];
    assert!(deleted(&planned(&set(json!({})), &nodes, &starting)).is_empty());
    let manual = set(json!({"updateStrategy": {"type": "OnDelete"}}));
    assert!(deleted(&planned(&manual, &nodes, &all_old)).is_empty());
}

#[test]
fn the_status_counts_nodes() {
    let nodes: Vec<_> = ["a", "b", "c"].iter().map(|n| node(n, json!([]))).collect();
    let pods = [pod_on("a", "new", true), pod_on("b", "old", false)];
    let status = planned(&set(json!({})), &nodes, &pods).status;
    assert_eq!(
        (status.desired_number_scheduled, status.current_number_scheduled, status.number_ready),
        (3, 2, 1)
    );
    assert_eq!(
        (status.number_available, status.number_unavailable, status.updated_number_scheduled),
        (Some(1), Some(2), Some(1))
    );
}

#[test]
fn a_failed_pod_goes_before_another_comes() {
    let mut failed = (*pod_on("a", "new", false)).clone();
    failed.status.as_mut().unwrap().phase = Some("Failed".into());
    let nodes = [node("a", json!([]))];
    let plan = planned(&set(json!({})), &nodes, &[Arc::new(failed)]);
    assert_eq!((deleted(&plan), plan.create.len()), (vec!["agent-a".to_owned()], 0));
}

use super::*;
use serde_json::json;

use HealthStatus::{Degraded, Healthy, Progressing, Suspended, Unknown};

fn of(api_version: &str, kind: &str, spec: Value, status: Value) -> HealthStatus {
    let mut object = json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": "x", "generation": 2}, "spec": spec});
    if !status.is_null() {
        object["status"] = status;
    }
    health(&object).status
}

fn with_condition(name: &str, status: &str, reason: &str) -> Value {
    json!({"observedGeneration": 2, "conditions": [{"type": name, "status": status, "reason": reason}]})
}

#[test]
fn a_deployment_is_healthy_when_all_its_replicas_are_updated_and_available() {
    let deployment = |spec, status| of("apps/v1", "Deployment", spec, status);
    let counts = |replicas: i64, updated: i64, available: i64| {
        json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
               "availableReplicas": available})
    };
    let three = || json!({"replicas": 3});
    assert_eq!(deployment(three(), Value::Null), Progressing);
    assert_eq!(deployment(three(), json!({"observedGeneration": 1, "updatedReplicas": 3})), Progressing);
    assert_eq!(deployment(three(), counts(3, 2, 2)), Progressing);
    assert_eq!(deployment(three(), counts(4, 3, 3)), Progressing);
    assert_eq!(deployment(three(), counts(3, 3, 2)), Progressing);
    assert_eq!(deployment(three(), counts(3, 3, 3)), Healthy);
    assert_eq!(deployment(json!({"replicas": 0}), counts(0, 0, 0)), Healthy);
    assert_eq!(deployment(json!({"paused": true}), Value::Null), Suspended);
    let stuck = with_condition("Progressing", "False", "ProgressDeadlineExceeded");
    assert_eq!(deployment(three(), stuck), Degraded);
}

#[test]
fn a_stateful_set_follows_its_partition_and_strategy() {
    let set = |spec, status| of("apps/v1", "StatefulSet", spec, status);
    let status = |ready: i64, updated: i64, revision: &str| {
        json!({"observedGeneration": 2, "readyReplicas": ready, "updatedReplicas": updated,
               "currentRevision": "a", "updateRevision": revision})
    };
    let partition = json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}});
    assert_eq!(set(json!({"replicas": 3}), status(2, 3, "a")), Progressing);
    assert_eq!(set(json!({"replicas": 3}), status(3, 1, "b")), Progressing);
    assert_eq!(set(json!({"replicas": 3}), status(3, 3, "a")), Healthy);
    assert_eq!(set(partition.clone(), status(3, 0, "b")), Progressing);
    assert_eq!(set(partition, status(3, 1, "b")), Healthy);
    assert_eq!(
        set(json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}}), status(3, 0, "b")),
        Healthy
    );
}

#[test]
fn other_workloads_by_their_own_words() {
    let observed = |status: Value| {
        let mut status = status;
        status["observedGeneration"] = 2.into();
        status
    };
    for (api, kind, spec, status, expected) in [
        (
            "apps/v1",
            "DaemonSet",
            json!({}),
            observed(json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1})),
            Progressing,
        ),
        (
            "apps/v1",
            "DaemonSet",
            json!({}),
            observed(json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2})),
            Healthy,
        ),
        (
            "apps/v1",
            "ReplicaSet",
            json!({}),
            with_condition("ReplicaFailure", "True", "FailedCreate"),
            Degraded,
        ),
        ("apps/v1", "ReplicaSet", json!({"replicas": 1}), observed(json!({"availableReplicas": 1})), Healthy),
        ("batch/v1", "Job", json!({}), with_condition("Failed", "True", "BackoffLimitExceeded"), Degraded),
        ("batch/v1", "Job", json!({}), with_condition("Complete", "True", ""), Healthy),
        ("batch/v1", "Job", json!({"suspend": true}), json!({}), Suspended),
        ("batch/v1", "Job", json!({}), json!({"active": 1}), Progressing),
        ("batch/v1", "CronJob", json!({}), json!({}), Healthy),
        ("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Pending"}), Progressing),
        ("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Bound"}), Healthy),
        ("v1", "PersistentVolumeClaim", json!({}), json!({"phase": "Lost"}), Degraded),
        ("v1", "Service", json!({}), json!({"loadBalancer": {}}), Healthy),
        ("v1", "Service", json!({"type": "LoadBalancer"}), json!({"loadBalancer": {}}), Progressing),
        (
            "v1",
            "Service",
            json!({"type": "LoadBalancer"}),
            json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}),
            Healthy,
        ),
        ("networking.k8s.io/v1", "Ingress", json!({}), json!({}), Progressing),
        ("v1", "ConfigMap", json!({}), Value::Null, Healthy),
        ("v1", "Pod", json!({"restartPolicy": "Always"}), json!({"phase": "Pending"}), Progressing),
        (
            "v1",
            "Pod",
            json!({}),
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
            Healthy,
        ),
        (
            "v1",
            "Pod",
            json!({}),
            json!({"phase": "Running", "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            Degraded,
        ),
        ("v1", "Pod", json!({"restartPolicy": "Never"}), json!({"phase": "Running"}), Progressing),
        ("v1", "Pod", json!({"restartPolicy": "Never"}), json!({"phase": "Succeeded"}), Healthy),
        ("v1", "Pod", json!({"restartPolicy": "Never"}), json!({"phase": "Failed"}), Degraded),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({}),
            with_condition("ScalingActive", "False", "FailedGetResourceMetric"),
            Degraded,
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            json!({}),
            with_condition("AbleToScale", "True", "Ready"),
            Healthy,
        ),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", json!({}), json!({}), Progressing),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            json!({}),
            with_condition("Established", "True", ""),
            Healthy,
        ),
        (
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            json!({}),
            with_condition("NamesAccepted", "False", "Conflict"),
            Degraded,
        ),
    ] {
        assert_eq!(of(api, kind, spec, status.clone()), expected, "{kind} {status}");
    }
}

#[test]
fn custom_resources_by_their_conditions() {
    let custom = |status| of("example.com/v1", "Widget", json!({}), status);
    assert_eq!(custom(Value::Null), Healthy);
    assert_eq!(custom(json!({"observedGeneration": 1})), Progressing);
    assert_eq!(custom(with_condition("Ready", "True", "")), Healthy);
    assert_eq!(custom(with_condition("Ready", "False", "Working")), Progressing);
    assert_eq!(custom(with_condition("Reconciling", "True", "")), Progressing);
    assert_eq!(custom(with_condition("Stalled", "True", "")), Degraded);
    let route = |status| of("gateway.networking.k8s.io/v1", "HTTPRoute", json!({}), status);
    assert_eq!(route(json!({"parents": []})), Progressing);
    let accepted =
        |status: &str| json!({"parents": [{"conditions": [{"type": "Accepted", "status": status}]}]});
    assert_eq!(route(accepted("True")), Healthy);
    assert_eq!(route(accepted("False")), Degraded);
}

#[test]
fn what_is_being_deleted_is_on_its_way_and_what_is_no_object_is_unknown() {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}});
    assert_eq!(health(&object).status, Progressing);
    for object in [json!(null), json!([]), json!({"kind": "x"})] {
        assert_eq!(health(&object).status, Unknown);
    }
}

#[test]
fn an_environment_says_it_itself() {
    let of = |health: &str| {
        of(
            "seaway.dev/v1alpha1",
            "Environment",
            json!({}),
            json!({"health": health, "observedGeneration": 2}),
        )
    };
    for status in ["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"] {
        assert_eq!(of(status).as_str(), status);
    }
    assert_eq!(of("").as_str(), "Progressing");
    let mut object = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment", "metadata": {"generation": 2},
        "status": {"health": "Degraded", "message": "a pod fails", "observedGeneration": 2}});
    assert_eq!(health(&object).message, "a pod fails");
    object["metadata"]["generation"] = 3.into();
    assert_eq!(health(&object).status, HealthStatus::Progressing);
}

#[test]
fn a_pod_that_is_not_restarted_can_be_meant_to_go_on() {
    let pod = |annotations: Value| {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations},
            "spec": {"restartPolicy": "Never"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        health(&object).status
    };
    let key = "argocd.argoproj.io/ignore-restart-policy";
    assert_eq!(pod(json!({key: "true"})), Healthy);
    assert_eq!(pod(json!({key: "false"})), Progressing);
    assert_eq!(pod(json!({key: "true", "argocd.argoproj.io/hook": "PreSync"})), Progressing);
}

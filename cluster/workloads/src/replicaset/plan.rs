//! How many pods are missing, and which of too many go: a pure function of what is observed.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::pods;

/// What a ReplicaSet needs.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Pods to make.
    pub(crate) create: usize,
    /// Pods to delete, the least valuable first.
    pub(crate) delete: Vec<Arc<Pod>>,
    /// The status as observed, before any of this is done.
    pub(crate) status: ReplicaSetStatus,
    /// When to look again although nothing changes: a pod becomes available by time alone.
    pub(crate) again: Option<Duration>,
}

/// Plans for a set and the pods that it controls.
pub(crate) fn plan(set: &ReplicaSet, controlled: &[Arc<Pod>], now: Timestamp) -> Plan {
    let spec = &set.spec;
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let mut active: Vec<Arc<Pod>> = controlled.iter().filter(|p| pods::is_active(p)).cloned().collect();
    let stays = set.metadata.deletion_timestamp.is_none();
    let (mut create, mut delete) = (0, Vec::new());
    if stays && active.len() < wanted {
        create = wanted - active.len();
    } else if stays && active.len() > wanted {
        active.sort_by_cached_key(|pod| worth(pod));
        delete = active[..active.len() - wanted].to_vec();
    }
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let labels = spec.template.as_ref().and_then(|t| t.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let labelled = active.iter().filter(|p| labels.iter().all(|(k, v)| p.labels().get(k) == Some(v))).count();
    let ready = active.iter().filter(|p| pods::is_ready(p)).count();
    let available = active.iter().filter(|p| pods::is_available(p, min_ready, now)).count();
    let terminating = controlled.iter().filter(|p| pods::is_terminating(p) && !pods::is_finished(p)).count();
    let status = ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: pods::count(count(labelled)),
        ready_replicas: pods::count(count(ready)),
        available_replicas: pods::count(count(available)),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.metadata.generation,
        conditions: set.status.as_ref().and_then(|s| s.conditions.clone()),
    };
    let again = pods::next_available(active.iter().map(|p| &**p), min_ready, now);
    Plan { create, delete, status, again }
}

/// How much a pod is worth when some must go; the smallest go first: not placed, not running, not ready,
/// cheap by annotation, ready for a short time, often restarted, young.
fn worth(pod: &Pod) -> impl Ord + use<> {
    let placed = pod.spec.as_ref().and_then(|s| s.node_name.as_ref()).is_some_and(|n| !n.is_empty());
    let phase = match pods::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = pod.annotations().get("controller.kubernetes.io/pod-deletion-cost");
    let cost = cost.and_then(|c| c.parse::<i32>().ok()).unwrap_or(0);
    let age = |since: Option<Timestamp>| Reverse(since.unwrap_or(Timestamp::MAX));
    (
        (placed, phase, pods::is_ready(pod), cost),
        age(pods::ready_since(pod)),
        Reverse(pods::restarts(pod)),
        age(Some(pods::created(pod))),
        pod.name_any(),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(replicas: i32, min_ready: i32) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "generation": 3},
            "spec": {"replicas": replicas, "minReadySeconds": min_ready,
                     "selector": {"matchLabels": {"app": "web"}},
                     "template": {"metadata": {"labels": {"app": "web"}}}},
        }))
        .unwrap()
    }

    fn pod(name: &str, change: Value) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {"name": name, "labels": {"app": "web"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "here", "containers": []},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}]},
        });
        for (pointer, value) in change.as_object().unwrap() {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            pod.pointer_mut(parent).unwrap()[field] = value.clone();
        }
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const LATE: &str = "2026-01-02T00:00:00Z";

    #[test]
    fn missing_pods_are_made_and_ended_ones_do_not_count() {
        let pods = [
            pod("a", json!({})),
            pod("b", json!({"/status/phase": "Failed"})),
            pod("c", json!({"/metadata/deletionTimestamp": LATE})),
        ];
        let plan = plan(&set(3, 0), &pods, at(LATE));
        assert_eq!((plan.create, plan.delete.len()), (2, 0));
        assert_eq!((plan.status.replicas, plan.status.ready_replicas), (1, Some(1)));
        assert_eq!(plan.status.terminating_replicas, Some(1));
        assert_eq!(plan.status.observed_generation, Some(3));
    }

    #[test]
    fn a_set_that_is_being_deleted_makes_nothing() {
        let mut set = set(3, 0);
        set.metadata.deletion_timestamp = Some(crate::clock::time(at(LATE)));
        assert_eq!(plan(&set, &[], at(LATE)).create, 0);
    }

    #[test]
    fn of_too_many_the_least_valuable_go_first() {
        let not_ready = json!([{"type": "Ready", "status": "False"}]);
        let since = |time: &str| json!([{"type": "Ready", "status": "True", "lastTransitionTime": time}]);
        let restarted = json!([{"name": "c", "restartCount": 4, "ready": true, "image": "", "imageID": ""}]);
        let pods = [
            pod("oldest", json!({"/metadata/creationTimestamp": "2025-01-01T00:00:00Z"})),
            pod("young", json!({"/metadata/creationTimestamp": "2026-01-01T12:00:00Z"})),
            pod("restarted", json!({"/status/containerStatuses": restarted})),
            pod("just-ready", json!({"/status/conditions": since("2026-01-01T23:00:00Z")})),
            pod(
                "cheap",
                json!({"/metadata/annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}),
            ),
            pod("not-ready", json!({"/status/conditions": not_ready})),
            pod("pending", json!({"/status/phase": "Pending", "/status/conditions": []})),
            pod("unplaced", json!({"/spec/nodeName": null, "/status/phase": "Pending"})),
        ];
        let plan = plan(&set(0, 0), &pods, at(LATE));
        let order: Vec<_> = plan.delete.iter().map(|p| p.name_any()).collect();
        assert_eq!(
            order,
            ["unplaced", "pending", "not-ready", "cheap", "just-ready", "restarted", "young", "oldest"]
        );
    }

    #[test]
    fn a_pod_is_available_after_it_was_ready_long_enough() {
        let pods = [pod("a", json!({}))];
        let early = plan(&set(1, 30), &pods, at("2026-01-01T00:00:30Z"));
        assert_eq!((early.status.ready_replicas, early.status.available_replicas), (Some(1), None));
        assert_eq!(early.again, Some(Duration::from_secs(10)));
        let later = plan(&set(1, 30), &pods, at("2026-01-01T00:00:40Z"));
        assert_eq!((later.status.available_replicas, later.again), (Some(1), None));
    }
}

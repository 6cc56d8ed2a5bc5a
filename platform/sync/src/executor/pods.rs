//! Why a workload is waited for: what its pods say.

use std::collections::{BTreeMap, BTreeSet};

use seaway_object::ObjectId;
use serde_json::Value;

use super::Executor;
use super::waiting::Open;

impl Executor<'_> {
    /// Adds what their pods say to the first that is waited for and to the one whose time is over first.
    pub(super) async fn ask_pods(&self, open: &mut [Open]) {
        let next = open.iter().enumerate().min_by_key(|(_, open)| open.deadline).map_or(0, |(at, _)| at);
        for at in BTreeSet::from([0, next]) {
            if let Some(one) = open.get_mut(at)
                && let Some(why) = self.why_not(&one.id).await
            {
                one.why = format!("{}: {why}", one.why);
            }
        }
    }

    /// Why a workload's pods do not run; `None` when they do, it has none, or nobody can say. Whoever waits is told, and
    /// nothing depends on it.
    async fn why_not(&self, id: &ObjectId) -> Option<String> {
        let live = self.cache.get(id)?;
        let namespace = id.namespace.as_deref()?;
        let pods = self.objects.pods(namespace, &labels(&live)?).await;
        let pods = pods.inspect_err(|error| tracing::debug!(%id, %error, "its pods cannot be seen")).ok()?;
        // Where there can be no pods at all, the workload itself knows.
        reason(pods).or_else(|| refused(&live))
    }
}

/// The selector of a workload as text; `None` where it is more than labels.
fn labels(workload: &Value) -> Option<String> {
    let selector = workload.pointer("/spec/selector")?;
    if selector.get("matchExpressions").and_then(Value::as_array).is_some_and(|all| !all.is_empty()) {
        return None;
    }
    let labels: BTreeMap<&String, &str> = selector
        .get("matchLabels")?
        .as_object()?
        .iter()
        .map(|(name, value)| Some((name, value.as_str()?)))
        .collect::<Option<_>>()?;
    let pairs: Vec<String> = labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!pairs.is_empty()).then(|| pairs.join(","))
}

/// Why a workload's pods are not let in.
fn refused(workload: &Value) -> Option<String> {
    let conditions = workload.pointer("/status/conditions")?.as_array()?;
    let failure = conditions.iter().find(|one| one["type"] == "ReplicaFailure" && one["status"] == "True")?;
    failure.get("message").and_then(Value::as_str).map(str::to_owned)
}

/// What the newest pod says that does not run.
fn reason(mut pods: Vec<Value>) -> Option<String> {
    let made =
        |pod: &Value| pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str).map(str::to_owned);
    pods.sort_by_key(|pod| std::cmp::Reverse(made(pod)));
    pods.iter().find_map(|pod| {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        Some(format!("pod {name}: {}", of_pod(pod)?))
    })
}

/// Why a pod does not run: a container that waits, or no node that takes it.
fn of_pod(pod: &Value) -> Option<String> {
    let text = |value: &Value, field: &str| {
        value.pointer(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let with_message = |value: &Value, reason: String, message: &str| match text(value, message) {
        Some(message) => format!("{reason}: {message}"),
        None => reason,
    };
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|field| pod.pointer(&format!("/status/{field}"))?.as_array())
        .flatten();
    for status in statuses {
        // These are on their way.
        let waiting = text(status, "/state/waiting/reason")
            .filter(|reason| !matches!(reason.as_str(), "ContainerCreating" | "PodInitializing"));
        if let Some(reason) = waiting {
            let container = text(status, "/name").unwrap_or_default();
            let said = with_message(status, reason, "/state/waiting/message");
            return Some(format!("container {container}: {said}"));
        }
    }
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let unscheduled = conditions
        .into_iter()
        .find(|one| one["type"] == "PodScheduled" && one["status"] == "False")
        .and_then(|one| Some(with_message(one, text(one, "/reason")?, "/message")));
    let is_pending =
        pod.pointer("/status/phase").and_then(Value::as_str).is_none_or(|phase| phase == "Pending");
    // Nobody has looked at it at all.
    let unseen =
        || (is_pending && pod.pointer("/spec/nodeName").is_none()).then(|| "it waits for a node".to_owned());
    unscheduled.or_else(unseen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, made: &str, status: Value) -> Value {
        json!({"metadata": {"name": name, "creationTimestamp": made}, "spec": {"nodeName": "a"}, "status": status})
    }

    #[test]
    fn the_newest_pod_that_does_not_run_says_why() {
        let waits = |reason: &str, message: &str| {
            json!({"containerStatuses": [{"name": "web",
            "state": {"waiting": {"reason": reason, "message": message}}}]})
        };
        let pods = vec![
            pod("old", "2026-01-01T00:00:00Z", waits("CrashLoopBackOff", "back-off")),
            pod("new", "2026-01-02T00:00:00Z", waits("InvalidImageName", "no such name")),
            pod("newest", "2026-01-03T00:00:00Z", json!({"phase": "Running"})),
        ];
        assert_eq!(reason(pods).as_deref(), Some("pod new: container web: InvalidImageName: no such name"));
        assert_eq!(reason(vec![pod("a", "", waits("ContainerCreating", ""))]), None);
        let unscheduled = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]});
        let said = reason(vec![pod("a", "", unscheduled)]);
        assert_eq!(said.as_deref(), Some("pod a: Unschedulable: 0/1 nodes"));
        let mut unseen = pod("a", "", json!({"phase": "Pending"}));
        assert_eq!(reason(vec![unseen.clone()]), None);
        unseen["spec"] = json!({});
        assert_eq!(reason(vec![unseen]).as_deref(), Some("pod a: it waits for a node"));
    }

    #[test]
    fn a_workload_is_asked_for_by_its_labels() {
        let of = |selector: Value| labels(&json!({"spec": {"selector": selector}}));
        assert_eq!(of(json!({"matchLabels": {"b": "2", "a": "1"}})).as_deref(), Some("a=1,b=2"));
        assert_eq!(of(json!({"matchLabels": {}})), None);
        assert_eq!(of(json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "c"}]})), None);
        assert_eq!(labels(&json!({"spec": {}})), None);
    }
}

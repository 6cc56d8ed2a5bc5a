//! How pods start, as steps: scheduled, made ready, images pulled, containers started, probes passed.
//!
//! It is read from what the pod and its events say now, so that it is there as long as they are.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use seaway_object::{GroupVersionKind, ObjectId, identity};
use seaway_sync::plan::ObjectRef;
use seaway_sync::steps::{Step, StepKind, StepState};
use seaway_sync::{HealthRules, HealthStatus};
use serde_json::Value;

use super::facts::short_image;

/// More pods of one object are not followed.
const MAX_PODS: usize = 20;

/// The pods that came into being for an object since a time, in the order of their age. `listed` holds pods and what
/// may stand between.
pub(crate) fn of<'a>(owner_uid: &str, listed: &'a [Value], since: Timestamp) -> Vec<&'a Value> {
    let mut owners = HashSet::from([owner_uid.to_owned()]);
    let owned = |object: &Value, owners: &HashSet<String>| {
        let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        references
            .into_iter()
            .flatten()
            .any(|owner| owner["uid"].as_str().is_some_and(|uid| owners.contains(uid)))
    };
    for object in listed.iter().filter(|object| identity::kind(object) != "Pod") {
        if owned(object, &owners)
            && let Some(uid) = identity::uid(object)
        {
            owners.insert(uid.to_owned());
        }
    }
    // Kubernetes' times have no fractions.
    let since = since.as_second();
    let mut pods: Vec<&Value> = listed
        .iter()
        .filter(|object| identity::kind(object) == "Pod" && owned(object, &owners))
        .filter(|pod| time(pod, "/metadata/creationTimestamp").is_some_and(|made| made.as_second() >= since))
        .collect();
    pods.sort_by_key(|pod| (time(pod, "/metadata/creationTimestamp"), identity::name(pod).to_owned()));
    pods.truncate(MAX_PODS);
    pods
}

/// The steps of a pod's start, below the step `parent`.
pub(crate) fn steps(parent: &str, pod: &Value, rules: &HealthRules, events: &[Value]) -> Vec<Step> {
    let Ok(id) = ObjectId::of(pod) else { return Vec::new() };
    let kind = GroupVersionKind { group: String::new(), version: "v1".into(), kind: "Pod".into() };
    let step = format!("{parent}/pod/{}", id.name);
    let made = time(pod, "/metadata/creationTimestamp");
    let found = rules.health(pod);
    let ready = condition(pod, "Ready");
    let (state, finished) = match (ready.holds, found.status) {
        (Some(true), _) => (StepState::Succeeded, ready.time),
        (_, HealthStatus::Healthy) => (StepState::Succeeded, ready.time),
        (_, HealthStatus::Degraded) if pod["status"]["phase"] == "Failed" => (StepState::Failed, None),
        _ => (StepState::Running, None),
    };
    let mut steps = vec![Step {
        id: step.clone(),
        parent: Some(parent.to_owned()),
        title: format!("Pod {}", id.name),
        kind: StepKind::Pod,
        object: Some(ObjectRef::new(&kind, &id)),
        state,
        started: made,
        finished,
        message: if state == StepState::Succeeded { String::new() } else { found.message },
        expected_milliseconds: None,
    }];
    let part = |name: &str, title: String, started, finished: Option<Timestamp>, message: &str| Step {
        id: format!("{step}/{name}"),
        parent: Some(step.clone()),
        title,
        kind: StepKind::PodStep,
        object: None,
        state: match (started, finished) {
            (_, Some(_)) => StepState::Succeeded,
            (Some(_), None) => StepState::Running,
            (None, None) => StepState::Waiting,
        },
        started,
        finished,
        message: message.to_owned(),
        expected_milliseconds: None,
    };
    let scheduled = condition(pod, "PodScheduled");
    let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
    let message = if scheduled.holds == Some(true) { node } else { &scheduled.message };
    steps.push(part("scheduled", "Scheduled".into(), made, scheduled.when_it_holds(), message));
    let mut before = scheduled.when_it_holds();
    let sandbox = condition(pod, "PodReadyToStartContainers");
    if sandbox.holds.is_some() {
        steps.push(part(
            "sandbox",
            "Network and volumes".into(),
            before,
            sandbox.when_it_holds(),
            &sandbox.message,
        ));
        before = sandbox.when_it_holds().or(before);
    }
    for pull in pulls(pod, events) {
        let title = format!("Pull {}", pull.image);
        let mut pulled =
            part(&format!("pull/{}", pull.container), title, pull.started, pull.finished, &pull.message);
        if pull.failed && pulled.finished.is_none() {
            pulled.state = StepState::Failed;
        }
        before = pulled.finished.max(before);
        steps.push(pulled);
    }
    for status in statuses(pod, "initContainerStatuses") {
        let name = status["name"].as_str().unwrap_or_default();
        let started =
            time(status, "/state/terminated/startedAt").or_else(|| time(status, "/state/running/startedAt"));
        let exit = status.pointer("/state/terminated/exitCode").and_then(Value::as_i64);
        let finished = time(status, "/state/terminated/finishedAt").filter(|_| exit == Some(0));
        let mut init = part(
            &format!("init/{name}"),
            format!("Init container {name}"),
            started,
            finished,
            &reason(status),
        );
        if exit.is_some_and(|code| code != 0) {
            init.state = StepState::Failed;
        }
        before = finished.max(before);
        steps.push(init);
    }
    let mut running = None;
    for status in statuses(pod, "containerStatuses") {
        let name = status["name"].as_str().unwrap_or_default();
        let finished = time(status, "/state/running/startedAt");
        running = finished.max(running);
        let mut start =
            part(&format!("start/{name}"), format!("Start {name}"), before, finished, &reason(status));
        if finished.is_none() && status["restartCount"].as_i64().unwrap_or_default() > 0 {
            start.state = StepState::Failed;
        }
        steps.push(start);
    }
    let message = if ready.holds == Some(true) { "" } else { &ready.message };
    steps.push(part("ready", "Ready".into(), running, ready.when_it_holds(), message));
    steps
}

struct Condition {
    holds: Option<bool>,
    time: Option<Timestamp>,
    message: String,
}

impl Condition {
    fn when_it_holds(&self) -> Option<Timestamp> {
        self.time.filter(|_| self.holds == Some(true))
    }
}

fn condition(pod: &Value, name: &str) -> Condition {
    let all = pod.pointer("/status/conditions").and_then(Value::as_array);
    let found = all.into_iter().flatten().find(|condition| condition["type"] == name);
    let Some(found) = found else { return Condition { holds: None, time: None, message: String::new() } };
    Condition {
        holds: Some(found["status"] == "True"),
        time: time(found, "/lastTransitionTime"),
        message: found["message"].as_str().unwrap_or_default().to_owned(),
    }
}

struct Pull {
    container: String,
    image: String,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    failed: bool,
    message: String,
}

/// Image pulls, as the kubelet's events tell them.
fn pulls(pod: &Value, events: &[Value]) -> Vec<Pull> {
    let images: HashMap<&str, &str> = ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .filter_map(|container| Some((container["name"].as_str()?, container["image"].as_str()?)))
        .collect();
    let mut pulls: Vec<Pull> = Vec::new();
    for event in events {
        let about = &event["involvedObject"];
        if about["uid"].as_str() != identity::uid(pod) {
            continue;
        }
        let path = about["fieldPath"].as_str().unwrap_or_default();
        let Some(container) = path.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}')) else {
            continue;
        };
        let message = event["message"].as_str().unwrap_or_default();
        let reason = event["reason"].as_str().unwrap_or_default();
        // `Failed` and `BackOff` are also said of containers that cannot be started.
        let about_image = message.contains("image");
        if !matches!((reason, about_image), ("Pulling" | "Pulled", _) | ("Failed" | "BackOff", true)) {
            continue;
        }
        let when = event_time(event);
        let position = pulls.iter().position(|pull| pull.container == container);
        let position = position.unwrap_or_else(|| {
            pulls.push(Pull {
                container: container.to_owned(),
                image: short_image(images.get(container).copied().unwrap_or("the image")),
                started: when,
                finished: None,
                failed: false,
                message: String::new(),
            });
            pulls.len() - 1
        });
        let pull = &mut pulls[position];
        match reason {
            "Pulling" => pull.started = when,
            "Pulled" => {
                pull.finished = when;
                pull.message = message.to_owned();
            }
            _ => {
                pull.failed = true;
                pull.message = message.to_owned();
            }
        }
    }
    pulls
}

/// When an event was seen last, in both of its notations.
pub(crate) fn event_time(event: &Value) -> Option<Timestamp> {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/firstTimestamp",
        "/metadata/creationTimestamp",
    ]
    .into_iter()
    .find_map(|pointer| time(event, pointer))
}

fn statuses<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    pod["status"][list].as_array().into_iter().flatten()
}

/// Why a container does not run.
fn reason(status: &Value) -> String {
    let waiting = status.pointer("/state/waiting").or_else(|| status.pointer("/state/terminated"));
    let Some(waiting) = waiting else { return String::new() };
    let of = |field: &str| waiting[field].as_str().filter(|text| !text.is_empty());
    match (of("reason"), of("message")) {
        (Some("Completed"), _) => String::new(),
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (reason, message) => reason.or(message).unwrap_or_default().to_owned(),
    }
}

fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    object.pointer(pointer)?.as_str()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    const MADE: &str = "2026-11-01T10:00:00Z";

    fn pod(status: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": "web-1", "uid": "p", "creationTimestamp": MADE,
                         "ownerReferences": [{"uid": "rs"}]},
            "spec": {"nodeName": "one", "containers": [{"name": "web", "image": "shop/web:1.1"}]}, "status": status})
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        let line = |step: &Step| {
            let took = step.milliseconds().map_or("-".to_owned(), |ms| format!("{} s", ms / 1000));
            format!("{:?} {} {took} {}", step.state, step.title, step.message).trim_end().to_owned()
        };
        steps.iter().map(line).collect()
    }

    #[test]
    fn a_pod_that_runs_shows_what_each_part_took() {
        let pod = pod(json!({"phase": "Running", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-01T10:00:01Z"},
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "2026-11-01T10:00:02Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T10:00:09Z"}],
            "containerStatuses": [{"name": "web", "ready": true, "state": {"running": {"startedAt": "2026-11-01T10:00:06Z"}}}]}));
        let event = |reason: &str, time: &str, message: &str| {
            json!({"reason": reason, "message": message,
            "lastTimestamp": time, "involvedObject": {"uid": "p", "fieldPath": "spec.containers{web}"}})
        };
        let events = [
            event("Pulling", "2026-11-01T10:00:02Z", "Pulling image"),
            event("Pulled", "2026-11-01T10:00:05Z", "Successfully pulled image (3 MB)"),
            event("Started", "2026-11-01T10:00:06Z", "Started container"),
        ];
        assert_eq!(
            lines(&steps("deployment", &pod, &HealthRules::default(), &events)),
            [
                "Succeeded Pod web-1 9 s",
                "Succeeded Scheduled 1 s one",
                "Succeeded Network and volumes 1 s",
                "Succeeded Pull web:1.1 3 s Successfully pulled image (3 MB)",
                "Succeeded Start web 1 s",
                "Succeeded Ready 3 s",
            ]
        );
    }

    #[test]
    fn init_containers_are_steps_before_the_others() {
        let mut pod = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-01T10:00:01Z"},
            {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": "2026-11-01T10:00:02Z"}],
            "initContainerStatuses": [
                {"name": "schema", "state": {"terminated": {"exitCode": 0, "reason": "Completed",
                    "startedAt": "2026-11-01T10:00:03Z", "finishedAt": "2026-11-01T10:00:07Z"}}},
                {"name": "seed", "state": {"running": {"startedAt": "2026-11-01T10:00:08Z"}}},
                {"name": "warm", "state": {"waiting": {"reason": "PodInitializing"}}}],
            "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}}]}));
        pod["spec"]["initContainers"] =
            json!([{"name": "schema", "image": "shop/schema:1.1"}, {"name": "seed"}, {"name": "warm"}]);
        let pulled = json!({"reason": "Pulled", "message": "Container image \"shop/schema:1.1\" already present",
            "lastTimestamp": "2026-11-01T10:00:02Z",
            "involvedObject": {"uid": "p", "fieldPath": "spec.initContainers{schema}"}});
        let told = lines(&steps("deployment", &pod, &HealthRules::default(), &[pulled]));
        assert_eq!(
            told[3..],
            [
                "Succeeded Pull schema:1.1 0 s Container image \"shop/schema:1.1\" already present",
                "Succeeded Init container schema 4 s",
                "Running Init container seed -",
                "Waiting Init container warm - PodInitializing",
                "Running Start web - PodInitializing",
                "Waiting Ready -",
            ]
        );

        let failed = json!({"name": "schema", "state": {"terminated": {"exitCode": 3, "reason": "Error",
            "message": "no such table", "startedAt": "2026-11-01T10:00:03Z", "finishedAt": "2026-11-01T10:00:04Z"}}});
        pod["status"]["initContainerStatuses"] = json!([failed]);
        let told = lines(&steps("deployment", &pod, &HealthRules::default(), &[]));
        assert!(told.contains(&"Failed Init container schema - Error: no such table".to_owned()), "{told:?}");
    }

    #[test]
    fn a_pod_that_waits_says_why() {
        let pod = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": MADE}],
            "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]}));
        let lines = lines(&steps("deployment", &pod, &HealthRules::default(), &[]));
        assert!(lines.contains(&"Running Start web - ErrImagePull: not found".to_owned()), "{lines:?}");
        assert!(lines.contains(&"Waiting Ready -".to_owned()), "{lines:?}");
    }

    #[test]
    fn pods_belong_to_what_made_them_and_to_this_sync() {
        let replica_set =
            json!({"kind": "ReplicaSet", "metadata": {"uid": "rs", "ownerReferences": [{"uid": "d"}]}});
        let listed = [pod(json!({})), replica_set];
        let made: Timestamp = MADE.parse().unwrap();
        assert_eq!(of("d", &listed, made).len(), 1);
        assert_eq!(of("other", &listed, made).len(), 0);
        let later = made.checked_add(jiff::SignedDuration::from_secs(5)).unwrap();
        assert_eq!(of("d", &listed, later).len(), 0, "it is of an earlier sync");
    }

    #[test]
    fn what_is_not_as_it_should_be_is_no_trouble() {
        steps("x", &json!(null), &HealthRules::default(), &[json!(null)]);
        steps(
            "x",
            &pod(json!({"conditions": 3, "containerStatuses": [null], "initContainerStatuses": {}})),
            &HealthRules::default(),
            &[json!({})],
        );
    }
}

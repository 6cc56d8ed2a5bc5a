//! What the state machine promises, told as stories of pods.
#![allow(clippy::unwrap_used)]

use super::state::{Action, BackOff, Ended, PodState, Run};
use super::status::{phase, pod_status};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const IP: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 5);

struct Story {
    pod: Pod,
    state: PodState,
    now: Timestamp,
}

impl Story {
    fn of(spec: Value) -> Self {
        Self::with_status(spec, json!({}))
    }

    fn with_status(spec: Value, status: Value) -> Self {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec, "status": status}),
        )
        .unwrap();
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Self { state: PodState::new(&pod, BackOff::default(), now), pod, now }
    }

    /// Volumes and sandbox are there.
    fn prepared(mut self) -> Self {
        assert_eq!(self.step(), [Action::PrepareVolumes]);
        self.state.volumes(Ok(()), self.now);
        assert_eq!(self.step(), [Action::CreateSandbox]);
        self.state.sandbox(Ok(IP), self.now);
        self
    }

    fn step(&mut self) -> Vec<Action> {
        self.state.step(self.now)
    }

    fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Pulled, and started.
    fn runs(&mut self, index: usize) {
        assert_eq!(self.step(), [Action::Pull(index)]);
        self.state.image(index, Ok("image".to_owned()), self.now);
        assert!(self.step().contains(&Action::Start(index)));
        self.state.started(index, format!("id{index}"), self.now);
    }

    fn exits(&mut self, index: usize, code: i32) {
        let how = Ended {
            code,
            signal: None,
            reason: if code == 0 { "Completed" } else { "Error" }.to_owned(),
            message: None,
            started: self.now,
            finished: self.now,
            container_id: String::new(),
        };
        self.state.exited(index, how, self.now);
    }

    fn status(&self) -> PodStatus {
        pod_status(&self.pod, &self.state, Ipv4Addr::new(10, 244, 0, 1), self.now)
    }

    fn container(&self) -> ContainerStatus {
        self.status().container_statuses.unwrap()[0].clone()
    }

    fn waiting(&self) -> (String, String) {
        let waiting = self.container().state.unwrap().waiting.unwrap();
        (waiting.reason.unwrap(), waiting.message.unwrap_or_default())
    }

    fn condition(&self, kind: &str) -> (String, Option<String>) {
        let all = self.status().conditions.unwrap();
        let found = all.into_iter().find(|c| c.type_ == kind).unwrap();
        (found.status, found.reason)
    }
}

fn simple(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "c", "image": "i"}]})
}

#[test]
fn an_ephemeral_container_comes_later_runs_once_and_counts_for_nothing() {
    let mut story = Story::of(simple("Always")).prepared();
    story.runs(0);
    assert_eq!(story.condition("Ready").0, "True");
    let spec = story.pod.spec.as_mut().unwrap();
    let debug = json!([{"name": "debug", "image": "busybox", "targetContainerName": "c"}]);
    spec.ephemeral_containers = serde_json::from_value(debug).unwrap();
    story.state.add_ephemeral(&story.pod, story.now);
    story.state.add_ephemeral(&story.pod, story.now);
    assert_eq!(story.step(), [Action::Pull(1)]);
    story.state.image(1, Ok("image".to_owned()), story.now);
    assert_eq!(story.step(), [Action::Start(1)]);
    story.state.started(1, "id".to_owned(), story.now);
    let shown =
        |story: &Story| story.status().ephemeral_container_statuses.unwrap()[0].clone().state.unwrap();
    assert!(shown(&story).running.is_some());
    story.exits(1, 3);
    assert_eq!(shown(&story).terminated.unwrap().exit_code, 3);
    assert_eq!((story.step(), phase(&story.state)), (vec![], "Running"));
    assert_eq!(story.condition("Ready").0, "True");
    // After a restart of the node it stays ended, while the others run again.
    story.pod.status = Some(story.status());
    let again = PodState::new(&story.pod, BackOff::default(), story.now);
    assert!(matches!(again.containers[0].run, Run::Waiting));
    assert!(matches!(&again.containers[1].run, Run::Ended { how, retry: None } if how.code == 3));
}

#[test]
fn a_pod_is_pending_then_running_and_ready_then_succeeds() {
    let mut story = Story::of(simple("Never")).prepared();
    assert_eq!(phase(&story.state), "Pending");
    assert_eq!(story.waiting().0, "ContainerCreating");
    story.runs(0);
    assert_eq!(phase(&story.state), "Running");
    assert_eq!(story.condition("Ready"), ("True".to_owned(), None));
    assert_eq!(story.status().pod_ip.as_deref(), Some("10.244.0.5"));
    story.exits(0, 0);
    assert_eq!(phase(&story.state), "Succeeded");
    assert_eq!(story.condition("Ready"), ("False".to_owned(), Some("PodCompleted".to_owned())));
    assert_eq!(story.step(), [Action::EndSandbox]);
    story.state.sandbox_ended(story.now);
    assert_eq!(story.step(), [], "a finished pod was started again");
    assert_eq!(phase(&story.state), "Succeeded");
}

#[test]
fn a_container_that_keeps_failing_is_started_at_once_then_after_10_20_and_at_most_300_seconds() {
    let mut story = Story::of(simple("Always")).prepared();
    story.runs(0);
    let mut waits = Vec::new();
    for _ in 0..8 {
        story.exits(0, 1);
        let before = story.now;
        if let Some(at) = story.state.wake_at().filter(|at| *at > story.now) {
            assert_eq!(story.step(), []);
            assert_eq!(story.waiting().0, "CrashLoopBackOff");
            story.now = at;
        }
        waits.push(story.now.duration_since(before).as_secs());
        assert_eq!(story.step(), [Action::Start(0)]);
        story.state.started(0, "id".to_owned(), story.now);
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(story.container().restart_count, 8);
    assert_eq!(story.container().last_state.unwrap().terminated.unwrap().exit_code, 1);
    // After a long good run the patience is new.
    story.wait(601);
    story.exits(0, 1);
    assert_eq!(story.step(), [Action::Start(0)]);
}

#[test]
fn the_back_off_message_is_the_kubelets() {
    let mut story = Story::of(simple("Always")).prepared();
    story.runs(0);
    story.exits(0, 1);
    story.step();
    story.state.started(0, "id".to_owned(), story.now);
    story.exits(0, 1);
    assert_eq!(story.waiting().1, "back-off 10s restarting failed container=c pod=p_n(u)");
    assert_eq!(phase(&story.state), "Running");
}

#[test]
fn restart_policies_decide_what_an_end_means() {
    for (policy, code, again) in
        [("Always", 0, true), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Never", 1, false)]
    {
        let mut story = Story::of(simple(policy)).prepared();
        story.runs(0);
        story.exits(0, code);
        assert_eq!(story.step() == [Action::Start(0)], again, "{policy} {code}");
    }
}

#[test]
fn init_containers_run_one_after_another_and_a_sidecar_beside_the_rest() {
    let mut story = Story::of(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "a", "image": "i"}, {"name": "side", "image": "i", "restartPolicy": "Always"}],
        "containers": [{"name": "c", "image": "i"}]}))
    .prepared();
    story.runs(0);
    assert_eq!(story.step(), []);
    assert_eq!(story.waiting().0, "PodInitializing");
    assert_eq!(story.condition("Initialized").0, "False");
    story.exits(0, 0);
    story.runs(1);
    story.runs(2);
    assert_eq!(story.condition("Initialized").0, "True");
    story.exits(2, 0);
    // The work is done: the sidecar is ended, and does not spoil the result.
    assert_eq!(story.step(), [Action::Stop(1, 30)]);
    story.exits(1, 137);
    assert_eq!(story.step(), [Action::EndSandbox]);
    assert_eq!(phase(&story.state), "Succeeded");
}

#[test]
fn a_failed_init_container_fails_a_pod_without_restarts() {
    let mut story = Story::of(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "a", "image": "i"}], "containers": [{"name": "c", "image": "i"}]}))
    .prepared();
    story.runs(0);
    story.exits(0, 3);
    assert_eq!(story.step(), [Action::EndSandbox]);
    assert_eq!(phase(&story.state), "Failed");
}

#[test]
fn a_pull_that_fails_is_told_first_as_an_error_then_as_waiting_and_tried_again() {
    let mut story = Story::of(simple("Always")).prepared();
    assert_eq!(story.step(), [Action::Pull(0)]);
    story.state.image(0, Err(("ErrImagePull", "no such host".to_owned())), story.now);
    assert_eq!(story.waiting(), ("ErrImagePull".to_owned(), "no such host".to_owned()));
    story.wait(3);
    assert_eq!(story.step(), []);
    assert_eq!(story.waiting().0, "ImagePullBackOff");
    story.wait(7);
    assert_eq!(story.step(), [Action::Pull(0)]);
}

#[test]
fn an_image_that_is_gone_at_a_restart_is_brought_again() {
    let mut story = Story::of(simple("Always")).prepared();
    story.runs(0);
    story.exits(0, 1);
    assert_eq!(story.step(), [Action::Start(0)]);
    story.state.image_lost(0);
    assert_eq!(story.step(), [Action::Pull(0)]);
    story.state.image(0, Ok("image".to_owned()), story.now);
    assert_eq!(story.step(), [Action::Start(0)]);
    assert_eq!(story.state.containers[0].restarts, 1);
}

#[test]
fn readiness_follows_the_probes() {
    let mut story = Story::of(json!({"containers": [{"name": "c", "image": "i",
        "startupProbe": {"tcpSocket": {"port": 1}}, "readinessProbe": {"tcpSocket": {"port": 1}}}]}))
    .prepared();
    story.runs(0);
    assert_eq!((story.container().started, story.container().ready), (Some(false), false));
    story.state.probe_ready(0, true);
    assert!(!story.container().ready, "ready before it has started");
    story.state.probe_started(0);
    assert_eq!((story.container().started, story.container().ready), (Some(true), false));
    story.state.probe_ready(0, true);
    assert_eq!(story.condition("Ready").0, "True");
    story.state.probe_ready(0, false);
    assert_eq!(story.condition("Ready"), ("False".to_owned(), Some("ContainersNotReady".to_owned())));
}

#[test]
fn a_deleted_pod_is_stopped_with_its_grace_and_then_removed() {
    let mut story = Story::of(simple("Always")).prepared();
    story.runs(0);
    story.state.delete(7);
    assert_eq!(story.step(), [Action::Stop(0, 7)]);
    assert_eq!(story.step(), [], "stopped twice");
    story.exits(0, 143);
    assert_eq!(story.step(), [Action::EndSandbox]);
    story.state.sandbox_ended(story.now);
    assert_eq!(story.step(), [Action::Remove]);
    assert_eq!(story.step(), []);
}

#[test]
fn a_pod_that_is_deleted_before_it_began_is_removed_without_ado() {
    let mut story = Story::of(simple("Always"));
    story.state.delete(30);
    assert_eq!(story.step(), [Action::Remove]);
}

#[test]
fn a_deadline_ends_a_pod_that_still_runs() {
    let mut spec = simple("Always");
    spec["activeDeadlineSeconds"] = json!(60);
    let mut story = Story::of(spec).prepared();
    story.runs(0);
    assert_eq!(story.state.wake_at(), Some(story.now + SignedDuration::from_secs(60)));
    story.wait(60);
    assert_eq!(story.step(), [Action::Stop(0, 30)]);
    story.exits(0, 143);
    let status = story.status();
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("DeadlineExceeded"))
    );
}

#[test]
fn after_a_restart_of_the_node_what_ran_is_started_again_and_counted() {
    let status = json!({"phase": "Running", "startTime": "2025-12-31T00:00:00Z", "containerStatuses": [{
        "name": "c", "image": "i", "imageID": "x", "ready": true, "restartCount": 2, "containerID": "seaway://old",
        "state": {"running": {"startedAt": "2025-12-31T00:00:01Z"}}}]});
    let mut story = Story::with_status(simple("Always"), status.clone()).prepared();
    story.runs(0);
    let container = story.container();
    assert_eq!(container.restart_count, 3);
    let last = container.last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (255, Some("Unknown")));
    assert_eq!(last.container_id.as_deref(), Some("seaway://old"));
    assert_eq!(story.status().start_time.unwrap().0.to_string(), "2025-12-31T00:00:00Z");
    // What had ended before is still called the same, however often the node is started.
    let mut again = serde_json::to_value(story.status()).unwrap();
    again["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let last = Story::with_status(simple("Always"), again).container().last_state.unwrap();
    assert_eq!(last.terminated.unwrap().container_id.as_deref(), Some("seaway://old"));
    // Without restarts, the pod has failed.
    let mut story = Story::with_status(simple("Never"), status);
    assert_eq!(story.step(), []);
    assert_eq!(phase(&story.state), "Failed");
}

#[test]
fn what_had_ended_for_good_before_the_restart_stays_so() {
    for (policy, code, phase_then) in
        [("OnFailure", 0, "Succeeded"), ("Never", 0, "Succeeded"), ("Never", 2, "Failed")]
    {
        let status = json!({"phase": "Running", "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "x", "ready": false, "restartCount": 1,
            "state": {"terminated": {"exitCode": code, "reason": "Completed"}}}]});
        let mut story = Story::with_status(simple(policy), status);
        assert_eq!(story.step(), []);
        assert_eq!(
            (phase(&story.state), story.container().restart_count),
            (phase_then, 1),
            "{policy} {code}"
        );
    }
}

#[test]
fn a_lost_sandbox_starts_everything_again() {
    let mut story =
        Story::of(json!({"restartPolicy": "Always", "initContainers": [{"name": "a", "image": "i"}],
        "containers": [{"name": "c", "image": "i"}]}))
        .prepared();
    story.runs(0);
    story.exits(0, 0);
    story.runs(1);
    story.state.sandbox_ended(story.now);
    assert_eq!(story.status().pod_ip, None);
    assert_eq!(story.step(), [Action::CreateSandbox]);
    story.state.sandbox(Ok(IP), story.now);
    assert_eq!(story.step(), [Action::Start(0)], "init containers run again in a new sandbox");
}

#[test]
fn conditions_of_others_and_transition_times_are_kept() {
    let status = json!({"conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"},
        {"type": "Initialized", "status": "True", "lastTransitionTime": "2025-01-02T00:00:00Z"},
        {"type": "example.com/gate", "status": "True"}]});
    let mut spec = simple("Always");
    spec["readinessGates"] =
        json!([{"conditionType": "example.com/gate"}, {"conditionType": "example.com/closed"}]);
    let mut story = Story::with_status(spec, status).prepared();
    story.runs(0);
    assert_eq!(story.condition("Ready").1.as_deref(), Some("ReadinessGatesNotReady"));
    assert_eq!(story.condition("ContainersReady").0, "True");
    let conditions = story.status().conditions.unwrap();
    let time = |kind: &str| {
        let found = conditions.iter().find(|c| c.type_ == kind).unwrap();
        found.last_transition_time.as_ref().map(|t| t.0.to_string())
    };
    assert_eq!(time("Initialized").as_deref(), Some("2025-01-02T00:00:00Z"));
    assert_eq!(time("PodScheduled").as_deref(), Some("2025-01-01T00:00:00Z"));
    assert!(conditions.iter().any(|c| c.type_ == "example.com/gate"));
}

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn job(spec: Value) -> Job {
    let mut object = json!({
        "metadata": {"name": "task", "namespace": "shop", "uid": "j"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6,
                 "template": {"spec": {"restartPolicy": "Never", "containers": []}}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

/// A cluster with one Job; the test decides how pods end.
struct World {
    job: Job,
    pods: Vec<Pod>,
    made: usize,
    clock: i64,
    happenings: Vec<Happening>,
}

impl World {
    fn new(spec: Value) -> Self {
        Self { job: job(spec), pods: Vec::new(), made: 0, clock: 0, happenings: Vec::new() }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.clock).unwrap()
    }

    fn plan(&self) -> Plan {
        let pods: Vec<_> = self.pods.iter().cloned().map(Arc::new).collect();
        plan(&self.job, &pods, self.now())
    }

    /// Does what is planned; `until` interrupts after so many writes, as a crash would.
    fn step_until(&mut self, until: usize) -> Plan {
        let mut plan = self.plan();
        let mut left = until;
        let mut may = || {
            left = left.saturating_sub(1);
            left > 0
        };
        if !may() {
            return plan;
        }
        self.job.status = Some(plan.status.clone());
        self.happenings.append(&mut plan.happenings);
        for pod in &plan.release {
            if !may() {
                return plan;
            }
            let mine = self.pods.iter_mut().find(|p| p.uid() == pod.uid()).unwrap();
            mine.metadata.finalizers = None;
        }
        for pod in &plan.delete {
            if !may() {
                return plan;
            }
            self.delete(&pod.uid().unwrap());
        }
        for new in &plan.create {
            if !may() {
                return plan;
            }
            self.make(*new);
        }
        plan
    }

    fn step(&mut self) -> Plan {
        self.step_until(usize::MAX)
    }

    fn make(&mut self, new: New) {
        self.made += 1;
        let index = match new {
            New::Any => json!({}),
            New::Index(index) => json!({INDEX: index.to_string()}),
            New::Counted { index, failures } => {
                json!({INDEX: index.to_string(), policy::FAILURES: failures.to_string()})
            }
        };
        let created = crate::clock::time(self.now());
        let pod = json!({"metadata": {"name": format!("p{}", self.made), "uid": format!("u{}", self.made),
            "annotations": index, "finalizers": [super::super::FINALIZER], "creationTimestamp": created},
            "status": {"phase": "Running"}});
        self.pods.push(serde_json::from_value(pod).unwrap());
    }

    fn delete(&mut self, uid: &str) {
        let pod = self.pods.iter_mut().find(|p| p.uid().as_deref() == Some(uid)).unwrap();
        pod.metadata.deletion_timestamp = Some(crate::clock::time(Timestamp::UNIX_EPOCH));
        self.collect();
    }

    /// What is deleted and not held goes.
    fn collect(&mut self) {
        self.pods.retain(|p| p.metadata.deletion_timestamp.is_none() || is_held(p));
    }

    fn end(&mut self, phase: &str) {
        let at = crate::clock::time(self.now());
        let pod = self.pods.iter_mut().find(|p| pods::is_active(p)).unwrap();
        pod.status = serde_json::from_value(json!({"phase": phase, "conditions": [
            {"type": "Ready", "status": "False", "lastTransitionTime": at}]}))
        .unwrap();
    }

    /// The first active pod fails with an exit code, or for a reason that a condition tells.
    fn fail(&mut self, code: i32, condition: &str) {
        let pod = self.pods.iter().position(pods::is_active).unwrap();
        self.end("Failed");
        let status = self.pods[pod].status.as_mut().unwrap();
        let terminated = json!([{"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code}}}]);
        status.container_statuses = serde_json::from_value(terminated).unwrap();
        if !condition.is_empty() {
            let condition = serde_json::from_value(json!({"type": condition, "status": "True"})).unwrap();
            status.conditions.as_mut().unwrap().push(condition);
        }
    }

    fn active_indexes(&self) -> Vec<i32> {
        let active = self.pods.iter().filter(|p| pods::is_active(p));
        active.map(|p| index_of(p).unwrap()).collect()
    }

    fn active(&self) -> usize {
        self.pods.iter().filter(|p| pods::is_active(p)).count()
    }

    fn settle(&mut self) {
        for _ in 0..8 {
            self.step();
            self.collect();
        }
    }

    fn ending(&self) -> Option<(String, String)> {
        let conditions = self.job.status.as_ref()?.conditions.clone()?;
        let end = conditions.into_iter().find(|c| c.type_ == "Complete" || c.type_ == "Failed")?;
        Some((end.type_, end.reason.unwrap()))
    }

    fn counts(&self) -> (Option<i32>, Option<i32>, Option<i32>) {
        let status = self.job.status.as_ref().unwrap();
        (status.active, status.succeeded, status.failed)
    }
}

fn ended(kind: &str, reason: &str) -> Option<(String, String)> {
    Some((kind.into(), reason.into()))
}

#[test]
fn a_job_runs_so_many_at_a_time_until_enough_have_succeeded() {
    let mut world = World::new(json!({"parallelism": 2, "completions": 3}));
    world.settle();
    assert_eq!((world.active(), world.counts().0), (2, Some(2)));
    world.end("Succeeded");
    world.end("Succeeded");
    world.settle();
    assert_eq!((world.active(), world.counts()), (1, (Some(1), Some(2), None)));
    world.end("Succeeded");
    world.settle();
    assert_eq!(world.counts(), (None, Some(3), None));
    assert_eq!(world.ending(), ended("Complete", "CompletionsReached"));
    let status = world.job.status.as_ref().unwrap();
    assert!(status.start_time.is_some() && status.completion_time.is_some());
    assert!(world.pods.iter().all(|p| !is_held(p)), "the pods can be deleted");
    assert_eq!(world.happenings, [Happening::Normal("Completed", "Job completed".into())]);
}

#[test]
fn failures_are_tried_again_later_and_later_up_to_the_limit() {
    let mut world = World::new(json!({"backoffLimit": 2}));
    world.settle();
    for (failure, pause) in [(1, 10), (2, 20)] {
        world.end("Failed");
        world.settle();
        assert_eq!((world.active(), world.counts().2), (0, Some(failure)));
        assert_eq!(world.plan().again, Some(Duration::from_secs(pause)));
        world.clock += i64::try_from(pause).unwrap();
        world.settle();
        assert_eq!(world.active(), 1);
    }
    world.end("Failed");
    world.settle();
    assert_eq!(world.ending(), ended("Failed", "BackoffLimitExceeded"));
    assert_eq!(world.counts(), (None, None, Some(3)));
    assert_eq!(
        world.happenings,
        [Happening::Warning("BackoffLimitExceeded", "Job has reached the specified backoff limit".into())]
    );
}

#[test]
fn restarts_of_containers_count_when_the_pod_restarts_them() {
    let mut world = World::new(json!({"backoffLimit": 2,
        "template": {"spec": {"restartPolicy": "OnFailure", "containers": []}}}));
    world.settle();
    world.pods[0].status = serde_json::from_value(json!({"phase": "Running", "containerStatuses": [
        {"name": "c", "restartCount": 2, "ready": false, "image": "", "imageID": ""}]}))
    .unwrap();
    world.settle();
    assert_eq!(world.ending(), ended("Failed", "BackoffLimitExceeded"));
    assert!(world.pods.is_empty());
}

#[test]
fn a_job_ends_at_its_deadline_and_takes_its_pods_with_it() {
    let mut world = World::new(json!({"activeDeadlineSeconds": 30, "parallelism": 3, "completions": 3}));
    world.settle();
    assert_eq!(world.plan().again, Some(Duration::from_secs(30)));
    world.clock = 30;
    world.settle();
    assert_eq!(world.ending(), ended("Failed", "DeadlineExceeded"));
    assert!(world.pods.is_empty());
    assert_eq!(world.counts(), (None, None, Some(3)));
}

#[test]
fn a_finished_job_goes_when_its_time_is_over() {
    let mut world = World::new(json!({"ttlSecondsAfterFinished": 60}));
    world.settle();
    world.end("Succeeded");
    world.settle();
    assert_eq!((world.plan().expired, world.plan().again), (false, Some(Duration::from_secs(60))));
    world.clock += 60;
    assert!(world.plan().expired);
}

#[test]
fn a_suspended_job_has_no_pods_and_counts_no_failures_for_it() {
    let mut world = World::new(json!({"parallelism": 2, "completions": 2, "activeDeadlineSeconds": 10}));
    world.settle();
    world.job.spec.as_mut().unwrap().suspend = Some(true);
    world.clock += 100;
    world.settle();
    assert_eq!((world.pods.len(), world.counts()), (0, (None, None, None)));
    world.job.spec.as_mut().unwrap().suspend = Some(false);
    world.settle();
    assert_eq!((world.active(), world.ending()), (2, None));
    let reasons = world.job.status.unwrap().conditions.unwrap();
    assert_eq!(reasons[0].reason.as_deref(), Some("JobResumed"));
}

#[test]
fn a_work_queue_is_done_when_one_has_succeeded_and_the_rest_has_ended() {
    let mut world = World::new(json!({"completions": null, "parallelism": 3}));
    world.settle();
    world.end("Succeeded");
    world.settle();
    assert_eq!((world.active(), world.ending()), (2, None));
    world.end("Failed");
    world.end("Succeeded");
    world.settle();
    assert_eq!(world.ending(), ended("Complete", "CompletionsReached"));
    assert_eq!(world.counts(), (None, Some(2), Some(1)));
}

#[test]
fn fewer_at_a_time_ends_pods_that_do_not_count_as_failed() {
    let mut world = World::new(json!({"parallelism": 3, "completions": 5}));
    world.settle();
    world.job.spec.as_mut().unwrap().parallelism = Some(1);
    world.settle();
    assert_eq!((world.active(), world.counts().2), (1, None));
}

#[test]
fn every_index_is_completed_once() {
    let mut world = World::new(json!({"completionMode": "Indexed", "parallelism": 2, "completions": 4}));
    let indexes = |world: &World| -> Vec<i32> {
        let active = world.pods.iter().filter(|p| pods::is_active(p));
        active.map(|p| index_of(p).unwrap()).collect()
    };
    world.settle();
    assert_eq!(indexes(&world), [0, 1]);
    world.end("Failed");
    world.settle();
    world.clock += 10;
    world.settle();
    assert_eq!(indexes(&world), [1, 0]);
    world.end("Succeeded");
    world.settle();
    assert_eq!(indexes(&world), [0, 2]);
    assert_eq!(world.job.status.as_ref().unwrap().completed_indexes.as_deref(), Some("1"));
    for _ in 0..3 {
        world.end("Succeeded");
        world.settle();
    }
    assert_eq!(world.ending(), ended("Complete", "CompletionsReached"));
    assert_eq!(world.job.status.as_ref().unwrap().completed_indexes.as_deref(), Some("0-3"));
    assert_eq!(world.counts(), (None, Some(4), Some(1)));
}

#[test]
fn the_failure_policy_decides_what_a_failed_pod_means() {
    let policy = json!({"backoffLimit": 1, "podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
        {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [1]}},
    ]}});
    let mut world = World::new(policy.clone());
    for _ in 0..5 {
        world.settle();
        world.fail(42, "DisruptionTarget");
        world.settle();
        assert_eq!((world.counts().2, world.ending()), (None, None), "evicted pods are not the Job's fault");
        world.clock += 601;
    }
    world.settle();
    world.fail(42, "");
    world.settle();
    assert_eq!(world.ending(), ended("Failed", "PodFailurePolicy"));
    let message = "Container main for pod /p6 failed with exit code 42 matching FailJob rule at index 1";
    assert_eq!(world.happenings, [Happening::Warning("PodFailurePolicy", message.into())]);
    assert!(world.pods.iter().all(|p| !is_held(p)), "all pods can be deleted");

    let mut world = World::new(policy);
    for code in [1, 3] {
        world.settle();
        world.fail(code, "");
        world.settle();
        world.clock += 601;
    }
    assert_eq!(world.ending(), ended("Failed", "BackoffLimitExceeded"));
}

#[test]
fn each_index_has_a_limit_of_its_own() {
    let mut world = World::new(json!({"completionMode": "Indexed", "parallelism": 3, "completions": 3,
        "backoffLimit": i32::MAX, "backoffLimitPerIndex": 1, "podReplacementPolicy": "Failed", "podFailurePolicy":
        {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [9]}}]}}));
    world.settle();
    assert_eq!(world.active_indexes(), [0, 1, 2]);
    world.fail(1, "");
    world.settle();
    assert_eq!((world.active_indexes(), world.plan().again), (vec![1, 2], Some(Duration::from_secs(10))));
    assert!(
        world.pods.iter().any(|p| pods::is_finished(p) && is_held(p)),
        "it tells how often its index failed"
    );
    world.clock += 10;
    world.settle();
    assert_eq!(world.active_indexes(), [1, 2, 0]);
    assert!(world.pods.iter().all(|p| pods::is_active(p) || !is_held(p)), "its successor does now");
    // Index 1 fails for good at once, index 0 a second time, index 2 succeeds.
    world.fail(9, "");
    world.end("Succeeded");
    world.fail(1, "");
    world.clock += 601;
    world.settle();
    let status = world.job.status.clone().unwrap();
    assert_eq!(
        (status.failed_indexes.as_deref(), status.completed_indexes.as_deref()),
        (Some("0,1"), Some("2"))
    );
    assert_eq!(world.ending(), ended("Failed", "FailedIndexes"));
    assert_eq!(world.counts(), (None, Some(1), Some(3)));
}

#[test]
fn too_many_failed_indexes_end_the_job() {
    let mut world = World::new(json!({"completionMode": "Indexed", "parallelism": 2, "completions": 9,
        "backoffLimit": i32::MAX, "backoffLimitPerIndex": 0, "maxFailedIndexes": 1}));
    world.settle();
    world.fail(1, "");
    world.settle();
    assert_eq!((world.active_indexes(), world.ending()), (vec![1, 2], None));
    world.fail(1, "");
    world.settle();
    assert_eq!((world.active(), world.ending()), (0, ended("Failed", "MaxFailedIndexesExceeded")));
}

#[test]
fn a_success_policy_ends_the_job_early() {
    let policy = |rule: Value| {
        World::new(json!({"completionMode": "Indexed", "parallelism": 3, "completions": 3,
                          "successPolicy": {"rules": [{"succeededIndexes": "2"}, rule]}}))
    };
    let mut world = policy(json!({"succeededCount": 2, "succeededIndexes": "0,1"}));
    world.settle();
    world.end("Succeeded");
    world.settle();
    assert_eq!((world.active(), world.ending()), (2, None));
    world.end("Succeeded");
    world.settle();
    assert_eq!((world.active(), world.ending()), (0, ended("Complete", "SuccessPolicy")));
    let mut world = policy(json!({"succeededCount": 1}));
    world.settle();
    world.end("Succeeded");
    world.settle();
    assert_eq!(world.ending(), ended("Complete", "SuccessPolicy"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever fails, and wherever the controller is interrupted: each end is counted exactly once, and
    /// there are never more pods at a time than asked for.
    #[test]
    fn each_end_is_counted_exactly_once(
        parallelism in 1..5i32,
        completions in 1..8i32,
        luck in proptest::collection::vec((0..3u8, 1..6usize), 1..80),
    ) {
        let mut world = World::new(
            json!({"parallelism": parallelism, "completions": completions, "backoffLimit": 1000}));
        let (mut good, mut bad) = (0, 0);
        let play = |world: &mut World, good: &mut i32, bad: &mut i32, what: u8| {
            if world.active() == 0 {
                return;
            }
            match what {
                0 => { world.end("Succeeded"); *good += 1; }
                1 => { world.end("Failed"); *bad += 1; }
                _ => {
                    // Somebody deletes it: it has failed.
                    let uid = world.pods.iter().find(|p| pods::is_active(p)).unwrap().uid().unwrap();
                    world.delete(&uid);
                    *bad += 1;
                }
            }
        };
        for (what, until) in luck {
            world.step_until(until);
            world.collect();
            prop_assert!(world.active() <= usize::try_from(parallelism).unwrap());
            if world.ending().is_none() {
                play(&mut world, &mut good, &mut bad, what);
            }
            world.clock += 601;
        }
        for _ in 0..40 {
            world.settle();
            if world.ending().is_some() {
                break;
            }
            play(&mut world, &mut good, &mut bad, 0);
            world.clock += 601;
        }
        prop_assert_eq!(world.ending(), ended("Complete", "CompletionsReached"));
        let (_, succeeded, failed) = world.counts();
        prop_assert_eq!((succeeded.unwrap_or(0), failed.unwrap_or(0)), (good, bad));
    }
}

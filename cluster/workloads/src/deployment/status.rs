//! A Deployment's counts and conditions, in Kubernetes' words.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use kube::ResourceExt;

use super::sets::{self, Set};
use crate::clock;
use crate::pods::count;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// The conditions of a Deployment while they are being computed.
pub(super) struct Conditions {
    list: Vec<DeploymentCondition>,
    now: Timestamp,
}

impl Conditions {
    pub(super) fn of(deployment: &Deployment, now: Timestamp) -> Self {
        let list = deployment.status.as_ref().and_then(|s| s.conditions.clone());
        Self { list: list.unwrap_or_default(), now }
    }

    fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.list.iter().find(|c| c.type_.as_deref() == Some(kind))
    }

    fn remove(&mut self, kind: &str) {
        self.list.retain(|c| c.type_.as_deref() != Some(kind));
    }

    /// Sets a condition; the same status and reason leave it untouched.
    fn set(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let same = |c: &DeploymentCondition| {
            c.status.as_deref() == Some(status) && c.reason.as_deref() == Some(reason)
        };
        if !self.get(kind).is_some_and(same) {
            self.renew(kind, status, reason, message);
        }
    }

    /// Sets a condition and says that it was updated now.
    fn renew(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let now = clock::time(self.now);
        let since = self
            .get(kind)
            .filter(|c| c.status.as_deref() == Some(status))
            .and_then(|c| c.last_transition_time.clone());
        self.remove(kind);
        self.list.push(DeploymentCondition {
            type_: Some(kind.into()),
            status: Some(status.into()),
            reason: Some(reason.into()),
            message: Some(message),
            last_update_time: Some(now.clone()),
            last_transition_time: Some(since.unwrap_or(now)),
        });
    }

    /// Pausing stops the progress deadline, resuming starts it anew.
    pub(super) fn pause(&mut self, deployment: &Deployment) {
        if !has_deadline(deployment.spec.progress_deadline_seconds) {
            return;
        }
        let progressing = self.get(PROGRESSING);
        if progressing.is_some_and(|c| c.reason.as_deref() == Some(TIMED_OUT)) {
            return;
        }
        let paused = progressing.is_some_and(|c| c.reason.as_deref() == Some(PAUSED));
        match (deployment.spec.paused == Some(true), paused) {
            (true, false) => self.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".into()),
            (false, true) => {
                self.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".into());
            }
            _ => {}
        }
    }

    /// A ReplicaSet for the template was made, or found.
    pub(super) fn new_set(&mut self, deployment: &Deployment, set: &str, made: bool) {
        if !has_deadline(deployment.spec.progress_deadline_seconds) {
            return;
        }
        if made {
            let message = format!("Created new replica set \"{set}\"");
            self.renew(PROGRESSING, "True", "NewReplicaSetCreated", message);
        } else if self.get(PROGRESSING).is_none() {
            let message = format!("Found new replica set \"{set}\"");
            self.set(PROGRESSING, "True", "FoundNewReplicaSet", message);
        }
    }
}

fn has_deadline(seconds: Option<i32>) -> bool {
    seconds.is_some_and(|s| s != i32::MAX)
}

/// The counts, with the condition `Available`.
pub(super) fn counts(
    deployment: &Deployment,
    new: Option<&Set>,
    old: &[Set],
    conditions: &mut Conditions,
) -> DeploymentStatus {
    let all = || new.into_iter().chain(old);
    let available: i32 = all().map(Set::available).sum();
    let asked: i32 = all().map(|s| s.replicas).sum();
    let ready: i32 = all().filter_map(|s| s.status()?.ready_replicas).sum();
    let terminating: i32 = all().filter_map(|s| s.status()?.terminating_replicas).sum();
    if available >= sets::wanted(deployment) - sets::unavailable(deployment) {
        let message = "Deployment has minimum availability.";
        conditions.set(AVAILABLE, "True", "MinimumReplicasAvailable", message.into());
    } else {
        let message = "Deployment does not have minimum availability.";
        conditions.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message.into());
    }
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: count(all().map(Set::actual).sum()),
        updated_replicas: count(new.map_or(0, Set::actual)),
        ready_replicas: count(ready),
        available_replicas: count(available),
        unavailable_replicas: count((asked - available).max(0)),
        terminating_replicas: Some(terminating),
        collision_count: deployment.status.as_ref().and_then(|s| s.collision_count),
        conditions: None,
    }
}

fn number(field: Option<i32>) -> i32 {
    field.unwrap_or(0)
}

/// Everything is of the new template, and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = sets::wanted(deployment);
    number(status.updated_replicas) == wanted
        && number(status.replicas) == wanted
        && number(status.available_replicas) == wanted
        && status.observed_generation >= deployment.metadata.generation
}

fn has_advanced(before: &DeploymentStatus, now: &DeploymentStatus) -> bool {
    let old = |s: &DeploymentStatus| number(s.replicas) - number(s.updated_replicas);
    number(now.updated_replicas) > number(before.updated_replicas)
        || old(now) < old(before)
        || number(now.ready_replicas) > number(before.ready_replicas)
        || number(now.available_replicas) > number(before.available_replicas)
}

/// The conditions `Progressing` and `ReplicaFailure` of a rollout. Returns when the deadline passes.
pub(super) fn rollout(
    deployment: &Deployment,
    new: Option<&Set>,
    old: &[Set],
    status: &DeploymentStatus,
    conditions: &mut Conditions,
) -> Option<Duration> {
    let before = deployment.status.clone().unwrap_or_default();
    let deadline = deployment.spec.progress_deadline_seconds;
    let deadline = deadline.filter(|d| has_deadline(Some(*d)));
    let mut again = None;
    let what = match new {
        Some(set) => format!("ReplicaSet \"{}\"", set.object.name_any()),
        None => format!("Deployment \"{}\"", deployment.name_any()),
    };
    let Some(deadline) = deadline else {
        conditions.remove(PROGRESSING);
        copy_failure(new, old, conditions);
        return None;
    };
    let was_complete = number(status.replicas) == number(status.updated_replicas)
        && conditions.get(PROGRESSING).is_some_and(|c| c.reason.as_deref() == Some(COMPLETE));
    if !was_complete {
        if is_complete(deployment, status) {
            conditions.set(PROGRESSING, "True", COMPLETE, format!("{what} has successfully progressed."));
        } else if has_advanced(&before, status) {
            conditions.renew(PROGRESSING, "True", "ReplicaSetUpdated", format!("{what} is progressing."));
        } else if has_timed_out(conditions, deadline) {
            conditions.set(PROGRESSING, "False", TIMED_OUT, format!("{what} has timed out progressing."));
        }
    }
    if let Some(progressing) = conditions.get(PROGRESSING)
        && progressing.status.as_deref() != Some("False")
        && progressing.reason.as_deref() != Some(COMPLETE)
        && let Some(updated) = &progressing.last_update_time
    {
        // One second later, since moments are stored without their fractions.
        let end = clock::after(updated.0, i64::from(deadline) + 1);
        again = Some(clock::until(end, conditions.now).max(Duration::from_millis(100)));
    }
    copy_failure(new, old, conditions);
    again
}

fn has_timed_out(conditions: &Conditions, deadline: i32) -> bool {
    let Some(progressing) = conditions.get(PROGRESSING) else { return false };
    match progressing.reason.as_deref() {
        Some(COMPLETE) => false,
        Some(TIMED_OUT) => true,
        _ => progressing
            .last_update_time
            .as_ref()
            .is_some_and(|at| clock::after(at.0, i64::from(deadline)) < conditions.now),
    }
}

/// Pods that could not be made are the Deployment's trouble too.
fn copy_failure(new: Option<&Set>, old: &[Set], conditions: &mut Conditions) {
    let failures = new.into_iter().chain(old).filter_map(|s| {
        s.status()?.conditions.as_ref()?.iter().find(|c| c.type_.as_deref() == Some(REPLICA_FAILURE)).cloned()
    });
    match failures.into_iter().next() {
        None => conditions.remove(REPLICA_FAILURE),
        Some(failure) => conditions.set(
            REPLICA_FAILURE,
            failure.status.as_deref().unwrap_or_default(),
            failure.reason.as_deref().unwrap_or_default(),
            failure.message.clone().unwrap_or_default(),
        ),
    }
}

/// The status with its conditions.
pub(super) fn finish(mut status: DeploymentStatus, conditions: Conditions) -> DeploymentStatus {
    status.conditions = (!conditions.list.is_empty()).then_some(conditions.list);
    status
}

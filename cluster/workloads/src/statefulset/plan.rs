//! The next step of a StatefulSet: a pure function of what is observed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube::ResourceExt;

use super::identity;
use crate::amount::{Round, resolve};
use crate::pods;
use crate::revisions;

/// A template by the name of its revision.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) template: PodTemplateSpec,
}

/// What the controller sees of one StatefulSet.
pub(super) struct Observed<'a> {
    pub(super) set: &'a StatefulSet,
    /// The pods that it controls.
    pub(super) pods: &'a [Arc<Pod>],
    /// What pods below the partition are made from.
    pub(super) current: &'a Version,
    /// What the others are made from: the present template.
    pub(super) update: &'a Version,
    pub(super) now: Timestamp,
}

/// A pod to make, with the claims that it needs.
#[derive(Debug)]
pub(super) struct New {
    pub(super) pod: Pod,
    pub(super) claims: Vec<PersistentVolumeClaim>,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) create: Vec<New>,
    pub(super) delete: Vec<Arc<Pod>>,
    /// All pods, and whether each goes because the set became smaller.
    pub(super) known: Vec<(Arc<Pod>, bool)>,
    pub(super) status: StatefulSetStatus,
    pub(super) again: Option<Duration>,
}

pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let set = observed.set;
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let mut plan = Plan {
        create: Vec::new(),
        delete: Vec::new(),
        known: Vec::new(),
        status: status(observed, min_ready),
        again: pods::next_available(observed.pods.iter().map(|p| &**p), min_ready, observed.now),
    };
    if set.metadata.deletion_timestamp.is_none() {
        step(observed, min_ready, &mut plan);
    }
    plan
}

fn is_healthy(pod: &Pod) -> bool {
    pods::phase(pod) == "Running" && pods::is_ready(pod) && !pods::is_terminating(pod)
}

fn revision(pod: &Pod) -> Option<&String> {
    pod.labels().get(revisions::HASH)
}

fn partition(set: &StatefulSet) -> i32 {
    let rolling = set.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    rolling.and_then(|r| r.partition).unwrap_or(0)
}

fn is_rolling(set: &StatefulSet) -> bool {
    set.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref()) != Some("OnDelete")
}

fn step(observed: &Observed<'_>, min_ready: i32, plan: &mut Plan) {
    let set = observed.set;
    let in_order = set.spec.pod_management_policy.as_deref() != Some("Parallel");
    let first = identity::start(set);
    let end = first.saturating_add(set.spec.replicas.unwrap_or(1));
    let mut by_number: BTreeMap<i32, &Arc<Pod>> = BTreeMap::new();
    for pod in observed.pods {
        if let Some(number) = identity::ordinal(set, &pod.name_any()) {
            by_number.insert(number, pod);
        }
    }
    let known = by_number.iter().map(|(number, pod)| ((*pod).clone(), !(first..end).contains(number)));
    plan.known = known.collect();
    let is_available = |pod: &Pod| is_healthy(pod) && pods::is_available(pod, min_ready, observed.now);
    for number in first..end {
        let Some(pod) = by_number.get(&number) else {
            // Below the partition everything stays as it was, also what comes back.
            let old = is_rolling(set) && number < first.saturating_add(partition(set));
            let version = if old { observed.current } else { observed.update };
            plan.create.push(New {
                pod: identity::pod(set, number, version),
                claims: identity::claims(set, number),
            });
            if in_order {
                return;
            }
            continue;
        };
        if pods::is_finished(pod) {
            // It cannot run again; its successor gets its name and its claims.
            if !pods::is_terminating(pod) {
                plan.delete.push((*pod).clone());
            }
            if in_order {
                return;
            }
        } else if in_order && !is_available(pod) {
            return;
        }
    }
    let condemned: Vec<&Arc<Pod>> =
        by_number.iter().rev().filter(|(n, _)| !(first..end).contains(*n)).map(|(_, p)| *p).collect();
    if in_order && observed.pods.iter().any(|p| pods::is_terminating(p)) {
        return;
    }
    for pod in condemned {
        if pods::is_terminating(pod) {
            continue;
        }
        plan.delete.push(pod.clone());
        if in_order {
            return;
        }
    }
    if is_rolling(set) && plan.create.is_empty() {
        roll(observed, &by_number, first, end, is_available, plan);
    }
}

/// Replaces pods of older templates from the highest number down, so many at a time.
fn roll(
    observed: &Observed<'_>,
    by_number: &BTreeMap<i32, &Arc<Pod>>,
    first: i32,
    end: i32,
    is_available: impl Fn(&Pod) -> bool,
    plan: &mut Plan,
) {
    let set = observed.set;
    let rolling = set.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
    let replicas = set.spec.replicas.unwrap_or(1);
    let most = match rolling.and_then(|r| r.max_unavailable.as_ref()) {
        None => 1,
        amount => resolve(amount, replicas, Round::Up).max(1),
    };
    let mut unavailable = 0;
    for number in (first.saturating_add(partition(set))..end).rev() {
        let Some(pod) = by_number.get(&number) else { return };
        if revision(pod) != Some(&observed.update.name) && !pods::is_terminating(pod) {
            if !plan.delete.iter().any(|p| p.uid() == pod.uid()) {
                plan.delete.push((*pod).clone());
            }
            unavailable += 1;
        } else if !is_available(pod) {
            unavailable += 1;
        }
        if unavailable >= most {
            return;
        }
    }
}

fn status(observed: &Observed<'_>, min_ready: i32) -> StatefulSetStatus {
    let set = observed.set;
    let count = |wanted: &dyn Fn(&Pod) -> bool| {
        let number = observed.pods.iter().filter(|p| wanted(p)).count();
        i32::try_from(number).unwrap_or(i32::MAX)
    };
    let is_ready = |p: &Pod| pods::phase(p) == "Running" && pods::is_ready(p);
    let of = |name: &String| {
        count(&|p| !pods::is_terminating(p) && !pods::is_finished(p) && revision(p) == Some(name))
    };
    let replicas = count(&|p| !pods::is_finished(p));
    let ready = count(&is_ready);
    let (mut current, updated) = (of(&observed.current.name), of(&observed.update.name));
    let mut current_name = observed.current.name.clone();
    let before = set.status.as_ref();
    if is_rolling(set) && updated == replicas && ready == replicas {
        // The update is complete: what was new is now what there is.
        current = updated;
        current_name.clone_from(&observed.update.name);
    }
    StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas,
        ready_replicas: pods::count(ready),
        available_replicas: Some(count(&|p| is_ready(p) && pods::is_available(p, min_ready, observed.now))),
        current_replicas: pods::count(current),
        updated_replicas: pods::count(updated),
        current_revision: Some(current_name),
        update_revision: Some(observed.update.name.clone()),
        collision_count: before.and_then(|s| s.collision_count),
        conditions: before.and_then(|s| s.conditions.clone()),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

//! The next step of a Deployment: a pure function of what is observed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::sets::{self, REVISION, Set};
use super::status::{self, Conditions};
use super::{history, rolling};
use crate::owners;
use crate::pods;

/// What the controller sees of one Deployment.
pub(super) struct Observed<'a> {
    pub(super) deployment: &'a Deployment,
    /// The ReplicaSets that it controls.
    pub(super) sets: Vec<Arc<ReplicaSet>>,
    /// The pods of those.
    pub(super) pods: Vec<Arc<Pod>>,
    pub(super) now: Timestamp,
}

/// What is to be done, in this order, and the status that goes with it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    /// The Deployment's annotations, when they change.
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) status: DeploymentStatus,
    /// When to look again although nothing changes.
    pub(super) again: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Action {
    Create(Box<ReplicaSet>),
    Update(Update),
    Delete(Arc<ReplicaSet>),
}

/// A change of a ReplicaSet.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) set: Arc<ReplicaSet>,
    pub(super) replicas: i32,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) min_ready_seconds: i32,
}

pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let deployment = observed.deployment;
    let mut conditions = Conditions::of(deployment, observed.now);
    let all = observed.sets.iter().cloned().map(Set::new).collect();
    let (mut new, mut old) = history::split(deployment, all);
    if deployment.metadata.deletion_timestamp.is_some() {
        let counts = status::counts(deployment, new.as_ref(), &old, &mut conditions);
        return Plan {
            actions: Vec::new(),
            annotations: None,
            status: status::finish(counts, conditions),
            again: None,
        };
    }
    conditions.pause(deployment);
    let paused = deployment.spec.paused == Some(true);
    if let Some(new) = &mut new {
        history::number(deployment, new, &old);
        new.min_ready_seconds = deployment.spec.min_ready_seconds.unwrap_or(0);
        conditions.new_set(deployment, &new.object.name_any(), false);
    }
    let mut forget = paused;
    let mut again = None;
    let mut created = false;
    let counts;
    if paused || rolling::is_resized(deployment, new.as_ref(), &old) {
        if let Some(saturated) = new.as_ref().filter(|s| is_saturated(deployment, s))
            && saturated.replicas > 0
        {
            for set in old.iter_mut().filter(|s| s.replicas > 0) {
                set.scale(0, deployment);
            }
        }
        rolling::resize(deployment, new.as_mut(), &mut old);
        counts = status::counts(deployment, new.as_ref(), &old, &mut conditions);
    } else {
        let may_begin = sets::is_rolling(deployment) || !has_old_pods(observed, new.as_ref(), &old);
        if !sets::is_rolling(deployment) {
            for set in old.iter_mut().filter(|s| s.replicas > 0) {
                set.scale(0, deployment);
            }
        }
        if may_begin {
            if new.is_none() {
                new = Some(history::begin(deployment, &old));
                created = true;
            }
            if let Some(new) = &mut new {
                let size = rolling::new_size(deployment, new, &old);
                if size != new.replicas || created {
                    new.scale(size, deployment);
                }
                // One direction at a time: what shrinks is decided when the growth has been seen.
                let grows = created || size > new.object.spec.replicas.unwrap_or(1);
                if sets::is_rolling(deployment) && !grows {
                    rolling::shrink_old(deployment, new, &mut old);
                }
                new.note_size(deployment);
                if created {
                    conditions.new_set(deployment, &new.object.name_any(), true);
                }
            }
        }
        counts = status::counts(deployment, new.as_ref(), &old, &mut conditions);
        again = status::rollout(deployment, new.as_ref(), &old, &counts, &mut conditions);
        forget |= status::is_complete(deployment, &counts);
    }
    let doomed = if forget { history::forgotten(deployment, &old) } else { Vec::new() };
    let annotations = new.as_ref().and_then(|new| revised(deployment, new));
    let mut actions = Vec::new();
    // Shrinking frees what growing needs, so it goes first.
    let (less, more): (Vec<Set>, Vec<Set>) = old
        .into_iter()
        .chain(new.take_if(|_| !created))
        .filter(|s| s.is_changed() && !doomed.iter().any(|d| d.uid() == s.object.uid()))
        .partition(|s| s.object.spec.replicas.is_some_and(|r| s.replicas < r));
    actions.extend(less.into_iter().chain(more).map(|s| {
        let Set { object: set, replicas, annotations, min_ready_seconds } = s;
        Action::Update(Update { set, replicas, annotations, min_ready_seconds })
    }));
    if let Some(new) = new {
        let mut object = (*new.object).clone();
        object.metadata.annotations = Some(new.annotations);
        object.spec.replicas = Some(new.replicas);
        actions.push(Action::Create(Box::new(object)));
    }
    actions.extend(doomed.into_iter().map(Action::Delete));
    Plan { actions, annotations, status: status::finish(counts, conditions), again }
}

/// The new set has all that the Deployment asks for.
fn is_saturated(deployment: &Deployment, new: &Set) -> bool {
    let wanted = sets::wanted(deployment);
    new.replicas == wanted && new.noted(sets::DESIRED) == Some(wanted) && new.available() == wanted
}

/// Whether pods of another template may still be running, also those that are ending.
fn has_old_pods(observed: &Observed<'_>, new: Option<&Set>, old: &[Set]) -> bool {
    let of_new = |pod: &Pod| new.is_some_and(|set| owners::controls(&*set.object, pod));
    // Also those whose controller has not answered yet to being scaled down.
    let may_have = |set: &Set| {
        let asked = set.object.spec.replicas.unwrap_or(1);
        let observed = set.status().and_then(|s| s.observed_generation);
        asked > 0 || set.actual() > 0 || observed < set.object.metadata.generation
    };
    old.iter().any(may_have) || observed.pods.iter().any(|p| !pods::is_finished(p) && !of_new(p))
}

/// The Deployment's annotations with the new set's revision, when that is news.
fn revised(deployment: &Deployment, new: &Set) -> Option<BTreeMap<String, String>> {
    let revision = new.annotations.get(REVISION)?;
    if deployment.annotations().get(REVISION) == Some(revision) {
        return None;
    }
    let mut annotations = deployment.annotations().clone();
    annotations.insert(REVISION.into(), revision.clone());
    Some(annotations)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

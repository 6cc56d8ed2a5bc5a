//! Room for a pod that matters more: which pods of lower priority would have to go.
//!
//! Budgets of disruption are kept as far as that leaves a way: where there is none, the more important pod goes first,
//! as in kube-scheduler.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;

use super::plan::{Place, misfit};
use crate::owners;
use crate::pods;

pub(super) fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0)
}

/// What would make room.
#[derive(Debug)]
pub(super) struct Room {
    /// Which of the places.
    pub(super) place: usize,
    /// Who has to go; nobody when it is enough to wait for those who are going already.
    pub(super) victims: Vec<Arc<Pod>>,
}

/// The place where the fewest and least important pods would have to go for this one. `None` when that does not help,
/// or the pod does not want others to go for it.
pub(super) fn room(pod: &Arc<Pod>, places: &[Place], budgets: &[Arc<PodDisruptionBudget>]) -> Option<Room> {
    let policy = pod.spec.as_ref().and_then(|s| s.preemption_policy.as_deref());
    if policy == Some("Never") {
        return None;
    }
    let rooms = (0..places.len()).filter_map(|place| {
        let (victims, broken) = victims(pod, place, places, budgets)?;
        Some((broken, Room { place, victims }))
    });
    let fewest = rooms.min_by_key(|(broken, room)| {
        let highest = room.victims.iter().map(|victim| priority(victim)).max();
        (*broken, highest, room.victims.len())
    });
    fewest.map(|(_, room)| room)
}

/// Pods of lower priority that have to go from a place, as few as possible and the less important ones; and how many of
/// them their budgets would not let go.
fn victims(
    pod: &Arc<Pod>,
    place: usize,
    places: &[Place],
    budgets: &[Arc<PodDisruptionBudget>],
) -> Option<(Vec<Arc<Pod>>, usize)> {
    let (mut lower, mut stays): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) =
        places[place].placed.iter().cloned().partition(|other| priority(other) < priority(pod));
    // Who is going makes room without being asked again.
    lower.retain(|other| !pods::is_terminating(other));
    let fits = |stays: &[Arc<Pod>]| {
        let mut imagined: Vec<Place> = places.to_vec();
        imagined[place] = Place::with(&places[place].node, stays);
        misfit(pod, &imagined[place], &imagined).is_none()
    };
    if !fits(&stays) {
        return None;
    }
    // The most important, and of those the oldest, stay if they can; before them those whose budget is used up.
    lower.sort_by_cached_key(|other| {
        (std::cmp::Reverse(priority(other)), pods::created(other), other.name_any())
    });
    let protected = protected(&lower, budgets);
    let is_protected = |other: &Arc<Pod>| other.uid().is_some_and(|uid| protected.contains(&uid));
    lower.sort_by_key(|other| !is_protected(other));
    let mut victims = Vec::new();
    for other in lower {
        stays.push(other.clone());
        if !fits(&stays) {
            stays.pop();
            victims.push(other);
        }
    }
    let broken = victims.iter().filter(|victim| is_protected(victim)).count();
    Some((victims, broken))
}

/// Which of these pods, by their ids, could not go in this order without breaking a budget.
fn protected(pods: &[Arc<Pod>], budgets: &[Arc<PodDisruptionBudget>]) -> HashSet<String> {
    let mut left: Vec<_> = budgets
        .iter()
        .map(|budget| {
            let selector = owners::selector(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()));
            let allowed = budget.status.as_ref().and_then(|status| status.disruptions_allowed).unwrap_or(0);
            (budget, selector, allowed)
        })
        .collect();
    let mut protected = HashSet::new();
    for pod in pods {
        // A pod without labels is nobody's.
        if pod.labels().is_empty() {
            continue;
        }
        for (budget, selector, allowed) in &mut left {
            if budget.namespace() != pod.namespace() || !owners::selects(selector, &**pod) {
                continue;
            }
            // Its departure was counted already.
            let counted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
            if counted.is_some_and(|names| names.contains_key(&pod.name_any())) {
                continue;
            }
            *allowed -= 1;
            if *allowed < 0 {
                protected.extend(pod.uid());
            }
        }
    }
    protected
}

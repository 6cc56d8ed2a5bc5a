//! Room for a pod that matters more: which pods of lower priority would have to go.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::plan::{Place, misfit};
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
pub(super) fn room(pod: &Arc<Pod>, places: &[Place]) -> Option<Room> {
    let policy = pod.spec.as_ref().and_then(|s| s.preemption_policy.as_deref());
    if policy == Some("Never") {
        return None;
    }
    let rooms = (0..places.len()).filter_map(|place| {
        let victims = victims(pod, place, places)?;
        Some(Room { place, victims })
    });
    rooms.min_by_key(|room| {
        let highest = room.victims.iter().map(|victim| priority(victim)).max();
        (highest, room.victims.len())
    })
}

/// Pods of lower priority that have to go from a place, as few as possible and the less important ones.
fn victims(pod: &Arc<Pod>, place: usize, places: &[Place]) -> Option<Vec<Arc<Pod>>> {
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
    // The most important, and of those the oldest, stay if they can.
    lower.sort_by_cached_key(|other| {
        (std::cmp::Reverse(priority(other)), pods::created(other), other.name_any())
    });
    let mut victims = Vec::new();
    for other in lower {
        stays.push(other.clone());
        if !fits(&stays) {
            stays.pop();
            victims.push(other);
        }
    }
    Some(victims)
}

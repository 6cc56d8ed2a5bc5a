//! How many replicas each ReplicaSet gets in the next step.

use k8s_openapi::api::apps::v1::Deployment;

use super::sets::{self, DESIRED, MAX, Set};

fn total(new: Option<&Set>, old: &[Set]) -> i32 {
    new.iter().map(|s| s.replicas).sum::<i32>() + old.iter().map(|s| s.replicas).sum::<i32>()
}

/// How many replicas the new set may have now, so that there are never more than wanted and surge.
pub(super) fn new_size(deployment: &Deployment, new: &Set, old: &[Set]) -> i32 {
    let wanted = sets::wanted(deployment);
    if !sets::is_rolling(deployment) {
        return wanted;
    }
    if new.replicas > wanted {
        return wanted;
    }
    let room = wanted + sets::surge(deployment) - total(Some(new), old);
    new.replicas + room.clamp(0, wanted - new.replicas)
}

/// Takes replicas from the old sets, so that enough stay available: first those that are not available
/// anyway, the oldest first.
pub(super) fn shrink_old(deployment: &Deployment, new: &Set, old: &mut [Set]) {
    let least = sets::wanted(deployment) - sets::unavailable(deployment);
    let new_unavailable = new.replicas - new.available();
    let mut useless = total(Some(new), old) - least - new_unavailable;
    if useless <= 0 {
        return;
    }
    for set in old.iter_mut() {
        // What is not available serves nobody; its place is needed by the new ones.
        let taken = (set.replicas - set.available()).clamp(0, useless);
        if taken > 0 {
            set.scale(set.replicas - taken, deployment);
            useless -= taken;
        }
    }
    let available = new.available() + old.iter().map(Set::available).sum::<i32>();
    let mut spare = available - least;
    for set in old.iter_mut() {
        if spare <= 0 {
            return;
        }
        let taken = set.replicas.min(spare);
        if taken > 0 {
            set.scale(set.replicas - taken, deployment);
            spare -= taken;
        }
    }
}

/// Whether the Deployment's size was changed since its sets were last scaled.
pub(super) fn is_resized(deployment: &Deployment, new: Option<&Set>, old: &[Set]) -> bool {
    let wanted = sets::wanted(deployment);
    let noted = |s: &Set| s.noted(DESIRED);
    new.into_iter().chain(old).filter(|s| s.replicas > 0).filter_map(noted).any(|size| size != wanted)
}

/// Follows a change of size without a step of the rollout: one active set takes it all, several share it.
pub(super) fn resize(deployment: &Deployment, new: Option<&mut Set>, old: &mut [Set]) {
    let wanted = sets::wanted(deployment);
    let has_new = new.is_some();
    let mut all: Vec<&mut Set> = new.into_iter().chain(old.iter_mut()).collect();
    if all.iter().filter(|s| s.replicas > 0).count() > 1 {
        share(deployment, all);
        return;
    }
    // Without an active one the newest takes over.
    let position = match all.iter().position(|s| s.replicas > 0) {
        Some(position) => Some(position),
        None if has_new => Some(0),
        None => (0..all.len()).max_by_key(|i| all[*i].created()),
    };
    if let Some(position) = position {
        all[position].scale(wanted, deployment);
    }
}

/// Shares a change of size among the active sets, by their sizes.
fn share(deployment: &Deployment, mut all: Vec<&mut Set>) {
    let wanted = sets::wanted(deployment);
    let allowed = if wanted > 0 { wanted + sets::surge(deployment) } else { 0 };
    let present: i32 = all.iter().map(|s| s.replicas).sum();
    let change = allowed - present;
    all.retain(|s| s.replicas > 0);
    // The largest first; among equals the newer gains and the older loses.
    all.sort_by_key(|s| (std::cmp::Reverse(s.replicas), s.created()));
    if change > 0 {
        all.sort_by(|a, b| b.replicas.cmp(&a.replicas).then_with(|| b.created().cmp(&a.created())));
    }
    let status_replicas = deployment.status.as_ref().and_then(|s| s.replicas).unwrap_or(0);
    let mut given = 0;
    for set in &mut all {
        let mut part = 0;
        if change != 0 {
            let before = set.noted(MAX).unwrap_or(status_replicas).max(1);
            let fraction = if wanted == 0 {
                -set.replicas
            } else {
                let exact = f64::from(set.replicas) * f64::from(allowed) / f64::from(before);
                // Between 0 and a few thousand: the conversion is exact.
                #[allow(clippy::cast_possible_truncation)]
                let size = exact.round() as i32;
                size - set.replicas
            };
            let left = change - given;
            part = if change > 0 { fraction.clamp(0, left) } else { fraction.clamp(left, 0) };
        }
        given += part;
        let replicas = set.replicas + part;
        set.scale(replicas, deployment);
    }
    // What rounding left over goes to the largest.
    if let Some(first) = all.first_mut()
        && change != given
    {
        let replicas = (first.replicas + change - given).max(0);
        first.scale(replicas, deployment);
    }
}

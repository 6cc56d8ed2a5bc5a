//! Revisions: which template came when, and which are forgotten.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::sets::{self, HASH, REVISION, REVISION_HISTORY, Set};
use crate::owners;
use crate::template;

/// Separates the set of the present template from the older ones.
pub(super) fn split(deployment: &Deployment, mut all: Vec<Set>) -> (Option<Set>, Vec<Set>) {
    all.sort_by_cached_key(Set::created);
    let wanted = Some(&deployment.spec.template);
    // The oldest of several with the same template, so that the choice never changes.
    let position = all.iter().position(|s| sets::same_template(sets::template(&s.object), wanted));
    let new = position.map(|i| all.remove(i));
    (new, all)
}

/// Gives the set of the present template the newest revision, also when it is an old one again.
pub(super) fn number(deployment: &Deployment, new: &mut Set, old: &[Set]) {
    sets::pass_annotations(deployment, &mut new.annotations);
    let next = old.iter().map(Set::revision).max().unwrap_or(0) + 1;
    let present = new.revision();
    if present < next {
        if present > 0 {
            let past = new.annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
            let mut list: Vec<String> =
                past.split(',').filter(|r| !r.is_empty()).map(str::to_owned).collect();
            list.push(present.to_string());
            new.annotations.insert(REVISION_HISTORY.into(), list.join(","));
        }
        new.annotations.insert(REVISION.into(), next.to_string());
    }
}

/// A new ReplicaSet for the present template, without replicas.
pub(super) fn begin(deployment: &Deployment, old: &[Set]) -> Set {
    let spec = deployment.spec.clone();
    let collisions = deployment.status.as_ref().and_then(|s| s.collision_count);
    let hash = template::hash(&spec.template, collisions);
    let mut pods = spec.template;
    let labels = pods.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.into(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH.into(), hash.clone());
    let object = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", deployment.name_any())),
            namespace: deployment.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![owners::controller_ref(deployment)]),
            ..ObjectMeta::default()
        },
        spec: ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(pods),
        },
        status: None,
    };
    let mut set = Set::new(Arc::new(object));
    number(deployment, &mut set, old);
    set
}

/// Old sets that are forgotten: empty ones beyond the limit, the oldest revisions first.
pub(super) fn forgotten(deployment: &Deployment, old: &[Set]) -> Vec<Arc<ReplicaSet>> {
    let limit = deployment.spec.revision_history_limit.unwrap_or(10);
    let mut old: Vec<&Set> = old.iter().filter(|s| s.object.metadata.deletion_timestamp.is_none()).collect();
    let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.sort_by_cached_key(|s| (s.revision(), s.created()));
    let empty = |set: &&&Set| {
        let observed = set.status().and_then(|s| s.observed_generation).unwrap_or(0);
        set.replicas == 0
            && !set.is_changed()
            && set.actual() == 0
            && set.object.metadata.generation.unwrap_or(0) <= observed
    };
    old.iter().take(excess).filter(empty).map(|s| s.object.clone()).collect()
}

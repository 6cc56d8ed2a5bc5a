//! The ReplicaSets of a Deployment as they will be after a step, and facts about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt;

use crate::amount::{Round, resolve};

/// Label that tells the pods of a Deployment's ReplicaSets apart.
pub(super) const HASH: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// How many replicas the Deployment asked for when the ReplicaSet was last scaled.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// How many there could be with surge, then.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations that belong to one object and are not passed on to ReplicaSets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];

/// A ReplicaSet, with what a step changes of it.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// As it was read; or as it will be created.
    pub(super) object: Arc<ReplicaSet>,
    pub(super) replicas: i32,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) min_ready_seconds: i32,
}

impl Set {
    pub(super) fn new(object: Arc<ReplicaSet>) -> Self {
        Self {
            replicas: replicas(&object),
            annotations: object.annotations().clone(),
            min_ready_seconds: min_ready_seconds(&object),
            object,
        }
    }

    pub(super) fn status(&self) -> Option<&ReplicaSetStatus> {
        self.object.status.as_ref()
    }

    pub(super) fn available(&self) -> i32 {
        self.status().and_then(|s| s.available_replicas).unwrap_or(0)
    }

    /// Pods that it has, wanted or not.
    pub(super) fn actual(&self) -> i32 {
        self.status().map_or(0, |s| s.replicas)
    }

    pub(super) fn revision(&self) -> i64 {
        revision(&self.annotations)
    }

    pub(super) fn created(&self) -> (Timestamp, String) {
        let at = self.object.metadata.creation_timestamp.as_ref().map_or(Timestamp::MAX, |t| t.0);
        (at, self.object.name_any())
    }

    /// Sets how many pods it is to have, and remembers for which size of the Deployment.
    pub(super) fn scale(&mut self, replicas: i32, deployment: &Deployment) {
        self.replicas = replicas;
        self.note_size(deployment);
    }

    pub(super) fn note_size(&mut self, deployment: &Deployment) {
        let wanted = wanted(deployment);
        self.annotations.insert(DESIRED.into(), wanted.to_string());
        self.annotations.insert(MAX.into(), (wanted + surge(deployment)).to_string());
    }

    pub(super) fn noted(&self, annotation: &str) -> Option<i32> {
        self.annotations.get(annotation)?.parse().ok()
    }

    pub(super) fn is_changed(&self) -> bool {
        self.replicas != replicas(&self.object)
            || self.annotations != *self.object.annotations()
            || self.min_ready_seconds != min_ready_seconds(&self.object)
    }
}

fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

fn min_ready_seconds(set: &ReplicaSet) -> i32 {
    set.spec.min_ready_seconds.unwrap_or(0)
}

pub(super) fn revision(annotations: &BTreeMap<String, String>) -> i64 {
    annotations.get(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

pub(super) fn template(set: &ReplicaSet) -> Option<&PodTemplateSpec> {
    set.spec.template.as_ref()
}

/// Whether two templates are the same but for the label that tells ReplicaSets apart.
pub(super) fn same_template(a: Option<&PodTemplateSpec>, b: Option<&PodTemplateSpec>) -> bool {
    let plain = |template: Option<&PodTemplateSpec>| {
        let mut template = template.cloned().unwrap_or_default();
        let metadata = template.metadata.get_or_insert_default();
        if let Some(labels) = &mut metadata.labels {
            labels.remove(HASH);
        }
        metadata.labels.take_if(|labels| labels.is_empty());
        metadata.annotations.take_if(|annotations| annotations.is_empty());
        metadata.creation_timestamp = None;
        template
    };
    plain(a) == plain(b)
}

/// Copies the Deployment's annotations that people put there.
pub(super) fn pass_annotations(deployment: &Deployment, annotations: &mut BTreeMap<String, String>) {
    for (key, value) in deployment.annotations() {
        if !OWN.contains(&key.as_str()) {
            annotations.insert(key.clone(), value.clone());
        }
    }
}

/// How many replicas the Deployment asks for.
pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

pub(super) fn is_rolling(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.strategy.as_ref();
    strategy.and_then(|s| s.type_.as_deref()) != Some("Recreate")
}

/// How many pods more than wanted there may be during an update.
pub(super) fn surge(deployment: &Deployment) -> i32 {
    limits(deployment).0
}

/// How many pods fewer than wanted may be available during an update.
pub(super) fn unavailable(deployment: &Deployment) -> i32 {
    limits(deployment).1.min(wanted(deployment))
}

fn limits(deployment: &Deployment) -> (i32, i32) {
    let wanted = wanted(deployment);
    if !is_rolling(deployment) || wanted == 0 {
        return (0, 0);
    }
    let strategy = deployment.spec.strategy.as_ref();
    let Some(rolling) = strategy.and_then(|s| s.rolling_update.as_ref()) else {
        // What defaults would have filled in: a quarter each.
        return ((wanted + 3) / 4, wanted / 4);
    };
    let surge = resolve(rolling.max_surge.as_ref(), wanted, Round::Up);
    let mut unavailable = resolve(rolling.max_unavailable.as_ref(), wanted, Round::Down);
    if surge == 0 && unavailable == 0 {
        // Rounding made both zero: without room in either direction nothing would ever move.
        unavailable = 1;
    }
    (surge, unavailable)
}

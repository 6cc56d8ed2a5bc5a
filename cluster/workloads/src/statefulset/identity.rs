//! What makes a StatefulSet's pod itself: its number, its name, its claims.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::plan::Version;
use crate::owners;
use crate::revisions;
use crate::template;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The number in a pod's name, when it is named like a pod of this set.
pub(super) fn ordinal(set: &StatefulSet, pod: &str) -> Option<i32> {
    let number = pod.strip_prefix(&set.name_any())?.strip_prefix('-')?;
    let plain = number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
    number.parse().ok().filter(|_| plain)
}

/// The number of the first pod.
pub(super) fn start(set: &StatefulSet) -> i32 {
    set.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0)
}

fn claim_name(claim: &PersistentVolumeClaim, pod: &str) -> String {
    format!("{}-{pod}", claim.name_any())
}

/// The pod of a number, as a version of the template describes it.
pub(super) fn pod(set: &StatefulSet, ordinal: i32, version: &Version) -> Pod {
    let name = format!("{}-{ordinal}", set.name_any());
    let namespace = set.namespace().unwrap_or_default();
    let mut pod = template::pod(&version.template, &namespace, owners::controller_ref(set));
    pod.metadata.name = Some(name.clone());
    // As if the name were made from it: programs find a pod's kin by this.
    pod.metadata.generate_name = Some(template::prefix(&set.name_any()));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_NAME.into(), name.clone());
    labels.insert(POD_INDEX.into(), ordinal.to_string());
    labels.insert(revisions::HASH.into(), version.name.clone());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(name.clone());
    spec.subdomain = set.spec.service_name.clone().filter(|s| !s.is_empty());
    let templates = set.spec.volume_claim_templates.iter().flatten();
    let volumes = spec.volumes.get_or_insert_default();
    for claim in templates {
        let volume = claim.name_any();
        volumes.retain(|v| v.name != volume);
        volumes.push(Volume {
            name: volume,
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(claim, &name),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    pod
}

/// The claims of the pod of a number.
pub(super) fn claims(set: &StatefulSet, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let name = format!("{}-{ordinal}", set.name_any());
    let retention = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let goes = retention.and_then(|r| r.when_deleted.as_deref()) == Some("Delete");
    let owner = || {
        let mut owner = owners::controller_ref(set);
        (owner.controller, owner.block_owner_deletion) = (None, None);
        owner
    };
    let claim = |template: &PersistentVolumeClaim| {
        let mut labels = template.labels().clone();
        labels.extend(set.spec.selector.match_labels.clone().unwrap_or_default());
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(claim_name(template, &name)),
                namespace: set.namespace(),
                labels: Some(labels),
                annotations: template.metadata.annotations.clone(),
                owner_references: goes.then(|| vec![owner()]),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        }
    };
    set.spec.volume_claim_templates.iter().flatten().map(claim).collect()
}

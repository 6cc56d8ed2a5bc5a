//! With what a StatefulSet's claims end (`persistentVolumeClaimRetentionPolicy`, KEP-1847): the garbage collector deletes
//! a claim after the last object that it names as its owner.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::json;

use super::identity;
use crate::cache::Key;
use crate::error::Error;
use crate::owners;
use crate::writer::Writer;

/// The owner that the claims of a pod should have.
pub(super) fn owner(set: &StatefulSet, pod: &Pod, is_condemned: bool) -> Option<OwnerReference> {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let goes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
    let mut owner = if is_condemned && goes(policy.and_then(|p| p.when_scaled.as_ref())) {
        owners::controller_ref(pod)
    } else if goes(policy.and_then(|p| p.when_deleted.as_ref())) {
        owners::controller_ref(set)
    } else {
        return None;
    };
    (owner.controller, owner.block_owner_deletion) = (None, None);
    Some(owner)
}

/// A claim's owners, once the one that this set gives it is as wanted. Others' are kept.
fn owners_of(
    claim: &PersistentVolumeClaim,
    set: &StatefulSet,
    wanted: Option<OwnerReference>,
) -> Vec<OwnerReference> {
    let set_uid = set.uid().unwrap_or_default();
    let is_ours = |owner: &OwnerReference| {
        owner.uid == set_uid || (owner.kind == "Pod" && identity::ordinal(set, &owner.name).is_some())
    };
    let others = claim.owner_references().iter().filter(|owner| !is_ours(owner));
    others.cloned().chain(wanted).collect()
}

/// Writes the owners of the claims of each pod, before anything is deleted.
pub(super) async fn sync(writer: &Writer, set: &StatefulSet, pods: &[(Arc<Pod>, bool)]) -> Result<(), Error> {
    for (pod, is_condemned) in pods {
        let Some(number) = identity::ordinal(set, &pod.name_any()) else { continue };
        for claim in identity::claims(set, number) {
            let Some(claim) = writer.cluster.claims.get(&Key::of(&claim)) else { continue };
            let owners = owners_of(&claim, set, owner(set, pod, *is_condemned));
            if owners != claim.owner_references() {
                writer.patch(&*claim, json!({"metadata": {"ownerReferences": owners}})).await?;
            }
        }
    }
    Ok(())
}

//! Which volume a claim gets, and what becomes of a volume: pure functions of what is observed.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeSpec, Pod,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use seaway_kinds::quantity::Quantity;

use super::{IS_DEFAULT, PROVISIONER};
use crate::owners;
use crate::pods;

/// Keeps a claim while pods use it.
const PROTECTION: &str = "kubernetes.io/pvc-protection";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// What is to be done for a claim.
#[derive(Debug)]
pub(super) struct ClaimPlan {
    /// Its finalizers, when they change.
    pub(super) finalizers: Option<Vec<String>>,
    /// The class that it gets because it names none.
    pub(super) class: Option<String>,
    pub(super) binding: Binding,
    /// Its phase, when it changes other than by binding.
    pub(super) phase: Option<&'static str>,
}

#[derive(Debug)]
pub(super) enum Binding {
    Nothing,
    /// Reason and message for people to read.
    Wait(&'static str, String),
    Refuse(&'static str, String),
    /// A new volume is made for it.
    Make(Box<PersistentVolume>),
    /// This volume is it.
    Take(Arc<PersistentVolume>),
}

/// Names of the claims that a pod mounts.
pub(super) fn claims_of(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes
        .filter_map(|v| match (&v.persistent_volume_claim, &v.ephemeral) {
            (Some(source), _) => Some(source.claim_name.clone()),
            (None, Some(_)) => Some(format!("{}-{}", pod.name_any(), v.name)),
            (None, None) => None,
        })
        .collect()
}

/// The claim that a pod describes in an `ephemeral` volume, when it has this name.
pub(super) fn ephemeral_claim(pod: &Pod, name: &str) -> Option<PersistentVolumeClaim> {
    if !pods::is_active(pod) {
        return None;
    }
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let mut templates = volumes.filter_map(|v| {
        let template = v.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
        (format!("{}-{}", pod.name_any(), v.name) == name).then_some(template)
    });
    let template = templates.next()?;
    let shape = template.metadata.clone().unwrap_or_default();
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: pod.namespace(),
            labels: shape.labels,
            annotations: shape.annotations,
            owner_references: Some(vec![owners::controller_ref(pod)]),
            ..ObjectMeta::default()
        },
        spec: Some(template.spec.clone()),
        status: None,
    })
}

/// The reference by which a volume names its claim.
pub(super) fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: claim.namespace(),
        name: Some(claim.name_any()),
        uid: claim.uid(),
        resource_version: claim.resource_version(),
        field_path: None,
    }
}

pub(super) fn claim_plan(
    claim: &PersistentVolumeClaim,
    volumes: &[Arc<PersistentVolume>],
    classes: &[Arc<StorageClass>],
    pods: &[Arc<Pod>],
) -> ClaimPlan {
    let mut plan = ClaimPlan { finalizers: None, class: None, binding: Binding::Nothing, phase: None };
    let protected = claim.finalizers().iter().any(|f| f == PROTECTION);
    if claim.metadata.deletion_timestamp.is_some() {
        let name = claim.name_any();
        let used = pods.iter().any(|p| !pods::is_finished(p) && claims_of(p).contains(&name));
        if protected && !used {
            plan.finalizers = Some(claim.finalizers().iter().filter(|f| *f != PROTECTION).cloned().collect());
        }
        return plan;
    }
    if !protected {
        let mut finalizers = claim.finalizers().to_vec();
        finalizers.push(PROTECTION.into());
        plan.finalizers = Some(finalizers);
    }
    let Some(spec) = &claim.spec else { return plan };
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default();
    if let Some(name) = spec.volume_name.as_ref().filter(|n| !n.is_empty()) {
        plan.binding = match volumes.iter().find(|v| v.name_any() == *name) {
            Some(volume) if is_for(volume, claim) && phase != "Bound" => Binding::Take(volume.clone()),
            Some(volume) if is_for(volume, claim) || phase == "Bound" => Binding::Nothing,
            Some(_) => Binding::Refuse(
                "FailedBinding",
                format!("volume \"{name}\" already bound to a different claim."),
            ),
            None if phase == "Bound" => {
                plan.phase = Some("Lost");
                let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
                Binding::Refuse("ClaimLost", message.into())
            }
            None => Binding::Nothing,
        };
        return plan;
    }
    let class = match &spec.storage_class_name {
        Some(name) => name.clone(),
        None => {
            plan.class = default_class(classes);
            plan.class.clone().unwrap_or_default()
        }
    };
    plan.binding = choose(claim, &class, volumes, classes);
    plan
}

/// The newest of the classes that are marked as the default.
fn default_class(classes: &[Arc<StorageClass>]) -> Option<String> {
    let marked = classes.iter().filter(|c| c.annotations().get(IS_DEFAULT).is_some_and(|v| v == "true"));
    let newest = marked.max_by_key(|c| {
        (c.metadata.creation_timestamp.as_ref().map(|t| t.0), std::cmp::Reverse(c.name_any()))
    });
    newest.map(|c| c.name_any())
}

fn choose(
    claim: &PersistentVolumeClaim,
    class: &str,
    volumes: &[Arc<PersistentVolume>],
    classes: &[Arc<StorageClass>],
) -> Binding {
    // One that was made or set aside for it goes first, then the smallest that is large enough.
    let reserved = volumes.iter().find(|v| {
        let reference = v.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
        reference.is_some() && is_for(v, claim)
    });
    if let Some(volume) = reserved {
        return Binding::Take(volume.clone());
    }
    let fitting = volumes.iter().filter(|v| fits(v, claim, class));
    if let Some(volume) = fitting.min_by_key(|v| (capacity(v), v.name_any())) {
        return Binding::Take(volume.clone());
    }
    if class.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return Binding::Wait("FailedBinding", message.into());
    }
    let Some(known) = classes.iter().find(|c| c.name_any() == class) else {
        let message = format!("storageclass.storage.k8s.io \"{class}\" not found");
        return Binding::Refuse("ProvisioningFailed", message);
    };
    match known.provisioner.as_str() {
        PROVISIONER => Binding::Make(Box::new(provision(claim, known))),
        "kubernetes.io/no-provisioner" => {
            let message = "no persistent volumes available for this claim and no storage class is set";
            Binding::Wait("FailedBinding", message.into())
        }
        other => Binding::Wait(
            "ExternalProvisioning",
            format!(
                "Waiting for a volume to be created either by the external provisioner '{other}' or manually \
                 by the system administrator. If volume creation is delayed, please verify that the \
                 provisioner is running and correctly registered."
            ),
        ),
    }
}

/// Whether the volume is free for, or tied to, this very claim.
fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(reference) = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref()) else { return true };
    reference.namespace == claim.namespace()
        && reference.name == claim.metadata.name
        && reference.uid.as_ref().is_none_or(|uid| uid.is_empty() || Some(uid) == claim.metadata.uid.as_ref())
}

fn amount(
    amounts: Option<
        &std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
    >,
) -> Quantity {
    let text = amounts.and_then(|a| a.get("storage"));
    text.and_then(|q| Quantity::parse(&q.0).ok()).unwrap_or(Quantity::ZERO)
}

fn capacity(volume: &PersistentVolume) -> Quantity {
    amount(volume.spec.as_ref().and_then(|s| s.capacity.as_ref()))
}

fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim, class: &str) -> bool {
    let (Some(has), Some(wants)) = (&volume.spec, &claim.spec) else { return false };
    let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Pending");
    let modes = has.access_modes.as_deref().unwrap_or_default();
    let mode = |m: &Option<String>| m.clone().unwrap_or_else(|| "Filesystem".into());
    has.claim_ref.is_none()
        && volume.metadata.deletion_timestamp.is_none()
        && matches!(phase, "Pending" | "Available")
        && has.storage_class_name.as_deref().unwrap_or_default() == class
        && wants.access_modes.iter().flatten().all(|m| modes.contains(m))
        && mode(&has.volume_mode) == mode(&wants.volume_mode)
        && capacity(volume) >= amount(wants.resources.as_ref().and_then(|r| r.requests.as_ref()))
        && (wants.selector.is_none() || owners::selects(&owners::selector(wants.selector.as_ref()), volume))
}

/// A volume for this claim alone. The source names the claim; the node keeps a folder for it.
fn provision(claim: &PersistentVolumeClaim, class: &StorageClass) -> PersistentVolume {
    let uid = claim.uid().unwrap_or_default();
    let spec = claim.spec.clone().unwrap_or_default();
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(format!("pvc-{uid}")),
            annotations: Some([(PROVISIONED_BY.to_owned(), PROVISIONER.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            // A claim may name more; a volume has this alone.
            capacity: spec.resources.and_then(|r| r.requests).map(|mut requests| {
                requests.retain(|resource, _| resource == "storage");
                requests
            }),
            claim_ref: Some(reference(claim)),
            csi: Some(CSIPersistentVolumeSource {
                driver: PROVISIONER.into(),
                volume_handle: uid,
                ..CSIPersistentVolumeSource::default()
            }),
            persistent_volume_reclaim_policy: class.reclaim_policy.clone().or_else(|| Some("Delete".into())),
            storage_class_name: Some(class.name_any()),
            volume_mode: spec.volume_mode,
            mount_options: class.mount_options.clone(),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}

/// What is to be done with a volume.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VolumePlan {
    pub(super) phase: Option<&'static str>,
    pub(super) delete: bool,
}

/// Plans for a volume and the claim that it names, when that exists.
pub(super) fn volume_plan(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> VolumePlan {
    let spec = volume.spec.as_ref();
    let present = volume.status.as_ref().and_then(|s| s.phase.as_deref());
    let reference = spec.and_then(|s| s.claim_ref.as_ref());
    let ours = volume.annotations().get(PROVISIONED_BY).is_some_and(|p| p == PROVISIONER);
    let phase = match (reference, claim) {
        (None, _) => "Available",
        // Set aside for a claim that may come.
        (Some(reference), _) if reference.uid.as_ref().is_none_or(String::is_empty) => "Available",
        (Some(reference), Some(claim)) if reference.uid == claim.metadata.uid => "Bound",
        _ => "Released",
    };
    let policy = spec.and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
    let delete = phase == "Released"
        && ours
        && policy == Some("Delete")
        && volume.metadata.deletion_timestamp.is_none();
    VolumePlan { phase: Some(phase).filter(|p| Some(*p) != present), delete }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn claim(spec: Value) -> PersistentVolumeClaim {
    let mut object = json!({
        "metadata": {"name": "data", "namespace": "shop", "uid": "c", "finalizers": [PROTECTION]},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Pending"},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn class(name: &str, provisioner: &str, default: bool) -> Arc<StorageClass> {
    Arc::new(
        serde_json::from_value(json!({"provisioner": provisioner, "reclaimPolicy": "Delete",
        "metadata": {"name": name, "annotations": {IS_DEFAULT: default.to_string()}}}))
        .unwrap(),
    )
}

fn volume(name: &str, size: &str, spec: Value) -> Arc<PersistentVolume> {
    let mut object = json!({
        "metadata": {"name": name},
        "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "disk"},
        "status": {"phase": "Available"},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn chosen(claim: &PersistentVolumeClaim, volumes: &[Arc<PersistentVolume>]) -> String {
    let classes =
        [class("disk", "kubernetes.io/no-provisioner", false), class("cloud", "ebs.example.com", false)];
    match claim_plan(claim, volumes, &classes, &[]).binding {
        Binding::Take(volume) => volume.name_any(),
        Binding::Make(volume) => panic!("{volume:?}"),
        Binding::Wait(reason, message) | Binding::Refuse(reason, message) => format!("{reason}: {message}"),
        Binding::Nothing => "nothing".into(),
    }
}

#[test]
fn a_volume_has_the_storage_that_a_claim_asks_for_and_nothing_else() {
    let claim = claim(json!({"resources": {"requests": {"storage": "1Gi", "cpu": "1"}}}));
    let Binding::Make(volume) = claim_plan(&claim, &[], &[class("local", PROVISIONER, true)], &[]).binding
    else {
        panic!("no volume is made")
    };
    let capacity = volume.spec.unwrap().capacity.unwrap();
    assert_eq!(capacity.keys().collect::<Vec<_>>(), ["storage"]);
}

#[test]
fn a_claim_without_a_class_gets_the_default_one_and_a_volume_of_its_own() {
    let classes = [class("other", "x", false), class("local", PROVISIONER, true)];
    let plan = claim_plan(&claim(json!({})), &[], &classes, &[]);
    assert_eq!(plan.class.as_deref(), Some("local"));
    let Binding::Make(volume) = plan.binding else { panic!("{plan:?}") };
    assert_eq!(volume.name_any(), "pvc-c");
    let spec = volume.spec.unwrap();
    assert_eq!(spec.claim_ref.unwrap().uid.as_deref(), Some("c"));
    assert_eq!(spec.capacity.unwrap()["storage"].0, "1Gi");
    assert_eq!(spec.persistent_volume_reclaim_policy.as_deref(), Some("Delete"));
    assert_eq!(spec.csi.unwrap().volume_handle, "c");
}

#[test]
fn a_claim_takes_the_smallest_volume_that_fits() {
    let volumes = [
        volume("small", "500Mi", json!({})),
        volume("large", "5Gi", json!({})),
        volume("right", "2Gi", json!({})),
        volume("taken", "1Gi", json!({"claimRef": {"namespace": "shop", "name": "x", "uid": "y"}})),
        volume("shared", "1Gi", json!({"accessModes": ["ReadOnlyMany"]})),
        volume("block", "1Gi", json!({"volumeMode": "Block"})),
        volume("other-class", "1Gi", json!({"storageClassName": "x"})),
    ];
    assert_eq!(chosen(&claim(json!({"storageClassName": "disk"})), &volumes), "right");
    let reserved = volume("mine", "9Gi", json!({"claimRef": {"namespace": "shop", "name": "data"}}));
    assert_eq!(chosen(&claim(json!({"storageClassName": "disk"})), &[volumes[2].clone(), reserved]), "mine");
    assert_eq!(chosen(&claim(json!({"storageClassName": "disk", "volumeName": "large"})), &volumes), "large");
}

#[test]
fn claims_that_wait_say_for_what() {
    let asks = |class: &str| chosen(&claim(json!({"storageClassName": class})), &[]);
    assert_eq!(asks("gone"), "ProvisioningFailed: storageclass.storage.k8s.io \"gone\" not found");
    assert!(asks("cloud").starts_with(
        "ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'ebs.example.com'"
    ));
    assert_eq!(
        asks("disk"),
        "FailedBinding: no persistent volumes available for this claim and no storage class is set"
    );
    let taken = volume("v", "1Gi", json!({"claimRef": {"namespace": "shop", "name": "x", "uid": "y"}}));
    assert_eq!(
        chosen(&claim(json!({"volumeName": "v"})), &[taken]),
        "FailedBinding: volume \"v\" already bound to a different claim."
    );
}

#[test]
fn a_bound_claim_whose_volume_is_gone_is_lost() {
    let mut claim = claim(json!({"volumeName": "v"}));
    claim.status.as_mut().unwrap().phase = Some("Bound".into());
    assert_eq!(claim_plan(&claim, &[], &[], &[]).phase, Some("Lost"));
}

#[test]
fn a_claim_in_use_stays_until_its_last_pod_has_ended() {
    let mut claim = claim(json!({}));
    claim.metadata.deletion_timestamp = Some(crate::clock::time(jiff::Timestamp::UNIX_EPOCH));
    let pod = |phase: &str| -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"phase": phase},
            "spec": {"containers": [], "volumes": [
                {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}))
            .unwrap(),
        )
    };
    assert_eq!(claim_plan(&claim, &[], &[], &[pod("Running")]).finalizers, None);
    assert_eq!(claim_plan(&claim, &[], &[], &[pod("Succeeded")]).finalizers, Some(vec![]));
}

#[test]
fn a_new_claim_is_protected() {
    let mut claim = claim(json!({}));
    claim.metadata.finalizers = None;
    assert_eq!(claim_plan(&claim, &[], &[], &[]).finalizers, Some(vec![PROTECTION.into()]));
}

#[test]
fn a_volume_follows_its_claim() {
    let owned = |policy: &str, by_us: bool| {
        let mut volume = (*volume(
            "v",
            "1Gi",
            json!({
            "claimRef": {"namespace": "shop", "name": "data", "uid": "c"},
            "persistentVolumeReclaimPolicy": policy}),
        ))
        .clone();
        if by_us {
            volume.metadata.annotations = Some([(PROVISIONED_BY.into(), PROVISIONER.into())].into());
        }
        volume
    };
    let plan = |phase, delete| VolumePlan { phase, delete };
    let claim = claim(json!({}));
    assert_eq!(volume_plan(&owned("Delete", true), Some(&claim)), plan(Some("Bound"), false));
    assert_eq!(volume_plan(&owned("Delete", true), None), plan(Some("Released"), true));
    assert_eq!(volume_plan(&owned("Retain", true), None), plan(Some("Released"), false));
    assert_eq!(volume_plan(&owned("Delete", false), None), plan(Some("Released"), false));
    assert_eq!(volume_plan(&volume("free", "1Gi", json!({})), None), plan(None, false));
}

#[test]
fn a_pod_can_describe_a_claim_of_its_own() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "shop", "uid": "u"},
        "spec": {"containers": [], "volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}}}]}}))
    .unwrap();
    assert_eq!(claims_of(&pod), ["p-scratch"]);
    let claim = ephemeral_claim(&pod, "p-scratch").unwrap();
    assert_eq!((claim.labels()["a"].as_str(), claim.owner_references()[0].name.as_str()), ("b", "p"));
    assert!(ephemeral_claim(&pod, "other").is_none());
}

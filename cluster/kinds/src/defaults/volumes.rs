//! Volumes of a Pod.

use serde_json::{Value, json};

use super::{canonical_quantity, containers, omit_zero, storage};
use crate::fields::{at_mut, fill, fill_absent, items_mut, set, structure, text};

/// Files of ConfigMaps, Secrets and the like: 0644.
const FILE_MODE: i32 = 0o644;

pub(super) fn default_volume(volume: &mut Value) {
    let has_source = volume
        .as_object()
        .is_some_and(|fields| fields.iter().any(|(name, v)| name != "name" && !v.is_null()));
    if !has_source {
        set(volume, "emptyDir", json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = at_mut(volume, source) {
            fill_absent(source, "defaultMode", FILE_MODE);
        }
    }
    for file in items_mut(volume, "downwardAPI.items") {
        default_file(file);
    }
    for source in items_mut(volume, "projected.sources") {
        if let Some(token) = at_mut(source, "serviceAccountToken") {
            fill_absent(token, "expirationSeconds", 3600);
        }
        for file in items_mut(source, "downwardAPI.items") {
            default_file(file);
        }
    }
    if let Some(empty) = at_mut(volume, "emptyDir") {
        canonical_quantity(empty, "sizeLimit");
        omit_zero(empty, &["medium"]);
    }
    if let Some(path) = at_mut(volume, "hostPath") {
        fill_absent(path, "type", "");
    }
    if let Some(claim) = at_mut(volume, "persistentVolumeClaim") {
        omit_zero(claim, &["readOnly"]);
    }
    if let Some(spec) = at_mut(volume, "ephemeral.volumeClaimTemplate.spec") {
        storage::default_claim_spec(spec);
    }
    if let Some(template) = at_mut(volume, "ephemeral.volumeClaimTemplate") {
        structure(template, "metadata");
    }
    if let Some(image) = at_mut(volume, "image") {
        let policy = containers::pull_policy(text(image, "reference"));
        fill(image, "pullPolicy", policy);
    }
    if let Some(iscsi) = at_mut(volume, "iscsi") {
        fill(iscsi, "iscsiInterface", "default");
    }
    if let Some(rbd) = at_mut(volume, "rbd") {
        fill(rbd, "pool", "rbd");
        fill(rbd, "user", "admin");
        fill(rbd, "keyring", "/etc/ceph/keyring");
    }
    if let Some(disk) = at_mut(volume, "azureDisk") {
        fill_absent(disk, "cachingMode", "ReadWrite");
        fill_absent(disk, "kind", "Shared");
        fill_absent(disk, "fsType", "ext4");
        fill_absent(disk, "readOnly", false);
    }
    if let Some(scale) = at_mut(volume, "scaleIO") {
        fill(scale, "storageMode", "ThinProvisioned");
        fill(scale, "fsType", "xfs");
    }
}

fn default_file(file: &mut Value) {
    if let Some(reference) = at_mut(file, "fieldRef") {
        fill(reference, "apiVersion", "v1");
    }
    if let Some(reference) = at_mut(file, "resourceFieldRef") {
        containers::default_resource_field(reference);
    }
}

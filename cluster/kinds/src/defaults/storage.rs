//! Claims, volumes and drivers.

use serde_json::{Value, json};

use super::{canonical_quantities, containers};
use crate::fields::{at_mut, fill, fill_absent, structure};

pub(super) fn default_claim(claim: &mut Value) {
    if let Some(spec) = structure(claim, "spec") {
        default_claim_spec(spec);
    }
    if let Some(status) = structure(claim, "status") {
        fill(status, "phase", "Pending");
        if let Some(capacity) = at_mut(status, "capacity") {
            canonical_quantities(capacity);
        }
    }
}

pub(super) fn default_claim_spec(spec: &mut Value) {
    fill_absent(spec, "volumeMode", "Filesystem");
    if let Some(resources) = structure(spec, "resources") {
        containers::default_resources(resources);
    }
}

pub(super) fn default_volume(volume: &mut Value) {
    if let Some(spec) = structure(volume, "spec") {
        fill(spec, "persistentVolumeReclaimPolicy", "Retain");
        fill_absent(spec, "volumeMode", "Filesystem");
        if let Some(capacity) = at_mut(spec, "capacity") {
            canonical_quantities(capacity);
        }
        if let Some(path) = at_mut(spec, "hostPath") {
            fill_absent(path, "type", "");
        }
        if let Some(iscsi) = at_mut(spec, "iscsi") {
            fill(iscsi, "iscsiInterface", "default");
        }
    }
    if let Some(status) = structure(volume, "status") {
        fill(status, "phase", "Pending");
    }
}

pub(super) fn default_csi_driver(driver: &mut Value) {
    if let Some(spec) = structure(driver, "spec") {
        fill_absent(spec, "attachRequired", true);
        fill_absent(spec, "podInfoOnMount", false);
        fill_absent(spec, "storageCapacity", false);
        fill_absent(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        fill_absent(spec, "volumeLifecycleModes", json!(["Persistent"]));
        fill_absent(spec, "requiresRepublish", false);
        fill_absent(spec, "seLinuxMount", false);
    }
}

//! Drivers of volumes, the volumes they attach, and where they can provision.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1123_subdomain, qualified_name};
use super::{nonnegative, push_all, storage};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, entries, integer, items, same, text};

/// The name of a driver has at most this many bytes.
const NAME_MAX: usize = 63;
/// The shortest life of a token, in seconds.
const SHORTEST_LIFE: i64 = 600;

/// Checks the name of a driver.
pub(super) fn validate_driver_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if name.len() > NAME_MAX {
        errors.push(FieldError::too_long(path, NAME_MAX));
    }
    push_all(errors, path, name, dns_1123_subdomain(&name.to_lowercase()));
}

/// Checks a CSIDriver.
pub(super) fn validate_driver(errors: &mut Vec<FieldError>, driver: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = driver.get("spec").unwrap_or(&empty);
    for (field, shown) in [
        // The real server's name of it.
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if at(spec, field).is_none() {
            errors.push(FieldError::required(&path.child(shown), ""));
        }
    }
    const POLICIES: [&str; 3] = ["File", "None", "ReadWriteOnceWithFSType"];
    let policy = text(spec, "fsGroupPolicy");
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("fsGroupPolicy"), policy, &POLICIES));
    }
    validate_tokens(errors, spec, &path.child("tokenRequests"));
    for mode in items(spec, "volumeLifecycleModes") {
        const MODES: [&str; 2] = ["Persistent", "Ephemeral"];
        if !mode.as_str().is_some_and(|mode| MODES.contains(&mode)) {
            errors.push(FieldError::not_supported(&path.child("volumeLifecycleModes"), mode.clone(), &MODES));
        }
    }
    if at(spec, "seLinuxMount").is_none() {
        errors.push(FieldError::required(&path.child("seLinuxMount"), ""));
    }
    if let Some(seconds) = integer(spec, "nodeAllocatableUpdatePeriodSeconds")
        && seconds < 10
    {
        errors.push(FieldError::invalid(
            &path.child("nodeAllocatableUpdatePeriodSeconds"),
            seconds,
            "must be greater than or equal to 10 seconds",
        ));
    }
}

/// One token for each audience.
fn validate_tokens(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let mut audiences = BTreeSet::new();
    for (index, token) in items(spec, "tokenRequests").iter().enumerate() {
        let path = path.index(index);
        let audience = text(token, "audience");
        if !audiences.insert(audience) {
            errors.push(FieldError::duplicate(&path.child("audience"), audience));
            continue;
        }
        let Some(seconds) = integer(token, "expirationSeconds") else {
            continue;
        };
        let why = if seconds < SHORTEST_LIFE {
            "may not specify a duration less than 10 minutes"
        } else if seconds > 1 << 32 {
            "may not specify a duration larger than 2^32 seconds"
        } else {
            continue;
        };
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, why));
    }
}

/// A CSIDriver keeps what its volumes were attached and mounted by.
pub(super) fn validate_driver_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    for field in ["attachRequired", "fsGroupPolicy", "volumeLifecycleModes"] {
        let value = at(new, &format!("spec.{field}"));
        if !same(value, at(old, &format!("spec.{field}"))) {
            // The real server's name of the first.
            let shown = if field == "attachRequired" { "attachedRequired" } else { field };
            errors.push(FieldError::invalid(
                &Path::new("spec").child(shown),
                value.cloned().unwrap_or_default(),
                super::IMMUTABLE,
            ));
        }
    }
}

/// Checks a CSINode.
pub(super) fn validate_csi_node(errors: &mut Vec<FieldError>, node: &Value) {
    const NODE_ID_MAX: usize = 256;
    let mut names = BTreeSet::new();
    for (index, driver) in items(node, "spec.drivers").iter().enumerate() {
        let path = Path::new("spec.drivers").index(index);
        let name = text(driver, "name");
        validate_driver_name(errors, name, &path.child("name"));
        let id = text(driver, "nodeID");
        if id.is_empty() {
            errors.push(FieldError::required(&path.child("nodeID"), ""));
        } else if id.len() > NODE_ID_MAX {
            errors.push(FieldError::invalid(
                &path.child("nodeID"),
                id,
                format!("must be {NODE_ID_MAX} characters or less"),
            ));
        }
        if let Some(allocatable) = at(driver, "allocatable") {
            nonnegative(errors, allocatable, "count", &path.child("allocatable"));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let mut keys = BTreeSet::new();
        for key in items(driver, "topologyKeys").iter().filter_map(Value::as_str) {
            if key.is_empty() {
                errors.push(FieldError::required(&path, ""));
            }
            if !keys.insert(key) {
                errors.push(FieldError::duplicate(&path, key));
            }
            for why in qualified_name(key) {
                errors.push(FieldError::invalid(
                    &path,
                    at(driver, "topologyKeys").cloned().unwrap_or_default(),
                    why,
                ));
            }
        }
    }
}

/// A driver of a CSINode changes as a whole or not at all; how many volumes it takes may change.
pub(super) fn validate_csi_node_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let fixed = |driver: &Value| {
        let mut driver = driver.clone();
        crate::fields::remove(&mut driver, "allocatable");
        driver
    };
    for known in items(old, "spec.drivers") {
        for driver in items(new, "spec.drivers").iter().filter(|one| text(one, "name") == text(known, "name"))
        {
            if !same(Some(&fixed(driver)), Some(&fixed(known))) {
                errors.push(FieldError::invalid(
                    &Path::new("CSINodeDriver"),
                    driver.clone(),
                    super::IMMUTABLE,
                ));
            }
        }
    }
}

/// Checks a VolumeAttachment.
pub(super) fn validate_attachment(errors: &mut Vec<FieldError>, attachment: &Value) {
    let path = Path::new("spec");
    let attacher = text(attachment, "spec.attacher");
    if attacher.is_empty() {
        errors.push(FieldError::required(&path.child("attacher"), ""));
    }
    let source_path = path.child("source");
    let volume = at(attachment, "spec.source.persistentVolumeName").and_then(Value::as_str);
    match (at(attachment, "spec.source.inlineVolumeSpec"), volume) {
        (None, None) => errors.push(FieldError::required(
            &source_path,
            "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        )),
        (Some(_), Some(_)) => errors.push(FieldError::forbidden(
            &source_path,
            "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        )),
        (None, Some("")) => errors.push(FieldError::required(
            &source_path.child("persistentVolumeName"),
            "must specify non empty persistentVolumeName",
        )),
        (None, Some(_)) => {}
        (Some(spec), None) => storage::validate_inline(errors, spec, &source_path.child("inlineVolumeSpec")),
    }
    let node = text(attachment, "spec.nodeName");
    push_all(errors, &path.child("nodeName"), node, dns_1123_subdomain(node));
    validate_attachment_status(errors, attachment);
}

/// What only a new VolumeAttachment must be.
pub(super) fn validate_attachment_create(errors: &mut Vec<FieldError>, attachment: &Value) {
    validate_driver_name(errors, text(attachment, "spec.attacher"), &Path::new("spec.attacher"));
    if let Some(volume) = at(attachment, "spec.source.persistentVolumeName").and_then(Value::as_str) {
        push_all(errors, &Path::new("spec.source.persistentVolumeName"), volume, dns_1123_subdomain(volume));
    }
}

/// Checks the status of a VolumeAttachment, which may also come with it.
pub(super) fn validate_attachment_status(errors: &mut Vec<FieldError>, attachment: &Value) {
    const METADATA_MAX: usize = 256 * 1024;
    const MESSAGE_MAX: usize = 1024;
    let path = Path::new("status");
    let size: usize = entries(attachment, "status.attachmentMetadata")
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > METADATA_MAX {
        errors.push(FieldError::too_long(&path.child("attachmentMetadata"), METADATA_MAX));
    }
    for field in ["attachError", "detachError"] {
        if text(attachment, &format!("status.{field}.message")).len() > MESSAGE_MAX {
            errors.push(FieldError::too_long(&path.child(field).child("message"), METADATA_MAX));
        }
    }
}

/// A VolumeAttachment keeps its spec.
pub(super) fn validate_attachment_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    super::immutable(errors, new, old, "spec");
}

/// Checks `allowedTopologies` of a StorageClass.
pub(super) fn validate_topologies(errors: &mut Vec<FieldError>, class: &Value) {
    let path = Path::new("allowedTopologies");
    let terms = items(class, "allowedTopologies");
    for (index, term) in terms.iter().enumerate() {
        let path = path.index(index).child("matchLabelExpressions");
        let mut keys = BTreeSet::new();
        for (position, expression) in items(term, "matchLabelExpressions").iter().enumerate() {
            let path = path.index(position);
            let values = items(expression, "values");
            if values.is_empty() {
                errors.push(FieldError::required(&path.child("values"), ""));
            }
            for (at, value) in values.iter().enumerate().filter(|(at, value)| values[..*at].contains(value)) {
                errors.push(FieldError::duplicate(&path.child("values").index(at), value.clone()));
            }
            let key = text(expression, "key");
            push_all(errors, &path.child("key"), key, qualified_name(key));
            if !keys.insert(key) {
                errors.push(FieldError::duplicate(&path.child("key"), key));
            }
        }
        if terms[..index].contains(term) {
            errors.push(FieldError::duplicate(&path, ""));
        }
    }
}

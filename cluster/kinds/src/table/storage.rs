//! Volumes, claims, and what provides them.

use serde_json::Value;

use super::format::{NONE, UNSET, age, name, scalar, text_or};
use super::{AGE, NAME, Printer, Spec, spec, wide};
use crate::fields::{at, count, is_true, items, text};

const VOLUME_MODE: Spec = wide("VolumeMode", "string", "Filesystem or Block");

pub(super) static PERSISTENT_VOLUME: Printer = Printer {
    columns: &[
        NAME,
        spec("Capacity", "string", "The volume's size"),
        spec("Access Modes", "string", "How the volume can be mounted"),
        spec("Reclaim Policy", "string", "What happens when its claim is gone"),
        spec("Status", "string", "Whether it is bound"),
        spec("Claim", "string", "The claim that it is bound to"),
        spec("StorageClass", "string", "Its storage class"),
        spec("VolumeAttributesClass", "string", "Its attributes class"),
        spec("Reason", "string", "Why it is in trouble"),
        AGE,
        VOLUME_MODE,
    ],
    cells: |object, now| {
        let claim = at(object, "spec.claimRef")
            .map_or(String::new(), |claim| format!("{}/{}", text(claim, "namespace"), text(claim, "name")));
        vec![
            name(object),
            scalar(at(object, "spec.capacity.storage")).unwrap_or_else(|| "0".to_owned()).into(),
            access_modes(object, "spec.accessModes").into(),
            text(object, "spec.persistentVolumeReclaimPolicy").into(),
            phase(object).into(),
            claim.into(),
            storage_class(object).into(),
            text_or(object, "spec.volumeAttributesClassName", UNSET).into(),
            text(object, "status.reason").into(),
            age(object, now),
            text_or(object, "spec.volumeMode", UNSET).into(),
        ]
    },
};

pub(super) static PERSISTENT_VOLUME_CLAIM: Printer = Printer {
    columns: &[
        NAME,
        spec("Status", "string", "Whether it is bound"),
        spec("Volume", "string", "The volume that it is bound to"),
        spec("Capacity", "string", "The volume's size"),
        spec("Access Modes", "string", "How the volume can be mounted"),
        spec("StorageClass", "string", "Its storage class"),
        spec("VolumeAttributesClass", "string", "Its attributes class"),
        AGE,
        VOLUME_MODE,
    ],
    cells: |object, now| {
        let volume = text(object, "spec.volumeName");
        let (capacity, modes) = if volume.is_empty() {
            (String::new(), String::new())
        } else {
            let capacity = scalar(at(object, "status.capacity.storage")).unwrap_or_else(|| "0".to_owned());
            (capacity, access_modes(object, "status.accessModes"))
        };
        vec![
            name(object),
            phase(object).into(),
            volume.into(),
            capacity.into(),
            modes.into(),
            storage_class(object).into(),
            text_or(object, "spec.volumeAttributesClassName", UNSET).into(),
            age(object, now),
            text_or(object, "spec.volumeMode", UNSET).into(),
        ]
    },
};

fn phase(object: &Value) -> &str {
    if at(object, "metadata.deletionTimestamp").is_some() {
        "Terminating"
    } else {
        text(object, "status.phase")
    }
}

/// The annotation of old clusters wins over the field.
fn storage_class(object: &Value) -> &str {
    match annotation(object, "volume.beta.kubernetes.io/storage-class") {
        Some(class) => class,
        None => text(object, "spec.storageClassName"),
    }
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, "metadata.annotations")?.get(key)?.as_str()
}

/// Access modes in short, in a fixed order.
fn access_modes(object: &Value, path: &str) -> String {
    let has = |mode: &str| items(object, path).iter().any(|m| m.as_str() == Some(mode));
    [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ]
    .into_iter()
    .filter(|(mode, _)| has(mode))
    .map(|(_, short)| short)
    .collect::<Vec<_>>()
    .join(",")
}

pub(super) static STORAGE_CLASS: Printer = Printer {
    columns: &[
        NAME,
        spec("Provisioner", "string", "Who makes the volumes"),
        spec("ReclaimPolicy", "string", "What happens to a volume when its claim is gone"),
        spec("VolumeBindingMode", "string", "When volumes are made and bound"),
        spec("AllowVolumeExpansion", "string", "Whether volumes can grow"),
        AGE,
    ],
    cells: |object, now| {
        let default = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ]
        .iter()
        .any(|key| annotation(object, key) == Some("true"));
        let class = text(object, "metadata.name");
        vec![
            if default { format!("{class} (default)") } else { class.to_owned() }.into(),
            text(object, "provisioner").into(),
            text_or(object, "reclaimPolicy", "Delete").into(),
            text_or(object, "volumeBindingMode", "Immediate").into(),
            is_true(object, "allowVolumeExpansion").into(),
            age(object, now),
        ]
    },
};

pub(super) static VOLUME_ATTACHMENT: Printer = Printer {
    columns: &[
        NAME,
        Spec { format: "name", ..spec("Attacher", "string", "The driver that attaches") },
        spec("PV", "string", "The volume"),
        spec("Node", "string", "The node"),
        spec("Attached", "boolean", "Whether it is attached"),
        AGE,
    ],
    cells: |object, now| {
        vec![
            name(object),
            text(object, "spec.attacher").into(),
            text(object, "spec.source.persistentVolumeName").into(),
            text(object, "spec.nodeName").into(),
            is_true(object, "status.attached").into(),
            age(object, now),
        ]
    },
};

pub(super) static CSI_NODE: Printer = Printer {
    columns: &[NAME, spec("Drivers", "integer", "How many drivers the node has"), AGE],
    cells: |object, now| vec![name(object), count(object, "spec.drivers").into(), age(object, now)],
};

pub(super) static CSI_DRIVER: Printer = Printer {
    columns: &[
        NAME,
        spec("AttachRequired", "boolean", "Whether volumes are attached before they are mounted"),
        spec("PodInfoOnMount", "boolean", "Whether the driver is told about the pod"),
        spec("StorageCapacity", "boolean", "Whether scheduling looks at the reported capacity"),
        spec("TokenRequests", "string", "Audiences of the tokens that the driver gets"),
        spec("RequiresRepublish", "boolean", "Whether mounts are renewed"),
        spec("Modes", "string", "Volume life cycles that the driver knows"),
        AGE,
    ],
    cells: |object, now| {
        let attach = at(object, "spec.attachRequired").and_then(Value::as_bool).unwrap_or(true);
        let tokens = at(object, "spec.tokenRequests").map_or(UNSET.to_owned(), |_| {
            let audiences = items(object, "spec.tokenRequests").iter().map(|token| text(token, "audience"));
            audiences.collect::<Vec<_>>().join(",")
        });
        let modes: Vec<&str> =
            items(object, "spec.volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
        vec![
            name(object),
            attach.into(),
            is_true(object, "spec.podInfoOnMount").into(),
            is_true(object, "spec.storageCapacity").into(),
            tokens.into(),
            is_true(object, "spec.requiresRepublish").into(),
            if modes.is_empty() { NONE.to_owned() } else { modes.join(",") }.into(),
            age(object, now),
        ]
    },
};

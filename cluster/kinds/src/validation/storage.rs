//! Claims, volumes and storage classes.

use serde_json::Value;

use super::formats::{dns_1123_label, dns_1123_subdomain, qualified_name};
use super::labels::validate_selector;
use super::{drivers, immutable, one_of, push_all, resources, scheduling, volumes};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, at_mut, count, entries, items, remove, same, set, text};
use crate::quantity::Quantity;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

/// Checks `owner.spec` of a claim or of a template of one; `path` is the spec's.
pub(super) fn validate_claim_spec(errors: &mut Vec<FieldError>, owner: &Value, path: &Path) {
    let empty = Value::Null;
    let spec = owner.get("spec").unwrap_or(&empty);
    validate_access_modes(errors, spec, &path.child("accessModes"), "at least 1 access mode is required");
    if let Some(selector) = at(spec, "selector") {
        validate_selector(errors, selector, &path.child("selector"));
    }
    let storage_path = path.child("resources").key("storage");
    match at(spec, "resources.requests.storage") {
        None => errors.push(FieldError::required(&storage_path, "")),
        Some(amount) => {
            if let Some(quantity) = resources::parse(errors, amount, &storage_path)
                && quantity.sign() <= 0
            {
                errors.push(FieldError::invalid(
                    &storage_path,
                    quantity.to_string(),
                    "must be greater than zero",
                ));
            }
        }
    }
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        push_all(errors, &path.child("storageClassName"), class, dns_1123_subdomain(class));
    }
    validate_volume_mode(errors, spec, path);
    if let Some(source) = at(spec, "dataSource") {
        let path = path.child("dataSource");
        for field in ["name", "kind"] {
            if text(source, field).is_empty() {
                errors.push(FieldError::required(&path.child(field), ""));
            }
        }
        let kind = text(source, "kind");
        if text(source, "apiGroup").is_empty() && kind != "PersistentVolumeClaim" {
            errors.push(FieldError::invalid(&path, kind, ""));
        }
    }
}

fn validate_access_modes(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, missing: &str) {
    let modes = items(spec, "accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required(path, missing));
    }
    for mode in modes {
        let mode = mode.as_str().unwrap_or_default();
        if !ACCESS_MODES.contains(&mode) {
            errors.push(FieldError::not_supported(path, mode, &ACCESS_MODES));
        }
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(FieldError::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
}

fn validate_volume_mode(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if let Some(mode) = at(spec, "volumeMode").and_then(Value::as_str)
        && !VOLUME_MODES.contains(&mode)
    {
        errors.push(FieldError::not_supported(&path.child("volumeMode"), mode, &VOLUME_MODES));
    }
}

/// A claim keeps its spec; a bound one may ask for more.
pub(super) fn validate_claim_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    const STORAGE: &str = "resources.requests.storage";
    let empty = Value::Null;
    let mut changed = new.get("spec").cloned().unwrap_or_default();
    let mut known = old.get("spec").cloned().unwrap_or_default();
    let size =
        |object: &Value, path: &str| at(object, path).and_then(|amount| Quantity::from_value(amount).ok());
    // The binder may fill in the volume, and a class where there was none.
    if text(&known, "volumeName").is_empty() {
        match changed.get("volumeName").cloned() {
            Some(volume) => set(&mut known, "volumeName", volume),
            None => remove(&mut known, "volumeName"),
        }
    }
    if at(&known, "storageClassName").is_none()
        && let Some(class) = changed.get("storageClassName").cloned()
    {
        set(&mut known, "storageClassName", class);
    }
    if text(old, "status.phase") == "Bound" {
        if let Some(requests) = at_mut(&mut changed, "resources.requests") {
            match at(&known, STORAGE).cloned() {
                Some(amount) => set(requests, "storage", amount),
                None => remove(requests, "storage"),
            }
        }
        let class = known.get("volumeAttributesClassName").cloned();
        match class {
            Some(class) => set(&mut changed, "volumeAttributesClassName", class),
            None => remove(&mut changed, "volumeAttributesClassName"),
        }
    }
    if !same(Some(&changed), Some(&known)) {
        errors.push(FieldError::forbidden(
            &Path::new("spec"),
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
    let asked = |object: &Value| size(object.get("spec").unwrap_or(&empty), STORAGE);
    if let (Some(less), Some(more)) = (asked(new), asked(old))
        && less < more
        && less <= size(old, "status.capacity.storage").unwrap_or(more)
    {
        errors.push(FieldError::forbidden(
            &Path::new("spec.resources.requests.storage"),
            "field can not be less than status.capacity",
        ));
    }
    if !same(at(new, "spec.volumeMode"), at(old, "spec.volumeMode")) {
        errors.push(FieldError::invalid(
            &Path::new("volumeMode"),
            at(new, "spec.volumeMode").cloned().unwrap_or_default(),
            super::IMMUTABLE,
        ));
    }
}

/// The sources of a persistent volume.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// Checks a persistent volume.
pub(super) fn validate_volume(errors: &mut Vec<FieldError>, volume: &Value) {
    let empty = Value::Null;
    let spec = volume.get("spec").unwrap_or(&empty);
    let path = Path::new("spec");
    validate_access_modes(errors, spec, &path.child("accessModes"), "");
    validate_capacity(errors, spec, &path.child("capacity"));
    validate_volume_spec(errors, spec, &path);
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        push_all(errors, &path.child("storageClassName"), class, dns_1123_subdomain(class));
    }
    validate_volume_mode(errors, spec, &path);
}

/// Checks the spec of a volume that is attached without being an object.
pub(super) fn validate_inline(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    for field in ["claimRef", "capacity"] {
        if at(spec, field).is_some() {
            errors.push(FieldError::forbidden(&path.child(field), INLINE));
        }
    }
    if at(spec, "csi").is_none() {
        errors.push(FieldError::required(
            &path.child("csi"),
            "has to be specified in the context of inline volumes",
        ));
    }
    validate_access_modes(errors, spec, &path.child("accessModes"), "");
    if !text(spec, "persistentVolumeReclaimPolicy").is_empty() {
        errors.push(FieldError::forbidden(&path.child("persistentVolumeReclaimPolicy"), INLINE));
    }
    validate_volume_spec(errors, spec, path);
    if !text(spec, "storageClassName").is_empty() {
        errors.push(FieldError::forbidden(&path.child("storageClassName"), INLINE));
    }
}

/// Checks where the volume is, and where it can be reached from.
fn validate_volume_spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    const POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported(
            &path.child("persistentVolumeReclaimPolicy"),
            policy,
            &POLICIES,
        ));
    }
    let affinity = at(spec, "nodeAffinity");
    if let Some(affinity) = affinity {
        let path = path.child("nodeAffinity.required");
        match at(affinity, "required") {
            Some(selector) => scheduling::validate_node_selector(errors, selector, &path),
            None => errors.push(FieldError::required(&path, "must specify required node constraints")),
        }
    }
    let mut found = false;
    for kind in SOURCES {
        let Some(source) = at(spec, kind) else {
            continue;
        };
        let source_path = path.child(kind);
        if found {
            errors.push(FieldError::forbidden(&source_path, "may not specify more than 1 volume type"));
            continue;
        }
        found = true;
        match kind {
            "hostPath" => {
                volumes::validate_host_path(errors, source, &source_path);
                if text(source, "path") == "/" && policy == "Recycle" {
                    errors.push(FieldError::forbidden(
                        &path.child("persistentVolumeReclaimPolicy"),
                        "may not be 'recycle' for a hostPath mount of '/'",
                    ));
                }
            }
            "nfs" => volumes::validate_nfs(errors, source, &source_path),
            "csi" => validate_csi(errors, source, &source_path),
            "local" => {
                let folder = text(source, "path");
                if folder.is_empty() {
                    errors.push(FieldError::required(&source_path.child("path"), ""));
                } else {
                    volumes::no_backsteps(errors, folder, &source_path.child("path"));
                }
                if affinity.is_none() {
                    errors.push(FieldError::required(
                        &path.child("nodeAffinity"),
                        "Local volume requires node affinity",
                    ));
                }
            }
            _ => volumes::validate_other(errors, kind, source, &source_path),
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

/// A volume of a driver names its Secrets with their namespaces.
fn validate_csi(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    drivers::validate_driver_name(errors, text(source, "driver"), &path.child("driver"));
    if text(source, "volumeHandle").is_empty() {
        errors.push(FieldError::required(&path.child("volumeHandle"), ""));
    }
    for field in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        let Some(secret) = at(source, field) else {
            continue;
        };
        for (part, check) in
            [("name", dns_1123_subdomain as fn(&str) -> Vec<String>), ("namespace", dns_1123_label)]
        {
            let path = path.child(field).child(part);
            let value = text(secret, part);
            if value.is_empty() {
                errors.push(FieldError::required(&path, ""));
            } else {
                push_all(errors, &path, value, check(value));
            }
        }
    }
}

fn validate_capacity(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let capacity = spec.get("capacity");
    if count(spec, "capacity") == 0 {
        errors.push(FieldError::required(path, ""));
    }
    let only_storage = count(spec, "capacity") == 1 && at(spec, "capacity.storage").is_some();
    if !only_storage {
        errors.push(FieldError::not_supported(path, capacity.cloned().unwrap_or_default(), &["storage"]));
    }
    for (name, amount) in entries(spec, "capacity") {
        let path = path.key(name);
        if let Some(quantity) = resources::parse(errors, amount, &path)
            && quantity.sign() <= 0
        {
            errors.push(FieldError::invalid(&path, quantity.to_string(), "must be greater than zero"));
        }
    }
}

/// A persistent volume keeps its source and its mode.
pub(super) fn validate_volume_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let sources = |volume: &Value| {
        let mut spec = volume.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| SOURCES.contains(&name.as_str()));
        }
        spec
    };
    if !same(Some(&sources(new)), Some(&sources(old))) {
        errors.push(FieldError::forbidden(
            &Path::new("spec.persistentvolumesource"),
            "spec.persistentvolumesource is immutable after creation",
        ));
    }
    if !same(at(new, "spec.volumeMode"), at(old, "spec.volumeMode")) {
        errors.push(FieldError::invalid(
            &Path::new("volumeMode"),
            at(new, "spec.volumeMode").cloned().unwrap_or_default(),
            super::IMMUTABLE,
        ));
    }
    if at(old, "spec.nodeAffinity").is_some() {
        immutable(errors, new, old, "spec.nodeAffinity");
    }
}

/// Checks a StorageClass.
pub(super) fn validate_class(errors: &mut Vec<FieldError>, class: &Value) {
    const PARAMETERS: usize = 512;
    const PARAMETER_BYTES: usize = 256 * 1024;
    let provisioner = text(class, "provisioner");
    let path = Path::new("provisioner");
    if provisioner.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else {
        push_all(errors, &path, provisioner, qualified_name(&provisioner.to_lowercase()));
    }
    let path = Path::new("parameters");
    if count(class, "parameters") > PARAMETERS {
        errors.push(FieldError::too_long(&path, PARAMETERS));
    } else {
        let mut size = 0;
        for (key, value) in entries(class, "parameters") {
            if key.is_empty() {
                errors.push(FieldError::invalid(&path, key.as_str(), "field can not be empty."));
            }
            size += key.len() + value.as_str().map_or(0, str::len);
        }
        if size > PARAMETER_BYTES {
            errors.push(FieldError::too_long(&path, PARAMETER_BYTES));
        }
    }
    let policy = text(class, "reclaimPolicy");
    if !matches!(policy, "" | "Delete" | "Retain") {
        errors.push(FieldError::not_supported(&Path::new("reclaimPolicy"), policy, &["Delete", "Retain"]));
    }
    one_of(
        errors,
        &Path::new("volumeBindingMode"),
        text(class, "volumeBindingMode"),
        &["Immediate", "WaitForFirstConsumer"],
    );
    drivers::validate_topologies(errors, class);
}

/// A StorageClass keeps what volumes were made by.
pub(super) fn validate_class_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if !same(at(new, field), at(old, field)) {
            errors
                .push(FieldError::forbidden(&Path::new(field), format!("updates to {field} are forbidden.")));
        }
    }
    immutable(errors, new, old, "volumeBindingMode");
}

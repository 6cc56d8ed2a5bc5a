//! Volumes of a Pod, and how containers mount them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::environment::{FILE_FIELDS, validate_field, validate_resource};
use super::formats::{dns_1123_label, dns_1123_subdomain, in_range};
use super::{labels, metadata, push_all, push_all_number, storage};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, entries, integer, is_true, items, text};
use crate::quantity::Quantity;

/// The sources of volumes in the order in which they are checked, with the name that an error about
/// a second source uses (not always that of the field).
const SOURCES: [(&str, &str); 30] = [
    ("emptyDir", "emptyDir"),
    ("hostPath", "hostPath"),
    ("gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret"),
    ("nfs", "nfs"),
    ("iscsi", "iscsi"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd"),
    ("cinder", "cinder"),
    ("cephfs", "cephFS"),
    ("quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("configMap", "configMap"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("storageos", "storageos"),
    ("projected", "projected"),
    ("scaleIO", "scaleIO"),
    ("csi", "csi"),
    ("ephemeral", "ephemeral"),
    ("image", "image"),
];

const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// Checks `volumes` of a pod spec: names, and exactly one source each.
pub(super) fn validate_volumes(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let mut names = BTreeSet::new();
    for (index, volume) in items(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, "name");
        let mut found = false;
        for (source, error_name) in SOURCES {
            let Some(value) = at(volume, source) else {
                continue;
            };
            if found {
                errors.push(FieldError::forbidden(
                    &path.child(error_name),
                    "may not specify more than 1 volume type",
                ));
                continue;
            }
            found = true;
            validate_source(errors, source, value, &path.child(source));
        }
        if !found {
            errors.push(FieldError::required(&path, "must specify a volume type"));
        }
        let name_path = path.child("name");
        if name.is_empty() {
            errors.push(FieldError::required(&name_path, ""));
        } else {
            push_all(errors, &name_path, name, dns_1123_label(name));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&name_path, name));
        }
    }
}

fn validate_source(errors: &mut Vec<FieldError>, kind: &str, source: &Value, path: &Path) {
    match kind {
        "emptyDir" => {
            let limit = at(source, "sizeLimit").map(Quantity::from_value);
            let negative = matches!(&limit, Some(Ok(limit)) if limit.sign() < 0);
            if negative || matches!(limit, Some(Err(_))) {
                errors.push(FieldError::forbidden(
                    &path.child("sizeLimit"),
                    "SizeLimit field must be a valid resource quantity",
                ));
            }
        }
        "hostPath" => validate_host_path(errors, source, path),
        "gitRepo" => {
            require(errors, source, "repository", path);
            relative_path(errors, text(source, "directory"), &path.child("directory"));
        }
        "secret" => {
            require(errors, source, "secretName", path);
            validate_mode(errors, source, "defaultMode", path);
            validate_items(errors, source, path);
        }
        "configMap" => {
            require(errors, source, "name", path);
            validate_mode(errors, source, "defaultMode", path);
            validate_items(errors, source, path);
        }
        "nfs" => validate_nfs(errors, source, path),
        "persistentVolumeClaim" => require(errors, source, "claimName", path),
        "downwardAPI" => {
            validate_mode(errors, source, "defaultMode", path);
            for file in items(source, "items") {
                validate_file(errors, file, path);
            }
        }
        "projected" => {
            validate_mode(errors, source, "defaultMode", path);
            validate_projected(errors, source, path);
        }
        "csi" => validate_csi(errors, source, path),
        "ephemeral" => match at(source, "volumeClaimTemplate") {
            None => errors.push(FieldError::required(&path.child("volumeClaimTemplate"), "")),
            Some(template) => {
                let path = path.child("volumeClaimTemplate");
                validate_template_metadata(errors, template, &path.child("metadata"));
                storage::validate_claim_spec(errors, template, &path.child("spec"));
            }
        },
        "image" => {
            require(errors, source, "reference", path);
            let policy = text(source, "pullPolicy");
            super::one_of(errors, &path.child("pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
        }
        _ => validate_other(errors, kind, source, path),
    }
}

/// Checks volumes of clouds and of systems that Kubernetes itself no longer serves.
pub(super) fn validate_other(errors: &mut Vec<FieldError>, kind: &str, source: &Value, path: &Path) {
    let required: &[&str] = match kind {
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => &["volumeID"],
        "iscsi" => &["targetPortal", "iqn"],
        "glusterfs" => &["endpoints", "path"],
        "rbd" => &["monitors", "image"],
        "cephfs" => &["monitors"],
        "quobyte" => &["registry", "volume"],
        "flexVolume" => &["driver"],
        "azureFile" => &["secretName", "shareName"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "azureDisk" => &["diskName", "diskURI"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        _ => &[],
    };
    for field in required {
        if text(source, field).is_empty() && count(source, field) == 0 {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    match kind {
        "iscsi" => validate_iscsi(errors, source, path),
        "flexVolume" => {
            for (key, _) in entries(source, "options") {
                let owner = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
                if owner.ends_with(".kubernetes.io") || owner.ends_with(".k8s.io") {
                    errors.push(FieldError::invalid(
                        &path.child("options").key(key),
                        key.as_str(),
                        "kubernetes.io and k8s.io namespaces are reserved",
                    ));
                }
            }
        }
        _ => {}
    }
}

fn validate_iscsi(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let name = text(source, "iqn");
    if !name.is_empty() {
        if !["iqn", "eui", "naa"].iter().any(|kind| name.starts_with(kind)) {
            errors.push(FieldError::invalid(
                &path.child("iqn"),
                name,
                "must be valid format starting with iqn, eui, or naa",
            ));
        } else if !is_iscsi_name(name) {
            errors.push(FieldError::invalid(&path.child("iqn"), name, "must be valid format"));
        }
    }
    let unit = integer(source, "lun").unwrap_or(0);
    push_all_number(errors, &path.child("lun"), unit, in_range(unit, 0, 255));
    let authenticates = is_true(source, "chapAuthDiscovery") || is_true(source, "chapAuthSession");
    if authenticates && at(source, "secretRef").is_none() {
        errors.push(FieldError::required(&path.child("secretRef"), ""));
    }
}

/// A name of a target (RFC 3720, RFC 3980): `iqn.2024-01.com.example:disk`, `eui.` and 16 or `naa.` and 32 characters.
fn is_iscsi_name(name: &str) -> bool {
    let plain =
        |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if let Some(rest) = name.strip_prefix("eui.") {
        return plain(rest, 16);
    }
    if let Some(rest) = name.strip_prefix("naa.") {
        return plain(rest, 32);
    }
    let Some((authority, rest)) = name.strip_prefix("iqn.").and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let date = authority.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        date.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let dated = digits(0..4) && date.get(4) == Some(&b'-') && digits(5..7) && date.get(7) == Some(&b'.');
    dated
        && date.len() > 8
        && date[8..].iter().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(b))
        && !rest.is_empty()
        && !rest.contains(|c: char| ",;*&$|".contains(c) || c.is_whitespace())
}

/// The metadata of a claim that is made for a Pod: labels and annotations, nothing else.
fn validate_template_metadata(errors: &mut Vec<FieldError>, template: &Value, path: &Path) {
    let empty = Value::Null;
    let own = template.get("metadata").unwrap_or(&empty);
    metadata::validate_annotations(errors, own, &path.child("annotations"));
    labels::validate_labels(errors, at(own, "labels"), &path.child("labels"));
    for (field, value) in entries(template, "metadata") {
        let given = !value.is_null() && value != "";
        if given && !matches!(field.as_str(), "annotations" | "labels" | "creationTimestamp") {
            errors.push(FieldError::forbidden(&path.child(field), "cannot be set for an ephemeral volume"));
        }
    }
}

pub(super) fn validate_nfs(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    require(errors, source, "server", path);
    require(errors, source, "path", path);
    let folder = text(source, "path");
    if !folder.starts_with('/') {
        errors.push(FieldError::invalid(&path.child("path"), folder, "must be an absolute path"));
    }
}

pub(super) fn validate_csi(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let driver = text(source, "driver");
    if driver.is_empty() {
        errors.push(FieldError::required(&path.child("driver"), ""));
    } else {
        push_all(errors, &path.child("driver"), driver, dns_1123_subdomain(&driver.to_lowercase()));
    }
    if let Some(secret) = at(source, "nodePublishSecretRef")
        && text(secret, "name").is_empty()
    {
        errors.push(FieldError::required(&path.child("nodePublishSecretRef").child("name"), ""));
    }
}

pub(super) fn validate_host_path(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let folder = text(source, "path");
    if folder.is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
        return;
    }
    no_backsteps(errors, folder, &path.child("path"));
    const KINDS: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    let kind = text(source, "type");
    if !KINDS.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &KINDS));
    }
}

fn require(errors: &mut Vec<FieldError>, source: &Value, field: &str, path: &Path) {
    if text(source, field).is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
    }
}

fn validate_mode(errors: &mut Vec<FieldError>, owner: &Value, field: &str, path: &Path) {
    if let Some(mode) = integer(owner, field)
        && !(0..=0o777).contains(&mode)
    {
        errors.push(FieldError::invalid(&path.child(field), mode, FILE_MODE));
    }
}

/// Keys of a ConfigMap or Secret and the files that they become.
fn validate_items(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    for (index, item) in items(source, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        require(errors, item, "key", &path);
        require(errors, item, "path", &path);
        file_path(errors, text(item, "path"), &path.child("path"));
        validate_mode(errors, item, "mode", &path);
    }
}

fn validate_file(errors: &mut Vec<FieldError>, file: &Value, path: &Path) {
    require(errors, file, "path", path);
    file_path(errors, text(file, "path"), &path.child("path"));
    match (at(file, "fieldRef"), at(file, "resourceFieldRef")) {
        (Some(field), resource) => {
            validate_field(errors, field, &FILE_FIELDS, &path.child("fieldRef"));
            if resource.is_some() {
                errors.push(FieldError::invalid(
                    path,
                    "resource",
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                ));
            }
        }
        (None, Some(resource)) => {
            validate_resource(errors, resource, &path.child("resourceFieldRef"), true);
        }
        (None, None) => {
            errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"))
        }
    }
    validate_mode(errors, file, "mode", path);
}

fn validate_projected(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let mut files = BTreeSet::new();
    for (index, projection) in items(source, "sources").iter().enumerate() {
        let source_path = path.child("sources").index(index);
        let mut found = 0;
        for kind in ["secret", "configMap"] {
            let Some(projected) = at(projection, kind) else {
                continue;
            };
            found += 1;
            let name = text(projected, "name");
            require(errors, projected, "name", &source_path.child(kind));
            validate_items(errors, projected, &source_path.child(kind));
            for item in items(projected, "items") {
                let file = text(item, "path");
                if !file.is_empty() && !files.insert(file) {
                    errors.push(FieldError::invalid(path, name, "conflicting duplicate paths"));
                }
            }
        }
        if let Some(projected) = at(projection, "downwardAPI") {
            found += 1;
            for file in items(projected, "items") {
                validate_file(errors, file, &source_path.child("downwardAPI"));
                let file = text(file, "path");
                if !file.is_empty() && !files.insert(file) {
                    errors.push(FieldError::invalid(path, file, "conflicting duplicate paths"));
                }
            }
        }
        if let Some(token) = at(projection, "serviceAccountToken") {
            found += 1;
            let path = source_path.child("serviceAccountToken");
            let seconds = integer(token, "expirationSeconds").unwrap_or(0);
            if seconds < 600 {
                errors.push(FieldError::invalid(
                    &path.child("expirationSeconds"),
                    seconds,
                    "may not specify a duration less than 10 minutes",
                ));
            } else if seconds > 1 << 32 {
                errors.push(FieldError::invalid(
                    &path.child("expirationSeconds"),
                    seconds,
                    "may not specify a duration larger than 2^32 seconds",
                ));
            }
            require(errors, token, "path", &path);
            file_path(errors, text(token, "path"), &path.child("path"));
        }
        found += usize::from(at(projection, "clusterTrustBundle").is_some());
        found += usize::from(at(projection, "podCertificate").is_some());
        if found > 1 {
            errors.push(FieldError::forbidden(
                &source_path,
                "may not specify more than 1 volume type per source",
            ));
        }
    }
}

/// A path that stays below the folder it is joined to.
pub(super) fn relative_path(errors: &mut Vec<FieldError>, file: &str, path: &Path) {
    if file.starts_with('/') {
        errors.push(FieldError::invalid(path, file, "must be a relative path"));
    }
    no_backsteps(errors, file, path);
}

/// As [`relative_path`], and not one of the names that the node keeps for itself.
fn file_path(errors: &mut Vec<FieldError>, file: &str, path: &Path) {
    relative_path(errors, file, path);
    if file.starts_with("..") && !file.starts_with("../") {
        errors.push(FieldError::invalid(path, file, "must not start with '..'"));
    }
}

pub(super) fn no_backsteps(errors: &mut Vec<FieldError>, file: &str, path: &Path) {
    if file.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, file, "must not contain '..'"));
    }
}

/// Checks `volumeMounts` of a container against the volumes of its pod spec.
pub(super) fn validate_mounts(errors: &mut Vec<FieldError>, container: &Value, spec: &Value, path: &Path) {
    let volumes = items(spec, "volumes");
    let devices = items(container, "volumeDevices");
    let mut folders = BTreeSet::new();
    for (index, mount) in items(container, "volumeMounts").iter().enumerate() {
        let mount_path = path.index(index);
        let name = text(mount, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&mount_path.child("name"), ""));
        }
        if !volumes.iter().any(|volume| text(volume, "name") == name) {
            errors.push(FieldError::not_found(&mount_path.child("name"), name));
        }
        let folder = text(mount, "mountPath");
        if folder.is_empty() {
            errors.push(FieldError::required(&mount_path.child("mountPath"), ""));
        }
        if !folders.insert(folder) {
            errors.push(FieldError::invalid(&mount_path.child("mountPath"), folder, "must be unique"));
        }
        if devices.iter().any(|device| text(device, "name") == name) {
            errors.push(FieldError::invalid(
                &mount_path.child("name"),
                name,
                "must not already exist in volumeDevices",
            ));
        }
        if devices.iter().any(|device| text(device, "devicePath") == folder) {
            errors.push(FieldError::invalid(
                &mount_path.child("mountPath"),
                folder,
                "must not already exist as a path in volumeDevices",
            ));
        }
        // Errors about these three name the list, not the item, as the real server does.
        let below = text(mount, "subPath");
        relative_path(errors, below, &path.child("subPath"));
        let expression = text(mount, "subPathExpr");
        if !expression.is_empty() {
            if !below.is_empty() {
                errors.push(FieldError::invalid(
                    &mount_path.child("subPathExpr"),
                    expression,
                    "subPathExpr and subPath are mutually exclusive",
                ));
            }
            relative_path(errors, expression, &path.child("subPathExpr"));
        }
        validate_propagation(errors, mount, container, &path.child("mountPropagation"));
    }
}

fn validate_propagation(errors: &mut Vec<FieldError>, mount: &Value, container: &Value, path: &Path) {
    const KINDS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    let Some(propagation) = at(mount, "mountPropagation").and_then(Value::as_str) else {
        return;
    };
    if !KINDS.contains(&propagation) {
        errors.push(FieldError::not_supported(path, propagation, &KINDS));
    }
    if propagation == "Bidirectional" && !is_true(container, "securityContext.privileged") {
        errors.push(FieldError::forbidden(
            path,
            "Bidirectional mount propagation is available only to privileged containers",
        ));
    }
}

/// Checks `volumeDevices` of a container: claims only.
pub(super) fn validate_devices(errors: &mut Vec<FieldError>, container: &Value, spec: &Value, path: &Path) {
    let volumes = items(spec, "volumes");
    let mut names = BTreeSet::new();
    let mut files = BTreeSet::new();
    for (index, device) in items(container, "volumeDevices").iter().enumerate() {
        let path = path.index(index);
        let name = text(device, "name");
        let file = text(device, "devicePath");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        if !names.insert(name) {
            errors.push(FieldError::invalid(&path.child("name"), name, "must be unique"));
        }
        match volumes.iter().find(|volume| text(volume, "name") == name) {
            None => errors.push(FieldError::not_found(&path.child("name"), name)),
            Some(volume)
                if at(volume, "persistentVolumeClaim").is_none() && at(volume, "ephemeral").is_none() =>
            {
                errors.push(FieldError::invalid(
                    &path.child("name"),
                    name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                ));
            }
            Some(_) => {}
        }
        if file.is_empty() {
            errors.push(FieldError::required(&path.child("devicePath"), ""));
        }
        if !files.insert(file) {
            errors.push(FieldError::invalid(&path.child("devicePath"), file, "must be unique"));
        }
        if !file.is_empty() && file.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(
                &path.child("devicePath"),
                file,
                "can not contain backsteps ('..')",
            ));
        }
    }
}

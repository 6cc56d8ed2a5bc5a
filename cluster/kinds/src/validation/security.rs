//! Security contexts of pods and containers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{SYSCTL, is_sysctl, user_id};
use super::{push_all_number, volumes, windows};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, integer, is_true, items, text};

/// Settings of the kernel that each network namespace has.
const NETWORK_SYSCTLS: &[&str] = &["net."];
/// Settings of the kernel that each IPC namespace has.
const IPC_SYSCTLS: &[&str] = &["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];

/// Checks `securityContext` of a pod spec; `path` is the spec's.
pub(super) fn validate_pod_context(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let shared = "shareProcessNamespace";
    if is_true(spec, shared) && is_true(spec, "hostPID") {
        errors.push(FieldError::invalid(
            &path.child("securityContext").child(shared),
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        ));
    }
    let Some(context) = at(spec, "securityContext") else {
        return;
    };
    let path = path.child("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        validate_id(errors, context, field, &path);
    }
    for (index, group) in items(context, "supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(0);
        push_all_number(errors, &path.child("supplementalGroups").index(index), group, user_id(group));
    }
    let policy = text(context, "fsGroupChangePolicy");
    if !matches!(policy, "" | "Always" | "OnRootMismatch") {
        errors.push(FieldError::not_supported(
            &path.child("fsGroupChangePolicy"),
            policy,
            &["Always", "OnRootMismatch"],
        ));
    }
    let mut seen = BTreeSet::new();
    for (index, sysctl) in items(context, "sysctls").iter().enumerate() {
        let path = path.child("sysctls").index(index).child("name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !is_sysctl(name) {
            errors.push(FieldError::invalid(
                &path,
                name,
                format!("must have at most 253 characters and match regex ^{SYSCTL}$"),
            ));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
        // What belongs to a namespace that the Pod shares with the host would be set on the host.
        for (shared, namespace) in [("hostNetwork", NETWORK_SYSCTLS), ("hostIPC", IPC_SYSCTLS)] {
            let dotted = name.replace('/', ".");
            if is_true(spec, shared) && namespace.iter().any(|prefix| dotted.starts_with(prefix)) {
                errors.push(FieldError::invalid(
                    &path,
                    name,
                    format!("may not be specified when '{shared}' is true"),
                ));
            }
        }
    }
    validate_seccomp(errors, context, &path.child("seccompProfile"));
    windows::validate_options(errors, context, &path.child("windowsOptions"));
    validate_app_armor(errors, context, &path.child("appArmorProfile"));
    for (field, supported) in [
        ("supplementalGroupsPolicy", ["Merge", "Strict"]),
        ("seLinuxChangePolicy", ["MountOption", "Recursive"]),
    ] {
        let value = text(context, field);
        if !value.is_empty() && !supported.contains(&value) {
            errors.push(FieldError::not_supported(&path.child(field), value, &supported));
        }
    }
}

/// Checks `securityContext` of a container.
pub(super) fn validate_container_context(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let Some(context) = at(container, "securityContext") else {
        return;
    };
    for field in ["runAsUser", "runAsGroup"] {
        validate_id(errors, context, field, path);
    }
    let mount = text(context, "procMount");
    if !matches!(mount, "" | "Default" | "Unmasked") {
        errors.push(FieldError::not_supported(&path.child("procMount"), mount, &["Default", "Unmasked"]));
    }
    validate_seccomp(errors, context, &path.child("seccompProfile"));
    windows::validate_options(errors, context, &path.child("windowsOptions"));
    validate_app_armor(errors, context, &path.child("appArmorProfile"));
    let denies_escalation = at(context, "allowPrivilegeEscalation") == Some(&Value::Bool(false));
    if denies_escalation {
        if is_true(context, "privileged") {
            errors.push(FieldError::invalid(
                path,
                context.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            ));
        }
        let added = items(context, "capabilities.add");
        if added.iter().any(|one| one == "CAP_SYS_ADMIN") {
            errors.push(FieldError::invalid(
                path,
                context.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            ));
        }
    }
}

fn validate_id(errors: &mut Vec<FieldError>, context: &Value, field: &str, path: &Path) {
    if let Some(id) = integer(context, field) {
        push_all_number(errors, &path.child(field), id, user_id(id));
    }
}

fn validate_seccomp(errors: &mut Vec<FieldError>, context: &Value, path: &Path) {
    let Some(profile) = at(context, "seccompProfile") else {
        return;
    };
    let kind = text(profile, "type");
    match kind {
        "" => errors
            .push(FieldError::required(&path.child("type"), "type is required when seccompProfile is set")),
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        _ => errors.push(FieldError::not_supported(
            &path.child("type"),
            kind,
            &["Localhost", "RuntimeDefault", "Unconfined"],
        )),
    }
    let local = text(profile, "localhostProfile");
    let local_path = path.child("localhostProfile");
    if kind == "Localhost" {
        if local.is_empty() {
            errors.push(FieldError::required(&local_path, "must be set when seccomp type is Localhost"));
        } else {
            volumes::relative_path(errors, local, &local_path);
        }
    } else if !local.is_empty() {
        errors.push(FieldError::invalid(
            &local_path,
            profile.clone(),
            "can only be set when seccomp type is Localhost",
        ));
    }
}

/// Checks `appArmorProfile` of a Pod or a container (KEP-24).
fn validate_app_armor(errors: &mut Vec<FieldError>, context: &Value, path: &Path) {
    const LONGEST: usize = 4095;
    const KINDS: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
    const MISSING: &str = "must be set when AppArmor type is Localhost";
    let Some(profile) = at(context, "appArmorProfile") else {
        return;
    };
    let local_path = path.child("localhostProfile");
    let local = at(profile, "localhostProfile").and_then(Value::as_str);
    match (text(profile, "type"), local) {
        ("", _) => {
            errors.push(FieldError::required(
                &path.child("type"),
                "type is required when appArmorProfile is set",
            ));
        }
        ("Localhost", None) => errors.push(FieldError::required(&local_path, MISSING)),
        ("Localhost", Some(local)) => {
            if local.trim() != local {
                errors.push(FieldError::invalid(&local_path, local, "must not be padded with whitespace"));
            } else if local.is_empty() {
                errors.push(FieldError::required(&local_path, MISSING));
            }
            if local.len() > LONGEST {
                errors.push(FieldError::too_long(&local_path, LONGEST));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(local)) => errors.push(FieldError::invalid(
            &local_path,
            local,
            "can only be set when AppArmor type is Localhost",
        )),
        ("RuntimeDefault" | "Unconfined", None) => {}
        (kind, _) => errors.push(FieldError::not_supported(&path.child("type"), kind, &KINDS)),
    }
}

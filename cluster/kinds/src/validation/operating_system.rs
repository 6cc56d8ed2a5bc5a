//! What a Pod may not have on the system that it names (KEP-2802), in a user namespace (KEP-127), and as a Windows
//! HostProcess (KEP-1981).

use serde_json::Value;

use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, is_true, items, text};

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_ON_LINUX: &str = "windows options cannot be set for a linux pod";

/// Checks `os` of a pod spec, and what does not go with it.
pub(super) fn validate_system(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if at(spec, "os").is_none() {
        return;
    }
    let path_of_system = path.child("os.name");
    match text(spec, "os.name") {
        "linux" => validate_linux(errors, spec, path),
        "windows" => validate_windows(errors, spec, path),
        system => super::one_of(errors, &path_of_system, system, &["linux", "windows"]),
    }
}

/// All containers with their security contexts and the paths of these.
fn contexts<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| items(spec, list).iter().enumerate().map(move |(index, one)| (list, index, one)))
        .filter_map(|(list, index, container)| {
            let path = path.child(list).index(index).child("securityContext");
            Some((at(container, "securityContext")?, path))
        })
        .collect()
}

fn validate_linux(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if at(spec, "securityContext.windowsOptions").is_some() {
        errors.push(FieldError::forbidden(&path.child("securityContext.windowsOptions"), NOT_ON_LINUX));
    }
    for (context, path) in contexts(spec, path) {
        if at(context, "windowsOptions").is_some() {
            errors.push(FieldError::forbidden(&path.child("windowsOptions"), NOT_ON_LINUX));
        }
    }
}

fn validate_windows(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const OF_PODS: [&str; 15] = [
        "securityContext.appArmorProfile",
        "securityContext.seLinuxOptions",
        "hostUsers",
        "hostPID",
        "hostIPC",
        "securityContext.seccompProfile",
        "securityContext.fsGroup",
        "securityContext.fsGroupChangePolicy",
        "securityContext.sysctls",
        "shareProcessNamespace",
        "securityContext.runAsUser",
        "securityContext.runAsGroup",
        "securityContext.supplementalGroups",
        "securityContext.supplementalGroupsPolicy",
        "securityContext.seLinuxChangePolicy",
    ];
    const OF_CONTAINERS: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    for field in OF_PODS {
        let given = match at(spec, field) {
            // Only the host's namespaces may be refused in so many words.
            Some(Value::Bool(flag)) if matches!(field, "hostPID" | "hostIPC") => *flag,
            Some(Value::Array(items)) => !items.is_empty(),
            other => other.is_some(),
        };
        if given {
            errors.push(FieldError::forbidden(&path.child(field), NOT_ON_WINDOWS));
        }
    }
    for (context, path) in contexts(spec, path) {
        for field in OF_CONTAINERS.into_iter().filter(|field| at(context, field).is_some()) {
            errors.push(FieldError::forbidden(&path.child(field), NOT_ON_WINDOWS));
        }
    }
}

/// A Pod with users of its own shares no other namespace with the host.
pub(super) fn validate_users(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const WITH_USERS: &str = "when `hostUsers` is false";
    if at(spec, "hostUsers") != Some(&Value::Bool(false)) {
        return;
    }
    for field in ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| is_true(spec, field)) {
        errors.push(FieldError::forbidden(&path.child(field), WITH_USERS));
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for (index, container) in items(spec, list).iter().enumerate() {
            if count(container, "volumeDevices") > 0 {
                errors.push(FieldError::forbidden(
                    &path.child(list).index(index).child("volumeDevices"),
                    WITH_USERS,
                ));
            }
        }
    }
}

/// The containers of a Pod are processes of a Windows host all together or not at all.
pub(super) fn validate_host_processes(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const FIELD: &str = "windowsOptions.hostProcess";
    let of_pod = at(spec, "securityContext").and_then(|context| at(context, FIELD)).and_then(Value::as_bool);
    let mut found = 0;
    let mut all = 0;
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in items(spec, list).iter().enumerate() {
            all += 1;
            let own = at(container, "securityContext").and_then(|context| at(context, FIELD));
            let own = own.and_then(Value::as_bool);
            if let (Some(of_pod), Some(own)) = (of_pod, own)
                && of_pod != own
            {
                errors.push(FieldError::invalid(
                    &path.child(list).index(index).child("securityContext").child(FIELD),
                    own,
                    format!("pod hostProcess value must be identical if both are specified, was {of_pod}"),
                ));
            }
            found += usize::from(own.or(of_pod).unwrap_or(false));
        }
    }
    if found == 0 {
        return;
    }
    if found != all {
        errors.push(FieldError::invalid(
            path,
            "",
            "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        ));
    }
    if !is_true(spec, "hostNetwork") {
        errors.push(FieldError::invalid(
            &path.child("hostNetwork"),
            false,
            "hostNetwork must be true if pod contains any hostProcess containers",
        ));
    }
}

//! What a Pod asks for as a whole (KEP-2837), and the devices that it claims (KEP-4381).

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1123_label, dns_1123_subdomain};
use super::{push_all, resources};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, items, text};
use crate::pod_resources::{amounts, is_for_pods, of_containers};

/// Checks `resources` of a pod spec; `path` is the spec's.
pub(super) fn validate_whole(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let Some(resources) = at(spec, "resources") else {
        return;
    };
    let path = path.child("resources");
    if at(resources, "claims").is_some() {
        errors.push(FieldError::forbidden(
            &path.child("claims"),
            "claims cannot be set for Resources at pod-level",
        ));
    }
    resources::validate_requirements(errors, spec, &path, validate_name);
    let (requests, limits) = (amounts(resources, "requests"), amounts(resources, "limits"));
    for (name, sum) in of_containers(spec, "requests") {
        if let Some(request) = requests.get(&name).filter(|request| **request < sum) {
            errors.push(FieldError::invalid(
                &path.child("requests").key(&name),
                request.to_string(),
                format!("must be greater than or equal to aggregate container requests of {sum}"),
            ));
        }
    }
    for (index, container) in items(spec, "containers").iter().enumerate() {
        let own = container.get("resources").map(|own| amounts(own, "limits")).unwrap_or_default();
        for (name, limit) in own {
            if let Some(most) = limits.get(&name).filter(|most| **most < limit) {
                // The real server's path.
                errors.push(FieldError::invalid(
                    &path.child("containers").index(index).key(&name).child("limits"),
                    limit.to_string(),
                    format!("must be less than or equal to pod limits of {most}"),
                ));
            }
        }
    }
}

fn validate_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    if resources::validate_name(errors, name, path) && !is_for_pods(name) {
        errors.push(FieldError::not_supported(path, name, &["cpu", "hugepages-", "memory"]));
    }
}

/// Checks `resourceClaims` of a pod spec, and that its containers use only these.
pub(super) fn validate_claims(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let mut names = BTreeSet::new();
    for (index, claim) in items(spec, "resourceClaims").iter().enumerate() {
        let path = path.child("resourceClaims").index(index);
        let name = text(claim, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if names.insert(name) {
            push_all(errors, &path.child("name"), name, dns_1123_label(name));
        } else {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"]
            .map(|field| (field, at(claim, field).and_then(Value::as_str)));
        match sources.iter().filter(|(_, source)| source.is_some()).count() {
            0 => errors.push(FieldError::invalid(
                &path,
                claim.clone(),
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            )),
            1 => {}
            _ => errors.push(FieldError::invalid(
                &path,
                claim.clone(),
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            )),
        }
        for (field, source) in sources {
            if let Some(source) = source {
                push_all(errors, &path.child(field), source, dns_1123_subdomain(source));
            }
        }
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for (index, container) in items(spec, list).iter().enumerate() {
            let path = path.child(list).index(index).child("resources.claims");
            validate_used(errors, items(container, "resources.claims"), &names, &path);
        }
    }
}

fn validate_used(errors: &mut Vec<FieldError>, claims: &[Value], known: &BTreeSet<&str>, path: &Path) {
    let mut seen = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let path = path.index(index);
        let name = text(claim, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        if !seen.insert((name, text(claim, "request"))) {
            errors.push(FieldError::duplicate(&path, name));
        }
        if !known.contains(name) {
            let mut error = FieldError::not_found(&path, name);
            let all: Vec<&str> = known.iter().copied().collect();
            error.detail = if all.is_empty() {
                "must be one of the names in pod.spec.resourceClaims which is empty".to_owned()
            } else {
                format!("must be one of the names in pod.spec.resourceClaims: {}", all.join(", "))
            };
            errors.push(error);
        }
    }
}

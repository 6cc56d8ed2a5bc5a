//! Names and amounts of resources.

use serde_json::Value;

use super::formats::qualified_name;
use super::{NEGATIVE, push_all};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, entries};
use crate::quantity::Quantity;

const HUGE_PAGES: &str = "hugepages-";

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Resources of namespaces that a quota can limit.
const QUOTA: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// Resources that are counted, not measured.
const WHOLE: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_huge_pages(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
        || ["requests.", "limits."]
            .iter()
            .filter_map(|prefix| name.strip_prefix(prefix))
            .any(|rest| rest.starts_with(HUGE_PAGES))
}

/// Whether Kubernetes itself defines the resource.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a device plugin or the like defines the resource.
fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether limits may be above requests.
pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// A name that is qualified, or one of Kubernetes' own.
pub(super) fn validate_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) -> bool {
    let wrong = qualified_name(name);
    if !wrong.is_empty() {
        push_all(errors, path, name, wrong);
        return false;
    }
    if !name.contains('/') && name != "storage" && !QUOTA.contains(&name) && !is_huge_pages(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
        return false;
    }
    true
}

/// A name of a resource that containers can have.
pub(super) fn validate_container_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    validate_name(errors, name, path);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !name.starts_with(HUGE_PAGES) {
            errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

/// A name of a resource that a quota can limit.
pub(super) fn validate_quota_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    validate_name(errors, name, path);
    if !name.contains('/') && !QUOTA.contains(&name) && !is_huge_pages(name) {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for quota"));
    }
}

/// An amount that is a quantity, not negative, and whole for what is counted.
pub(super) fn validate_amount(
    errors: &mut Vec<FieldError>,
    name: &str,
    amount: &Value,
    path: &Path,
) -> Option<Quantity> {
    let quantity = parse(errors, amount, path)?;
    if quantity.sign() < 0 {
        errors.push(FieldError::invalid(path, quantity.to_string(), NEGATIVE));
    }
    if (WHOLE.contains(&name) || is_extended(name)) && quantity != Quantity::from_integer(quantity.value()) {
        errors.push(FieldError::invalid(path, quantity.to_string(), "must be an integer"));
    }
    Some(quantity)
}

/// The quantity, or the error that there is none. (The real server's decoder refuses it first.)
pub(super) fn parse(errors: &mut Vec<FieldError>, amount: &Value, path: &Path) -> Option<Quantity> {
    match Quantity::from_value(amount) {
        Ok(quantity) => Some(quantity),
        Err(error) => {
            errors.push(FieldError::invalid(path, amount.clone(), error.to_string()));
            None
        }
    }
}

/// Checks a list of container resources.
pub(super) fn validate_list(errors: &mut Vec<FieldError>, list: Option<&Value>, path: &Path) {
    for (name, amount) in list.and_then(Value::as_object).into_iter().flatten() {
        let path = path.key(name);
        validate_container_name(errors, name, &path);
        validate_amount(errors, name, amount, &path);
    }
}

/// Checks `resources` of a container or a Pod: names by `validate_name`, amounts, and requests against limits.
pub(super) fn validate_requirements(
    errors: &mut Vec<FieldError>,
    owner: &Value,
    path: &Path,
    validate_name: fn(&mut Vec<FieldError>, &str, &Path),
) {
    let Some(resources) = at(owner, "resources") else {
        return;
    };
    for (name, amount) in entries(resources, "limits") {
        let path = path.child("limits").key(name);
        validate_name(errors, name, &path);
        validate_amount(errors, name, amount, &path);
    }
    let request_path = path.child("requests");
    let limit_path = path.child("limits");
    let mut huge = false;
    let mut basic = false;
    for (name, _) in entries(resources, "limits").chain(entries(resources, "requests")) {
        huge |= is_huge_pages(name);
        basic |= matches!(name.as_str(), "cpu" | "memory");
    }
    for (name, amount) in entries(resources, "requests") {
        let path = request_path.key(name);
        validate_name(errors, name, &path);
        let Some(request) = validate_amount(errors, name, amount, &path) else {
            continue;
        };
        let limit = resources
            .get("limits")
            .and_then(|limits| limits.get(name))
            .and_then(|limit| Quantity::from_value(limit).ok());
        match limit {
            Some(limit) if request != limit && !may_overcommit(name) => {
                errors.push(FieldError::invalid(
                    &request_path,
                    request.to_string(),
                    format!("must be equal to {name} limit of {limit}"),
                ));
            }
            Some(limit) if request > limit => errors.push(FieldError::invalid(
                &request_path,
                request.to_string(),
                format!("must be less than or equal to {name} limit of {limit}"),
            )),
            None if !may_overcommit(name) => errors.push(FieldError::required(
                &limit_path,
                "Limit must be set for non overcommitable resources",
            )),
            _ => {}
        }
    }
    if huge && !basic {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

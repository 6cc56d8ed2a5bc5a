//! What an update of a Pod may change: little.

use serde_json::Value;

use super::formats::range_error;
use crate::field_error::{FieldError, Path};
use crate::fields::{at, at_mut, integer, items, items_mut, remove, same, set, text};

const FORBIDDEN: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks what an update through the main resource changes.
pub(super) fn validate_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let path = Path::new("spec");
    let (Some(new), Some(old)) = (new.get("spec"), old.get("spec")) else {
        return;
    };
    for list in ["containers", "initContainers"] {
        if items(new, list).len() != items(old, list).len() {
            errors.push(FieldError::forbidden(
                &path.child(list),
                "pod updates may not add or remove containers",
            ));
            return;
        }
    }
    if !validate_deadline(errors, new, old, &path.child("activeDeadlineSeconds")) {
        return;
    }
    validate_tolerations(errors, new, old, &path.child("tolerations"));
    if !same(Some(&with_allowed_changes_undone(new, old)), Some(old)) {
        errors.push(FieldError::forbidden(&path, FORBIDDEN));
    }
}

/// Those that are there stay as they are, in whatever order.
pub(super) fn validate_ephemeral_containers(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    const LIST: &str = "spec.ephemeralContainers";
    let path = Path::new(LIST);
    for container in items(old, LIST) {
        let name = text(container, "name");
        let problem = match items(new, LIST).iter().find(|c| text(c, "name") == name) {
            None => "removed",
            Some(kept) if !same(Some(kept), Some(container)) => "changed",
            Some(_) => continue,
        };
        let why = format!("existing ephemeral containers {name:?} may not be {problem}\n");
        errors.push(FieldError::forbidden(&path, &why));
    }
}

/// CPU and memory may change, and nobody gets into another class of service by it.
pub(super) fn validate_resize(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let path = Path::new("spec");
    let class = crate::strategy::quality_of_service(new);
    if class != crate::strategy::quality_of_service(old) {
        let why = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&path, class, why));
    }
    let rest = |spec: &Value| {
        let mut spec = spec.clone();
        for list in ["containers", "initContainers"] {
            for container in items_mut(&mut spec, list) {
                for amounts in ["requests", "limits"] {
                    if let Some(amounts) = at_mut(container, &format!("resources.{amounts}")) {
                        remove(amounts, "cpu");
                        remove(amounts, "memory");
                    }
                }
            }
        }
        spec
    };
    let (Some(new), Some(old)) = (new.get("spec"), old.get("spec")) else { return };
    if !same(Some(&rest(new)), Some(&rest(old))) {
        errors.push(FieldError::forbidden(&path, "only cpu and memory resources are mutable"));
    }
    for list in ["containers", "initContainers"] {
        for (index, (new, old)) in items(new, list).iter().zip(items(old, list)).enumerate() {
            for amounts in ["requests", "limits"] {
                let path = path.child(list).index(index).child("resources").child(amounts);
                let gone = |name: &&str| {
                    let there = |c| at(c, &format!("resources.{amounts}.{name}")).is_some();
                    there(old) && !there(new)
                };
                if ["cpu", "memory"].iter().any(gone) {
                    errors
                        .push(FieldError::forbidden(&path, format!("resource {amounts} cannot be removed")));
                }
            }
        }
    }
}

/// A deadline may be set, and shortened. Returns whether to look further.
fn validate_deadline(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) -> bool {
    let deadline = |spec| integer(spec, "activeDeadlineSeconds");
    match (deadline(new), deadline(old)) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            errors.push(FieldError::invalid(path, new, range_error(0, i64::from(i32::MAX))));
            false
        }
        (Some(new), Some(old)) if old < new => {
            errors.push(FieldError::invalid(path, new, "must be less than or equal to previous value"));
            false
        }
        (None, Some(_)) => {
            errors.push(FieldError::invalid(
                path,
                Value::Null,
                "must not update from a positive integer to nil value",
            ));
            true
        }
        _ => true,
    }
}

/// Tolerations may be added; of the old ones only the seconds may change.
fn validate_tolerations(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        remove(&mut toleration, "tolerationSeconds");
        toleration
    };
    let news: Vec<Value> = items(new, "tolerations").iter().map(bare).collect();
    for toleration in items(old, "tolerations") {
        if !news.contains(&bare(toleration)) {
            errors.push(FieldError::forbidden(
                path,
                "existing toleration can not be modified except its tolerationSeconds",
            ));
            return;
        }
    }
}

fn with_allowed_changes_undone(new: &Value, old: &Value) -> Value {
    let mut spec = new.clone();
    let put_back = |spec: &mut Value, field: &str| match at(old, field) {
        Some(value) => set(spec, field, value.clone()),
        None => remove(spec, field),
    };
    for list in ["containers", "initContainers"] {
        let olds = items(old, list);
        for (container, old) in items_mut(&mut spec, list).iter_mut().zip(olds) {
            set(container, "image", text(old, "image"));
        }
    }
    put_back(&mut spec, "activeDeadlineSeconds");
    put_back(&mut spec, "tolerations");
    let grace = |spec| integer(spec, "terminationGracePeriodSeconds").unwrap_or(0);
    if grace(old) < 0 && grace(new) == 1 {
        put_back(&mut spec, "terminationGracePeriodSeconds");
    }
    // Gates may go; while there are some, the choice of nodes may narrow.
    let old_gates = items(old, "schedulingGates");
    let gated = !old_gates.is_empty();
    let none_added = items(new, "schedulingGates").iter().all(|gate| old_gates.contains(gate));
    if gated && none_added {
        put_back(&mut spec, "schedulingGates");
        let narrower = crate::fields::entries(old, "nodeSelector").all(|(key, value)| {
            at_mut(&mut spec, "nodeSelector").and_then(|s| s.get(key).cloned()).as_ref() == Some(value)
        });
        if narrower {
            put_back(&mut spec, "nodeSelector");
        }
    }
    spec
}

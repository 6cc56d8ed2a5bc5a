//! Disruption budgets, priority classes and leases.

use serde_json::Value;

use super::labels::validate_selector;
use super::workloads::{at_most_all, validate_amount};
use super::{immutable, nonnegative, one_of};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, integer, is_true, text};

/// Checks a PodDisruptionBudget's spec.
pub(super) fn validate_disruption_budget(errors: &mut Vec<FieldError>, budget: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = budget.get("spec").unwrap_or(&empty);
    let amounts = ["minAvailable", "maxUnavailable"].map(|field| (field, at(spec, field)));
    if amounts.iter().all(|(_, amount)| amount.is_some()) {
        errors.push(FieldError::invalid(
            &path,
            spec.clone(),
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for (field, amount) in amounts {
        validate_amount(errors, amount, &path.child(field));
        at_most_all(errors, amount, &path.child(field));
    }
    if let Some(selector) = at(spec, "selector") {
        validate_selector(errors, selector, &path.child("selector"));
    }
    let eviction = text(spec, "unhealthyPodEvictionPolicy");
    if !eviction.is_empty() {
        one_of(
            errors,
            &path.child("unhealthyPodEvictionPolicy"),
            eviction,
            &["AlwaysAllow", "IfHealthyBudget"],
        );
    }
    let status = budget.get("status").unwrap_or(&empty);
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        nonnegative(errors, status, field, &Path::new("status"));
    }
}

/// Checks a PriorityClass.
pub(super) fn validate_priority_class(errors: &mut Vec<FieldError>, class: &Value) {
    const HIGHEST: i64 = 1_000_000_000;
    const SYSTEM: [(&str, i64); 2] =
        [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
    let name = text(class, "metadata.name");
    let value = integer(class, "value").unwrap_or(0);
    if name.starts_with("system-") {
        let wrong = match SYSTEM.iter().find(|(known, _)| *known == name) {
            None => Some(format!("{name} is not a known system priority class")),
            Some((_, known)) if *known != value => {
                Some(format!("value of {name} PriorityClass must be {known}"))
            }
            Some(_) if is_true(class, "globalDefault") => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(wrong) = wrong {
            errors.push(FieldError::forbidden(
                &Path::new("metadata.name"),
                format!(
                    "priority class names with 'system-' prefix are reserved for system use only. error: {wrong}"
                ),
            ));
        }
    } else if value > HIGHEST {
        errors.push(FieldError::forbidden(
            &Path::new("value"),
            format!("maximum allowed value of a user defined priority is {HIGHEST}"),
        ));
    }
    let preemption = text(class, "preemptionPolicy");
    if !preemption.is_empty() {
        one_of(errors, &Path::new("preemptionPolicy"), preemption, &["PreemptLowerPriority", "Never"]);
    }
}

/// A PriorityClass keeps its value.
pub(super) fn validate_priority_class_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let value = |class| integer(class, "value").unwrap_or(0);
    if value(new) != value(old) {
        errors.push(FieldError::invalid(&Path::new("value"), value(new), super::IMMUTABLE));
    }
    immutable(errors, new, old, "preemptionPolicy");
}

/// Checks a Lease's spec.
pub(super) fn validate_lease(errors: &mut Vec<FieldError>, lease: &Value) {
    let path = Path::new("spec");
    if let Some(seconds) = integer(lease, "spec.leaseDurationSeconds")
        && seconds <= 0
    {
        errors.push(FieldError::invalid(
            &path.child("leaseDurationSeconds"),
            seconds,
            "must be greater than 0",
        ));
    }
    if let Some(transitions) = integer(lease, "spec.leaseTransitions")
        && transitions < 0
    {
        errors.push(FieldError::invalid(&path.child("leaseTransitions"), transitions, super::NEGATIVE));
    }
}

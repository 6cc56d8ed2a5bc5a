//! Deployments, ReplicaSets, StatefulSets, DaemonSets and their older relatives.

use serde_json::{Value, json};

use super::formats::percent;
use super::labels::{is_empty_selector, selects, validate_selector};
use super::{nonnegative, pod, storage};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, remove, same, text};

/// Checks a Deployment's spec.
pub(super) fn validate_deployment(errors: &mut Vec<FieldError>, deployment: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = deployment.get("spec").unwrap_or(&empty);
    nonnegative(errors, spec, "replicas", &path);
    validate_own_selector(errors, spec, &path, "deployment");
    validate_template(errors, spec, &path, "ReplicaSet");
    validate_deployment_strategy(errors, spec, &path.child("strategy"));
    nonnegative(errors, spec, "minReadySeconds", &path);
    nonnegative(errors, spec, "revisionHistoryLimit", &path);
    nonnegative(errors, spec, "progressDeadlineSeconds", &path);
    if let Some(deadline) = integer(spec, "progressDeadlineSeconds")
        && deadline <= integer(spec, "minReadySeconds").unwrap_or(0)
    {
        errors.push(FieldError::invalid(
            &path.child("progressDeadlineSeconds"),
            deadline,
            "must be greater than minReadySeconds",
        ));
    }
}

/// Checks a ReplicaSet's spec.
pub(super) fn validate_replica_set(errors: &mut Vec<FieldError>, set: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = set.get("spec").unwrap_or(&empty);
    nonnegative(errors, spec, "replicas", &path);
    nonnegative(errors, spec, "minReadySeconds", &path);
    validate_own_selector(errors, spec, &path, "deployment");
    validate_template(errors, spec, &path, "ReplicaSet");
}

/// Checks a ReplicationController's spec, whose selector is a map.
pub(super) fn validate_replication_controller(errors: &mut Vec<FieldError>, controller: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = controller.get("spec").unwrap_or(&empty);
    nonnegative(errors, spec, "minReadySeconds", &path);
    if count(spec, "selector") == 0 {
        errors.push(FieldError::required(&path.child("selector"), ""));
    }
    nonnegative(errors, spec, "replicas", &path);
    if at(spec, "template").is_none() {
        errors.push(FieldError::required(&path.child("template"), ""));
        return;
    }
    let selector = json!({"matchLabels": spec.get("selector")});
    let labels = at(spec, "template.metadata.labels");
    if count(spec, "selector") > 0 && !selects(&selector, labels) {
        errors.push(mismatch(labels, &path));
    }
    pod::validate_template(errors, spec, &path.child("template"));
    validate_restart(errors, spec, &path, "ReplicationController");
}

/// Checks a StatefulSet's spec.
pub(super) fn validate_stateful_set(errors: &mut Vec<FieldError>, set: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = set.get("spec").unwrap_or(&empty);
    let policy = text(spec, "podManagementPolicy");
    if policy.is_empty() {
        errors.push(FieldError::required(&path.child("podManagementPolicy"), ""));
    } else if !matches!(policy, "OrderedReady" | "Parallel") {
        errors.push(FieldError::invalid(
            &path.child("podManagementPolicy"),
            policy,
            "must be 'OrderedReady' or 'Parallel'",
        ));
    }
    let strategy_path = path.child("updateStrategy");
    let strategy = spec.get("updateStrategy").unwrap_or(&empty);
    let rolling = at(strategy, "rollingUpdate");
    match text(strategy, "type") {
        "" => errors.push(FieldError::required(&strategy_path, "")),
        "OnDelete" => {
            if let Some(rolling) = rolling {
                errors.push(FieldError::invalid(
                    &strategy_path.child("rollingUpdate"),
                    rolling.clone(),
                    "only allowed for updateStrategy 'RollingUpdate'",
                ));
            }
        }
        "RollingUpdate" => {
            if let Some(rolling) = rolling {
                nonnegative(errors, rolling, "partition", &strategy_path.child("rollingUpdate"));
            }
        }
        _ => errors.push(FieldError::invalid(
            &strategy_path,
            strategy.clone(),
            "must be 'RollingUpdate' or 'OnDelete'",
        )),
    }
    if let Some(retention) = at(spec, "persistentVolumeClaimRetentionPolicy") {
        let path = path.child("persistentVolumeClaimRetentionPolicy");
        for field in ["whenDeleted", "whenScaled"] {
            let value = text(retention, field);
            if !matches!(value, "Retain" | "Delete") {
                errors.push(FieldError::not_supported(&path.child(field), value, &["Retain", "Delete"]));
            }
        }
    }
    nonnegative(errors, spec, "replicas", &path);
    nonnegative(errors, spec, "minReadySeconds", &path);
    if let Some(ordinals) = at(spec, "ordinals") {
        nonnegative(errors, ordinals, "start", &path.child("ordinals"));
    }
    validate_own_selector(errors, spec, &path, "statefulset");
    validate_template(errors, &with_claims(spec), &path, "StatefulSet");
    for (index, claim) in items(spec, "volumeClaimTemplates").iter().enumerate() {
        let path = path.child("volumeClaimTemplates").index(index);
        storage::validate_claim_spec(errors, claim, &path.child("spec"));
    }
}

/// The spec as its pods will have it: each claim template is a volume of the same name, in place of one that is there.
fn with_claims(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let claims: Vec<Value> = items(&spec, "volumeClaimTemplates")
        .iter()
        .filter_map(|claim| at(claim, "metadata.name").cloned())
        .map(|name| serde_json::json!({"name": name, "persistentVolumeClaim": {"claimName": name}}))
        .collect();
    if let Some(pod) = spec.pointer_mut("/template/spec").filter(|pod| pod.is_object()) {
        let mut volumes = items(pod, "volumes").to_vec();
        volumes.retain(|volume| claims.iter().all(|claim| claim["name"] != volume["name"]));
        // Behind the others, so that the places in error messages stay true.
        volumes.extend(claims);
        if !volumes.is_empty() {
            pod["volumes"] = volumes.into();
        }
    }
    spec
}

/// A StatefulSet keeps what its pods and claims were made from.
pub(super) fn validate_stateful_set_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let fixed = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        for field in [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ] {
            remove(&mut spec, field);
        }
        // What the server itself wrote into the claims is no change.
        for claim in crate::fields::items_mut(&mut spec, "volumeClaimTemplates") {
            remove(claim, "status");
        }
        spec
    };
    if !same(Some(&fixed(new)), Some(&fixed(old))) {
        errors.push(FieldError::forbidden(
            &Path::new("spec"),
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
}

/// Checks a DaemonSet's spec.
pub(super) fn validate_daemon_set(errors: &mut Vec<FieldError>, set: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = set.get("spec").unwrap_or(&empty);
    validate_own_selector(errors, spec, &path, "daemonset");
    validate_template(errors, spec, &path, "DaemonSet");
    nonnegative(errors, spec, "minReadySeconds", &path);
    let strategy = spec.get("updateStrategy").unwrap_or(&empty);
    let strategy_path = path.child("updateStrategy");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => match at(strategy, "rollingUpdate") {
            None => errors.push(FieldError::required(&strategy_path.child("rollingUpdate"), "")),
            Some(rolling) => {
                validate_daemon_rolling(errors, rolling, &strategy_path.child("rollingUpdate"));
            }
        },
        _ => errors.push(FieldError::not_supported(
            &strategy_path,
            strategy.clone(),
            &["RollingUpdate", "OnDelete"],
        )),
    }
    nonnegative(errors, spec, "revisionHistoryLimit", &path);
}

fn validate_daemon_rolling(errors: &mut Vec<FieldError>, rolling: &Value, path: &Path) {
    let [unavailable, surge] = ["maxUnavailable", "maxSurge"].map(|field| {
        let value = rolling.get(field);
        validate_amount(errors, value, &path.child(field));
        at_most_all(errors, value, &path.child(field));
        number_of(value)
    });
    if unavailable != 0 && surge != 0 {
        errors.push(FieldError::invalid(
            &path.child("maxSurge"),
            rolling.get("maxSurge").cloned().unwrap_or_default(),
            "may not be set when maxUnavailable is non-zero",
        ));
    } else if unavailable == 0 && surge == 0 {
        errors.push(FieldError::required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
    }
}

/// Checks a ControllerRevision.
pub(super) fn validate_revision(errors: &mut Vec<FieldError>, revision: &Value) {
    if at(revision, "data").is_none() {
        errors.push(FieldError::required(&Path::new("data"), "data is mandatory"));
    }
    nonnegative(errors, revision, "revision", &Path::root());
}

/// The selector must be there (a DaemonSet's may be told missing only by what it selects), select
/// something, and select the template's labels; the template's pods must restart.
fn validate_own_selector(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    let selector_path = path.child("selector");
    let labels = at(spec, "template.metadata.labels");
    let Some(selector) = at(spec, "selector") else {
        if kind != "daemonset" {
            errors.push(FieldError::required(&selector_path, ""));
        }
        // No selector selects nothing.
        errors.push(mismatch(labels, path));
        return;
    };
    let before = errors.len();
    validate_selector(errors, selector, &selector_path);
    let valid = errors.len() == before;
    if is_empty_selector(selector) {
        errors.push(FieldError::invalid(
            &selector_path,
            selector.clone(),
            format!("empty selector is invalid for {kind}"),
        ));
    }
    if valid {
        if !selects(selector, labels) {
            errors.push(mismatch(labels, path));
        }
    } else if kind != "daemonset" {
        let detail = if kind == "statefulset" { "" } else { "invalid label selector" };
        errors.push(FieldError::invalid(&selector_path, selector.clone(), detail));
    }
}

/// The template's pods must be valid and restart.
fn validate_template(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    pod::validate_template(errors, spec, &path.child("template"));
    validate_restart(errors, spec, path, kind);
}

fn validate_restart(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    let path = path.child("template.spec");
    let policy = text(spec, "template.spec.restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported(&path.child("restartPolicy"), policy, &["Always"]));
    }
    if at(spec, "template.spec.activeDeadlineSeconds").is_some() {
        errors.push(FieldError::forbidden(
            &path.child("activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {kind} is not Supported"),
        ));
    }
}

/// The error that a selector does not select the template below `path`.
pub(super) fn mismatch(labels: Option<&Value>, path: &Path) -> FieldError {
    FieldError::invalid(
        &path.child("template.metadata.labels"),
        labels.cloned().unwrap_or_default(),
        "`selector` does not match template `labels`",
    )
}

fn validate_deployment_strategy(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let empty = Value::Null;
    let strategy = spec.get("strategy").unwrap_or(&empty);
    let rolling = at(strategy, "rollingUpdate");
    let rolling_path = path.child("rollingUpdate");
    match text(strategy, "type") {
        "Recreate" => {
            if rolling.is_some() {
                errors.push(FieldError::forbidden(
                    &rolling_path,
                    "may not be specified when strategy `type` is 'Recreate'",
                ));
            }
        }
        "RollingUpdate" => {
            let Some(rolling) = rolling else {
                errors.push(FieldError::required(&rolling_path, "this should be defaulted and never be nil"));
                return;
            };
            let unavailable = rolling.get("maxUnavailable");
            let surge = rolling.get("maxSurge");
            validate_amount(errors, unavailable, &rolling_path.child("maxUnavailable"));
            validate_amount(errors, surge, &rolling_path.child("maxSurge"));
            if number_of(unavailable) == 0 && number_of(surge) == 0 {
                errors.push(FieldError::invalid(
                    &rolling_path.child("maxUnavailable"),
                    unavailable.cloned().unwrap_or_default(),
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
            at_most_all(errors, unavailable, &rolling_path.child("maxUnavailable"));
        }
        _ => errors.push(FieldError::not_supported(path, strategy.clone(), &["Recreate", "RollingUpdate"])),
    }
}

/// A number or a percentage, not negative.
pub(super) fn validate_amount(errors: &mut Vec<FieldError>, value: Option<&Value>, path: &Path) {
    match value {
        Some(Value::String(given)) => super::push_all(errors, path, given, percent(given)),
        Some(value) => {
            if let Some(number) = value.as_i64()
                && number < 0
            {
                errors.push(FieldError::invalid(path, number, super::NEGATIVE));
            }
        }
        None => {}
    }
}

/// A percentage of no more than all.
pub(super) fn at_most_all(errors: &mut Vec<FieldError>, value: Option<&Value>, path: &Path) {
    if let Some(Value::String(given)) = value
        && percent(given).is_empty()
        && number_of(value) > 100
    {
        errors.push(FieldError::invalid(path, given.as_str(), "must not be greater than 100%"));
    }
}

/// The number, or the number before the percent sign.
fn number_of(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::String(given)) => {
            let digits = given.strip_suffix('%').unwrap_or(given);
            digits.parse().unwrap_or(if digits.len() > 18 { i64::MAX } else { 0 })
        }
        Some(value) => value.as_i64().unwrap_or(0),
        None => 0,
    }
}

//! Kinds that say how they do in conditions.

use serde_json::Value;

use super::{Health, HealthStatus, condition, holds, number, said, text};

/// Any kind: the conditions of kstatus (`Reconciling`, `Stalled`, `Ready`), and the plain words `Failed` and
/// `Degraded` that many operators use.
pub(super) fn any(object: &Value) -> Health {
    if object.get("status").is_none() {
        return Health::healthy();
    }
    let generation = number(object, "/metadata/generation").unwrap_or_default();
    if number(object, "/status/observedGeneration").is_some_and(|observed| observed < generation) {
        return Health::progressing("the new spec has not been observed yet");
    }
    for bad in ["Stalled", "Failed", "Degraded"] {
        if holds(object, bad) {
            return Health::degraded(condition(object, bad).map(said).unwrap_or_default());
        }
    }
    if holds(object, "Reconciling") {
        return Health::progressing(condition(object, "Reconciling").map(said).unwrap_or_default());
    }
    match condition(object, "Ready") {
        Some(ready) if text(ready, "/status") != "True" => Health::progressing(said(ready)),
        _ => Health::healthy(),
    }
}

/// An Environment of Seaway says it in one word.
pub(super) fn environment(object: &Value) -> Health {
    let status = match text(object, "/status/health") {
        "Healthy" => HealthStatus::Healthy,
        "Suspended" => HealthStatus::Suspended,
        "Missing" => HealthStatus::Missing,
        "Degraded" => HealthStatus::Degraded,
        "Unknown" => HealthStatus::Unknown,
        _ => return Health::progressing("nobody has looked at it yet"),
    };
    let observed = number(object, "/status/observedGeneration").unwrap_or_default();
    if observed < number(object, "/metadata/generation").unwrap_or_default() {
        return Health::progressing("the new spec has not been observed yet");
    }
    Health::new(status, text(object, "/status/message"))
}

/// One condition decides; while it is absent, the object is on its way.
pub(super) fn required(object: &Value, name: &str) -> Health {
    match condition(object, name) {
        Some(found) if text(found, "/status") == "True" => Health::healthy(),
        Some(found) => Health::progressing(said(found)),
        None => Health::progressing(format!("{name} is not reported yet")),
    }
}

pub(super) fn definition(object: &Value) -> Health {
    if let Some(names) = condition(object, "NamesAccepted").filter(|names| text(names, "/status") == "False")
    {
        return Health::degraded(said(names));
    }
    if holds(object, "Terminating") {
        return Health::progressing("is being deleted");
    }
    required(object, "Established")
}

const AUTOSCALER_FAILURES: &[&str] = &[
    "FailedGetScale",
    "FailedUpdateScale",
    "FailedGetResourceMetric",
    "FailedGetObjectMetric",
    "FailedGetPodsMetric",
    "FailedGetContainerResourceMetric",
    "FailedGetExternalMetric",
    "FailedComputeMetricsReplicas",
    "InvalidSelector",
    "InvalidMetricSourceType",
];

pub(super) fn autoscaler(object: &Value) -> Health {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    for found in conditions.into_iter().flatten() {
        let failed = AUTOSCALER_FAILURES.contains(&text(found, "/reason"));
        if failed && text(found, "/status") == "False" {
            return Health::degraded(said(found));
        }
    }
    if holds(object, "AbleToScale") || holds(object, "ScalingLimited") {
        return Health::healthy();
    }
    Health::progressing("waits for metrics")
}

/// Every parent must accept the route and find its backends.
pub(super) fn route(object: &Value) -> Health {
    let parents = object.pointer("/status/parents").and_then(Value::as_array);
    let Some(parents) = parents.filter(|parents| !parents.is_empty()) else {
        return Health::progressing("no gateway has taken the route yet");
    };
    let generation = number(object, "/metadata/generation").unwrap_or_default();
    for found in parents.iter().filter_map(|parent| parent["conditions"].as_array()).flatten() {
        if number(found, "/observedGeneration").is_some_and(|observed| observed < generation) {
            return Health::progressing("the new spec has not been observed yet");
        }
        if matches!(text(found, "/type"), "Accepted" | "ResolvedRefs") && text(found, "/status") == "False" {
            return Health::degraded(said(found));
        }
    }
    Health::healthy()
}

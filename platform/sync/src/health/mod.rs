//! How well one object does, from what it says about itself.
//!
//! The rules for built-in kinds are those that Argo CD and kstatus publish; any other kind is judged by its conditions.
//! An object that says nothing is healthy once it exists. A stack can have rules of its own for any kind ([`HealthRules`]).

mod conditions;
mod rules;
mod workloads;

use seaway_object::GroupVersionKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::rules::CompiledRules;
pub use self::rules::HealthRules;

/// From best to worst, so that the greatest of several is that of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HealthStatus {
    /// Does what it should.
    #[default]
    Healthy,
    /// Paused on purpose.
    Suspended,
    /// On its way.
    Progressing,
    /// Should be there, but is not.
    Missing,
    /// Failed, or does less than it should.
    Degraded,
    /// Nobody can tell.
    Unknown,
}

impl HealthStatus {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Progressing => "Progressing",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether a wave may go on.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Healthy | Self::Suspended)
    }
}

/// How well something does, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// How well.
    pub status: HealthStatus,
    /// Why; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Health {
    pub(crate) fn new(status: HealthStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn healthy() -> Self {
        Self::default()
    }

    fn progressing(message: impl Into<String>) -> Self {
        Self::new(HealthStatus::Progressing, message)
    }

    fn degraded(message: impl Into<String>) -> Self {
        Self::new(HealthStatus::Degraded, message)
    }
}

/// How well an object does, by the built-in rules.
pub fn health(object: &Value) -> Health {
    let Ok(kind) = GroupVersionKind::of(object) else {
        return Health::new(HealthStatus::Unknown, "it has no apiVersion and kind");
    };
    if is_going(object) {
        return Health::progressing("is being deleted");
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => workloads::deployment(object),
        ("apps", "StatefulSet") => workloads::stateful_set(object),
        ("apps", "DaemonSet") => workloads::daemon_set(object),
        ("apps", "ReplicaSet") => workloads::replica_set(object),
        ("", "Pod") => workloads::pod(object),
        ("batch", "Job") => workloads::job(object),
        ("batch", "CronJob") => workloads::cron_job(object),
        ("", "PersistentVolumeClaim") => workloads::claim(object),
        ("", "Service") => workloads::service(object),
        ("", "Namespace" | "ReplicationController" | "Endpoints" | "Event") => Health::healthy(),
        ("networking.k8s.io" | "extensions", "Ingress") => workloads::load_balancer(object),
        ("autoscaling", "HorizontalPodAutoscaler") => conditions::autoscaler(object),
        ("apiregistration.k8s.io", "APIService") => conditions::required(object, "Available"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => conditions::definition(object),
        ("gateway.networking.k8s.io", kind) if kind.ends_with("Route") => conditions::route(object),
        ("seaway.dev", "Environment") => conditions::environment(object),
        ("gateway.networking.k8s.io", "Gateway") => conditions::required(object, "Programmed"),
        ("policy" | "rbac.authorization.k8s.io" | "scheduling.k8s.io" | "storage.k8s.io", _) => {
            Health::healthy()
        }
        _ => conditions::any(object),
    }
}

/// Whether it is being deleted.
fn is_going(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// A whole number at a JSON pointer.
fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// A text at a JSON pointer, or the empty text.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The controller has not looked at the present spec yet.
fn is_unobserved(object: &Value) -> bool {
    let generation = number(object, "/metadata/generation").unwrap_or_default();
    generation > number(object, "/status/observedGeneration").unwrap_or_default()
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object
        .pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| text(condition, "/type") == name)
}

fn holds(object: &Value, name: &str) -> bool {
    condition(object, name).is_some_and(|condition| text(condition, "/status") == "True")
}

/// `Reason: message` of a condition.
fn said(condition: &Value) -> String {
    match (text(condition, "/reason"), text(condition, "/message")) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests;

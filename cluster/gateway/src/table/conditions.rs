//! Conditions (`metav1.Condition`) and how new ones are merged into those that
//! an object already has.

use serde_json::{Value, json};

/// The condition types that this controller writes; others are left alone.
const OWNED: [&str; 5] = ["Accepted", "Programmed", "ResolvedRefs", "Conflicted", "PartiallyInvalid"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) kind: &'static str,
    pub(crate) status: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Condition {
    pub(crate) fn new(
        kind: &'static str,
        status: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, status, reason, message: message.into() }
    }
}

/// The conditions to write: foreign ones as they are, ours as wanted, and the
/// transition time kept where the status did not change.
pub(crate) fn merge(existing: Option<&Value>, wanted: &[Condition], generation: i64, now: &str) -> Value {
    let existing = existing.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let kind_of = |condition: &Value| condition.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    let mut merged: Vec<Value> =
        existing.iter().filter(|old| !OWNED.contains(&kind_of(old).as_str())).cloned().collect();
    for condition in wanted {
        let status = if condition.status { "True" } else { "False" };
        let since = existing
            .iter()
            .find(|old| {
                kind_of(old) == condition.kind && old.get("status").and_then(Value::as_str) == Some(status)
            })
            .and_then(|old| old.get("lastTransitionTime").and_then(Value::as_str))
            .unwrap_or(now);
        // The API's limit for messages.
        let message: String = condition.message.chars().take(32_768).collect();
        merged.push(json!({
            "type": condition.kind,
            "status": status,
            "reason": condition.reason,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": since,
        }));
    }
    Value::Array(merged)
}

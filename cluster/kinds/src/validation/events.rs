//! Events: of the core group, and by the stricter rules of `events.k8s.io` (KEP-383).

use serde_json::Value;

use super::formats::{dns_1123_subdomain, qualified_name};
use super::{immutable, push_all};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, integer, same, text};

/// Reporter, action and reason have at most this many bytes.
const SHORT: usize = 128;
/// The message has at most this many bytes.
const MESSAGE: usize = 1024;

/// The names that a field has in the two groups. Errors use those of the core group.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// The value of a field under whichever name the object has it.
fn field<'a>(event: &'a Value, name: &str) -> Option<&'a Value> {
    let other = NAMES.iter().find(|(core, _)| *core == name).map(|(_, other)| *other);
    at(event, name).or_else(|| at(event, other?))
}

fn field_text<'a>(event: &'a Value, name: &str) -> &'a str {
    field(event, name).and_then(Value::as_str).unwrap_or_default()
}

/// What every Event must be, whether it is new or not.
pub(super) fn validate_event(errors: &mut Vec<FieldError>, event: &Value) {
    let namespace = text(event, "metadata.namespace");
    let about = field(event, "involvedObject").map_or("", |object| text(object, "namespace"));
    let has_time = at(event, "eventTime").is_some();
    let fits = match (about, has_time) {
        // Older clients write about cluster-scoped objects in the namespace `default`.
        ("", false) => matches!(namespace, "" | "default"),
        ("", true) => matches!(namespace, "default" | "kube-system"),
        (about, false) => about == namespace,
        (_, true) => true,
    };
    if !fits {
        errors.push(FieldError::invalid(
            &Path::new("involvedObject.namespace"),
            about,
            "does not match event.namespace",
        ));
    }
    if has_time {
        validate_new_fields(errors, event);
    }
    push_all(errors, &Path::new("namespace"), namespace, dns_1123_subdomain(namespace));
}

/// What goes with `eventTime`.
fn validate_new_fields(errors: &mut Vec<FieldError>, event: &Value) {
    let controller = field_text(event, "reportingComponent");
    let path = Path::new("reportingController");
    if controller.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    push_all(errors, &path, controller, qualified_name(controller));
    for (name, limit, required) in [
        ("reportingInstance", SHORT, true),
        ("action", SHORT, true),
        ("reason", SHORT, true),
        ("message", MESSAGE, false),
    ] {
        let value = field_text(event, name);
        if required && value.is_empty() {
            errors.push(FieldError::required(&Path::new(name), ""));
        }
        if value.len() > limit {
            errors.push(FieldError::invalid(
                &Path::new(name),
                "",
                format!("can have at most {limit} characters"),
            ));
        }
    }
}

/// What only the newer group asks of a new Event.
pub(super) fn validate_strict(errors: &mut Vec<FieldError>, event: &Value) {
    validate_series(errors, event);
    if at(event, "eventTime").is_none() {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid(&Path::new("type"), "", format!("has invalid value: {kind}")));
    }
    for name in ["firstTimestamp", "lastTimestamp"] {
        if field(event, name).is_some() {
            errors.push(FieldError::invalid(&Path::new(name), "", "needs to be unset"));
        }
    }
    if field(event, "count").and_then(Value::as_i64).is_some_and(|count| count != 0) {
        errors.push(FieldError::invalid(&Path::new("count"), "", "needs to be unset"));
    }
    let source = field(event, "source");
    if source.is_some_and(|source| !text(source, "component").is_empty() || !text(source, "host").is_empty())
    {
        errors.push(FieldError::invalid(&Path::new("source"), "", "needs to be unset"));
    }
}

fn validate_series(errors: &mut Vec<FieldError>, event: &Value) {
    if at(event, "series").is_none() {
        return;
    }
    if integer(event, "series.count").unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if at(event, "series.lastObservedTime").is_none() {
        errors.push(FieldError::required(&Path::new("series.lastObservedTime"), ""));
    }
}

/// An Event of the newer group changes only in its series.
pub(super) fn validate_strict_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    if !same(at(new, "series"), at(old, "series")) {
        validate_series(errors, new);
    }
    for (core, other) in NAMES {
        let name = if at(new, other).is_some() || at(old, other).is_some() { other } else { core };
        if !same(at(new, name), at(old, name)) {
            errors.push(FieldError::invalid(
                &Path::new(core),
                at(new, name).cloned().unwrap_or_default(),
                super::IMMUTABLE,
            ));
        }
    }
    for name in ["reason", "type", "eventTime", "action", "related", "reportingInstance"] {
        immutable(errors, new, old, name);
    }
}

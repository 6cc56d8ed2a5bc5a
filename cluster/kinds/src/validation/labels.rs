//! Labels and label selectors.

use serde_json::Value;

use super::formats::{label_value, qualified_name};
use super::push_all;
use crate::field_error::{FieldError, Path};
use crate::fields::{count, entries, items, text};

/// Checks a map of labels.
pub(super) fn validate_labels(errors: &mut Vec<FieldError>, labels: Option<&Value>, path: &Path) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        push_all(errors, path, key, qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        push_all(errors, &path.key(key), value, label_value(value));
    }
}

/// Checks a selector of `matchLabels` and `matchExpressions`.
pub(super) fn validate_selector(errors: &mut Vec<FieldError>, selector: &Value, path: &Path) {
    validate_labels(errors, selector.get("matchLabels"), &path.child("matchLabels"));
    for (index, requirement) in items(selector, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = items(requirement, "values");
        let operator = text(requirement, "operator");
        match operator {
            "In" | "NotIn" => {
                if values.is_empty() {
                    errors.push(FieldError::required(
                        &path.child("values"),
                        "must be specified when `operator` is 'In' or 'NotIn'",
                    ));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    errors.push(FieldError::forbidden(
                        &path.child("values"),
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                    ));
                }
            }
            _ => errors.push(FieldError::invalid(
                &path.child("operator"),
                operator,
                "not a valid selector operator",
            )),
        }
        let key = text(requirement, "key");
        push_all(errors, &path.child("key"), key, qualified_name(key));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let path = path.child("values").index(index);
            push_all(errors, &path, value, label_value(value));
        }
    }
}

/// Whether a selector selects nothing in particular.
pub(super) fn is_empty_selector(selector: &Value) -> bool {
    count(selector, "matchLabels") + count(selector, "matchExpressions") == 0
}

/// Whether a selector selects an object with these labels. An empty one selects all.
pub(super) fn selects(selector: &Value, labels: Option<&Value>) -> bool {
    let label = |key: &str| labels?.get(key)?.as_str();
    entries(selector, "matchLabels").all(|(key, value)| label(key) == value.as_str())
        && items(selector, "matchExpressions").iter().all(|requirement| {
            let found = label(text(requirement, "key"));
            let listed = || {
                let values = items(requirement, "values");
                found.is_some_and(|found| values.iter().any(|value| value == found))
            };
            match text(requirement, "operator") {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

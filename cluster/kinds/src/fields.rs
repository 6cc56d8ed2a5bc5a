//! Reading and filling fields of objects with the eyes of Kubernetes' Go types: `null`, an empty
//! text and a field that is not there are the same; a value of a wrong type counts as absent, since
//! the decoder has refused it before.

use serde_json::{Map, Value};

/// The value at a dotted path of field names, if it is there and not `null`.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut current = value;
    for name in path.split('.') {
        current = current.get(name)?;
    }
    (!current.is_null()).then_some(current)
}

/// The text at `path`; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at `path`.
pub(crate) fn integer(value: &Value, path: &str) -> Option<i64> {
    let number = at(value, path)?;
    number
        .as_i64()
        // 1.0 is a whole number to JSON readers that know only one kind of number.
        .or_else(|| number.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64))
}

/// Whether the boolean at `path` is there and true.
pub(crate) fn is_true(value: &Value, path: &str) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or_default()
}

/// The items at `path`; none when there is no list.
pub(crate) fn items<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The entries at `path`; none when there is no map.
pub(crate) fn entries<'a>(
    value: &'a Value,
    path: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    at(value, path).and_then(Value::as_object).into_iter().flatten()
}

/// How many items or entries the list or map at `path` has.
pub(crate) fn count(value: &Value, path: &str) -> usize {
    match at(value, path) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(entries)) => entries.len(),
        _ => 0,
    }
}

/// The structure at `path`, to write to, if there is one.
pub(crate) fn at_mut<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut current = value;
    for name in path.split('.') {
        current = current.get_mut(name)?;
    }
    (!current.is_null()).then_some(current)
}

/// The items at `path`, to write to; none when there is no list.
pub(crate) fn items_mut<'a>(value: &'a mut Value, path: &str) -> &'a mut [Value] {
    at_mut(value, path).and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default()
}

/// The field `name` as a structure to write to, made when absent. `None` when `value` or the field
/// is something else.
pub(crate) fn structure<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let field = value.as_object_mut()?.entry(name).or_insert(Value::Null);
    if field.is_null() {
        *field = Value::Object(Map::new());
    }
    field.is_object().then_some(field)
}

/// Writes a field; does nothing when `value` is no structure.
pub(crate) fn set(value: &mut Value, name: &str, field: impl Into<Value>) {
    if let Some(map) = value.as_object_mut() {
        map.insert(name.to_owned(), field.into());
    }
}

/// Removes a field.
pub(crate) fn remove(value: &mut Value, name: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(name);
    }
}

/// Fills a field that is absent, `null` or, as Go cannot tell, the zero of its type: an empty text
/// or the number 0.
pub(crate) fn fill(value: &mut Value, name: &str, default: impl Into<Value>) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    let field = map.entry(name).or_insert(Value::Null);
    let empty = match &*field {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    };
    if empty {
        *field = default.into();
    }
}

/// Fills a field that is absent or `null`: a pointer in Go, where 0 and "" are values.
pub(crate) fn fill_absent(value: &mut Value, name: &str, default: impl Into<Value>) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    let field = map.entry(name).or_insert(Value::Null);
    if field.is_null() {
        *field = default.into();
    }
}

/// Whether two values mean the same to Kubernetes: absent, `null`, an empty list and an empty map are
/// equal, except where a structure that is there and empty says something (an empty selector
/// selects everything). Quantities must be canonical in both, as defaulting leaves them.
pub(crate) fn same(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left.filter(|v| !is_empty(v)), right.filter(|v| !is_empty(v))) {
        (None, None) => true,
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))).all(|key| {
                let (left, right) = (left.get(key), right.get(key));
                let present = |value: Option<&Value>| value.is_some_and(|v| !v.is_null());
                if SIGNIFICANT_WHEN_EMPTY.contains(&key.as_str()) && present(left) != present(right) {
                    return false;
                }
                same(left, right)
            })
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(Some(left), Some(right)))
        }
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

/// Structures whose mere presence means something.
const SIGNIFICANT_WHEN_EMPTY: [&str; 6] =
    ["emptyDir", "labelSelector", "namespaceSelector", "objectSelector", "podSelector", "selector"];

/// Whether a value is what Go leaves out. Zero, `false` and the empty text stay values, since behind
/// a pointer they differ from absence.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries
            .iter()
            .all(|(key, value)| is_empty(value) && !SIGNIFICANT_WHEN_EMPTY.contains(&key.as_str())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_null_and_empty_are_the_same_but_an_empty_selector_is_not_absent() {
        let equal = |left: Value, right: Value| same(Some(&left), Some(&right));
        assert!(equal(json!({"a": null, "b": [], "c": {}}), json!({})));
        assert!(equal(json!({"metadata": {"labels": {}}}), json!({})));
        assert!(!equal(json!({"a": 0}), json!({})));
        assert!(!equal(json!({"from": [{"podSelector": {}}]}), json!({"from": [{}]})));
        assert!(!equal(json!({"selector": {}}), json!({})));
        assert!(equal(json!({"selector": {}}), json!({"selector": {"matchLabels": {}}})));
        assert!(!equal(json!({"a": [1]}), json!({"a": [1, 2]})));
    }
}

//! Values as jq has them: their order, what contains what, and what it costs to look.

use std::cmp::Ordering;

use serde_json::Value;

use super::eval::{Evaluation, Outcome};

/// Bytes of text that cost one step.
pub(super) const TEXT_STEP: usize = 16;

impl Evaluation {
    pub(super) fn copy(&mut self, value: &Value) -> Outcome<Value> {
        self.charge(size(value))?;
        Ok(value.clone())
    }

    /// As jq's `contains`: parts of texts, any item for each wanted one, fields that contain those wanted. `None` for
    /// values of different types.
    pub(super) fn contains(&mut self, value: &Value, wanted: &Value) -> Outcome<Option<bool>> {
        self.charge(1)?;
        Ok(Some(match (value, wanted) {
            (Value::String(text), Value::String(part)) => {
                self.charge((text.len() + part.len()) / TEXT_STEP)?;
                text.contains(part.as_str())
            }
            (Value::Array(items), Value::Array(wanted)) => {
                for wanted in wanted {
                    let mut found = false;
                    for item in items {
                        found = self.contains(item, wanted)? == Some(true);
                        if found {
                            break;
                        }
                    }
                    if !found {
                        return Ok(Some(false));
                    }
                }
                true
            }
            (Value::Object(fields), Value::Object(wanted)) => {
                for (name, wanted) in wanted {
                    let found = fields.get(name).map(|field| self.contains(field, wanted)).transpose()?;
                    if found.flatten() != Some(true) {
                        return Ok(Some(false));
                    }
                }
                true
            }
            (one, other) if type_name(one) == type_name(other) => {
                self.compare(one, other)? == Ordering::Equal
            }
            _ => return Ok(None),
        }))
    }

    /// jq's order: null, false, true, numbers, texts, lists, objects.
    pub(super) fn compare(&mut self, one: &Value, other: &Value) -> Outcome<Ordering> {
        self.charge(1)?;
        Ok(match (one, other) {
            (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
                (Some(one), Some(other)) => one.cmp(&other),
                _ => one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Less),
            },
            (Value::String(one), Value::String(other)) => {
                self.charge(one.len().min(other.len()) / TEXT_STEP)?;
                one.cmp(other)
            }
            (Value::Array(one), Value::Array(other)) => {
                for (one, other) in one.iter().zip(other) {
                    let order = self.compare(one, other)?;
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                one.len().cmp(&other.len())
            }
            // First the sets of their keys, then the values.
            (Value::Object(one), Value::Object(other)) => {
                self.charge(one.len() + other.len())?;
                let (mut keys, mut other_keys): (Vec<_>, Vec<_>) =
                    (one.keys().collect(), other.keys().collect());
                keys.sort();
                other_keys.sort();
                let order = keys.cmp(&other_keys);
                if order.is_ne() {
                    return Ok(order);
                }
                for key in keys {
                    let order = self.compare(&one[key], &other[key])?;
                    if order.is_ne() {
                        return Ok(order);
                    }
                }
                Ordering::Equal
            }
            (one, other) => rank(one).cmp(&rank(other)),
        })
    }
}

/// Everything but false and null.
pub(super) fn holds(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}

/// As `type` names it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Steps for copying a value.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / TEXT_STEP,
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => {
            1 + fields.iter().map(|(name, field)| 1 + name.len() / TEXT_STEP + size(field)).sum::<usize>()
        }
        _ => 1,
    }
}

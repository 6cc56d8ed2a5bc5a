//! What identifies an element of a list.

use crate::fieldset::PathElement;
use crate::schema::{ListKind, ListType, Shape};
use serde_json::Value;

/// The element's identity, or why it has none. Keys that are absent take their field's default; keys without one
/// are left out, but not all of them.
pub(super) fn identity(list: &ListType, item: &Value) -> Result<PathElement, String> {
    match &list.kind {
        ListKind::Map(keys) => {
            let item = match item {
                Value::Object(item) => item,
                Value::Null => {
                    return Err("associative list with keys may not have a null element".to_owned());
                }
                _ => return Err("associative list with keys may not have non-map elements".to_owned()),
            };
            let default = |key: &str| match &list.element.shape {
                Shape::Object(object) => object.fields.get(key).and_then(|field| field.default.clone()),
                _ => None,
            };
            let fields: Vec<(String, Value)> = keys
                .iter()
                .filter_map(|key| Some((key.clone(), item.get(key).cloned().or_else(|| default(key))?)))
                .collect();
            if fields.is_empty() {
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
                     default values for any key fields)",
                    keys.join(" ")
                ));
            }
            Ok(PathElement::key(fields))
        }
        _ => match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            scalar => Ok(PathElement::Value(scalar.clone())),
        },
    }
}

/// The list's elements with their identities; elements without one are skipped.
pub(super) fn identified<'a>(list: &ListType, value: Option<&'a Value>) -> Vec<(PathElement, &'a Value)> {
    let Some(Value::Array(items)) = value else { return Vec::new() };
    items.iter().filter_map(|item| Some((identity(list, item).ok()?, item))).collect()
}

//! Taking fields out of a value.

use super::{Walk, child_type, lists, walk};
use crate::fieldset::{FieldSet, PathElement};
use crate::schema::TypeRef;
use serde_json::{Map, Value};

/// The value without the paths of the set; `None` when nothing of a container is left.
pub(crate) fn remove(ty: &TypeRef, value: &Value, set: &FieldSet) -> Option<Value> {
    match (walk(ty, value), value) {
        (Walk::Map(object), Value::Object(map)) => {
            let mut out = Map::new();
            for (name, child) in map {
                let element = PathElement::Field(name.clone());
                if set.has_member(&element) {
                    continue;
                }
                match set.child(&element) {
                    Some(below) => {
                        // Emptied by this: the container goes with its content.
                        if let Some(rest) = remove(&child_type(object, name), child, below) {
                            out.insert(name.clone(), rest);
                        }
                    }
                    None => {
                        out.insert(name.clone(), child.clone());
                    }
                }
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
        (Walk::List(list), Value::Array(items)) => {
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                let Ok(element) = lists::identity(list, item) else {
                    out.push(item.clone());
                    continue;
                };
                if set.has_member(&element) {
                    continue;
                }
                match set.child(&element) {
                    Some(below) => out.extend(remove(&list.element, item, below)),
                    None => out.push(item.clone()),
                }
            }
            (!out.is_empty()).then_some(Value::Array(out))
        }
        (Walk::Leaf, Value::Object(_) | Value::Array(_)) => None,
        _ => Some(value.clone()),
    }
}

/// The value without its empty sets and keyed lists: such a list says nothing, since only elements are owned.
pub(crate) fn without_empty_lists(ty: &TypeRef, value: &Value) -> Value {
    match (walk(ty, value), value) {
        (Walk::Map(object), Value::Object(map)) => {
            let mut out = Map::new();
            for (name, child) in map {
                let ty = child_type(object, name);
                let says_nothing = matches!(walk(&ty, child), Walk::List(_)) && super::is_empty(Some(child));
                if !says_nothing {
                    out.insert(name.clone(), without_empty_lists(&ty, child));
                }
            }
            Value::Object(out)
        }
        (Walk::List(list), Value::Array(items)) => {
            Value::Array(items.iter().map(|item| without_empty_lists(&list.element, item)).collect())
        }
        _ => value.clone(),
    }
}

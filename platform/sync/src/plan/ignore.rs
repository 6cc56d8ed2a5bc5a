//! Fields that are left to others.

use seaway_api::FIELD_MANAGER;
use seaway_api::stack::IgnoreRule;
use seaway_merge::fieldset::{FieldSet, PathElement};
use seaway_merge::schema::{ListKind, Shape, TypeRef, untyped};
use seaway_object::{GroupVersionKind, ObjectId};
use serde_json::Value;

use crate::ownership::Ownership;

/// Whether a rule is about this object.
pub(super) fn concerns(rule: &IgnoreRule, kind: &GroupVersionKind, id: &ObjectId) -> bool {
    // A star as Argo CD has it.
    let is = |wanted: &Option<String>, found: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted == found || wanted == "*")
    };
    is(&rule.group, &kind.group)
        && is(&rule.kind, &kind.kind)
        && is(&rule.name, &id.name)
        && is(&rule.namespace, id.namespace.as_deref().unwrap_or_default())
}

/// Leaves the fields of the rules in `value` as they are in `live`.
///
/// A field that we own is sent with its live value: leaving it out would delete it. One that we do not own is left out.
pub(super) fn leave(
    value: &mut Value,
    live: &Value,
    ownership: &Ownership,
    rules: &[&IgnoreRule],
    schema: &TypeRef,
) {
    let none = FieldSet::new();
    let ours = ownership.applied_by(FIELD_MANAGER).unwrap_or(&none);
    for rule in rules {
        for pointer in &rule.json_pointers {
            let parts: Vec<String> =
                pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
            if parts.is_empty() {
                continue;
            }
            let ours = is_owned(ours, live, &parts, schema);
            let found = live.pointer(pointer).cloned();
            set(value, &parts, found.filter(|_| ours));
        }
        for manager in rule.field_managers.iter().filter(|manager| *manager != FIELD_MANAGER) {
            for path in ownership.owned_by(manager).leaves().paths() {
                let Some(parts) = fields(&path) else { continue };
                let found = parts.iter().try_fold(live, |value, part| value.get(part)).cloned();
                let ours = ours.has(&path);
                set(value, &parts, found.filter(|_| ours));
            }
        }
    }
}

/// A path of plain fields. What lies inside list elements is left to JSON pointers.
fn fields(path: &[PathElement]) -> Option<Vec<String>> {
    path.iter()
        .map(|element| match element {
            PathElement::Field(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// Whether we own what a pointer leads to, in the terms of field sets.
fn is_owned(ours: &FieldSet, live: &Value, parts: &[String], schema: &TypeRef) -> bool {
    let (mut ty, mut value, mut fields) = (schema.clone(), Some(live), ours);
    for (index, part) in parts.iter().enumerate() {
        let element;
        (element, value, ty) = match (&ty.shape, value) {
            (Shape::List(list), Some(Value::Array(items))) => {
                let item = part.parse::<usize>().ok().and_then(|at| items.get(at));
                let Some(found) = item else { return false };
                let element = match &list.kind {
                    ListKind::Map(keys) => PathElement::key(
                        keys.iter().filter_map(|key| Some((key.clone(), found.get(key)?.clone()))).collect(),
                    ),
                    ListKind::Set => PathElement::Value(found.clone()),
                    // An atomic list is owned as a whole, which the step before has seen.
                    ListKind::Atomic => return false,
                };
                (element, item, list.element.clone())
            }
            (_, value) => {
                let child = ty.field(part).unwrap_or_else(untyped);
                (PathElement::Field(part.clone()), value.and_then(|value| value.get(part)), child)
            }
        };
        let last = index + 1 == parts.len();
        match fields.child(&element) {
            Some(_) if last => return true,
            Some(child) => fields = child,
            None => return fields.has_member(&element),
        }
    }
    false
}

/// Sets or removes what a pointer leads to, as far as the way to it is there.
fn set(value: &mut Value, parts: &[String], to: Option<Value>) {
    let Some((last, way)) = parts.split_last() else { return };
    let mut at = value;
    for part in way {
        let next = match at {
            Value::Object(map) => map.get_mut(part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (at, to) {
        (Value::Object(map), Some(to)) => {
            map.insert(last.clone(), to);
        }
        (Value::Object(map), None) => {
            map.remove(last);
        }
        (Value::Array(items), to) => {
            let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) else { return };
            match to {
                Some(to) => items[index] = to,
                None => {
                    items.remove(index);
                }
            }
        }
        _ => {}
    }
}

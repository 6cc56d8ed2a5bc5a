//! Fields that are left to others.

use std::collections::HashSet;

use seaway_api::stack::IgnoreRule;
use seaway_api::{FIELD_MANAGER, JqPath, TooCostly};
use seaway_merge::fieldset::{FieldSet, Path, PathElement, display};
use seaway_merge::schema::{ListKind, Shape, TypeRef, untyped};
use seaway_object::{GroupVersionKind, ObjectId};
use serde_json::Value;

use crate::ownership::Ownership;

/// A rule, with its expressions ready to run.
pub(super) struct Ignored<'a> {
    rule: &'a IgnoreRule,
    expressions: Vec<JqPath>,
}

impl<'a> Ignored<'a> {
    pub(super) fn new(rule: &'a IgnoreRule) -> Self {
        // What a stack says is checked before anything is planned.
        let expressions =
            rule.jq_path_expressions.iter().filter_map(|text| JqPath::parse(text).ok()).collect();
        Self { rule, expressions }
    }

    /// Whether the rule is about this object.
    pub(super) fn concerns(&self, kind: &GroupVersionKind, id: &ObjectId) -> bool {
        // A star as Argo CD has it.
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found || wanted == "*")
        };
        is(&self.rule.group, &kind.group)
            && is(&self.rule.kind, &kind.kind)
            && is(&self.rule.name, &id.name)
            && is(&self.rule.namespace, id.namespace.as_deref().unwrap_or_default())
    }
}

/// Leaves the fields of the rules in `value` as they are in `live`.
///
/// A field that we own is sent with its live value: leaving it out would delete it. One that we do not own is left out.
///
/// # Errors
/// When an expression takes too long on this object: then nobody can tell what of it is left to others.
pub(super) fn leave(
    value: &mut Value,
    live: &Value,
    ownership: &Ownership,
    rules: &[&Ignored<'_>],
    schema: &TypeRef,
) -> Result<(), TooCostly> {
    let none = FieldSet::new();
    let ours = ownership.applied_by(FIELD_MANAGER).unwrap_or(&none);
    for Ignored { rule, expressions } in rules {
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
        for expression in expressions {
            let (mut paths, mut known): (Vec<Path>, _) = (Vec::new(), HashSet::new());
            for document in [live, &*value] {
                for parts in expression.find(document)? {
                    let path = elements(document, &parts, schema);
                    if known.insert(display(&path)) {
                        paths.push(path);
                    }
                }
            }
            // The last ones first: what is taken out of a list moves those after it.
            for path in paths.into_iter().rev() {
                let place = locate(live, &path);
                let ours = place.as_ref().is_some_and(|parts| is_owned(ours, live, parts, schema));
                let found = place.and_then(|parts| at(live, &parts).cloned());
                put(value, &path, found.filter(|_| ours));
            }
        }
        for manager in rule.field_managers.iter().filter(|manager| *manager != FIELD_MANAGER) {
            for path in ownership.owned_by(manager).leaves().paths() {
                let found = locate(live, &path).and_then(|parts| at(live, &parts).cloned());
                let ours = ours.has(&path);
                put(value, &path, found.filter(|_| ours));
            }
        }
    }
    Ok(())
}

/// What leads to a place, in the terms of field sets: elements of lists by their keys, so that they are found in another
/// document, where they may lie elsewhere. It ends at a list that is one value (atomic): its elements have no names, and
/// who owns one owns all of them.
fn elements(document: &Value, parts: &[String], schema: &TypeRef) -> Path {
    let (mut ty, mut value, mut path) = (schema.clone(), Some(document), Vec::new());
    for part in parts {
        let (element, item, child) = match (&ty.shape, value) {
            (Shape::List(list), Some(Value::Array(items))) => {
                let item = part.parse::<usize>().ok().and_then(|index| items.get(index));
                let element = match (&list.kind, item) {
                    (ListKind::Map(keys), Some(found)) => PathElement::key(
                        keys.iter().filter_map(|key| Some((key.clone(), found.get(key)?.clone()))).collect(),
                    ),
                    (ListKind::Set, Some(found)) => PathElement::Value(found.clone()),
                    _ => return path,
                };
                (element, item, list.element.clone())
            }
            (_, Some(Value::Array(_))) => return path,
            (_, value) => {
                let child = ty.field(part).unwrap_or_else(untyped);
                (PathElement::Field(part.clone()), value.and_then(|value| value.get(part)), child)
            }
        };
        path.push(element);
        (value, ty) = (item, child);
    }
    path
}

/// Where a path leads to in a document, as fields and indexes.
fn locate(document: &Value, path: &[PathElement]) -> Option<Vec<String>> {
    let (mut value, mut parts) = (document, Vec::new());
    for element in path {
        let part = match element {
            PathElement::Field(name) => name.clone(),
            PathElement::Index(index) => index.to_string(),
            PathElement::Value(wanted) => {
                value.as_array()?.iter().position(|item| item == wanted)?.to_string()
            }
            PathElement::Key(keys) => {
                // A key that has a default may be left out in one of the documents.
                let is = |item: &Value| {
                    keys.iter().all(|(key, wanted)| item.get(key).is_none_or(|found| found == wanted))
                        && keys.iter().any(|(key, _)| item.get(key).is_some())
                };
                value.as_array()?.iter().position(is)?.to_string()
            }
        };
        value = step(value, &part)?;
        parts.push(part);
    }
    Some(parts)
}

fn step<'a>(value: &'a Value, part: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    }
}

fn at<'a>(document: &'a Value, parts: &[String]) -> Option<&'a Value> {
    parts.iter().try_fold(document, |value, part| step(value, part))
}

/// Sets or removes what a path leads to; what is not there is added where the way to it is.
fn put(value: &mut Value, path: &[PathElement], to: Option<Value>) {
    if let Some(parts) = locate(value, path) {
        return set(value, &parts, to);
    }
    let (Some((last, way)), Some(to)) = (path.split_last(), to) else { return };
    let Some(mut parts) = locate(value, way) else { return };
    match last {
        PathElement::Field(name) => {
            parts.push(name.clone());
            set(value, &parts, Some(to));
        }
        _ => {
            let pointer: String =
                parts.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect();
            if let Some(Value::Array(items)) = value.pointer_mut(&pointer) {
                items.push(to);
            }
        }
    }
}

/// Whether we own what a pointer leads to, in the terms of field sets.
fn is_owned(ours: &FieldSet, live: &Value, parts: &[String], schema: &TypeRef) -> bool {
    let mut fields = ours;
    for element in elements(live, parts, schema) {
        match fields.child(&element) {
            Some(child) => fields = child,
            None => return fields.has_member(&element),
        }
    }
    true
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

//! Which fields a value sets.

use super::{Walk, child_type, declares, lists, walk};
use crate::fieldset::{FieldSet, Path, PathElement};
use crate::schema::{ListKind, Shape, TypeRef};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every leaf and every element that the value mentions: what an applier owns.
pub(crate) fn field_set(ty: &TypeRef, value: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    match walk(ty, value) {
        Walk::Leaf => {}
        Walk::Map(object) => {
            for (name, child) in value.as_object().into_iter().flatten() {
                let element = PathElement::Field(name.clone());
                let child_ty = child_type(object, name);
                let is_leaf = matches!(walk(&child_ty, child), Walk::Leaf);
                let is_empty_map =
                    child.is_null() || child.as_object().is_some_and(serde_json::Map::is_empty);
                if is_leaf || is_empty_map || !declares(object, name) {
                    set.insert_member(element.clone());
                }
                if !is_leaf {
                    set.insert_child(element, field_set(&child_ty, child));
                }
            }
        }
        Walk::List(list) => {
            let items = lists::identified(list, Some(value));
            let mut times: BTreeMap<&PathElement, usize> = BTreeMap::new();
            for (element, _) in &items {
                *times.entry(element).or_default() += 1;
            }
            for (element, item) in &items {
                set.insert_member(element.clone());
                // Of elements that are there twice only the identity is owned.
                if times.get(element) == Some(&1) {
                    set.insert_child(element.clone(), field_set(&list.element, item));
                }
            }
        }
    }
    set
}

/// The set with every declared field that its paths go through as a member of its own.
pub(crate) fn with_named_fields(ty: &TypeRef, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::new();
    for element in set.members() {
        out.insert_member(element.clone());
    }
    for (element, child) in set.children() {
        let child_ty = match (element, &ty.shape) {
            (PathElement::Field(name), Shape::Object(object)) => {
                if object.fields.contains_key(name) {
                    out.insert_member(element.clone());
                }
                child_type(Some(object), name)
            }
            (PathElement::Key(_), Shape::List(list)) => list.element.clone(),
            _ => crate::schema::untyped(),
        };
        out.insert_child(element.clone(), with_named_fields(&child_ty, child));
    }
    out
}

/// Brings a recorded set in line with a type that changed since it was recorded: what became atomic is owned as a
/// whole. (What became granular is taken as if it always had been.) `None` when nothing is to be done.
pub(crate) fn reconcile(ty: &TypeRef, set: &FieldSet) -> Option<FieldSet> {
    let mut whole = FieldSet::new();
    find_whole(ty, set, &mut Vec::new(), &mut whole);
    (!whole.is_empty()).then(|| set.recursive_difference(&whole).union(&whole))
}

/// The paths that a type has as atomic and the set goes below.
fn find_whole(ty: &TypeRef, set: &FieldSet, path: &mut Path, whole: &mut FieldSet) {
    let (atomic, element, object) = match &ty.shape {
        Shape::List(list) => (list.kind == ListKind::Atomic, Some(&list.element), None),
        Shape::Object(object) => (object.atomic, None, Some(object)),
        _ => return,
    };
    if atomic {
        whole.insert(path);
        return;
    }
    for (step, child) in set.children() {
        let child_ty = match (step, element, object) {
            (PathElement::Field(name), _, Some(object)) => child_type(Some(object), name),
            (PathElement::Key(_) | PathElement::Value(_), Some(element), _) => element.clone(),
            _ => continue,
        };
        path.push(step.clone());
        find_whole(&child_ty, child, path, whole);
        path.pop();
    }
}

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

/// Brings a recorded set in line with a type that changed since: what became atomic is owned as a whole, what became
/// granular is owned field by field as it is in the live object. `None` when nothing is to be done.
///
/// A container that is owned and has nothing owned inside is one that was atomic, or one that was empty when its
/// owner set it. The second must not win what others put in later: `everybody`, the union of all managers' sets, tells
/// them apart, since nobody owns anything inside an atomic one.
pub(crate) fn reconcile(
    ty: &TypeRef,
    live: &Value,
    set: &FieldSet,
    everybody: &FieldSet,
) -> Option<FieldSet> {
    if matches!(ty.shape, Shape::Deduced) {
        return None;
    }
    let mut changes =
        Changes { remove: FieldSet::new(), add: FieldSet::new(), live: field_set(ty, live), everybody };
    changes.visit(ty, Some(set), &mut Vec::new(), false);
    if changes.remove.is_empty() && changes.add.is_empty() {
        return None;
    }
    Some(set.recursive_difference(&changes.remove).union(&changes.add))
}

struct Changes<'a> {
    remove: FieldSet,
    add: FieldSet,
    /// What a manager of the whole live object would own.
    live: FieldSet,
    everybody: &'a FieldSet,
}

impl Changes<'_> {
    /// `whole` says that the set owns this path and nothing below it.
    fn visit(&mut self, ty: &TypeRef, set: Option<&FieldSet>, path: &mut Path, whole: bool) {
        let has_children = set.is_some_and(|set| !set.is_empty());
        let (atomic, element, object) = match &ty.shape {
            Shape::List(list) => (list.kind == ListKind::Atomic, Some(&list.element), None),
            Shape::Object(object) => (object.atomic, None, Some(object)),
            _ => return,
        };
        if atomic {
            if !whole && has_children {
                self.remove.insert(path);
                self.add.insert(path);
            }
            return;
        }
        if whole && below(self.everybody, path).is_none() {
            self.add_live(path);
        }
        let Some(set) = set else { return };
        let elements: std::collections::BTreeSet<&PathElement> =
            set.members().chain(set.children().map(|(element, _)| element)).collect();
        for step in elements {
            let child_ty = match (step, element, object) {
                (PathElement::Field(name), _, Some(object)) => child_type(Some(object), name),
                (PathElement::Key(_) | PathElement::Value(_), Some(element), _) => element.clone(),
                _ => continue,
            };
            let child = set.child(step);
            path.push(step.clone());
            self.visit(&child_ty, child, path, set.has_member(step) && child.is_none());
            path.pop();
        }
    }

    fn add_live(&mut self, path: &[PathElement]) {
        for rest in below(&self.live, path).map(FieldSet::paths).unwrap_or_default() {
            let mut full = path.to_vec();
            full.extend(rest);
            self.add.insert(&full);
        }
    }
}

/// What a set has below a path.
fn below<'a>(set: &'a FieldSet, path: &[PathElement]) -> Option<&'a FieldSet> {
    path.iter().try_fold(set, |set, element| set.child(element))
}

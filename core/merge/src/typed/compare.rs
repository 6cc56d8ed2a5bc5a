//! What changed from one value to another.

use super::{Walk, child_type, is_empty, lists, walk};
use crate::fieldset::{FieldSet, Path, PathElement};
use crate::schema::TypeRef;
use crate::value::same;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What changed; no path is in two of the sets.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) added: FieldSet,
    pub(crate) modified: FieldSet,
    pub(crate) removed: FieldSet,
}

impl Comparison {
    /// Without the given paths and all below them.
    pub(crate) fn excluding(&self, ignored: &FieldSet) -> Comparison {
        Comparison {
            added: self.added.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
            removed: self.removed.recursive_difference(ignored),
        }
    }
}

/// Compares two values of one type.
pub(crate) fn compare(ty: &TypeRef, old: &Value, new: &Value) -> Comparison {
    let mut comparer = Comparer { out: Comparison::default(), path: Vec::new() };
    comparer.visit(ty, Some(old), Some(new));
    comparer.out
}

struct Comparer {
    out: Comparison,
    path: Path,
}

impl Comparer {
    fn visit(&mut self, ty: &TypeRef, old: Option<&Value>, new: Option<&Value>) {
        match (old.map(|v| walk(ty, v)), new.map(|v| walk(ty, v))) {
            (None, None) => {}
            (Some(how), None) | (None, Some(how)) => self.visit_as(how, old, new),
            // `null` takes the kind of the other side.
            (Some(a), Some(_)) if new.is_some_and(Value::is_null) => self.visit_as(a, old, new),
            (Some(a), Some(b)) if a.same_kind(b) || old.is_some_and(Value::is_null) => {
                self.visit_as(b, old, new)
            }
            // A value became one of another kind: both are walked, each sees the other as absent inside.
            (Some(a), Some(b)) => {
                self.visit_as(a, old, new);
                self.visit_as(b, old, new);
            }
        }
    }

    fn visit_as(&mut self, how: Walk<'_>, old: Option<&Value>, new: Option<&Value>) {
        match how {
            Walk::Leaf => return self.leaf(old, new),
            Walk::Map(object) => {
                let (old_map, new_map) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
                let names: BTreeSet<&String> = old_map
                    .into_iter()
                    .flatten()
                    .chain(new_map.into_iter().flatten())
                    .map(|(name, _)| name)
                    .collect();
                if names.is_empty() {
                    return self.leaf(old, new);
                }
                for name in names {
                    self.path.push(PathElement::Field(name.clone()));
                    let (old, new) = (old_map.and_then(|m| m.get(name)), new_map.and_then(|m| m.get(name)));
                    self.visit(&child_type(object, name), old, new);
                    self.path.pop();
                }
            }
            Walk::List(list) => {
                if is_empty(old) && is_empty(new) {
                    return self.leaf(old, new);
                }
                let mut items: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
                for (element, item) in lists::identified(list, old) {
                    items.entry(element).or_default().0.push(item);
                }
                for (element, item) in lists::identified(list, new) {
                    items.entry(element).or_default().1.push(item);
                }
                for (element, (old, new)) in items {
                    self.item(&list.element, element, &old, &new);
                }
            }
        }
        if old.is_none() {
            self.out.added.insert(&self.path);
        } else if new.is_none() {
            self.out.removed.insert(&self.path);
        }
    }

    /// One element of a list; elements with one identity count as a whole.
    fn item(&mut self, ty: &TypeRef, element: PathElement, old: &[&Value], new: &[&Value]) {
        self.path.push(element);
        match (old, new) {
            ([_, _, ..], [_, _, ..]) => {
                let equal = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| same(a, b));
                if !equal {
                    self.out.modified.insert(&self.path);
                }
            }
            ([_, _, ..], _) => {
                self.visit(ty, None, new.first().copied());
                self.out.removed.insert(&self.path);
            }
            (_, [_, _, ..]) => {
                self.visit(ty, old.first().copied(), None);
                self.out.added.insert(&self.path);
            }
            _ => self.visit(ty, old.first().copied(), new.first().copied()),
        }
        self.path.pop();
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.out.added.insert(&self.path),
            (Some(_), None) => self.out.removed.insert(&self.path),
            (Some(old), Some(new)) if !same(old, new) => self.out.modified.insert(&self.path),
            _ => {}
        }
    }
}

//! Laying one value over another.

use super::{Walk, child_type, is_empty, lists, walk};
use crate::fieldset::PathElement;
use crate::schema::{ListType, TypeRef};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// `over` laid over `base`: nothing is removed, and where both set a leaf, `over` wins. Lists keep the order of
/// `base` for what only it has, and that of `over` for the rest.
pub(crate) fn merge(ty: &TypeRef, base: &Value, over: &Value) -> Value {
    let how = walk(ty, over);
    if over.is_null() && !is_empty(Some(base)) {
        return base.clone();
    }
    if !how.same_kind(walk(ty, base)) {
        return over.clone();
    }
    match how {
        Walk::Leaf => over.clone(),
        _ if is_empty(Some(base)) && is_empty(Some(over)) => over.clone(),
        Walk::Map(object) => {
            let mut out: Map<String, Value> = base.as_object().cloned().unwrap_or_default();
            for (name, value) in over.as_object().into_iter().flatten() {
                let merged = match out.get(name) {
                    Some(base) => merge(&child_type(object, name), base, value),
                    None => value.clone(),
                };
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        Walk::List(list) => Value::Array(merge_lists(list, base, over)),
    }
}

fn merge_lists(list: &ListType, base: &Value, over: &Value) -> Vec<Value> {
    let base = lists::identified(list, Some(base));
    let over = lists::identified(list, Some(over));
    let mut in_base: BTreeMap<&PathElement, Option<&Value>> = BTreeMap::new();
    for (element, item) in &base {
        // An element that is there twice cannot be merged with: the new one takes the place of all.
        in_base.entry(element).and_modify(|seen| *seen = None).or_insert(Some(*item));
    }
    let in_over: BTreeSet<&PathElement> = over.iter().map(|(element, _)| element).collect();
    let merged = |element: &PathElement, item: &Value| match in_base.get(element) {
        Some(Some(base)) => merge(&list.element, base, item),
        _ => item.clone(),
    };

    let mut shared = over.iter().map(|(element, _)| element).filter(|element| in_base.contains_key(element));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&PathElement> = BTreeSet::new();
    let mut out = Vec::with_capacity(base.len().max(over.len()));
    let (mut b, mut o) = (0, 0);
    while b < base.len() || o < over.len() {
        if let (Some((mine, _)), Some((theirs, item))) = (base.get(b), over.get(o)) {
            if mine == theirs {
                done.insert(theirs);
                out.push(merged(theirs, item));
                b += 1;
                o += 1;
                next_shared = shared.next();
                continue;
            }
            if in_over.contains(mine) && next_shared.is_some_and(|next| next != mine) {
                // In both, but not the one whose turn it is in the order of `over`.
                b += 1;
                continue;
            }
        }
        if let Some((mine, item)) = base.get(b) {
            if !in_over.contains(mine) {
                out.push((*item).clone());
                b += 1;
                continue;
            } else if done.contains(mine) {
                b += 1;
            }
        }
        if let Some((theirs, item)) = over.get(o) {
            done.insert(theirs);
            out.push(merged(theirs, item));
            o += 1;
            if next_shared == Some(theirs) {
                next_shared = shared.next();
            }
        }
    }
    out
}

//! Kubernetes' strategic merge patch, as a server applies it.
//!
//! Maps merge. Lists replace, unless the field's patch strategy is `merge`: then elements merge by the merge key, and
//! scalars as a set. Directives: `$patch: replace | delete` in a map or in a list of maps,
//! `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`, `$retainKeys`. `null` removes.
//!
//! Custom resources have no patch strategies: API servers refuse this patch for them.

mod order;

use crate::schema::{ObjectType, Patch, Shape, TypeRef, untyped};
use crate::value::same;
use order::Identify;
use serde_json::{Map, Value};

pub use crate::patch::PatchError;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to an object of this type.
///
/// # Errors
/// [`PatchError::Malformed`] for directives of a wrong form, [`PatchError::Unprocessable`] when an element of a merged
/// list has no merge key.
pub fn patch(original: &Value, patch: &Value, schema: &TypeRef) -> Result<Value, PatchError> {
    let (Value::Object(original), Value::Object(patch)) = (original, patch) else {
        return Err(PatchError::Malformed("a strategic merge patch must be an object".to_owned()));
    };
    merge_maps(original.clone(), patch.clone(), schema).map(Value::Object)
}

type Object = Map<String, Value>;

/// The type and the patch strategy of a field; an unknown one merges by the default rules.
fn field(ty: &TypeRef, name: &str) -> (TypeRef, Patch) {
    match &ty.shape {
        Shape::Object(ObjectType { fields, .. }) if fields.contains_key(name) => {
            let field = &fields[name];
            (field.ty.clone(), field.patch.clone())
        }
        _ => (ty.field(name).unwrap_or_else(untyped), Patch::default()),
    }
}

fn element(ty: &TypeRef) -> TypeRef {
    match &ty.shape {
        Shape::List(list) => list.element.clone(),
        _ => untyped(),
    }
}

fn merge_maps(mut original: Object, mut patch: Object, ty: &TypeRef) -> Result<Object, PatchError> {
    match patch.remove(PATCH) {
        None => {}
        Some(directive) if directive == "replace" => {
            return Ok(patch);
        }
        Some(directive) if directive == "delete" => return Ok(Object::new()),
        Some(directive) => return Err(unknown_directive(&directive)),
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, ty)?;
    let mut deletions = Vec::new();
    for (name, value) in patch {
        if let Some(name) = name.strip_prefix(DELETE_FROM_LIST) {
            deletions.push((name.to_owned(), value));
            continue;
        }
        if value.is_null() {
            original.remove(&name);
            continue;
        }
        let merged = match (original.remove(&name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let (ty, how) = field(ty, &name);
                Some(Value::Object(if how.replace { new } else { merge_maps(old, new, &ty)? }))
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let (ty, how) = field(ty, &name);
                Some(Value::Array(merge_lists(old, new, &ty, &how)?))
            }
            (_, value) => fresh(value),
        };
        if let Some(merged) = merged {
            original.insert(name, merged);
        }
    }
    // Last, so that the order of a patch's fields says nothing.
    for (name, values) in deletions {
        delete_from_list(&mut original, &name, &values)?;
    }
    Ok(original)
}

/// A value that nothing is merged with: without its directives and without nulls in maps. `None` for a map with
/// `$patch`: there is nothing to replace or delete.
fn fresh(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            if map.contains_key(PATCH) {
                return None;
            }
            let is_directive = |name: &str| {
                name == RETAIN_KEYS || name.starts_with(DELETE_FROM_LIST) || name.starts_with(SET_ORDER)
            };
            let map = map.into_iter().filter(|(name, value)| !is_directive(name) && !value.is_null());
            Some(Value::Object(map.filter_map(|(name, value)| Some((name, fresh(value)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(fresh).collect())),
        other => Some(other),
    }
}

/// `$retainKeys`: what is not listed goes; what the patch sets must be listed.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let keys = match patch.remove(RETAIN_KEYS) {
        None => return Ok(()),
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(PatchError::Malformed("invalid patch format of retainKeys".to_owned())),
    };
    let listed = |name: &str| keys.iter().any(|key| key == name);
    for (name, value) in patch.iter() {
        let directive = name.starts_with(DELETE_FROM_LIST) || name.starts_with(SET_ORDER);
        if !value.is_null() && !directive && !listed(name) {
            return Err(PatchError::Malformed("invalid patch format of retainKeys".to_owned()));
        }
    }
    original.retain(|name, _| listed(name));
    Ok(())
}

/// `$setElementOrder/FIELD`: merges the field's list right away and orders it. What only the server has keeps its
/// place relative to its neighbours.
fn set_orders(original: &mut Object, patch: &mut Object, ty: &TypeRef) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    let malformed = || PatchError::Malformed("invalid patch format of setElementOrder list".to_owned());
    for directive in directives {
        let name = &directive[SET_ORDER.len()..];
        let Some(Value::Array(order)) = patch.remove(&directive) else { return Err(malformed()) };
        let (list_ty, how) = field(ty, name);
        let patched = match patch.remove(name) {
            Some(Value::Array(list)) => Some(list),
            // The list is removed or replaced by something else: the main pass does that.
            Some(other) => {
                patch.insert(name.to_owned(), other);
                continue;
            }
            None => None,
        };
        let server = match original.remove(name) {
            Some(Value::Array(list)) => Some(list),
            Some(other) => {
                original.insert(name.to_owned(), other);
                return Err(malformed());
            }
            None => None,
        };
        let identify = Identify::by(how.merge_key.as_deref());
        if let Some(patched) = &patched {
            check_order(patched, &order, &identify)?;
        }
        let before = server.clone().unwrap_or_default();
        let merged = match (server, patched) {
            (Some(server), Some(patched)) => merge_lists(server, patched, &list_ty, &how)?,
            (Some(server), None) => server,
            (None, Some(patched)) => patched.into_iter().filter_map(fresh).collect(),
            (None, None) => continue,
        };
        original.insert(name.to_owned(), Value::Array(order::arrange(merged, &order, &before, &identify)));
    }
    Ok(())
}

/// What the patch has must be in the order list, in that order.
fn check_order(patched: &[Value], order: &[Value], identify: &Identify<'_>) -> Result<(), PatchError> {
    let mut rest = order.iter();
    for item in patched {
        if item.get(PATCH).is_some() {
            continue;
        }
        if !rest.any(|listed| identify.same(item, listed)) {
            return Err(PatchError::Unprocessable(format!(
                "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                Value::Array(patched.to_vec()),
                Value::Array(order.to_vec())
            )));
        }
    }
    Ok(())
}

/// `$deleteFromPrimitiveList/FIELD`.
fn delete_from_list(original: &mut Object, name: &str, values: &Value) -> Result<(), PatchError> {
    let Value::Array(values) = values else {
        return Err(PatchError::Malformed("invalid patch format of primitive list".to_owned()));
    };
    if let Some(Value::Array(list)) = original.get_mut(name) {
        list.retain(|item| !values.iter().any(|value| same(item, value)));
    }
    Ok(())
}

fn merge_lists(
    original: Vec<Value>,
    patch: Vec<Value>,
    ty: &TypeRef,
    how: &Patch,
) -> Result<Vec<Value>, PatchError> {
    if !how.merge {
        return Ok(patch.into_iter().filter_map(fresh).collect());
    }
    if patch.is_empty() {
        return Ok(original);
    }
    let all = original.iter().chain(&patch);
    if all.clone().any(Value::is_array) {
        return Err(PatchError::Unprocessable("lists of lists are not supported".to_owned()));
    }
    if !all.clone().any(Value::is_object) {
        let order = patch.clone();
        let before = original.clone();
        let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
        for item in original.into_iter().chain(patch) {
            if !merged.iter().any(|seen| same(seen, &item)) {
                merged.push(item);
            }
        }
        return Ok(order::arrange(merged, &order, &before, &Identify::by(None)));
    }
    let Some(key) = how.merge_key.as_deref() else {
        return Err(PatchError::Unprocessable("cannot merge lists without merge key".to_owned()));
    };
    merge_keyed(original, patch, &element(ty), key)
}

fn merge_keyed(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    ty: &TypeRef,
    key: &str,
) -> Result<Vec<Value>, PatchError> {
    let identify = Identify::by(Some(key));
    let mut items: Vec<Value> = Vec::with_capacity(patch.len());
    let mut replace = false;
    for mut item in patch {
        let Some(map) = item.as_object_mut() else {
            return Err(PatchError::Unprocessable(
                "cannot merge a list of maps with other elements".to_owned(),
            ));
        };
        match map.get(PATCH) {
            None => items.push(item),
            Some(directive) if directive == "delete" => {
                if !map.contains_key(key) {
                    return Err(no_merge_key(&item, key));
                }
                original.retain(|other| !identify.same(other, &item));
            }
            // A mark that is no element itself.
            Some(directive) if directive == "replace" => replace = true,
            // A mere statement of the default.
            Some(directive) if directive == "merge" => {
                map.remove(PATCH);
                items.push(item);
            }
            Some(directive) => return Err(unknown_directive(&directive.clone())),
        }
    }
    if replace {
        return Ok(items.into_iter().filter_map(fresh).collect());
    }
    let before = original.clone();
    let order = items.clone();
    for item in items {
        if item.get(key).is_none() {
            return Err(no_merge_key(&item, key));
        }
        match original.iter().position(|other| identify.same(other, &item)) {
            Some(index) => {
                if let (Value::Object(old), Value::Object(new)) = (original[index].take(), item) {
                    original[index] = Value::Object(merge_maps(old, new, ty)?);
                }
            }
            None => original.extend(fresh(item)),
        }
    }
    Ok(order::arrange(original, &order, &before, &identify))
}

fn unknown_directive(directive: &Value) -> PatchError {
    PatchError::Malformed(format!("unknown patch type: {directive}; use replace, delete or merge"))
}

fn no_merge_key(item: &Value, key: &str) -> PatchError {
    PatchError::Unprocessable(format!("map: {item} does not contain declared merge key: {key}"))
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;

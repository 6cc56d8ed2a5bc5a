//! Values with their types: the operations that server-side apply is made of (field set, compare, merge, remove).
//!
//! Two kinds of containers are leaves: those whose type says that they merge as a whole (atomic), and those that are
//! empty on both sides, so that `{}`, `null` and absence stay apart.

mod compare;
mod lists;
mod merge;
mod remove;
mod set;
mod validate;

pub(crate) use compare::{Comparison, compare};
pub(crate) use merge::merge;
pub(crate) use remove::{remove, without_empty_lists};
pub(crate) use set::{field_set, reconcile, with_named_fields};
pub(crate) use validate::validate;

use crate::schema::{ListKind, ListType, ObjectType, Shape, TypeRef, untyped};
use serde_json::Value;

/// How a value of a type is walked.
#[derive(Clone, Copy)]
enum Walk<'a> {
    /// As a whole.
    Leaf,
    /// Element by element: a list that is a set or has keys.
    List(&'a ListType),
    /// Field by field; `None` when the shape is deduced from the value.
    Map(Option<&'a ObjectType>),
}

impl Walk<'_> {
    fn same_kind(self, other: Walk<'_>) -> bool {
        matches!(
            (self, other),
            (Walk::Leaf, Walk::Leaf) | (Walk::List(_), Walk::List(_)) | (Walk::Map(_), Walk::Map(_))
        )
    }
}

/// How this value is walked. `null` is an empty container where the type is one. A value of another kind than its
/// type is a leaf: validation reports it, ownership of what is stored must still be counted.
fn walk<'a>(ty: &'a TypeRef, value: &Value) -> Walk<'a> {
    match (&ty.shape, value) {
        (Shape::Deduced, Value::Object(_)) => Walk::Map(None),
        (Shape::List(list), Value::Array(_) | Value::Null) if list.kind != ListKind::Atomic => {
            Walk::List(list)
        }
        (Shape::Object(object), Value::Object(_) | Value::Null) if !object.atomic => Walk::Map(Some(object)),
        _ => Walk::Leaf,
    }
}

/// The type of a field, for a walk. Unknown fields of what is stored are deduced.
fn child_type(object: Option<&ObjectType>, name: &str) -> TypeRef {
    object
        .and_then(|object| {
            object.fields.get(name).map(|field| field.ty.clone()).or_else(|| object.additional.clone())
        })
        .unwrap_or_else(untyped)
}

/// Whether the type declares this field by name, so that the container is there without being owned.
fn declares(object: Option<&ObjectType>, name: &str) -> bool {
    object.is_some_and(|object| object.fields.contains_key(name))
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        _ => true,
    }
}

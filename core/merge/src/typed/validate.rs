//! Whether a value has the shape that its type says.

use super::lists;
use crate::Error;
use crate::fieldset::{Path, PathElement, display};
use crate::schema::{ListKind, Shape, TypeRef};
use crate::value::type_name;
use serde_json::Value;
use std::collections::BTreeSet;

/// The first thing about the value that does not fit its type, if any: a wrong kind, a field that is not declared,
/// an element without identity, or two with the same.
pub(crate) fn validate(ty: &TypeRef, value: &Value) -> Result<(), Error> {
    visit(ty, value, &mut Vec::new())
}

fn visit(ty: &TypeRef, value: &Value, path: &mut Path) -> Result<(), Error> {
    if value.is_null() {
        return Ok(());
    }
    let expected = |what: &str, path: &Path| {
        Err(Error::Object {
            path: display(path),
            problem: format!("expected {what}, got {}", type_name(value)),
        })
    };
    match &ty.shape {
        Shape::Any | Shape::Deduced => Ok(()),
        Shape::String if !value.is_string() => expected("string", path),
        Shape::Integer | Shape::Number if !value.is_number() => expected("numeric (int or float)", path),
        Shape::Boolean if !value.is_boolean() => expected("boolean", path),
        Shape::IntOrString | Shape::Quantity if !value.is_string() && !value.is_number() => {
            expected("string or number", path)
        }
        Shape::List(list) => {
            let Value::Array(items) = value else { return expected("list", path) };
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let element = if list.kind == ListKind::Atomic {
                    PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX))
                } else {
                    let element = lists::identity(list, item).map_err(|problem| Error::Object {
                        path: display(path),
                        problem: format!("element {index}: {problem}"),
                    })?;
                    if !seen.insert(element.clone()) {
                        return Err(Error::Object {
                            path: display(path),
                            problem: format!("duplicate entries for key {element}"),
                        });
                    }
                    element
                };
                path.push(element);
                visit(&list.element, item, path)?;
                path.pop();
            }
            Ok(())
        }
        Shape::Object(object) => {
            let Value::Object(map) = value else { return expected("map", path) };
            for (name, child) in map {
                path.push(PathElement::Field(name.clone()));
                let child_ty = match ty.field(name) {
                    Some(ty) => ty,
                    None if object.fields.is_empty() && object.additional.is_none() => {
                        crate::schema::untyped()
                    }
                    None => {
                        return Err(Error::Object {
                            path: display(path),
                            problem: "field not declared in schema".to_owned(),
                        });
                    }
                };
                visit(&child_ty, child, path)?;
                path.pop();
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

//! Server-side printing: the columns and cells of `kubectl get`, and the `meta.k8s.io/v1 Table` around them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::resources::Resource;

pub mod custom;

pub use custom::{CustomColumn, custom_columns};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, in words (`Up-to-date`); kubectl prints it in capitals.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date` (the definition's `type`).
    pub kind: String,
    /// `name` for the object's name, else empty or a format of the type.
    pub format: String,
    /// What the column shows.
    pub description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub priority: i32,
}

/// What a row carries of its object (`?includeObject=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// The columns of a built-in resource; of any other NAME and AGE.
pub fn columns(_resource: &Resource) -> Vec<Column> {
    Vec::new()
}

/// The cells of an object, one for each of [`columns`]. `now` is what ages are counted to.
pub fn cells(_resource: &Resource, _object: &Value, _now: Timestamp) -> Vec<Value> {
    Vec::new()
}

/// A `meta.k8s.io/v1 Table` of objects.
///
/// `custom` are the columns of a custom resource ([`custom_columns`]), `None` prints as a built-in kind.
/// `list_metadata` is the list's metadata (`resourceVersion`, `continue`, …), for a single object its
/// `resourceVersion` alone.
pub fn table<'a>(
    resource: &Resource,
    custom: Option<&[CustomColumn]>,
    objects: impl IntoIterator<Item = &'a Value>,
    now: Timestamp,
    include: IncludeObject,
    list_metadata: Map<String, Value>,
) -> Value {
    let columns = match custom {
        Some(columns) => columns.iter().map(|c| c.column.clone()).collect(),
        None => columns(resource),
    };
    let definitions: Vec<Value> = columns
        .iter()
        .map(|c| {
            json!({
                "name": c.name, "type": c.kind, "format": c.format,
                "description": c.description, "priority": c.priority,
            })
        })
        .collect();
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let cells = match custom {
                Some(columns) => custom::cells(columns, object, now),
                None => cells(resource, object, now),
            };
            let object = match include {
                IncludeObject::None => Value::Null,
                IncludeObject::Metadata => json!({
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
                }),
                IncludeObject::Object => object.clone(),
            };
            json!({"cells": cells, "object": object})
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

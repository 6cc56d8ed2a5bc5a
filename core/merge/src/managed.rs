//! `metadata.managedFields`: who set which field, by which operation (KEP-555).
//!
//! [`apply`] is server-side apply: the caller owns what it sends, others' fields with other values are conflicts, and
//! what the caller sent last time but not now goes away unless somebody else owns it. [`update`] is every other write:
//! the caller owns what it changed.
//!
//! Both take and return whole objects. The object's own type changes nothing here but how its lists and maps merge;
//! several versions of a kind are taken to have one schema. Restoring what the system sets (uid, resourceVersion,
//! creationTimestamp), defaults and validation are the API server's.

mod apply;
mod entries;
mod update;

use crate::Error;
use crate::fieldset::{FieldSet, PathElement};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

pub use apply::apply;
pub use update::update;

/// The annotation in which client-side apply keeps what was applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields that nobody owns.
const NEVER_OWNED: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];

/// Who writes, through what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manager {
    /// The field manager's name (`kubectl`, `seaway`).
    pub name: String,
    /// The `apiVersion` of the request (`apps/v1`).
    pub api_version: String,
    /// The subresource written through (`status`, `scale`), or empty.
    pub subresource: String,
    /// Now, RFC 3339 in UTC with seconds (`2024-01-02T03:04:05Z`).
    pub time: String,
    /// Fields that this endpoint does not write, so that nobody comes to own them through it, as dotted paths:
    /// `status` for the main endpoint of a kind with a status subresource, `spec` for its status endpoint.
    pub reset: Vec<String>,
}

impl Manager {
    fn ignored(&self) -> FieldSet {
        let paths: Vec<&str> = self.reset.iter().map(String::as_str).collect();
        dotted(&paths)
    }
}

/// A field that somebody else owns and that the applied object would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager's name.
    pub manager: String,
    /// Its operation: `Apply` or `Update`.
    pub operation: String,
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its subresource, or empty.
    pub subresource: String,
    /// The field, as Kubernetes prints it (`.spec.replicas`).
    pub field: String,
}

impl Conflict {
    /// The manager as Kubernetes prints it: `"kubectl" with subresource "scale" using apps/v1`.
    pub fn owner(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == "Update" {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// Why an apply was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own fields that the applied object would change: HTTP 409, reason `Conflict`; a cause of type
    /// `FieldManagerConflict` for each, with the message `conflict with` [`Conflict::owner`] and the field.
    #[error("{}", Conflicts(.0))]
    Conflict(Vec<Conflict>),
    /// The request is malformed (`metadata.managedFields` in the applied object, another apiVersion): HTTP 400.
    #[error("{0}")]
    BadRequest(String),
    /// An object does not fit its type (two elements with one key, a field of another kind).
    #[error(transparent)]
    Invalid(#[from] Error),
}

struct Conflicts<'a>(&'a [Conflict]);

impl fmt::Display for Conflicts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0 {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {}", one.owner(), one.field);
        }
        let mut by_owner: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for conflict in self.0 {
            by_owner.entry(conflict.owner()).or_default().push(&conflict.field);
        }
        let mut lines = Vec::new();
        for (owner, fields) in by_owner {
            lines.push(format!("conflicts with {owner}:"));
            lines.extend(fields.iter().map(|field| format!("- {field}")));
        }
        write!(f, "Apply failed with {} conflicts: {}", self.0.len(), lines.join("\n"))
    }
}

/// A set of plain field paths from dotted texts.
fn dotted(paths: &[&str]) -> FieldSet {
    let mut set = FieldSet::new();
    for path in paths {
        let path: Vec<PathElement> =
            path.split('.').map(|name| PathElement::Field(name.to_owned())).collect();
        set.insert(&path);
    }
    set
}

/// The set without the fields that nobody owns.
fn owned(set: &FieldSet) -> FieldSet {
    set.difference(&dotted(NEVER_OWNED))
}

/// The object without its `managedFields`.
fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests;

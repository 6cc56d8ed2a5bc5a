//! Who owns which field of a Kubernetes object, and what a patch makes of it.
//!
//! What it does:
//! - [`schema`]: the shapes of the built-in kinds (generated facts) and of custom resources (structural schemas).
//! - [`fieldset`]: sets of field paths, and their `fieldsV1` form.
//! - [`managed`]: `metadata.managedFields`: server-side apply with conflicts and force, ownership of plain writes
//!   (KEP-555, the model of structured-merge-diff).
//! - [`strategic`], [`patch`]: strategic merge patch, JSON patch (RFC 6902), JSON merge patch (RFC 7386).
//! - [`difference`]: what differs between two states of an object, field by field.
//! - [`check`]: unknown fields, pruning, wrong types, structural defaults.
//!
//! What it never does: read a clock, a file or the network; validate values (lengths, patterns, ranges: that is
//! the API server's); decide rights.
//!
//! Start reading in [`managed`]; everything else serves it.

pub mod check;
pub mod difference;
pub mod fieldset;
pub mod managed;
pub mod patch;
pub mod schema;
pub mod strategic;
mod typed;
mod value;

/// What can be wrong with a schema, a field set or an object's shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A structural schema that cannot be used; `path` is the place in the schema.
    #[error("schema at {path}: {problem}")]
    Schema {
        /// Where in the schema, for example `.properties.spec`.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A `fieldsV1` document that does not follow the format.
    #[error("fieldsV1: {0}")]
    FieldsV1(String),
    /// A `metadata.managedFields` entry that does not follow the format.
    #[error("metadata.managedFields: {0}")]
    ManagedFields(String),
    /// The object does not have the shape that its schema says.
    #[error("{path}: {problem}")]
    Object {
        /// The field, as Kubernetes prints it (`.spec.containers[name="x"]`).
        path: String,
        /// What is wrong.
        problem: String,
    },
}

//! An object against its type: unknown fields, pruning, wrong types, defaults.
use crate::schema::TypeRef;
use serde_json::Value;

/// A value of another JSON type than the schema says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeProblem {
    /// The field (`spec.replicas`, `spec.ports[0].port`).
    pub path: String,
    /// The schema's type.
    pub expected: &'static str,
    /// The value's type.
    pub got: &'static str,
}

/// Every field that the type does not know, worded as Kubernetes does: `unknown field "spec.foo"`.
pub fn unknown_fields(_value: &Value, _ty: &TypeRef) -> Vec<String> {
    Vec::new()
}
/// Drops the fields that the type does not know.
pub fn prune(_value: &mut Value, _ty: &TypeRef) {}
/// Every value of a wrong JSON type.
pub fn wrong_types(_value: &Value, _ty: &TypeRef) -> Vec<TypeProblem> {
    Vec::new()
}
/// Sets the schema's defaults where a field is absent (or null and not nullable).
pub fn default(_value: &mut Value, _ty: &TypeRef) {}

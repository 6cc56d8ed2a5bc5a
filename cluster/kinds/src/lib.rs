//! What Kubernetes knows about its built-in kinds: resources, defaults, validation, columns.
pub mod defaults;
pub mod field_error;
pub mod strategy;
pub mod validation;

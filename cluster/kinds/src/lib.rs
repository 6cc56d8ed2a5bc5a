//! What Kubernetes knows about its built-in kinds: resources, defaults, validation, columns.
//!
//! What it does:
//! - [`resources`]: the built-in resources with their subresources and verbs; [`discovery`]: the documents that
//!   list them and custom resources.
//! - [`defaults`], [`strategy`], [`validation`]: what happens to an object before it is stored;
//!   [`field_error`]: how a refusal is worded; [`warnings`]: what is accepted and still not right.
//! - [`structural`]: custom objects against the schema of their definition.
//! - [`table`]: the columns of `kubectl get`; [`openapi`]: the OpenAPI documents.
//!
//! What it never does: store, authorize, read a clock or the network. Everything is a pure function of JSON values.
//!
//! Start reading in [`resources`].

pub mod defaults;
pub mod discovery;
pub mod field_error;
mod fields;
pub mod openapi;
mod pod_resources;
pub mod resources;
pub mod strategy;
pub mod structural;
pub mod table;
pub mod validation;
pub mod warnings;

pub use seaway_schema::quantity;

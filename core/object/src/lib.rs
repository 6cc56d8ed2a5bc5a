//! Kubernetes objects as data.
//!
//! What it does: reads YAML and JSON texts into values and prints them back ([`yaml`], [`read_objects`]), says what an
//! object is ([`identity`]), decides which objects a selector means ([`selector`]), in which order a set of objects is
//! installed ([`order`]), and takes the secrets out of what people will see ([`redact`]).
//!
//! What it never does: input or output, reading the clock, knowing a schema (that is `seaway-merge`), or keeping a
//! secret where it can be printed.
//!
//! Start reading at [`yaml`]: everything else works on plain [`serde_json::Value`]s.

mod document;
mod error;
pub mod identity;
mod json;
pub mod order;
pub mod redact;
pub mod selector;
pub mod yaml;

pub use document::{Document, ReadOptions, read_documents, read_objects};
pub use error::Error;
pub use identity::{GroupVersionKind, ObjectId, Scope};

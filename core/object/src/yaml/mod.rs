//! YAML in two steps.
//!
//! 1. [`parse`] keeps what the file says: raw scalars, their style, tags, positions, shared (aliased) nodes.
//! 2. [`resolve`] gives values a meaning, in a named [`Dialect`]: what `yes` or `0777` is depends on who reads it.
//!
//! The steps are apart since kustomize and the Kubernetes API server read the same file differently, and since an
//! error found later (a wrong image, a forbidden field) must still point at a line: see [`SourceMap`].
//!
//! [`to_string`] prints values as `kubectl -o yaml` and `kustomize build` do.

mod emit;
mod node;
mod number;
mod parse;
mod resolve;
mod scalar;
mod source_map;

pub use emit::{to_string, write_documents};
pub use node::{Limits, Node, NodeKind, Position, ScalarStyle, Span};
pub use parse::parse;
pub use resolve::{Dialect, Duplicate, Resolved, resolve, resolve_document, resolve_plain_text};
pub use source_map::SourceMap;

pub(crate) use number::from_f64;
pub(crate) use resolve::decode_base64;

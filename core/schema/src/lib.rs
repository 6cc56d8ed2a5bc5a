//! What values of Kubernetes are: structural schemas as data, the formats and patterns of texts, quantities, and the
//! Common Expression Language over objects with or without a schema.
//!
//! What it does: reads an `openAPIV3Schema` once ([`schema`]), tells what a text must be ([`names`], [`formats`],
//! [`patterns`]), reads amounts ([`quantity`]), and compiles and runs expressions within a budget of steps ([`cel`]).
//!
//! What it never does: decide whether an object is valid or well, read a clock, or run without an end.
//!
//! Start reading at [`cel::Program`].

pub mod cel;
pub mod formats;
pub mod names;
pub mod numbers;
pub mod patterns;
pub mod quantity;
pub mod schema;
mod url;

//! Promises of the API to clients in this process.

#![allow(clippy::unwrap_used)]

mod admission;
mod certificates;
mod definitions;
mod input;
mod namespaces;
mod objects;
mod pods;
mod rights;
mod support;
mod watching;

//! Promises of the API to clients in this process.

#![allow(clippy::unwrap_used)]

mod admission;
mod certificates;
mod classes;
mod definitions;
mod input;
mod namespaces;
mod objects;
mod pods;
mod rights;
mod scale;
mod support;
mod unreadable;
mod watching;

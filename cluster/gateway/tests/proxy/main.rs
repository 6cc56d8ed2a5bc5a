//! The proxy over real sockets: what clients and backends see of it.
#![allow(clippy::unwrap_used)]

mod bodies;
mod connections;
mod draining;
mod errors;
mod metrics;
mod mirrors;
mod protocols;
mod rewriting;
mod support;
mod timeouts;
mod weights;

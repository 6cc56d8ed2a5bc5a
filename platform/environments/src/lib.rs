//! Copies of environments: what they are called, what differs on purpose, and how far they are from what they copy.
//!
//! What it does: says which namespaces and hosts a copy has ([`Copy`]), makes rendered objects those of the copy and
//! records every change with its reason ([`Copy::rewrite`]), keeps in production what must not leave it
//! ([`seaway_api::stack::ProductionOnly`]), and compares two renders field by field ([`fidelity`]).
//!
//! What it never does: talk to a cluster or a repository, read a clock, or trust its own record. Fidelity compares what
//! was rendered; the record only explains, and what it does not explain is undeclared.
//!
//! Start reading at [`Copy`], then `rewrite.rs`.

mod calls;
mod copy;
mod error;
pub mod fidelity;
mod gateways;
mod generated;
mod hosts;
mod moved;
mod outside;
mod production_only;
mod programs;
pub mod record;
mod references;
mod rewrite;
mod rules;
mod sharing;

pub use copy::{Copy, GATEWAY, Shared, namespace, shared};
pub use error::{Error, Unmarked};
pub use fidelity::{Fidelity, compare};
pub use moved::moved;
pub use record::{Class, Entry};
pub use rewrite::{Kept, LeftOut, Passwords, Rewritten, Source, place};

//! An environment follows Git, and shows what it would do, did, and why.
//!
//! What it does: resolves the revisions of an environment's components, renders them, compares the result with the
//! cluster ([`plan`]), applies it in order ([`order`]) as the environment's own account, waits for health ([`health`]),
//! prunes what left Git, reverts drift, and records all of it.
//!
//! What it never does: apply as itself what a stack holds, force a field that another applier keeps unless the
//! environment says so, delete what it cannot prove to be its own, or show the value of a secret.
//!
//! Start reading at [`plan`]: everything before it gathers what it needs, everything after it does what it says.

mod account;
pub mod applyset;
mod bindings;
mod candidate;
mod cluster;
mod controller;
mod copies;
mod credentials;
mod deletion;
pub mod desired;
mod enclosure;
mod end;
mod error;
mod executor;
mod following;
pub mod health;
mod hooks;
mod inspect;
mod journal;
mod kustomization;
mod live;
mod mailbox;
mod merge_request;
pub mod options;
pub mod order;
mod overriding;
pub mod ownership;
mod places;
pub mod plan;
mod polling;
pub mod proposal;
mod queue;
mod readable;
mod records;
pub mod release;
mod rendering;
mod replaced;
mod roles;
mod shared;
mod sources;
mod stacks;
mod status;
pub mod steps;
mod subject;
mod upstream;
mod usage;
pub mod view;
mod worker;

pub use controller::{Sync, SyncChoice, SyncOptions};
pub use copies::Access;
pub use end::SKIP as SKIP_END_HOOKS;
pub use error::Error;
pub use health::{Health, HealthRules, HealthStatus, health};
pub use roles::{copier_rules, copy_roles};
pub use seaway_git::{MAX_WEBHOOK, UnsignedWebhook, Webhook, WebhookError};
pub use usage::CopyUsage;

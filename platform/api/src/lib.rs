//! Seaway's resource kinds, group `seaway.dev/v1alpha1`: [`Stack`] (what runs) and [`Environment`] (where it runs).
//!
//! What it does: gives the kinds as Rust types, their CustomResourceDefinitions ([`crds`]), and the rules that a schema
//! cannot express ([`validate_stack`], [`validate_environment`]), each with the field that breaks it.
//!
//! What it never does: talk to a cluster, or decide what an environment should run.
//!
//! Start reading at [`stack`] and [`environment`]; `definitions` has the same shapes as schemas.

mod definitions;
pub mod environment;
mod health_check;
mod images;
mod jq_path;
mod links;
pub mod stack;
mod validation;

pub use definitions::crds;
pub use environment::{
    Environment, EnvironmentSpec, EnvironmentStatus, SHARED_NAMESPACE, owner, personal_namespace,
};
pub use health_check::{HealthCheckExpr, HealthRule, compile_health_checks};
pub use jq_path::{JqPath, TooCostly};
pub use links::{Link, LinkValues};
pub use stack::{Stack, StackSpec, StackStatus};
pub use validation::{FieldError, validate_environment, validate_place, validate_stack};

/// The API group of every kind of Seaway.
pub const GROUP: &str = "seaway.dev";
/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";
/// On every object that an environment applied: the environment's name. Shared watches select by it.
pub const ENVIRONMENT_LABEL: &str = "seaway.dev/environment";
/// The field manager under which environments are applied.
pub const FIELD_MANAGER: &str = "seaway";

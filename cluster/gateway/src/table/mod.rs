//! From objects to routes, without effects: [`build()`] makes an immutable
//! [`RoutingTable`] and the statuses that the objects should have.
//!
//! Order of reading: `build` (the steps), `attach` (which route meets which
//! listener), `rules` (one rule with its backends), `lookup` (finding the rule
//! of a request), `status` (what the authors of the objects are told).

mod attach;
mod backends;
mod build;
mod certificates;
mod conditions;
mod filters;
mod gateways;
mod grants;
mod hostname;
mod lookup;
mod matching;
mod objects;
mod rules;
mod spec;
mod status;
#[cfg(test)]
mod tests;

pub use backends::{Backend, BackendKey, Endpoint};
pub use build::{Built, build};
pub use certificates::SecretKey;
pub use filters::{Filters, HeaderEdits, PathChange, Redirect, Rewrite};
pub use hostname::{HostPattern, host_of};
pub use lookup::{RoutingTable, Selected};
pub use matching::RequestMatch;
pub use objects::{DataPlane, Objects};
pub use rules::{Mirror, Rule, Timeouts, WeightedBackend};
pub use status::{DesiredStatus, StatusKind};

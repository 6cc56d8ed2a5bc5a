//! The Gateway API data plane of Seaway: one listening socket that routes by
//! host, path, header, query and method to the endpoints of Services, and
//! measures every request.
//!
//! It reads GatewayClass, Gateway, HTTPRoute, ReferenceGrant, Namespace,
//! Service, EndpointSlice and Pod objects through a [`kube::Client`], turns
//! them into an immutable [`table::RoutingTable`] and writes the status of the
//! Gateway API objects. All Gateways of a class whose controller is
//! [`CONTROLLER_NAME`] share one socket, on which
//! clients begin with plain HTTP or, when a listener names a certificate, with
//! TLS; the ports of their listeners only matter to `parentRefs`.
//!
//! What it never does: open sockets to pods itself (they live in another
//! network namespace; the caller passes a [`proxy::Dial`]), read Secrets that
//! no listener names, or look at a request's body.
//!
//! Where to start: [`table::build()`] is the pure heart (objects in, table and
//! statuses out); `proxy::forward` is the life of one request; `controller`
//! ties both to the API. [`crds()`] defines the kinds for an API that lacks them.

mod controller;
mod crds;
mod error;
pub mod metrics;
pub mod proxy;
pub mod table;

pub use controller::{Gateway, GatewayOptions, cluster_role_rules};
pub use crds::crds;
pub use error::Error;

/// `spec.controllerName` of the GatewayClasses that this gateway serves.
pub const CONTROLLER_NAME: &str = "seaway.dev/gateway";

/// The API group of Gateway, HTTPRoute and their relatives.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// The GatewayClass that is created if it does not exist.
pub const DEFAULT_CLASS: &str = "seaway";

/// The Gateway that is created if it does not exist, for routes of all namespaces.
pub const DEFAULT_GATEWAY: &str = "seaway";

/// The namespace of [`DEFAULT_GATEWAY`].
pub const DEFAULT_NAMESPACE: &str = "seaway-system";

//! What a table is built from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::certificates::SecretKey;

/// The objects of each kind as the API serves them. A kind that the API does
/// not know is an empty list.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// `gateway.networking.k8s.io/v1` GatewayClass.
    pub gateway_classes: Vec<Arc<Value>>,
    /// `gateway.networking.k8s.io/v1` Gateway.
    pub gateways: Vec<Arc<Value>>,
    /// `gateway.networking.k8s.io/v1` HTTPRoute.
    pub http_routes: Vec<Arc<Value>>,
    /// `gateway.networking.k8s.io/v1beta1` ReferenceGrant.
    pub reference_grants: Vec<Arc<Value>>,
    /// `v1` Namespace: name and labels.
    pub namespaces: Vec<Arc<Value>>,
    /// `v1` Service.
    pub services: Vec<Arc<Value>>,
    /// `discovery.k8s.io/v1` EndpointSlice.
    pub endpoint_slices: Vec<Arc<Value>>,
    /// `v1` Pod: name and labels, only to tell revisions apart in metrics.
    pub pods: Vec<Arc<Value>>,
}

/// What the data plane has, beside the objects.
#[derive(Clone, Debug, Default)]
pub struct DataPlane {
    /// Whether there is a TLS socket with a certificate of its own: HTTPS listeners without one are refused otherwise.
    pub tls: bool,
    /// Secrets that listeners name: usable, or why not. Those that do not exist are absent.
    pub certificates: BTreeMap<SecretKey, Result<(), String>>,
    /// The address that clients reach, for the status of Gateways.
    pub address: String,
    /// RFC 3339 time for conditions that change.
    pub now: String,
}

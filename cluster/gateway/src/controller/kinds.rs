//! The kinds that the gateway watches, and what it keeps of their objects.

use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use kube::core::GroupVersionKind;
use serde_json::{Map, Value, json};

use crate::GROUP;
use crate::table::StatusKind;

/// A watched kind; the discriminant is its place in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    GatewayClass,
    Gateway,
    HttpRoute,
    ReferenceGrant,
    Namespace,
    Service,
    EndpointSlice,
    Pod,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::GatewayClass,
        Self::Gateway,
        Self::HttpRoute,
        Self::ReferenceGrant,
        Self::Namespace,
        Self::Service,
        Self::EndpointSlice,
        Self::Pod,
    ];

    pub(crate) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::GatewayClass => (GROUP, "v1", "GatewayClass", "gatewayclasses"),
            Self::Gateway => (GROUP, "v1", "Gateway", "gateways"),
            Self::HttpRoute => (GROUP, "v1", "HTTPRoute", "httproutes"),
            Self::ReferenceGrant => (GROUP, "v1beta1", "ReferenceGrant", "referencegrants"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
            Self::Pod => ("", "v1", "Pod", "pods"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The part of an object that a table depends on. Pods change all the time,
    /// their labels hardly ever: what is left out causes no new table.
    pub(crate) fn keep(self, mut object: DynamicObject) -> Value {
        object.metadata.managed_fields = None;
        if matches!(self, Self::Namespace | Self::Pod) {
            let ObjectMeta { name, namespace, labels, .. } = object.metadata;
            return json!({"metadata": ObjectMeta { name, namespace, labels, ..ObjectMeta::default() }});
        }
        let mut kept = match object.data {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        kept.insert("metadata".to_owned(), json!(object.metadata));
        Value::Object(kept)
    }
}

impl From<StatusKind> for Kind {
    fn from(kind: StatusKind) -> Self {
        match kind {
            StatusKind::GatewayClass => Self::GatewayClass,
            StatusKind::Gateway => Self::Gateway,
            StatusKind::HttpRoute => Self::HttpRoute,
        }
    }
}

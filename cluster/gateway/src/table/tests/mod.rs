//! The specification's rules, one test each, over objects as the API serves them.
#![allow(clippy::unwrap_used)]

mod backends;
mod filters;
mod hosts;
mod matches;
mod status;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method, Uri};
use serde_json::{Value, json};

use super::*;

pub(super) const NOW: &str = "2026-01-01T00:00:00Z";

/// A class, a Gateway `infra/gw` with one open HTTP listener, and whatever a test adds.
pub(super) fn objects() -> Objects {
    Objects {
        gateway_classes: vec![Arc::new(
            json!({"metadata": {"name": "seaway"}, "spec": {"controllerName": crate::CONTROLLER_NAME}}),
        )],
        gateways: vec![gateway(json!([open_listener("http")]))],
        namespaces: ["infra", "shop", "other"].map(namespace).to_vec(),
        ..Objects::default()
    }
}

fn namespace(name: &str) -> Arc<Value> {
    Arc::new(json!({"metadata": {"name": name}}))
}

pub(super) fn open_listener(name: &str) -> Value {
    json!({"name": name, "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}})
}

pub(super) fn gateway(listeners: Value) -> Arc<Value> {
    Arc::new(json!({
        "metadata": {"name": "gw", "namespace": "infra", "generation": 3, "resourceVersion": "7"},
        "spec": {"gatewayClassName": "seaway", "listeners": listeners},
    }))
}

/// A route in namespace `shop` to `infra/gw`; `spec` may replace its parentRefs.
pub(super) fn route(name: &str, mut spec: Value) -> Arc<Value> {
    let fields = spec.as_object_mut().unwrap();
    fields.entry("parentRefs").or_insert_with(|| json!([{"name": "gw", "namespace": "infra"}]));
    Arc::new(json!({
        "metadata": {"name": name, "namespace": "shop", "generation": 2, "creationTimestamp": "2025-01-01T00:00:00Z"},
        "spec": spec,
    }))
}

pub(super) fn service(namespace: &str, name: &str, ports: Value) -> Arc<Value> {
    Arc::new(json!({"metadata": {"name": name, "namespace": namespace}, "spec": {"ports": ports}}))
}

pub(super) fn slice(service: &str, ports: Value, endpoints: Value) -> Arc<Value> {
    Arc::new(json!({
        "metadata": {
            "name": format!("{service}-1"), "namespace": "shop",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
    }))
}

pub(super) fn plane() -> DataPlane {
    DataPlane { address: "127.0.0.1".to_owned(), now: NOW.to_owned(), ..DataPlane::default() }
}

pub(super) fn built(objects: &Objects) -> Built {
    build(objects, &plane())
}

/// `route/rule` that a request selects, or `-`.
pub(super) fn selected(table: &RoutingTable, request: &str, headers: &[(&str, &str)]) -> String {
    let (method, url) = request.split_once(' ').unwrap();
    let uri: Uri = url.parse().unwrap();
    let method: Method = method.parse().unwrap();
    let host = host_of(uri.authority().unwrap().as_str()).unwrap().into_owned();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    match table.select(false, &host, &method, &uri, &map) {
        Some(selected) => format!("{}/{}", selected.rule.route, selected.rule.name),
        None => "-".to_owned(),
    }
}

/// A table of routes `(name, spec)`.
pub(super) fn table<const N: usize>(routes: [(&str, Value); N]) -> RoutingTable {
    let mut all = objects();
    all.http_routes = routes.into_iter().map(|(name, spec)| route(name, spec)).collect();
    built(&all).table
}

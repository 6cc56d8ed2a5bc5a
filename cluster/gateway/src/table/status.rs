//! What the authors of GatewayClasses, Gateways and HTTPRoutes are told:
//! conditions with the specification's reasons.

use serde_json::{Map, Value, json};

use super::attach::Attachment;
use super::build::RouteView;
use super::conditions::{self, Condition};
use super::gateways::{GatewayView, our_classes};
use super::objects::{DataPlane, Objects};
use super::spec::Meta;

/// What the specification's conformance tests call the features that are served, in their order.
const FEATURES: [&str; 21] = [
    "Gateway",
    "GatewayHTTPListenerIsolation",
    "HTTPRoute",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "ReferenceGrant",
];

/// A status that an object should have and does not have yet.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredStatus {
    /// The kind of the object.
    pub kind: StatusKind,
    /// Its namespace; empty for a GatewayClass.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The version of the object that was judged.
    pub resource_version: Option<String>,
    /// The whole `status`.
    pub status: Value,
}

/// The kinds whose status this controller writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    /// GatewayClass.
    GatewayClass,
    /// Gateway.
    Gateway,
    /// HTTPRoute.
    HttpRoute,
}

/// The statuses that differ from those that the objects have.
pub(crate) fn changed(
    objects: &Objects,
    plane: &DataPlane,
    gateways: &[GatewayView<'_>],
    routes: &[RouteView<'_>],
) -> Vec<DesiredStatus> {
    let ours = our_classes(objects);
    let classes = objects.gateway_classes.iter().filter_map(|object| {
        let meta = Meta::of(object);
        ours.contains(meta.name.as_str()).then(|| {
            let accepted =
                Condition::new("Accepted", true, "Accepted", "The class is served by this gateway");
            let conditions = merged(object, &[accepted], &meta, plane);
            let features: Vec<Value> = FEATURES.iter().map(|name| json!({"name": name})).collect();
            let status =
                replace(object, [("conditions", conditions), ("supportedFeatures", features.into())]);
            (StatusKind::GatewayClass, &**object, meta, status)
        })
    });
    let gateways = gateways.iter().enumerate().map(|(index, gateway)| {
        let status = gateway_status(gateway, index, routes, plane);
        (StatusKind::Gateway, gateway.object, Meta::of(gateway.object), status)
    });
    let routes = routes.iter().filter_map(|route| {
        let parents = route_parents(route, plane);
        let had = route.object.pointer("/status/parents").and_then(Value::as_array);
        // A route that never had to do with this controller is left alone.
        if route.attachments.is_empty() && had.is_none_or(|had| *had == parents) {
            return None;
        }
        let status = replace(route.object, [("parents", Value::Array(parents))]);
        Some((StatusKind::HttpRoute, route.object, Meta::of(route.object), status))
    });
    classes
        .chain(gateways)
        .chain(routes)
        .filter(|(_, object, _, status)| object.get("status") != Some(status))
        .map(|(kind, _, meta, status)| DesiredStatus {
            kind,
            namespace: meta.namespace,
            name: meta.name,
            resource_version: meta.resource_version,
            status,
        })
        .collect()
}

/// The object's status with some fields replaced.
fn replace<const N: usize>(object: &Value, fields: [(&str, Value); N]) -> Value {
    let mut status = object.get("status").and_then(Value::as_object).cloned().unwrap_or_else(Map::new);
    for (name, value) in fields {
        status.insert(name.to_owned(), value);
    }
    Value::Object(status)
}

fn merged(object: &Value, wanted: &[Condition], meta: &Meta, plane: &DataPlane) -> Value {
    conditions::merge(object.pointer("/status/conditions"), wanted, meta.generation, &plane.now)
}

fn gateway_status(
    gateway: &GatewayView<'_>,
    index: usize,
    routes: &[RouteView<'_>],
    plane: &DataPlane,
) -> Value {
    let invalid: Vec<&str> =
        gateway.listeners.iter().filter(|each| !each.programmed).map(|each| each.name.as_str()).collect();
    let any_valid = invalid.len() < gateway.listeners.len();
    let unsupported_address =
        gateway.spec.addresses.iter().find(|address| {
            !matches!(address.kind.as_deref().unwrap_or("IPAddress"), "IPAddress" | "Hostname")
        });
    let unusable_address = gateway
        .spec
        .addresses
        .iter()
        .filter_map(|address| address.value.as_deref())
        .find(|value| !value.is_empty() && *value != plane.address);
    let accepted = if let Some(address) = unsupported_address {
        let message =
            format!("addresses of type {} are not supported", address.kind.as_deref().unwrap_or(""));
        Condition::new("Accepted", false, "UnsupportedAddress", message)
    } else if invalid.is_empty() {
        Condition::new("Accepted", true, "Accepted", "The Gateway is accepted")
    } else {
        let message = format!("listeners that are not served: {}", invalid.join(", "));
        Condition::new("Accepted", any_valid, "ListenersNotValid", message)
    };
    let programmed = if let Some(address) = unusable_address {
        let message = format!("address {address} cannot be used; the gateway listens on {}", plane.address);
        Condition::new("Programmed", false, "AddressNotUsable", message)
    } else if accepted.status {
        Condition::new("Programmed", true, "Programmed", "The Gateway serves requests")
    } else {
        Condition::new("Programmed", false, "Invalid", accepted.message.clone())
    };
    let old_listeners = gateway.object.pointer("/status/listeners").and_then(Value::as_array);
    let listeners: Vec<Value> = gateway
        .listeners
        .iter()
        .enumerate()
        .map(|(nth, listener)| {
            let attached = routes
                .iter()
                .filter(|route| {
                    route.attachments.iter().any(|attachment| {
                        attachment.gateway == index
                            && route.accepted_by(attachment)
                            && attachment.listeners.iter().any(|(at, _)| *at == nth)
                    })
                })
                .count();
            let old = old_listeners
                .into_iter()
                .flatten()
                .find(|old| old.get("name") == Some(&json!(listener.name)));
            let kinds = if listener.http_routes {
                json!([{"group": crate::GROUP, "kind": "HTTPRoute"}])
            } else {
                json!([])
            };
            json!({
                "name": listener.name,
                "supportedKinds": kinds,
                "attachedRoutes": attached,
                "conditions": conditions::merge(
                    old.and_then(|old| old.get("conditions")),
                    &listener.conditions,
                    gateway.meta.generation,
                    &plane.now,
                ),
            })
        })
        .collect();
    replace(
        gateway.object,
        [
            ("addresses", json!([{"type": "IPAddress", "value": plane.address}])),
            ("conditions", merged(gateway.object, &[accepted, programmed], &gateway.meta, plane)),
            ("listeners", Value::Array(listeners)),
        ],
    )
}

/// Other controllers' entries as they are, and one of ours for each reference to a Gateway of ours.
fn route_parents(route: &RouteView<'_>, plane: &DataPlane) -> Vec<Value> {
    let old = route.object.pointer("/status/parents").and_then(Value::as_array);
    let (mine, mut parents): (Vec<Value>, Vec<Value>) = old
        .into_iter()
        .flatten()
        .cloned()
        .partition(|parent| parent.get("controllerName") == Some(&json!(crate::CONTROLLER_NAME)));
    for attachment in &route.attachments {
        let before = mine.iter().find(|parent| parent.get("parentRef") == Some(&attachment.parent_ref));
        parents.push(json!({
            "parentRef": attachment.parent_ref,
            "controllerName": crate::CONTROLLER_NAME,
            "conditions": conditions::merge(
                before.and_then(|parent| parent.get("conditions")),
                &route_conditions(route, attachment),
                route.meta.generation,
                &plane.now,
            ),
        }));
    }
    parents
}

fn route_conditions(route: &RouteView<'_>, attachment: &Attachment) -> Vec<Condition> {
    let dropped = &route.rules.dropped;
    let problems: Vec<String> =
        dropped.iter().map(|(rule, unsupported)| format!("rule {rule}: {}", unsupported.message)).collect();
    let problems = problems.join("; ");
    let accepted = match dropped.first() {
        Some((_, first)) if attachment.accepted.status && !route.accepted_by(attachment) => {
            Condition::new("Accepted", false, first.reason, problems.clone())
        }
        _ => attachment.accepted.clone(),
    };
    let resolved = match route.rules.unresolved.first() {
        None => Condition::new("ResolvedRefs", true, "ResolvedRefs", "All references are resolved"),
        Some(first) => {
            let messages: Vec<&str> =
                route.rules.unresolved.iter().map(|each| each.message.as_str()).collect();
            Condition::new("ResolvedRefs", false, first.reason, messages.join("; "))
        }
    };
    let partially = (accepted.status && !dropped.is_empty()).then(|| {
        Condition::new("PartiallyInvalid", true, "UnsupportedValue", format!("Dropped Rule(s): {problems}"))
    });
    [accepted, resolved].into_iter().chain(partially).collect()
}

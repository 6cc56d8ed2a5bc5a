//! Routes of a copy attach to its own Gateway, and listeners of a copy accept the copy's hosts alone.

use std::collections::BTreeSet;

use seaway_object::ObjectId;
use serde_json::{Value, json};

use crate::copy::{Copy, GATEWAY};

/// The API group of Gateway API.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

/// Attaches a route to the copy's own Gateway in place of each that the copy does not have; `gateways` are those that
/// are copied, by namespace and name, as everything here before namespaces become the copy's.
pub(crate) fn attach(copy: &Copy, route: &mut Value, id: &ObjectId, gateways: &BTreeSet<(String, String)>) {
    if !copy.gateway || id.group != GROUP || !id.kind.ends_with("Route") {
        return;
    }
    let Some(parents) = route.pointer_mut("/spec/parentRefs").and_then(Value::as_array_mut) else { return };
    let is_foreign = |parent: &Value| {
        let text = |field: &str| parent.get(field).and_then(Value::as_str);
        let namespace = text("namespace").or(id.namespace.as_deref()).unwrap_or_default();
        text("kind").unwrap_or("Gateway") == "Gateway"
            && text("group").unwrap_or(GROUP) == GROUP
            && !gateways.contains(&(namespace.to_owned(), text("name").unwrap_or_default().to_owned()))
    };
    let before = parents.len();
    parents.retain(|parent| !is_foreign(parent));
    // Several that are not copied become one.
    if parents.len() < before {
        parents.push(json!({"name": GATEWAY, "namespace": copy.default_namespace}));
    }
}

/// A listener that would accept every host accepts those of the copy.
pub(crate) fn narrow(copy: &Copy, gateway: &mut Value, id: &ObjectId) {
    if id.group != GROUP || id.kind != "Gateway" {
        return;
    }
    let listeners = gateway.pointer_mut("/spec/listeners").and_then(Value::as_array_mut);
    for listener in listeners.into_iter().flatten().filter_map(Value::as_object_mut) {
        let has_names =
            matches!(listener.get("protocol").and_then(Value::as_str), Some("HTTP" | "HTTPS" | "TLS") | None);
        let every = listener.get("hostname").and_then(Value::as_str).unwrap_or_default().is_empty();
        if has_names && every {
            listener.insert("hostname".to_owned(), format!("*.{}", copy.domain).into());
        }
    }
}

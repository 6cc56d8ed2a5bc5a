//! Gateways of our classes and their listeners: which are valid, and why not.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::certificates::{Certificates, SecretKey, resolve};
use super::conditions::Condition;
use super::grants::Grants;
use super::hostname::HostPattern;
use super::objects::{DataPlane, Objects};
use super::spec::{GatewaySpec, ListenerSpec, Meta, RouteNamespacesSpec};

/// A Gateway that this controller serves.
pub(crate) struct GatewayView<'a> {
    pub(crate) object: &'a Value,
    pub(crate) meta: Meta,
    pub(crate) spec: GatewaySpec,
    pub(crate) listeners: Vec<Listener>,
}

/// A listener with the verdict on it.
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
    pub(crate) host: HostPattern,
    /// Whether HTTPRoutes are among its supported kinds.
    pub(crate) http_routes: bool,
    /// From which namespaces routes may attach.
    pub(crate) namespaces: RouteNamespacesSpec,
    /// Whether requests are routed by it.
    pub(crate) programmed: bool,
    /// Secrets with certificates for it, that are there.
    pub(crate) certificates: Vec<SecretKey>,
    /// Secrets that it names and may read.
    pub(crate) secrets: Vec<SecretKey>,
    pub(crate) conditions: Vec<Condition>,
}

/// Names of the GatewayClasses that name this controller.
pub(crate) fn our_classes(objects: &Objects) -> HashSet<&str> {
    let is_ours = |class: &&Arc<Value>| {
        class.pointer("/spec/controllerName").and_then(Value::as_str) == Some(crate::CONTROLLER_NAME)
    };
    objects
        .gateway_classes
        .iter()
        .filter(is_ours)
        .filter_map(|class| class.pointer("/metadata/name").and_then(Value::as_str))
        .collect()
}

/// The Gateways of our classes, in the order of the list.
pub(crate) fn gateways<'a>(
    objects: &'a Objects,
    grants: &Grants<'_>,
    plane: &DataPlane,
) -> Vec<GatewayView<'a>> {
    let classes = our_classes(objects);
    objects
        .gateways
        .iter()
        .filter_map(|object| {
            let spec = object.get("spec").and_then(|spec| GatewaySpec::deserialize(spec).ok())?;
            classes.contains(spec.gateway_class_name.as_str()).then(|| {
                let meta = Meta::of(object);
                let judged = spec.listeners.iter().map(|each| {
                    let tls = each.tls.as_ref().map(|tls| tls.certificate_refs.as_slice());
                    let refs = tls.filter(|refs| each.protocol == "HTTPS" && !refs.is_empty());
                    let certificates = refs.map(|refs| resolve(refs, &meta.namespace, grants, plane));
                    judge(each, &spec.listeners, certificates, plane)
                });
                let listeners = judged.collect();
                GatewayView { object, meta, spec, listeners }
            })
        })
        .collect()
}

fn judge(
    spec: &ListenerSpec,
    all: &[ListenerSpec],
    certificates: Option<Certificates>,
    plane: &DataPlane,
) -> Listener {
    let secure = spec.protocol == "HTTPS";
    let host = HostPattern::parse(spec.hostname.as_deref().unwrap_or(""));
    let accepted = match spec.protocol.as_str() {
        "HTTP" | "HTTPS" if host.is_none() => Condition::new(
            "Accepted",
            false,
            "UnsupportedValue",
            format!("{:?} is not a host name", spec.hostname.as_deref().unwrap_or("")),
        ),
        "HTTPS" if certificates.is_none() && !plane.tls => Condition::new(
            "Accepted",
            false,
            "UnsupportedProtocol",
            "the gateway has no certificate of its own; name one in tls.certificateRefs",
        ),
        "HTTPS" if spec.tls.as_ref().and_then(|tls| tls.mode.as_deref()) == Some("Passthrough") => {
            Condition::new("Accepted", false, "UnsupportedProtocol", "TLS cannot be passed through")
        }
        "HTTP" | "HTTPS" => Condition::new("Accepted", true, "Accepted", "The listener is accepted"),
        other => Condition::new(
            "Accepted",
            false,
            "UnsupportedProtocol",
            format!("protocol {other:?} is not supported; use HTTP or HTTPS"),
        ),
    };
    let conflict = conflict(spec, all);
    let speaks_http = matches!(spec.protocol.as_str(), "HTTP" | "HTTPS");
    let kinds = spec.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
    let is_http_route = |group: Option<&str>, kind: &str| {
        group.unwrap_or(crate::GROUP) == crate::GROUP && kind == "HTTPRoute"
    };
    let unknown: Vec<&str> = kinds
        .iter()
        .filter(|kind| !is_http_route(kind.group.as_deref(), &kind.kind))
        .map(|kind| kind.kind.as_str())
        .collect();
    let http_routes = speaks_http && (kinds.is_empty() || unknown.len() < kinds.len());
    let (usable, secrets, references) = match certificates {
        None => (vec![], vec![], None),
        Some(each) => (each.usable, each.wanted, Some(each.resolved)),
    };
    let has_certificate = references.is_none() || !usable.is_empty();
    let resolved = if let Some(references) = references.filter(|_| unknown.is_empty()) {
        references
    } else if unknown.is_empty() {
        let message =
            if secure { "The gateway's own certificate is served" } else { "No references to resolve" };
        Condition::new("ResolvedRefs", true, "ResolvedRefs", message)
    } else {
        let message = format!("route kinds {} are not supported; use HTTPRoute", unknown.join(", "));
        Condition::new("ResolvedRefs", false, "InvalidRouteKinds", message)
    };
    let programmed = accepted.status && !conflict.status && http_routes && has_certificate;
    let program = if programmed {
        Condition::new("Programmed", true, "Programmed", "The listener serves requests")
    } else {
        Condition::new(
            "Programmed",
            false,
            "Invalid",
            "The listener serves no requests; see its other conditions",
        )
    };
    Listener {
        name: spec.name.clone(),
        port: spec.port,
        secure,
        host: host.unwrap_or(HostPattern::Any),
        http_routes,
        namespaces: spec
            .allowed_routes
            .as_ref()
            .and_then(|allowed| allowed.namespaces.clone())
            .unwrap_or_default(),
        programmed,
        certificates: usable,
        secrets,
        conditions: vec![accepted, program, resolved, conflict],
    }
}

/// Listeners of one Gateway must differ in port or host, and share a port only with the same protocol.
fn conflict(spec: &ListenerSpec, all: &[ListenerSpec]) -> Condition {
    let others = || all.iter().filter(|other| other.name != spec.name && other.port == spec.port);
    let host = |listener: &ListenerSpec| listener.hostname.as_deref().unwrap_or("").to_ascii_lowercase();
    if let Some(other) = others().find(|other| other.protocol != spec.protocol) {
        let message = format!("listener {} uses port {} for {}", other.name, other.port, other.protocol);
        return Condition::new("Conflicted", true, "ProtocolConflict", message);
    }
    if let Some(other) = others().find(|other| host(other) == host(spec)) {
        let message = format!("listener {} has the same port and host name", other.name);
        return Condition::new("Conflicted", true, "HostnameConflict", message);
    }
    Condition::new("Conflicted", false, "NoConflicts", "No conflicts")
}

//! Which listeners a route attaches to, through each of its `parentRefs`.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::conditions::Condition;
use super::gateways::{GatewayView, Listener};
use super::hostname::HostPattern;
use super::spec::{ParentRef, RouteSpec};

/// The outcome of one `parentRef` to a Gateway of ours.
pub(crate) struct Attachment {
    /// The reference as it was written.
    pub(crate) parent_ref: Value,
    /// Index of the Gateway.
    pub(crate) gateway: usize,
    /// `Accepted`, as far as the listeners decide it.
    pub(crate) accepted: Condition,
    /// Index of each listener with the hosts that the route serves there.
    pub(crate) listeners: Vec<(usize, Vec<HostPattern>)>,
}

/// On a Namespace: its routes answer at hosts below this domain, and at no other.
const DOMAIN_LABEL: &str = "seaway.dev/domain";

/// Labels of each Namespace.
pub(crate) type NamespaceLabels = HashMap<String, BTreeMap<String, String>>;

/// One entry for each parent that is a Gateway of ours; other parents are
/// other controllers' business.
pub(crate) fn attach(
    namespace: &str,
    spec: &RouteSpec,
    gateways: &[GatewayView<'_>],
    labels: &NamespaceLabels,
) -> Vec<Attachment> {
    spec.parent_refs
        .iter()
        .filter_map(|raw| {
            let parent = ParentRef::deserialize(raw).ok()?;
            let group = parent.group.as_deref().unwrap_or(crate::GROUP);
            let kind = parent.kind.as_deref().unwrap_or("Gateway");
            if (group, kind) != (crate::GROUP, "Gateway") {
                return None;
            }
            let parent_namespace = parent.namespace.as_deref().unwrap_or(namespace);
            let gateway = gateways.iter().position(|gateway| {
                gateway.meta.name == parent.name && gateway.meta.namespace == parent_namespace
            })?;
            let (accepted, listeners) =
                attach_to(namespace, &spec.hostnames, &parent, &gateways[gateway], labels);
            Some(Attachment { parent_ref: raw.clone(), gateway, accepted, listeners })
        })
        .collect()
}

fn attach_to(
    namespace: &str,
    hostnames: &[String],
    parent: &ParentRef,
    gateway: &GatewayView<'_>,
    labels: &NamespaceLabels,
) -> (Condition, Vec<(usize, Vec<HostPattern>)>) {
    let refuse = |reason, message: &str| (Condition::new("Accepted", false, reason, message), Vec::new());
    let named: Vec<(usize, &Listener)> = gateway
        .listeners
        .iter()
        .enumerate()
        .filter(|(_, listener)| {
            parent.section_name.as_deref().is_none_or(|name| name.is_empty() || name == listener.name)
                && parent.port.is_none_or(|port| port == listener.port)
        })
        .collect();
    if named.is_empty() {
        return refuse("NoMatchingParent", "the Gateway has no listener with this sectionName and port");
    }
    let mut allowed = named;
    allowed.retain(|(_, listener)| {
        listener.http_routes && namespace_allowed(namespace, listener, &gateway.meta.namespace, labels)
    });
    if allowed.is_empty() {
        return refuse(
            "NotAllowedByListeners",
            "allowedRoutes of the listeners admit no HTTPRoute of this namespace",
        );
    }
    let bound = bound(namespace, labels);
    let attached: Vec<(usize, Vec<HostPattern>)> = allowed
        .into_iter()
        .filter_map(|(index, listener)| Some((index, hosts(hostnames, &listener.host.intersection(&bound)?))))
        .filter(|(_, hosts)| !hosts.is_empty())
        .collect();
    if attached.is_empty() && bound != HostPattern::Any {
        return refuse(
            "NoMatchingListenerHostname",
            "no hostname of the route lies within the domain that its namespace is bound to (label seaway.dev/domain)",
        );
    }
    if attached.is_empty() {
        return refuse(
            "NoMatchingListenerHostname",
            "no hostname of the route lies within the hostname of a listener",
        );
    }
    (Condition::new("Accepted", true, "Accepted", "The route is accepted"), attached)
}

/// The hosts that routes of a namespace may have. Whoever may write routes there has them alone, at whatever Gateway.
fn bound(namespace: &str, labels: &NamespaceLabels) -> HostPattern {
    // What is no domain binds to no host at all; so does a namespace that is not known yet: it may be bound.
    let nowhere = || HostPattern::Wildcard("..".to_owned());
    let Some(labels) = labels.get(namespace) else { return nowhere() };
    match labels.get(DOMAIN_LABEL) {
        None => HostPattern::Any,
        Some(domain) => HostPattern::parse(&format!("*.{domain}")).unwrap_or_else(nowhere),
    }
}

fn namespace_allowed(
    namespace: &str,
    listener: &Listener,
    gateway_namespace: &str,
    labels: &NamespaceLabels,
) -> bool {
    match listener.namespaces.from.as_deref().unwrap_or("Same") {
        "All" => true,
        "Same" => namespace == gateway_namespace,
        "Selector" => {
            let empty = BTreeMap::new();
            let labels = labels.get(namespace).unwrap_or(&empty);
            listener.namespaces.selector.as_ref().is_some_and(|selector| selector.selects(labels))
        }
        _ => false,
    }
}

/// The hosts of a route on a listener; a route without hostnames takes the listener's.
fn hosts(hostnames: &[String], listener: &HostPattern) -> Vec<HostPattern> {
    if hostnames.is_empty() {
        return vec![listener.clone()];
    }
    let mut hosts: Vec<HostPattern> = hostnames
        .iter()
        .filter(|name| !name.is_empty())
        .filter_map(|name| HostPattern::parse(name)?.intersection(listener))
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

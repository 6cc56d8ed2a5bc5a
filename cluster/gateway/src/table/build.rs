//! The steps from objects to a table: Gateways, routes, attachments, rules,
//! the index by host, and the statuses.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::attach::{Attachment, attach};
use super::backends::{Backends, namespace_labels};
use super::certificates::SecretKey;
use super::gateways::{GatewayView, gateways};
use super::grants::Grants;
use super::hostname::HostPattern;
use super::lookup::{Candidate, RoutingTable};
use super::matching::Rank;
use super::objects::{DataPlane, Objects};
use super::rules::{RouteRules, route_rules};
use super::spec::{Meta, RouteSpec};
use super::status::{self, DesiredStatus};

/// What [`build`] makes of the objects.
#[derive(Debug, Default)]
pub struct Built {
    /// Where requests go.
    pub table: RoutingTable,
    /// The statuses that differ from what the objects have now.
    pub statuses: Vec<DesiredStatus>,
    /// Which certificate is shown for which host; of several for one host the first.
    pub certificates: Vec<(HostPattern, SecretKey)>,
    /// Secrets that listeners name and may read, also those that do not exist.
    pub secrets: BTreeSet<SecretKey>,
}

/// A route with all that was found out about it.
pub(crate) struct RouteView<'a> {
    pub(crate) object: &'a Value,
    pub(crate) meta: Meta,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) rules: RouteRules,
}

impl RouteView<'_> {
    /// Whether the parent takes the route and there is something to serve.
    pub(crate) fn accepted_by(&self, attachment: &Attachment) -> bool {
        attachment.accepted.status && (!self.rules.rules.is_empty() || self.rules.dropped.is_empty())
    }
}

/// Builds the table and the statuses. Never fails: what is wrong with an object
/// becomes its condition, and the rest is served.
pub fn build(objects: &Objects, plane: &DataPlane) -> Built {
    let grants = Grants::new(objects);
    let gateways = gateways(objects, &grants, plane);
    let labels = namespace_labels(objects);
    let mut backends = Backends::new(objects, &grants);
    let routes: Vec<RouteView<'_>> = objects
        .http_routes
        .iter()
        .map(|object| {
            let meta = Meta::of(object);
            let spec =
                object.get("spec").and_then(|spec| RouteSpec::deserialize(spec).ok()).unwrap_or_default();
            let attachments = attach(&meta.namespace, &spec, &gateways, &labels);
            // Routes of other controllers are not judged.
            let rules = if attachments.is_empty() {
                RouteRules::default()
            } else {
                route_rules(&meta.namespace, &meta.name, &spec, &mut backends)
            };
            RouteView { object, meta, attachments, rules }
        })
        .collect();
    let statuses = status::changed(objects, plane, &gateways, &routes);
    let listeners = || gateways.iter().flat_map(|gateway| &gateway.listeners);
    let certificates = listeners().filter(|listener| listener.programmed);
    let certificates = certificates
        .flat_map(|listener| listener.certificates.iter().map(|key| (listener.host.clone(), key.clone())));
    let certificates = certificates.collect();
    let secrets = listeners().flat_map(|listener| listener.secrets.iter().cloned()).collect();
    let mut table = index(&gateways, routes);
    table.backends = backends.into_resolved();
    Built { table, statuses, certificates, secrets }
}

/// The order of candidates on one host: the match's rank, the oldest route, its
/// name, the position of the rule and of the match in it.
type Order = (Rank, (bool, String), String, String, usize, usize);

fn index(gateways: &[GatewayView<'_>], routes: Vec<RouteView<'_>>) -> RoutingTable {
    let mut table = RoutingTable::default();
    let mut entries: Vec<(Order, bool, HostPattern, Candidate)> = Vec::new();
    for route in routes {
        let mut places: HashSet<(bool, HostPattern, Arc<[HostPattern]>)> = HashSet::new();
        for attachment in route.attachments.iter().filter(|attachment| attachment.accepted.status) {
            let gateway = &gateways[attachment.gateway];
            for (listener, hosts) in &attachment.listeners {
                let listener = &gateway.listeners[*listener];
                if listener.programmed {
                    let elsewhere = narrower_listeners(gateway, &listener.host, listener.secure);
                    places
                        .extend(hosts.iter().map(|host| (listener.secure, host.clone(), elsewhere.clone())));
                }
            }
        }
        let age =
            (route.meta.creation_timestamp.is_none(), route.meta.creation_timestamp.unwrap_or_default());
        for (position, (rule, matches)) in route.rules.rules.into_iter().enumerate() {
            let index = table.rules.len();
            for (nth, request_match) in matches.iter().enumerate() {
                let order = (
                    request_match.rank(),
                    age.clone(),
                    route.meta.namespace.clone(),
                    route.meta.name.clone(),
                    position,
                    nth,
                );
                for (secure, host, elsewhere) in &places {
                    let candidate = Candidate {
                        rule: index,
                        request_match: Arc::clone(request_match),
                        elsewhere: Arc::clone(elsewhere),
                    };
                    entries.push((order.clone(), *secure, host.clone(), candidate));
                }
            }
            table.rules.push(rule);
        }
    }
    entries.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    for (_, secure, host, candidate) in entries {
        let index = if secure { &mut table.secure } else { &mut table.plain };
        index.list(&host).push(candidate);
    }
    table
}

/// Hosts of listeners of this Gateway that take requests away from a listener with `host`.
fn narrower_listeners(gateway: &GatewayView<'_>, host: &HostPattern, secure: bool) -> Arc<[HostPattern]> {
    gateway
        .listeners
        .iter()
        .filter(|other| other.programmed && other.secure == secure && host.contains(&other.host))
        .map(|other| other.host.clone())
        .collect()
}

//! Names and service addresses of the node's network.
//!
//! [`ServiceTable`] is what Services and EndpointSlices say, as data. [`dns`] answers names from it, [`proxy`] accepts
//! connections to service addresses and carries them to ready endpoints, [`datagrams`] does so for UDP. They run in
//! Seaway, on sockets that the node's namespace opened, so a pod reaches them and nothing else of the host.

pub(crate) mod datagrams;
pub(crate) mod dns;
pub(crate) mod proxy;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The domain of all names of the cluster.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// Services and their endpoints by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceTable {
    services: BTreeMap<(String, String), ServiceEntry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceEntry {
    /// Absent for headless services and external names.
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) external_name: Option<String>,
    pub(crate) ports: Vec<ServicePort>,
    /// The same client goes to the same endpoint.
    pub(crate) sticky: bool,
    publish_not_ready: bool,
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    pub(crate) name: String,
    pub(crate) protocol: String,
    pub(crate) port: u16,
    /// Where a Service of type NodePort or LoadBalancer is reached on the host's own loopback address.
    pub(crate) node_port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    address: Ipv4Addr,
    hostname: Option<String>,
    ready: bool,
    /// Port name → number.
    ports: BTreeMap<String, u16>,
}

/// Where a port of a service takes what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A port of its address, in the pods' network.
    Service(SocketAddrV4),
    /// Its node port, on the host's loopback address alone.
    Node(u16),
}

impl Place {
    fn is(self, entry: &ServiceEntry, port: &ServicePort) -> bool {
        match self {
            Self::Service(address) => entry.address == Some(*address.ip()) && port.port == address.port(),
            Self::Node(number) => port.node_port == Some(number),
        }
    }
}

impl ServiceTable {
    /// Reads the objects; what is not IPv4 is left out.
    pub(crate) fn new<'a>(
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let mut table = Self::default();
        for service in services {
            let (Some(namespace), Some(name), Some(spec)) =
                (&service.metadata.namespace, &service.metadata.name, &service.spec)
            else {
                continue;
            };
            let ports = spec.ports.iter().flatten().map(|port| ServicePort {
                name: port.name.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: u16::try_from(port.port).unwrap_or(0),
                node_port: port.node_port.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0),
            });
            let entry = ServiceEntry {
                address: spec.cluster_ip.as_ref().and_then(|ip| ip.parse().ok()),
                external_name: spec
                    .external_name
                    .clone()
                    .filter(|_| spec.type_.as_deref() == Some("ExternalName")),
                ports: ports.collect(),
                sticky: spec.session_affinity.as_deref() == Some("ClientIP"),
                publish_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
                endpoints: Vec::new(),
            };
            table.services.insert((namespace.clone(), name.clone()), entry);
        }
        for slice in slices {
            let service = slice.metadata.labels.as_ref().and_then(|l| l.get("kubernetes.io/service-name"));
            let (Some(namespace), Some(service)) = (&slice.metadata.namespace, service) else { continue };
            let Some(entry) = table.services.get_mut(&(namespace.clone(), service.clone())) else { continue };
            let ports: BTreeMap<String, u16> = slice
                .ports
                .iter()
                .flatten()
                .filter_map(|p| Some((p.name.clone().unwrap_or_default(), u16::try_from(p.port?).ok()?)))
                .collect();
            for endpoint in slice.endpoints.iter().flatten() {
                let ready = endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
                for address in endpoint.addresses.iter().filter_map(|a| a.parse().ok()) {
                    let hostname = endpoint.hostname.clone();
                    entry.endpoints.push(Endpoint { address, hostname, ready, ports: ports.clone() });
                }
            }
        }
        table
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&ServiceEntry> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        self.services.keys().any(|(n, _)| n == namespace)
    }

    /// All places of a protocol; of the service addresses those that are `ours`.
    pub(crate) fn places(&self, protocol: &str, is_ours: impl Fn(Ipv4Addr) -> bool) -> BTreeSet<Place> {
        let mut places = BTreeSet::new();
        for entry in self.services.values() {
            for port in entry.ports.iter().filter(|port| port.protocol == protocol && port.port != 0) {
                let address = entry.address.filter(|address| is_ours(*address));
                places.extend(address.map(|address| Place::Service(SocketAddrV4::new(address, port.port))));
                places.extend(port.node_port.map(Place::Node));
            }
        }
        places
    }

    /// Whose place it is: namespace and name of the Service, and the port.
    pub(crate) fn at(
        &self,
        place: Place,
        protocol: &str,
    ) -> Option<(&str, &str, &ServiceEntry, &ServicePort)> {
        self.iter().find_map(|(namespace, name, entry)| {
            let is_it = |port: &&ServicePort| port.protocol == protocol && place.is(entry, port);
            Some((namespace, name, entry, entry.ports.iter().find(is_it)?))
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, &ServiceEntry)> {
        self.services.iter().map(|((namespace, name), entry)| (namespace.as_str(), name.as_str(), entry))
    }
}

impl ServiceEntry {
    /// Where a connection to a port may go.
    pub(crate) fn backends(&self, port: &ServicePort) -> Vec<SocketAddrV4> {
        let ready = self.endpoints.iter().filter(|e| e.ready || self.publish_not_ready);
        ready.filter_map(|e| Some(SocketAddrV4::new(e.address, *e.ports.get(&port.name)?))).collect()
    }

    /// Addresses that the name means, with the host names that endpoints have.
    fn addresses(&self) -> Vec<(Ipv4Addr, Option<&str>)> {
        match self.address {
            Some(address) => vec![(address, None)],
            None => {
                let mut found: Vec<(Ipv4Addr, Option<&str>)> = self
                    .endpoints
                    .iter()
                    .filter(|e| e.ready || self.publish_not_ready)
                    .map(|e| (e.address, e.hostname.as_deref()))
                    .collect();
                found.sort_unstable();
                found.dedup();
                found
            }
        }
    }
}

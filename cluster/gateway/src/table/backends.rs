//! From a backend reference to the addresses that may get a request.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::grants::{End, Grants};
use super::objects::Objects;
use super::spec::{BackendRefSpec, Meta};

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendKey {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Number of the port in the Service's spec.
    pub port: u16,
}

/// A Service's port with the endpoints that may get requests now.
#[derive(Debug, PartialEq, Eq)]
pub struct Backend {
    /// Which port of which Service.
    pub key: BackendKey,
    /// Ordered by address, each once. Empty: 503.
    pub endpoints: Vec<Endpoint>,
}

/// One address of a backend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where the pod listens, in the pods' network.
    pub address: SocketAddr,
    /// `pod-template-hash` of the pod; empty if it has none.
    pub revision: Arc<str>,
}

/// Why a reference leads nowhere; a reason of the `ResolvedRefs` condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnresolvedRef {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// What references are resolved against; remembers each backend, so that
/// rules that name the same port share it.
pub(crate) struct Backends<'a> {
    services: HashMap<(&'a str, &'a str), &'a Value>,
    slices: HashMap<(&'a str, &'a str), Vec<&'a Value>>,
    revisions: HashMap<(&'a str, &'a str), Arc<str>>,
    grants: &'a Grants<'a>,
    resolved: HashMap<BackendKey, Arc<Backend>>,
}

impl<'a> Backends<'a> {
    pub(crate) fn new(objects: &'a Objects, grants: &'a Grants<'a>) -> Self {
        let mut slices: HashMap<_, Vec<_>> = HashMap::new();
        for slice in &objects.endpoint_slices {
            let label = slice.pointer("/metadata/labels/kubernetes.io~1service-name").and_then(Value::as_str);
            if let Some(service) = label {
                slices.entry((text(slice, "/metadata/namespace"), service)).or_default().push(&**slice);
            }
        }
        let mut hashes: BTreeMap<&str, Arc<str>> = BTreeMap::new();
        let mut revisions = HashMap::new();
        for pod in &objects.pods {
            let hash = text(pod, "/metadata/labels/pod-template-hash");
            if !hash.is_empty() {
                let shared = hashes.entry(hash).or_insert_with(|| Arc::from(hash));
                revisions.insert(identity(pod), Arc::clone(shared));
            }
        }
        Self {
            services: objects.services.iter().map(|service| (identity(service), &**service)).collect(),
            slices,
            revisions,
            grants,
            resolved: HashMap::new(),
        }
    }

    /// Every backend that a reference was resolved to.
    pub(crate) fn into_resolved(self) -> HashMap<BackendKey, Arc<Backend>> {
        self.resolved
    }

    /// The backend that an HTTPRoute of `namespace` refers to.
    pub(crate) fn resolve(
        &mut self,
        namespace: &str,
        reference: &BackendRefSpec,
    ) -> Result<Arc<Backend>, UnresolvedRef> {
        let unresolved = |reason, message: String| Err(UnresolvedRef { reason, message });
        let group = reference.group.as_deref().unwrap_or("");
        let kind = reference.kind.as_deref().unwrap_or("Service");
        if (group, kind) != ("", "Service") {
            return unresolved(
                "InvalidKind",
                format!("backend of kind {kind} (group {group:?}) is not supported; use a Service"),
            );
        }
        let target = reference.namespace.as_deref().unwrap_or(namespace);
        let name = reference.name.as_str();
        let from = End { group: crate::GROUP, kind: "HTTPRoute", namespace };
        let to = End { group: "", kind: "Service", namespace: target };
        if !self.grants.allow(from, to, name) {
            return unresolved(
                "RefNotPermitted",
                format!(
                    "no ReferenceGrant in namespace {target} lets HTTPRoutes of {namespace} refer to Service {name}"
                ),
            );
        }
        let Some(service) = self.services.get(&(target, name)) else {
            return unresolved("BackendNotFound", format!("Service {target}/{name} does not exist"));
        };
        let Some(number) = reference.port else {
            return unresolved(
                "BackendNotFound",
                format!("the reference to Service {target}/{name} has no port"),
            );
        };
        if text(service, "/spec/type") == "ExternalName" {
            return unresolved(
                "InvalidKind",
                format!("Service {target}/{name} is an ExternalName, which has no endpoints"),
            );
        }
        let ports = service.pointer("/spec/ports").and_then(Value::as_array);
        let is_port = |port: &&Value| port.get("port").and_then(Value::as_u64) == Some(u64::from(number));
        let Some(port) = ports.into_iter().flatten().find(is_port) else {
            return unresolved("BackendNotFound", format!("Service {target}/{name} has no port {number}"));
        };
        let protocol = text(port, "/appProtocol");
        if matches!(protocol, "kubernetes.io/h2c" | "kubernetes.io/wss" | "https") {
            return unresolved(
                "UnsupportedProtocol",
                format!(
                    "port {number} of Service {target}/{name} speaks {protocol}; backends are reached over plain HTTP/1.1"
                ),
            );
        }
        let key = BackendKey { namespace: target.to_owned(), service: name.to_owned(), port: number };
        if let Some(backend) = self.resolved.get(&key) {
            return Ok(Arc::clone(backend));
        }
        let endpoints = self.endpoints(target, name, text(port, "/name"));
        let backend = Arc::new(Backend { key: key.clone(), endpoints });
        self.resolved.insert(key, Arc::clone(&backend));
        Ok(backend)
    }

    /// Ready endpoints that are not terminating; if there are none, those that
    /// terminate but still serve (KEP-1669).
    fn endpoints(&self, namespace: &str, service: &str, port_name: &str) -> Vec<Endpoint> {
        let (mut ready, mut serving) = (Vec::new(), Vec::new());
        for slice in self.slices.get(&(namespace, service)).into_iter().flatten() {
            let ports = slice.get("ports").and_then(Value::as_array);
            let number = ports
                .into_iter()
                .flatten()
                .find(|port| text(port, "/name") == port_name)
                .and_then(|port| port.get("port"))
                .and_then(Value::as_u64)
                .and_then(|number| u16::try_from(number).ok());
            let Some(number) = number else { continue };
            for endpoint in slice.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
                let condition = |name: &str| {
                    endpoint.get("conditions").and_then(|all| all.get(name)).and_then(Value::as_bool)
                };
                let is_ready = condition("ready").unwrap_or(true);
                let list = match condition("terminating").unwrap_or(false) {
                    false if is_ready => &mut ready,
                    true if condition("serving").unwrap_or(is_ready) => &mut serving,
                    _ => continue,
                };
                let pod = (namespace, text(endpoint, "/targetRef/name"));
                let revision = match text(endpoint, "/targetRef/kind") {
                    "Pod" => self.revisions.get(&pod).cloned(),
                    _ => None,
                };
                let revision = revision.unwrap_or_else(|| Arc::from(""));
                // The addresses of one endpoint are interchangeable: the first is enough.
                let address = endpoint.pointer("/addresses/0").and_then(Value::as_str);
                if let Some(ip) = address.and_then(|address| address.parse::<IpAddr>().ok()) {
                    list.push(Endpoint { address: SocketAddr::new(ip, number), revision });
                }
            }
        }
        let mut endpoints = if ready.is_empty() { serving } else { ready };
        endpoints.sort();
        endpoints.dedup_by(|a, b| a.address == b.address);
        endpoints
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn identity(object: &Value) -> (&str, &str) {
    (text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// Labels of each Namespace, for listeners that select namespaces.
pub(crate) fn namespace_labels(objects: &Objects) -> HashMap<String, BTreeMap<String, String>> {
    objects
        .namespaces
        .iter()
        .map(|namespace| Meta::of(namespace))
        .map(|meta| (meta.name, meta.labels.unwrap_or_default()))
        .collect()
}

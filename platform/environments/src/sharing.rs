//! Components that a copy shares: the names of their services lead to those of another environment.

use std::collections::BTreeSet;

use seaway_object::{ObjectId, identity};
use serde_json::{Value, json};

use crate::copy::Shared;
use crate::gateways::GROUP;

impl Shared {
    /// The service of the shared component, under the name that it has in what is copied: whoever calls it, by whatever
    /// form of its name, gets that of the other environment.
    pub(crate) fn alias(&self, service: &Value, id: &ObjectId) -> Value {
        let own = id.namespace.as_deref().unwrap_or_default();
        let theirs = self.namespace(own);
        let mut metadata = json!({"name": id.name});
        if let Some(namespace) = identity::namespace(service) {
            metadata["namespace"] = namespace.into();
        }
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"type": "ExternalName", "externalName": format!("{}.{theirs}.svc.cluster.local", id.name)}})
    }

    fn namespace<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespaces.get(own).map_or(own, String::as_str)
    }

    /// The places in a route that lead to shared services, with the namespace of those: an alias has no endpoints that
    /// a gateway could use. `services` are those that are shared, by namespace and name.
    pub(crate) fn backends(
        &self,
        route: &Value,
        id: &ObjectId,
        services: &BTreeSet<(String, String)>,
    ) -> Vec<(String, String)> {
        if id.group != GROUP || !id.kind.ends_with("Route") {
            return Vec::new();
        }
        let rules = route.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten().enumerate();
        let backends = rules.flat_map(|(rule, value)| {
            let backends = value["backendRefs"].as_array().into_iter().flatten().enumerate();
            backends.map(move |(at, backend)| (format!("/spec/rules/{rule}/backendRefs/{at}"), backend))
        });
        let theirs = backends.filter_map(|(at, backend)| {
            let text = |field: &str| backend.get(field).and_then(Value::as_str);
            let namespace = text("namespace").or(id.namespace.as_deref()).unwrap_or_default();
            let name = text("name").unwrap_or_default();
            let is_shared = text("kind").unwrap_or("Service") == "Service"
                && services.contains(&(namespace.to_owned(), name.to_owned()));
            is_shared.then(|| (at, self.namespace(namespace).to_owned()))
        });
        theirs.collect()
    }
}

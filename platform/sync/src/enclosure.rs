//! What bounds a copy: quota, limits, network, its own listener, and who may work in it.

use std::collections::BTreeMap;

use kube::Client;
use seaway_api::stack::{CopyPolicy, Egress};
use serde_json::{Value, json};

use crate::error::Error;

/// On the namespaces of a copy: namespace and name of its Environment.
pub(crate) const COPY_NAMESPACE_LABEL: &str = "seaway.dev/copy-namespace";
pub(crate) const COPY_NAME_LABEL: &str = "seaway.dev/copy-name";

/// The gateway of one machine serves no other host for routes of a namespace with this label.
const DOMAIN_LABEL: &str = "seaway.dev/domain";
/// Every namespace has it, with its own name (KEP-2161).
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The ResourceQuota, LimitRange and NetworkPolicy in each namespace of a copy.
pub(crate) const BOUND: &str = "seaway";

/// What each namespace of a copy may ask for where the Stack says nothing.
const QUOTA: [(&str, &str); 4] =
    [("pods", "100"), ("requests.cpu", "16"), ("requests.memory", "32Gi"), ("requests.storage", "200Gi")];
/// What a container asks for that asks for nothing, as a quota wants everybody to ask.
const REQUEST: [(&str, &str); 2] = [("cpu", "10m"), ("memory", "16Mi")];
/// What a container may have that says nothing, where a quota wants that said as well.
const LIMIT: [(&str, &str); 2] = [("cpu", "1"), ("memory", "512Mi")];

/// What the namespaces of a copy are: its own, and bounded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Enclosure {
    /// Who may work in them.
    pub(crate) owner: Option<String>,
    /// Its routes answer below it, and nowhere else.
    pub(crate) domain: String,
    /// What the Stack says of copies.
    pub(crate) policy: CopyPolicy,
    /// Its first namespace.
    pub(crate) first: String,
    /// Namespaces whose services it uses, as they are those of components that it shares.
    pub(crate) shared: Vec<String>,
}

/// An object that bounds a copy, and where the API has its kind.
pub(crate) struct Bound {
    pub(crate) path: String,
    pub(crate) object: Value,
}

impl Enclosure {
    /// On each namespace: whose it is, and what holds for its pods and routes.
    pub(crate) fn marks(&self, (namespace, name): (&str, &str)) -> Value {
        json!({
            COPY_NAMESPACE_LABEL: namespace, COPY_NAME_LABEL: name,
            DOMAIN_LABEL: self.domain,
            "pod-security.kubernetes.io/enforce": self.policy.pod_security.as_str(),
        })
    }

    /// What bounds one namespace of the copy that the Environment of this namespace and name is.
    pub(crate) fn bounds(&self, namespace: &str, of: (&str, &str), labels: &Value) -> Vec<Bound> {
        let metadata = json!({"name": BOUND, "namespace": namespace, "labels": labels});
        let bound = |group: &str, version: &str, plural: &str, kind: &str, spec: Value| {
            let (root, api_version) = match group {
                "" => (format!("/api/{version}"), version.to_owned()),
                group => (format!("/apis/{group}/{version}"), format!("{group}/{version}")),
            };
            Bound {
                path: format!("{root}/namespaces/{namespace}/{plural}"),
                object: json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}),
            }
        };
        // Limits before the quota: who comes between them would be refused for what he did not ask for.
        let mut bounds = vec![
            bound("", "v1", "limitranges", "LimitRange", json!({"limits": self.limits()})),
            bound("", "v1", "resourcequotas", "ResourceQuota", json!({"hard": self.quota()})),
            bound("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", self.network(of)),
        ];
        if namespace == self.first
            && let Some(gateway) = self.gateway(of)
        {
            let mut gateway = bound("gateway.networking.k8s.io", "v1", "gateways", "Gateway", gateway);
            gateway.object["metadata"]["name"] = seaway_environments::GATEWAY.into();
            bounds.push(gateway);
        }
        bounds
    }

    fn quota(&self) -> BTreeMap<String, String> {
        if self.policy.quota.is_empty() { texts(&QUOTA) } else { self.policy.quota.clone() }
    }

    fn limits(&self) -> Vec<Value> {
        if !self.policy.limits.is_empty() {
            return self.policy.limits.clone();
        }
        let quota = self.quota();
        let limited: Vec<(&str, &str)> =
            LIMIT.into_iter().filter(|(what, _)| quota.contains_key(&format!("limits.{what}"))).collect();
        let mut limits = json!({"type": "Container", "defaultRequest": texts(&REQUEST)});
        if !limited.is_empty() {
            limits["default"] = json!(texts(&limited));
        }
        vec![limits]
    }

    /// Nothing comes in and nothing goes out but within the copy, to the cluster's names, through its gateway and to what
    /// the Stack lists.
    fn network(&self, (namespace, name): (&str, &str)) -> Value {
        let inside = json!({"namespaceSelector": {"matchLabels": {COPY_NAMESPACE_LABEL: namespace, COPY_NAME_LABEL: name}}});
        let of_namespace = |name: &str| json!({"namespaceSelector": {"matchLabels": {NAME_LABEL: name}}});
        let mut ingress = vec![json!({"from": [inside]})];
        let proxies = self.policy.gateway.iter().flat_map(|gateway| &gateway.namespaces);
        let proxies: Vec<Value> = proxies.map(|namespace| of_namespace(namespace)).collect();
        if !proxies.is_empty() {
            ingress.push(json!({"from": proxies}));
        }
        let names = [json!({"port": 53, "protocol": "UDP"}), json!({"port": 53, "protocol": "TCP"})];
        let mut egress =
            vec![json!({"to": [inside]}), json!({"to": [of_namespace("kube-system")], "ports": names})];
        egress.extend(self.shared.iter().map(|namespace| json!({"to": [of_namespace(namespace)]})));
        egress.extend(self.policy.egress.iter().map(|place| way_out(place, &of_namespace)));
        json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress})
    }

    /// A listener that accepts the copy's hosts, and routes of its namespaces.
    fn gateway(&self, (namespace, name): (&str, &str)) -> Option<Value> {
        let gateway = self.policy.gateway.as_ref()?;
        let routes = json!({"namespaces": {"from": "Selector",
            "selector": {"matchLabels": {COPY_NAMESPACE_LABEL: namespace, COPY_NAME_LABEL: name}}}});
        let mut listener = json!({"name": "copy", "hostname": format!("*.{}", self.domain), "port": 80,
            "protocol": "HTTP", "allowedRoutes": routes});
        if let Some((namespace, name)) =
            gateway.certificate.as_deref().and_then(|certificate| certificate.split_once('/'))
        {
            listener["port"] = 443.into();
            listener["protocol"] = "HTTPS".into();
            listener["tls"] =
                json!({"mode": "Terminate", "certificateRefs": [{"name": name, "namespace": namespace}]});
        }
        Some(json!({"gatewayClassName": gateway.class, "listeners": [listener]}))
    }
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn way_out(place: &Egress, of_namespace: &dyn Fn(&str) -> Value) -> Value {
    let mut rule = match (&place.cidr, &place.namespace) {
        (Some(cidr), _) if place.except.is_empty() => json!({"to": [{"ipBlock": {"cidr": cidr}}]}),
        (Some(cidr), _) => json!({"to": [{"ipBlock": {"cidr": cidr, "except": place.except}}]}),
        // Validation wants one of them: a rule without a destination would open everything.
        (None, namespace) => json!({"to": [of_namespace(namespace.as_deref().unwrap_or("-"))]}),
    };
    if !place.ports.is_empty() {
        let ports = place
            .ports
            .iter()
            .map(|port| json!({"port": port.port, "protocol": port.protocol.as_deref().unwrap_or("TCP")}));
        rule["ports"] = ports.collect();
    }
    rule
}

/// DaemonSets of programs that enforce NetworkPolicies.
const ENGINES: [&str; 12] = [
    "anetd",
    "antrea-agent",
    "aws-network-policy-agent",
    "azure-npm",
    "calico-node",
    "canal",
    "cilium",
    "kube-ovn-cni",
    "kube-router",
    "ovnkube-node",
    "rke2-canal",
    "weave-net",
];

/// Why the network of copies is not known to be bounded in this cluster; `None`: something enforces NetworkPolicies.
///
/// # Errors
/// When the cluster does not answer.
pub(crate) async fn open_network(client: &Client) -> Result<Option<String>, Error> {
    let list = async |path: &str| -> Result<Vec<Value>, Error> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| Error::Cluster {
            what: path.to_owned(),
            message: error.to_string(),
            code: 0,
        })?;
        let list: Value = client.request(request).await.map_err(|error| Error::cluster(path, error))?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    };
    let daemons = list("/apis/apps/v1/daemonsets").await?;
    let is_engine = |daemon: &Value| {
        let name = seaway_object::identity::name(daemon);
        ENGINES.contains(&name)
    };
    // k3s has one within.
    let has_engine = |node: &Value| {
        let version = node.pointer("/status/nodeInfo/kubeletVersion").and_then(Value::as_str);
        version.is_some_and(|version| version.contains("+k3s"))
    };
    if daemons.iter().any(is_engine) || list("/api/v1/nodes").await?.iter().any(has_engine) {
        return Ok(None);
    }
    Ok(Some(
        "nothing that enforces NetworkPolicies was found in this cluster: pods of the copy can reach whatever pods here \
         can reach, also those of other environments"
            .to_owned(),
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn enclosure(policy: Value) -> Enclosure {
        Enclosure {
            owner: Some("jane".into()),
            domain: "mine.example.test".into(),
            policy: serde_json::from_value(policy).unwrap(),
            first: "mine-shop".into(),
            shared: Vec::new(),
        }
    }

    fn bounds(policy: Value, namespace: &str) -> Vec<Value> {
        let all = enclosure(policy).bounds(namespace, ("seaway-jane", "mine"), &json!({}));
        all.into_iter().map(|bound| bound.object).collect()
    }

    #[test]
    fn a_copy_is_bounded_where_the_stack_says_nothing() {
        let bounds = bounds(json!({}), "mine-shop");
        let kinds: Vec<&str> = bounds.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert_eq!(kinds, ["LimitRange", "ResourceQuota", "NetworkPolicy"]);
        assert_eq!(bounds[0]["spec"]["limits"][0]["defaultRequest"]["cpu"], "10m");
        assert!(bounds[0]["spec"]["limits"][0].get("default").is_none());
        assert_eq!(bounds[1]["spec"]["hard"]["pods"], "100");
        let network = &bounds[2]["spec"];
        assert_eq!(network["podSelector"], json!({}));
        assert_eq!(network["policyTypes"], json!(["Ingress", "Egress"]));
        let inside = json!({"seaway.dev/copy-namespace": "seaway-jane", "seaway.dev/copy-name": "mine"});
        assert_eq!(network["ingress"], json!([{"from": [{"namespaceSelector": {"matchLabels": inside}}]}]));
        assert_eq!(
            network["egress"].as_array().unwrap().len(),
            2,
            "the copy and the cluster's names: {network}"
        );
    }

    #[test]
    fn what_the_stack_lists_is_open_and_nothing_else() {
        let policy = json!({
            "quota": {"limits.cpu": "4", "requests.cpu": "2"},
            "egress": [{"name": "mail", "cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"], "ports": [{"port": 25}]},
                       {"name": "metrics", "namespace": "monitoring"}],
            "gateway": {"class": "example", "namespaces": ["gateways"], "certificate": "gateways/copies"},
        });
        let all = bounds(policy.clone(), "mine-shop");
        assert_eq!(all[0]["spec"]["limits"][0]["default"], json!({"cpu": "1"}));
        assert_eq!(all[1]["spec"]["hard"], policy["quota"]);
        let network = &all[2]["spec"];
        assert_eq!(
            network["egress"][2],
            json!({"to": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}}],
                   "ports": [{"port": 25, "protocol": "TCP"}]})
        );
        assert_eq!(
            network["egress"][3],
            json!({"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]})
        );
        assert_eq!(network["ingress"].as_array().unwrap().len(), 2);
        let listener = &all[3]["spec"]["listeners"][0];
        assert_eq!(
            (listener["hostname"].as_str(), listener["port"].as_u64()),
            (Some("*.mine.example.test"), Some(443))
        );
        assert_eq!(listener["allowedRoutes"]["namespaces"]["from"], "Selector");
        assert_eq!(bounds(policy, "mine-other").len(), 3, "one listener for the whole copy");
    }
}

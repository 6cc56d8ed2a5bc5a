//! What the account of the gateway has to be allowed.

use serde_json::{Value, json};

use crate::GROUP;

/// The `rules` of a ClusterRole for the account behind
/// [`GatewayOptions::client`](crate::GatewayOptions::client).
pub fn cluster_role_rules() -> Vec<Value> {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let read = &["get", "list", "watch"];
    vec![
        rule(GROUP, &["gatewayclasses", "gateways", "httproutes", "referencegrants"], read),
        rule(GROUP, &["gatewayclasses/status", "gateways/status", "httproutes/status"], &["patch"]),
        // The default objects.
        rule(GROUP, &["gatewayclasses", "gateways"], &["create"]),
        rule("", &["namespaces"], &["create"]),
        rule("", &["namespaces", "pods", "services"], read),
        // Only those that listeners name are read.
        rule("", &["secrets"], read),
        rule("discovery.k8s.io", &["endpointslices"], read),
    ]
}

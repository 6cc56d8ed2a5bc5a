//! The rights in the namespaces of copies, as ClusterRoles that are bound there and nowhere else.
//!
//! They are narrower than Kubernetes' own `admin` and `edit`, which may open the network of a namespace and act as any of
//! its accounts. What makers of further kinds add to `admin` and `edit` counts here as well.

use serde_json::{Value, json};

/// What the account of a copy may do in its namespaces: everything that a Stack may hold there.
pub(crate) const COPY: &str = "seaway-copy";
/// What the owner of a copy may do in its namespaces.
pub(crate) const COPY_OWNER: &str = "seaway-copy-owner";

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// The ClusterRoles of copies, to be installed with Seaway.
pub fn copy_roles() -> Vec<Value> {
    let owner = [
        rule(
            "",
            &[
                "bindings",
                "endpoints",
                "events",
                "limitranges",
                "namespaces",
                "namespaces/status",
                "persistentvolumeclaims/status",
                "pods/log",
                "pods/status",
                "resourcequotas",
                "resourcequotas/status",
                "services/status",
            ],
            &READ,
        ),
        rule(
            "",
            &[
                "configmaps",
                "persistentvolumeclaims",
                "pods",
                "pods/attach",
                "pods/exec",
                "pods/portforward",
                "pods/proxy",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "secrets",
                "serviceaccounts",
                "services",
                "services/proxy",
            ],
            &all(),
        ),
        rule("", &["pods/ephemeralcontainers"], &["get", "patch", "update"]),
        rule("", &["pods/eviction"], &["create"]),
        rule(
            "apps",
            &[
                "controllerrevisions",
                "daemonsets",
                "deployments",
                "deployments/scale",
                "replicasets",
                "replicasets/scale",
                "statefulsets",
                "statefulsets/scale",
            ],
            &all(),
        ),
        rule(
            "apps",
            &["daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status"],
            &READ,
        ),
        rule("autoscaling", &["horizontalpodautoscalers"], &all()),
        rule("batch", &["cronjobs", "jobs"], &all()),
        rule("batch", &["cronjobs/status", "jobs/status"], &READ),
        rule("coordination.k8s.io", &["leases"], &all()),
        rule("discovery.k8s.io", &["endpointslices"], &READ),
        rule("events.k8s.io", &["events"], &READ),
        rule("gateway.networking.k8s.io", &["grpcroutes", "httproutes"], &all()),
        rule("gateway.networking.k8s.io", &["gateways", "referencegrants"], &READ),
        rule("networking.k8s.io", &["ingresses"], &all()),
        rule("networking.k8s.io", &["networkpolicies"], &READ),
        rule("policy", &["poddisruptionbudgets"], &all()),
        rule("policy", &["poddisruptionbudgets/status"], &READ),
        rule("rbac.authorization.k8s.io", &["rolebindings", "roles"], &READ),
    ];
    let account = [
        rule("", &["events"], &WRITE),
        rule("", &["serviceaccounts/token"], &["create"]),
        rule("gateway.networking.k8s.io", &["gateways", "referencegrants"], &WRITE),
        rule("authorization.k8s.io", &["localsubjectaccessreviews"], &["create"]),
        rule("rbac.authorization.k8s.io", &["rolebindings", "roles"], &WRITE),
    ];
    vec![
        part("seaway-copy-owner-own", &[COPY_OWNER, COPY], &owner),
        part("seaway-copy-own", &[COPY], &account),
        collecting(COPY_OWNER, &["edit", "view"]),
        collecting(COPY, &["admin", "edit", "view"]),
    ]
}

/// What whoever prepares copies may do: see what a copy could clash with, and make what bounds it. No Secret is among what
/// it may see, so that nothing of them can come into a copy by mistake.
pub fn copier_rules() -> Vec<Value> {
    let make = ["get", "create", "patch", "delete"];
    vec![
        rule("", &["namespaces"], &["get", "list", "create", "patch"]),
        rule("", &["limitranges", "resourcequotas"], &make),
        rule("networking.k8s.io", &["networkpolicies"], &make),
        rule("gateway.networking.k8s.io", &["gateways"], &make),
        rule("gateway.networking.k8s.io", &["httproutes"], &["list"]),
        // Whether something enforces NetworkPolicies.
        rule("apps", &["daemonsets"], &["list"]),
        rule("", &["nodes"], &["list"]),
    ]
}

fn all() -> Vec<&'static str> {
    READ.into_iter().chain(WRITE).collect()
}

fn label(role: &str) -> String {
    format!("seaway.dev/aggregate-to-{role}")
}

fn part(name: &str, of: &[&str], rules: &[Value]) -> Value {
    let mut labels = json!({});
    for role in of {
        labels[label(role)] = "true".into();
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels}, "rules": rules})
}

/// A role of the parts above and of what others than Kubernetes itself add to these roles.
fn collecting(name: &str, like: &[&str]) -> Value {
    let own = json!({"matchLabels": {label(name): "true"}});
    let others = like.iter().map(|role| {
        json!({"matchLabels": {format!("rbac.authorization.k8s.io/aggregate-to-{role}"): "true"},
            "matchExpressions": [{"key": "kubernetes.io/bootstrapping", "operator": "DoesNotExist"}]})
    });
    let selectors: Vec<Value> = std::iter::once(own).chain(others).collect();
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
        "aggregationRule": {"clusterRoleSelectors": selectors}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_in_a_copy_opens_its_network_or_acts_as_somebody_else() {
        for role in copy_roles() {
            for rule in role["rules"].as_array().into_iter().flatten() {
                let has = |field: &str, value: &str| {
                    rule[field].as_array().is_some_and(|all| all.iter().any(|one| one == value))
                };
                let writes = WRITE.iter().any(|verb| has("verbs", verb));
                assert!(
                    !has("verbs", "impersonate") && !has("verbs", "*") && !has("resources", "*"),
                    "{rule}"
                );
                for bound in ["networkpolicies", "resourcequotas", "limitranges"] {
                    assert!(!(writes && has("resources", bound)), "{rule}");
                }
            }
        }
    }
}

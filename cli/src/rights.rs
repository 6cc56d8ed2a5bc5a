//! The rights of the program's own parts, as ClusterRoles that `kubectl` shows.

use serde_json::{Value, json};

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 4] = ["create", "delete", "patch", "update"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// The workload controllers and the scheduler write what workloads consist of.
pub(crate) fn workloads() -> Vec<Value> {
    let read_write: Vec<&str> = [&READ[..], &WRITE[..]].concat();
    vec![
        rule(
            "apps",
            &["controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"],
            &read_write,
        ),
        rule(
            "apps",
            &["daemonsets/status", "deployments/status", "replicasets/status", "statefulsets/status"],
            &["patch", "update"],
        ),
        rule("batch", &["cronjobs", "jobs"], &read_write),
        rule("batch", &["cronjobs/status", "jobs/status"], &["patch", "update"]),
        rule("", &["endpoints", "persistentvolumeclaims", "persistentvolumes", "pods"], &read_write),
        rule(
            "",
            &["persistentvolumeclaims/status", "persistentvolumes/status", "pods/status"],
            &["patch", "update"],
        ),
        rule("", &["pods/binding"], &["create"]),
        rule("", &["namespaces", "nodes", "replicationcontrollers", "services"], &READ),
        rule("", &["events"], &["create", "patch", "update"]),
        rule("events.k8s.io", &["events"], &["create", "patch", "update"]),
        rule("discovery.k8s.io", &["endpointslices"], &read_write),
        rule("policy", &["poddisruptionbudgets"], &READ),
        rule("policy", &["poddisruptionbudgets/status"], &["patch", "update"]),
        rule("storage.k8s.io", &["storageclasses"], &["create", "get", "list", "watch"]),
        // A controller that sets itself as an owner which blocks deletion must be able to take that back.
        rule(
            "apps",
            &[
                "daemonsets/finalizers",
                "deployments/finalizers",
                "replicasets/finalizers",
                "statefulsets/finalizers",
            ],
            &["update"],
        ),
        rule("batch", &["cronjobs/finalizers", "jobs/finalizers"], &["update"]),
    ]
}

/// The HTTP API asks who holds a token.
pub(crate) fn server() -> Vec<Value> {
    vec![rule("authentication.k8s.io", &["tokenreviews"], &["create"])]
}

/// The sync engine acts on environments as their own accounts; it makes those and binds them, and reads everything
/// that it compares. Who binds rights must be able to hold them: this account is as mighty as what Stacks allow.
pub(crate) fn sync() -> Vec<Value> {
    let read_write: Vec<&str> = [&READ[..], &WRITE[..]].concat();
    vec![
        rule("*", &["*"], &READ),
        rule("seaway.dev", &["environments", "stacks"], &read_write),
        rule("seaway.dev", &["environments/status", "stacks/status"], &["patch", "update"]),
        rule("", &["configmaps", "namespaces", "secrets", "serviceaccounts"], &read_write),
        rule("", &["serviceaccounts"], &["impersonate"]),
        rule("", &["events"], &["create", "patch", "update"]),
        rule("events.k8s.io", &["events"], &["create", "patch", "update"]),
        rule(
            "rbac.authorization.k8s.io",
            &["clusterroles", "clusterrolebindings", "roles", "rolebindings"],
            &[&read_write[..], &["bind", "escalate"]].concat(),
        ),
    ]
}

/// Whoever serves keeps a Lease, so that one replica is active.
pub(crate) fn lease() -> Vec<Value> {
    vec![rule("coordination.k8s.io", &["leases"], &["create", "get", "update"])]
}

/// The same for the part of one machine that keeps it, by its name, since it may lie in a namespace that is made anew.
pub(crate) fn own_lease() -> Vec<Value> {
    const GROUP: &str = "coordination.k8s.io";
    let mut named = rule(GROUP, &["leases"], &["get", "update"]);
    named["resourceNames"] = json!([crate::lease::NAME]);
    vec![rule(GROUP, &["leases"], &["create"]), named]
}
